"""What one failed opening found out is owed until a connection is open: gaps, and words."""

from __future__ import annotations

import asyncio

import pytest

from greeting_server import GreetingServer
from room_server import EVERY_SECOND, RoomServer, data_of, lost
from sockstore import (
    Gap,
    HandshakeFailed,
    InvalidURI,
    StopReconnecting,
    WebSocketStore,
)
from sockstore.protocols import Centrifuge
from sockstore.testing import FakeServer

pytestmark = pytest.mark.virtual_clock

UNKNOWN = Gap(None, None, "reconnected")


class Mishaps:
    """A callable of the user that does not always end well.

    Args:
        plan: What each call does, in order: "raise", "hang", a function to call, or None for
            nothing; nothing once the plan is over.
    """

    def __init__(self, *plan) -> None:
        self.plan = list(plan)
        self.done: list[object] = []

    async def __call__(self, opening) -> None:
        what = self.plan.pop(0) if self.plan else None
        if what == "raise":
            raise OSError("not now")
        if what == "hang":
            await asyncio.sleep(1e6)
        if callable(what):
            what()
            await asyncio.sleep(1e6)
        self.done.append(opening)


def plain(server, **options):
    options = {"reconnect": EVERY_SECOND, "connect_timeout": 5, **options}
    return WebSocketStore("ws://fake", transport=server, **options)


def mishaps_of(server):
    return {"raises": "raise", "hangs": "hang", "is cut by a loss": server.drop}


MISHAPS = pytest.mark.parametrize("how", ["raises", "hangs", "is cut by a loss"])


# Gaps


@pytest.mark.contract("SE4", "OP6")
@MISHAPS
async def test_on_a_plain_connection_an_outage_is_one_gap_however_many_openings_fail(how):
    server = FakeServer()
    mishaps = Mishaps(None, *[mishaps_of(server)[how]] * 3)
    async with plain(server, on_open=mishaps) as connection:
        stream = connection.stream(gaps=True)
        await connection.ready(1000)
        server.send("one")
        assert await data_of(stream, 1) == ["one"]
        server.drop()
        await lost(connection)
        later = connection.stream(gaps=True)
        await connection.phase.wait_for(lambda phase: phase == "connecting")
        await lost(connection)
        last = connection.stream(gaps=True)
        await connection.ready(1000)
        assert len(mishaps.done) == 2
        server.send("two")
        for each in (stream, later, last):
            assert await data_of(each, 2) == [UNKNOWN, "two"]
            assert each.lag == 0
        server.drop()
        await lost(connection)
        await connection.ready(1000)
        server.drop()
        await lost(connection)
        await connection.ready(1000)
        assert await data_of(stream, 2) == [UNKNOWN, UNKNOWN]


@pytest.mark.contract("SE4", "OP6")
async def test_what_comes_in_openings_that_fail_is_not_delivered_and_there_is_one_gap():
    class Talkative(GreetingServer):
        def greet(self, peer):
            self.send(len(self.connections), {"id": 1})

    server = Talkative()
    mishaps = Mishaps("hang", "hang", None, "hang")
    async with plain(server, on_open=mishaps) as connection:
        stream = connection.stream(gaps=True)
        await connection.ready(1000)
        server.drop()
        await lost(connection)
        await connection.ready(1000)
        assert await data_of(stream, 5) == [3, {"id": 1}, UNKNOWN, 5, {"id": 1}]
        assert stream.lag == 0


@pytest.mark.contract("SE4", "OP6", "OB5")
async def test_an_answer_in_an_opening_that_fails_is_not_a_message_that_needs_a_gap():
    server = FakeServer()
    refused = []

    async def log_in(opening):
        asked = asyncio.ensure_future(opening.request({"op": "log in"}))
        await asyncio.sleep(0)
        server.send({"id": 1, "ok": len(refused) == 2})
        if not (await asked)["ok"]:
            refused.append(1)
            raise PermissionError("no")

    async with plain(server, on_open=log_in) as connection:
        stream = connection.stream(gaps=True)
        await connection.ready(1000)
        server.send("one")
        assert await data_of(stream, 1) == ["one"], "it was never open before, so nothing is missed"


@pytest.mark.contract("SE4", "OP1", "OP6")
async def test_a_program_asks_for_what_it_missed_from_its_own_cursor():
    server = FakeServer()
    mishaps = Mishaps(None, "raise", "hang")

    async def resume(opening):
        if opening.is_reconnection:
            opening.send({"after": connection.messages.value[-1].data["n"]})
        await mishaps(opening)

    async with plain(server, on_open=resume) as connection:
        await connection.ready(1000)
        server.send({"n": 7})
        await connection.messages.wait_for(len)
        server.drop()
        await lost(connection)
        await connection.ready(1000)
        await asyncio.sleep(0.1)
        assert server.received == ['{"after":7}'] * 3


# Whose fault it is


@pytest.mark.contract("OP6", "CN11")
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [PermissionError("no"), InvalidURI("x", "is odd"), KeyError(1)])
async def test_what_an_opening_raises_has_its_kind_and_names_the_callable(is_async, error):
    def raise_it(_):
        raise error

    async def raise_later(_):
        await asyncio.sleep(0)
        raise error

    async with plain(FakeServer(), on_open=raise_later if is_async else raise_it) as connection:
        await lost(connection)
        exception = connection.state.value.exception
        assert isinstance(exception, HandshakeFailed)
        assert exception.kind == "on_open"
        assert exception.why == f"on_open raised {error!r}"
        assert exception.__cause__ is error


@pytest.mark.contract("OP6", "CN11")
@pytest.mark.parametrize("make", [FakeServer, RoomServer])
async def test_what_takes_too_long_is_named(make):
    server, on_open = make(), Mishaps("hang")
    options = {"protocol": Centrifuge()} if make is RoomServer else {}
    async with plain(server, on_open=on_open, **options) as connection:
        await connection.phase.wait_for(lambda phase: phase == "connecting")
        await asyncio.sleep(1)
        assert "waits for on_open to finish" in connection.explain()
        await lost(connection)
        exception = connection.state.value.exception
        assert (exception.kind, exception.why) == ("on_open", "on_open took over 5 s")


@pytest.mark.contract("CN9", "OP6")
async def test_on_open_may_stop_reconnecting():
    def stop(_):
        raise StopReconnecting("you were logged out")

    async with plain(RoomServer(), protocol=Centrifuge(), on_open=stop) as connection:
        state = await connection.state.wait_for(lambda state: state.phase == "failed")
        assert state.error == "you were logged out"


@pytest.mark.contract("CN11")
async def test_a_transport_that_raises_what_it_should_not_is_a_failure_of_the_network():
    class Broken(FakeServer):
        def __call__(self, listener, options):
            transport = super().__call__(listener, options)

            async def open_(target):
                raise OSError("the cable is cut")

            transport.open = open_
            return transport

    async with plain(Broken()) as connection:
        await lost(connection)
        exception = connection.state.value.exception
        assert (exception.kind, exception.why) == (
            "network",
            "the attempt raised OSError('the cable is cut')",
        )
