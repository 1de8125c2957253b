"""What one failed opening found out is owed until a connection is open: gaps, snapshots, words."""

from __future__ import annotations

import asyncio

import pytest
from rooms import RoomServer

from greeting_server import GreetingServer
from sockstore import (
    Gap,
    HandshakeFailed,
    InvalidURI,
    Position,
    Reconnect,
    Session,
    StopReconnecting,
    WebSocketStore,
)
from sockstore.testing import FakeServer

pytestmark = pytest.mark.virtual_clock

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0, min_uptime=0)
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
        self.calls = 0

    async def __call__(self, opening) -> None:
        self.calls += 1
        what = self.plan.pop(0) if self.plan else None
        if what == "raise":
            raise OSError("not now")
        if what == "hang":
            await asyncio.sleep(1e6)
        if callable(what):
            what()
            await asyncio.sleep(1e6)
        self.done.append(getattr(opening, "connection", opening).position)


def join(server, fetch_state=None, since=None, **options):
    session = Session("room", fetch_state=fetch_state, since=since)
    options = {"reconnect": EVERY_SECOND, "connect_timeout": 5, **options}
    return WebSocketStore("ws://fake", session=session, transport=server, **options)


def plain(server, **options):
    options = {"reconnect": EVERY_SECOND, "connect_timeout": 5, **options}
    return WebSocketStore("ws://fake", transport=server, **options)


async def data_of(stream, count):
    async with asyncio.timeout(1000):
        return [(await anext(stream)).data for _ in range(count)]


async def lost(connection):
    await connection.state.wait_for(lambda state: state.phase == "waiting")


def mishaps_of(server):
    return {"raises": "raise", "hangs": "hang", "is cut by a loss": server.drop}


MISHAPS = pytest.mark.parametrize("how", ["raises", "hangs", "is cut by a loss"])


# Snapshots


@pytest.mark.contract("OP6", "SU7")
@MISHAPS
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("since", [None, Position(0), Position(1, "e1", "id-1")])
async def test_a_snapshot_that_was_not_loaded_is_loaded_by_the_next_opening(how, times, since):
    server = RoomServer()
    server.store(1)
    fetch = Mishaps(*[mishaps_of(server)[how]] * times)
    async with join(server, fetch, since) as connection:
        await connection.ready(1000)
        assert fetch.calls == times + 1
        assert fetch.done == [Position(1, "e1", "id-1")]
        assert connection.state.value.recovered is (None if since is None else True)
        server.drop()
        await lost(connection)
        await connection.ready(1000)
        assert fetch.calls == times + 1, "nothing was missed, so none is needed"
        assert connection.state.value.recovered is True


@pytest.mark.contract("OP6", "SU7", "SE3")
@MISHAPS
async def test_a_snapshot_that_a_gap_asks_for_is_owed_until_it_is_loaded(how):
    server = RoomServer()
    fetch = Mishaps(None, *[mishaps_of(server)[how]] * 2)
    async with join(server, fetch) as connection:
        stream = connection.stream()
        await connection.ready(1000)
        server.say("old")
        assert await data_of(stream, 1) == ["old"]
        server.drop()
        server.epoch, server.log = "e2", []
        server.store("new")
        await lost(connection)
        await connection.ready(1000)
        assert fetch.done == [Position(0, "e1"), Position(1, "e2", "id-1")]
        assert connection.state.value.recovered is False
        server.say("newer")
        assert await data_of(stream, 3) == [Gap(1, 0, "epoch"), "new", "newer"]
        assert stream.lag == 0


@pytest.mark.contract("OP6", "SU7")
async def test_a_snapshot_is_loaded_again_if_on_open_fails_behind_it():
    """What follows the opening is then never older than what it loaded."""
    server = RoomServer()
    fetch = Mishaps()
    async with join(server, fetch, on_open=Mishaps("raise")) as connection:
        server.store(1)
        await connection.ready(1000)
        assert fetch.calls == 2


@pytest.mark.contract("OP6", "SU7")
async def test_what_is_said_while_a_snapshot_fails_to_load_comes_once_and_in_order():
    server = RoomServer()
    fetch = Mishaps("hang", "hang")
    async with join(server, fetch) as connection:
        stream = connection.stream()
        for number in range(1, 14):
            server.say(number) if server.open_connections else server.store(number)
            await asyncio.sleep(1)
        await connection.ready(1000)
        first = (await data_of(stream, 1))[0]
        assert await data_of(stream, 13 - first) == list(range(first + 1, 14))
        assert fetch.done
        assert stream.lag == 0


@pytest.mark.contract("OP6", "SU7")
async def test_a_snapshot_is_owed_over_close_and_connect_too():
    server = RoomServer()
    fetch = Mishaps("hang")
    connection = join(server, fetch)
    connection.connect()
    while not fetch.calls:
        await asyncio.sleep(0)
    await connection.aclose()
    connection.connect()
    await connection.ready(1000)
    assert len(fetch.done) == 1
    await connection.aclose()
    connection.connect()
    await connection.ready(1000)
    assert fetch.calls == 2
    await connection.aclose()


# Gaps, and what the state says of them


@pytest.mark.contract("SE3", "OP6")
@MISHAPS
@pytest.mark.parametrize("where", ["on_open", "fetch_state"])
@pytest.mark.parametrize("change", ["trimmed", "epoch", "forked"])
async def test_a_gap_is_said_once_by_the_stream_and_by_the_state_that_opens(how, where, change):
    server = RoomServer()
    mishaps = Mishaps(None, *[mishaps_of(server)[how]] * 2)
    options = {"on_open": mishaps} if where == "on_open" else {"fetch_state": mishaps}
    async with join(server, **options) as connection:
        stream = connection.stream()
        await connection.ready(1000)
        server.say(1)
        assert await data_of(stream, 1) == [1]
        server.drop()
        server.store(2)
        server.store(3)
        match change:
            case "trimmed":
                server.first = 3
            case "epoch":
                server.epoch = "e2"
            case _:
                server.log[0] |= {"tags": {"id": "another"}}
        await lost(connection)
        seen = []
        connection.state.subscribe(lambda state: seen.append((state.phase, state.recovered)))
        await connection.ready(1000)
        assert ("open", True) not in seen
        assert connection.state.value.recovered is False
        server.say(4)
        expected = {
            "trimmed": [Gap(1, 2, "trimmed"), 3],
            "epoch": [Gap(1, 0, "epoch"), 1, 2, 3],
            "forked": [Gap(1, 3, "forked")],
        }[change]
        assert await data_of(stream, len(expected) + 1) == [*expected, 4]
        assert stream.lag == 0
        server.drop()
        await lost(connection)
        await connection.ready(1000)
        assert connection.state.value.recovered is True, "it was said once"


@pytest.mark.contract("SE3", "OP6")
async def test_two_gaps_in_two_failed_openings_are_two_gaps():
    server = RoomServer()

    def wipe():
        server.drop()
        server.epoch, server.log = f"{server.epoch}+", []
        server.store("new")

    mishaps = Mishaps(None, wipe)
    async with join(server, on_open=mishaps) as connection:
        stream = connection.stream()
        await connection.ready(1000)
        server.say("old")
        assert await data_of(stream, 1) == ["old"]
        wipe()
        await lost(connection)
        await connection.ready(1000)
        assert connection.state.value.recovered is False
        gap = Gap(1, 0, "epoch")
        assert await data_of(stream, 4) == [gap, "new", gap, "new"]
        assert stream.lag == 0


@pytest.mark.contract("SE4", "OP6")
@MISHAPS
async def test_without_a_session_an_outage_is_one_gap_however_many_openings_fail(how):
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
@pytest.mark.parametrize("where", ["on_open", "fetch_state"])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("error", [PermissionError("no"), InvalidURI("x", "is odd"), KeyError(1)])
async def test_what_an_opening_raises_has_its_kind_and_names_the_callable(where, is_async, error):
    def raise_it(_):
        raise error

    async def raise_later(_):
        await asyncio.sleep(0)
        raise error

    callable_ = raise_later if is_async else raise_it
    if where == "on_open":
        connection = plain(FakeServer(), on_open=callable_)
    else:
        connection = join(RoomServer(), callable_)
    async with connection:
        await lost(connection)
        exception = connection.state.value.exception
        assert isinstance(exception, HandshakeFailed)
        assert exception.kind == "on_open"
        assert exception.why == f"{where} raised {error!r}"
        assert exception.__cause__ is error


@pytest.mark.contract("OP6", "CN11")
@pytest.mark.parametrize("where", ["on_open", "fetch_state"])
async def test_what_takes_too_long_is_named(where):
    options = {where: Mishaps("hang")}
    if where == "fetch_state":
        options["on_open"] = Mishaps()
    else:
        options["fetch_state"] = Mishaps()
    async with join(RoomServer(), **options) as connection:
        await connection.phase.wait_for(lambda phase: phase == "connecting")
        await asyncio.sleep(1)
        assert f"waits for {where} to finish" in connection.explain()
        await lost(connection)
        exception = connection.state.value.exception
        assert (exception.kind, exception.why) == ("on_open", f"{where} took over 5 s")


@pytest.mark.contract("CN9", "OP6")
async def test_fetch_state_may_stop_reconnecting():
    def stop(_):
        raise StopReconnecting("you were logged out")

    async with join(RoomServer(), stop) as connection:
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
