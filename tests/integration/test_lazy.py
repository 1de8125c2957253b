"""Lazy connections: they connect for their first user, and close after their last."""

from __future__ import annotations

import asyncio
import gc

import pytest

from sockstore import InvalidOption, Reconnect, WebSocketProvider, WebSocketStore
from sockstore.protocols import Topics
from sockstore.testing import FakeServer, VirtualClock, accept, assert_no_leaks, echo, refuse
from waiting import turns

pytestmark = [pytest.mark.virtual_clock, pytest.mark.contract("CN20")]

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


def lazy(server=None, **options):
    return WebSocketStore("ws://fake", transport=server or FakeServer(), lazy=True, **options)


def phase(connection):
    return connection.phase.value


async def test_nothing_connects_before_somebody_uses_it():
    async with lazy() as connection:
        await asyncio.sleep(100)
        connection.connected.subscribe(lambda value: None)()
        _ = connection.messages.value, connection.select(len).value, repr(connection)
        await asyncio.sleep(100)
        assert phase(connection) == "idle"
    assert phase(connection) == "closed"


USES = {
    "messages": lambda connection: connection.messages.subscribe(lambda view: None),
    "select": lambda connection: connection.select(len).subscribe(lambda count: None),
    "on_append": lambda connection: connection.messages.on_append(lambda message: None),
    "stream": lambda connection: connection.stream().close,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("linger", [0.0, 5.0])
async def test_it_connects_for_the_first_reader_and_closes_after_the_last(use, linger):
    connection = lazy(linger=linger)
    first = use(connection)
    await connection.ready(1)
    second = use(connection)
    first()
    await asyncio.sleep(100)
    assert phase(connection) == "open"
    second()
    if linger:
        await asyncio.sleep(4.9)
        assert phase(connection) == "open"
        await asyncio.sleep(0.2)
    await turns()
    assert phase(connection) == "idle"
    third = use(connection)
    await connection.ready(1)
    third()
    await connection.aclose()


async def test_one_who_comes_while_it_lingers_keeps_it_open():
    connection = lazy(linger=5.0)
    leave = connection.messages.subscribe(lambda view: None)
    await connection.ready(1)
    leave()
    await asyncio.sleep(4)
    leave = connection.messages.subscribe(lambda view: None)
    await asyncio.sleep(10)
    assert phase(connection) == "open"
    leave()
    await asyncio.sleep(6)
    assert phase(connection) == "idle"


async def test_what_comes_and_goes_in_one_turn_uses_nothing():
    server = FakeServer()
    connection = lazy(server)
    connection.messages.subscribe(lambda view: None)()
    await turns()
    assert (phase(connection), server.connections) == ("idle", [])


async def test_who_leaves_while_it_cannot_connect_ends_its_attempts():
    connection = lazy(FakeServer(*[refuse()] * 99), reconnect=EVERY_SECOND, linger=2.0)
    leave = connection.messages.subscribe(lambda view: None)
    await asyncio.sleep(9.5)
    assert phase(connection) == "waiting"
    leave()
    await asyncio.sleep(3)
    assert (phase(connection), connection.error.value) == ("idle", None)
    attempts = connection.stats().attempts
    await asyncio.sleep(10)
    assert connection.stats().attempts == attempts
    assert "closed until somebody uses it" in connection.timeline.value[-1].text
    assert connection.explain().startswith("Nobody uses this connection")


async def test_a_forgotten_stream_uses_nothing():
    connection = lazy()
    stream = connection.stream()
    await connection.ready(1)
    del stream
    gc.collect()
    await turns()
    assert phase(connection) == "idle"


async def test_it_connects_to_send_and_closes_once_nothing_waits():
    server = FakeServer(refuse(), accept())
    connection = lazy(server, reconnect=EVERY_SECOND)
    receipt = connection.send("x")
    await connection.phase.wait_for(lambda phase: phase == "waiting")
    await receipt
    await turns()
    assert (server.received, phase(connection)) == (["x"], "idle")
    again = connection.send("y")
    assert again.state == "queued"
    await again
    await turns()
    assert (server.connections[1].received, phase(connection)) == (["y"], "idle")


async def test_each_message_is_a_use():
    server = FakeServer()
    connection = lazy(server, linger=5.0)
    await connection.send("0")
    for n in range(1, 5):
        await asyncio.sleep(4)
        assert connection.send(str(n)).state == "sent"
    await asyncio.sleep(4.9)
    assert phase(connection) == "open"
    await asyncio.sleep(0.2)
    assert phase(connection) == "idle"
    assert server.received == list("01234")


async def test_a_request_is_a_use_until_it_is_answered():
    server = FakeServer(accept(), echo())
    connection = lazy(server)
    assert await connection.request({"op": "x"}) == {"op": "x", "id": 1}
    await turns()
    assert phase(connection) == "idle"


async def test_a_subscription_is_a_use():
    protocol = Topics(key=lambda data: data.get("topic"), subscribe=None, unsubscribe=None)
    connection = lazy(protocol=protocol)
    subscription = connection.subscribe("news")
    await connection.ready(1)
    await asyncio.sleep(10)
    assert phase(connection) == "open"
    subscription.unsubscribe()
    await turns()
    assert phase(connection) == "idle"


def test_outside_a_loop_it_is_noted():
    server = FakeServer()
    connection = lazy(server)
    leave = connection.messages.subscribe(lambda view: None)
    receipt = connection.send("x")
    assert (phase(connection), receipt.state) == ("idle", "queued")

    async def main() -> None:
        connection.connect()
        await connection.ready(1)
        await asyncio.sleep(10)
        assert phase(connection) == "open"
        leave()
        await turns()
        assert phase(connection) == "idle"
        await connection.aclose()

    VirtualClock().run(main())
    assert server.received == ["x"]


def test_inside_a_block_what_was_noted_connects():
    connection = lazy()
    connection.messages.subscribe(lambda view: None)

    async def main() -> None:
        async with connection:
            await connection.ready(1)

    VirtualClock().run(main())


async def test_connect_connects_at_once_and_close_stays_closed():
    connection = lazy()
    connection.connect()
    await connection.ready(1)
    await asyncio.sleep(100)
    assert phase(connection) == "open", "nobody has used it yet"
    connection.close()
    leave = connection.messages.subscribe(lambda view: None)
    assert connection.send("x").state == "refused"
    await asyncio.sleep(1)
    assert phase(connection) == "closed"
    connection.connect()
    await connection.ready(1)
    leave()
    await turns()
    assert phase(connection) == "idle"


@pytest.mark.parametrize("share", [True, False])
async def test_a_provider_of_a_lazy_connection_connects_nothing(share):
    server = FakeServer()
    async with WebSocketProvider(
        "ws://fake", transport=server, lazy=True, share=share, linger=3.0
    ) as connection:
        await asyncio.sleep(10)
        assert server.connections == []
        stream = connection.stream()
        await connection.ready(1)
        stream.close()
        await asyncio.sleep(2.9)
        assert phase(connection) == "open"
        await asyncio.sleep(0.2)
        assert phase(connection) == "idle"
        assert await connection.send("x")
    assert len(server.connections) == 2
    await asyncio.sleep(5)  # a shared one lingers


@pytest.mark.contract("CN10")
async def test_nothing_is_left_of_it():
    async with assert_no_leaks():
        for _ in range(3):
            connection = lazy(linger=1.0)
            await connection.send("x")
            await asyncio.sleep(10)
            assert phase(connection) == "idle"


@pytest.mark.parametrize(
    "options", [{"lazy": 1}, {"lazy": True, "linger": -1}, {"linger": 5.0}, {"linger": None}]
)
def test_bad_options_are_refused(options):
    with pytest.raises(InvalidOption, match=r"lazy|linger"):
        WebSocketStore("ws://fake", **options)
