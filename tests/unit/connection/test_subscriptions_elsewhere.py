"""Subscriptions of a connection that moves from one event loop to another."""

import asyncio

import pytest

from sockstore import WebSocketStore
from sockstore.protocols import Topics
from sockstore.testing import FakeServer, VirtualClock
from waiting import turns

BY_TYPE = Topics(
    key=lambda data: data.get("type"), subscribe=lambda keys: {"ask": keys}, requests=None
)


@pytest.mark.contract("SU2", "CN8")
def test_a_subscription_lives_on_on_another_loop():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server, protocol=BY_TYPE)
    handle = connection.subscribe("price")

    async def live(n: int) -> None:
        async with connection:
            await handle.ready(5)
            server.send({"type": "price", "n": n})
            await turns()
            assert handle.latest.value == {"type": "price", "n": n}

    VirtualClock().run(live(1))
    VirtualClock().run(live(2))
    assert len(server.received) == 2

    loop = VirtualClock().new_event_loop()
    connection.subscribe("left behind in a turn that never ends").unsubscribe()
    loop.run_until_complete(_connect(connection))
    loop.close()  # while it is in use
    VirtualClock().run(live(3))
    handle.unsubscribe()


async def _connect(connection: WebSocketStore) -> None:
    connection.connect()
    await connection.ready(5)
    connection.subscribe("news").unsubscribe()


@pytest.mark.contract("SU1")
def test_what_is_subscribed_before_there_is_a_loop_is_asked_for_later():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server, protocol=BY_TYPE)
    latest = connection.subscribe("price").latest
    seen: list[object] = []
    stop = latest.subscribe(seen.append)

    async def live() -> None:
        async with connection:
            await connection.ready(5)
            await turns()
            server.send({"type": "price"})
            await turns()
            stop()
            await asyncio.sleep(0)

    VirtualClock().run(live())
    assert seen == [None, {"type": "price"}]
    assert len(server.received) == 1
