"""What one holder of a connection asks for is its own: leaving releases it, and nobody else's."""

from __future__ import annotations

import asyncio
import gc
import json

import pytest
from markets import Market, by_ids

from sockstore import (
    DeliveryError,
    Outbox,
    Reconnect,
    Scope,
    ScopeClosed,
    WebSocketProvider,
    WebSocketStore,
    use_websocket,
)
from sockstore.protocols import JsonRpc, Topics
from sockstore.testing import FakeServer, accept, assert_no_leaks, refuse
from waiting import turns

pytestmark = pytest.mark.virtual_clock

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


def sharing(transport, **options) -> WebSocketProvider:
    options = {"protocol": JsonRpc(), "reconnect": EVERY_SECOND} | options
    return WebSocketProvider("ws://fake", transport=transport, share=True, **options)


def rpc_answers(server: FakeServer) -> list[object]:
    return [said["result"] for frame in server.received if "result" in (said := json.loads(frame))]


# What may not be done any more


@pytest.mark.contract("CN22", "PV5")
@pytest.mark.parametrize("share", [False, True])
async def test_every_method_that_acts_is_refused_after_its_provider_was_left(share):
    server = FakeServer()
    async with (
        sharing(server)
        if share
        else WebSocketProvider("ws://fake", transport=server, protocol=JsonRpc()) as connection
    ):
        await connection.ready()
        server.send({"jsonrpc": "2.0", "method": "news", "params": 1})
        await turns()
        message = connection.messages.value[-1]
        handle = connection.subscribe("other")
    sync = {
        "subscribe": lambda: connection.subscribe("key"),
        "handle": lambda: connection.handle("name", print),
        "reply": lambda: connection.reply(message, 1),
        "send": lambda: connection.send(1),
        "lose": lambda: connection.lose("why"),
        "clear_outbox": connection.clear_outbox,
        "connect": connection.connect,
        "reconnect": connection.reconnect,
        "stream": connection.stream,
    }
    for action, act in sync.items():
        with pytest.raises(ScopeClosed, match=f"cannot {action}") as caught:
            act()
        assert caught.value.action == action
    for action, waits in {
        "asend": connection.asend,
        "request": connection.request,
    }.items():
        with pytest.raises(ScopeClosed, match=f"cannot {action}"):
            await waits({"method": "m"})
    with pytest.raises(RuntimeError, match="was released"):
        await handle.ready()
    assert [message async for message in handle] == []


@pytest.mark.contract("CN22", "PV7")
async def test_every_method_that_acts_is_refused_while_a_lease_is_not_taken():
    server = FakeServer()
    async with sharing(server) as lease, sharing(server) as other:
        await lease.ready()
        server.send({"jsonrpc": "2.0", "method": "news", "params": 1})
        await turns()
        message = lease.messages.value[-1]
        lease.close()
        for action, act in {
            "subscribe": lambda: lease.subscribe("key"),
            "handle": lambda: lease.handle("name", print),
            "reply": lambda: lease.reply(message, 1),
            "lose": lambda: lease.lose("why"),
        }.items():
            with pytest.raises(RuntimeError) as caught:
                act()
            sentence = "this share of the connection is not in use: connect() first"
            assert str(caught.value) == f"{action}(): {sentence}"
        for refused in (lease.send(1), await lease.asend(1)):
            assert (refused.state, refused.why) == ("refused", sentence)
        with pytest.raises(DeliveryError, match="this share of the connection is not in use"):
            await lease.request({"method": "m"})
        assert lease.clear_outbox() == []
        await other.ready()
        assert other.phase.value == "open"


# What is released


@pytest.mark.contract("SU1", "PV7")
async def test_a_lease_that_is_taken_again_has_to_subscribe_again():
    market = Market()
    async with sharing(market, protocol=by_ids) as one, sharing(market, protocol=by_ids) as other:
        mine, others = one.subscribe("x"), other.subscribe("x")
        await mine.ready(5)
        one.close()
        one.connect()
        await turns()
        assert (mine.state.value.phase, others.state.value.phase) == ("ended", "subscribed")
        with pytest.raises(RuntimeError, match="was released"):
            await mine.ready()
        async with one.subscribe("x") as again:
            await again.ready(5)
            market.publish("x", 1)
            await turns()
            assert [message.data["n"] for message in again.messages.value] == [1]
        assert market.visit.asked == ["x"], "it was shared all the time"
        assert market.visit.has == {"x"}
        others.unsubscribe()
        await turns()
        assert market.visit.has == set()


@pytest.mark.contract("CN22", "PV7")
async def test_giving_a_lease_back_stops_no_handler_of_another_one_with_the_same_function():
    def answer() -> int:
        return 42

    server = FakeServer()
    async with sharing(server) as one, sharing(server) as other:
        stop = one.handle("ask", answer)
        stop()
        other.handle("ask", answer)
        stop()
        one.close()
        await other.ready()
        server.send({"jsonrpc": "2.0", "id": 1, "method": "ask"})
        await turns()
        assert rpc_answers(server) == [42]


@pytest.mark.contract("CN22", "PV7", "LC2")
async def test_handlers_that_come_and_go_leave_nothing_in_a_lease():
    async with sharing(FakeServer()) as lease:
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(1000):
            lease.handle("ask", print)()
        gc.collect()
        assert len(gc.get_objects()) - before < 100


@pytest.mark.contract("OB9", "PV7")
async def test_who_waits_for_room_and_gives_the_lease_back_sends_nothing():
    server = FakeServer(refuse(), accept())
    options = {"protocol": None, "outbox": Outbox(limit=1)}
    async with sharing(server, **options) as one, sharing(server, **options) as other:
        assert other.send("others")
        waiting = asyncio.ensure_future(one.asend("mine"))
        also = asyncio.ensure_future(other.asend("also others"))
        await turns()
        one.close()
        assert not await waiting
        await other.ready()
        assert await also
        await turns()
        assert server.received == ["others", "also others"]


# Scopes and components


@pytest.mark.contract("SU1", "LC1")
@pytest.mark.parametrize("how", ["enter", "mount", "on_destroy"])
async def test_a_scope_that_is_left_releases_what_was_subscribed_for_it(how):
    market = Market()

    def start():
        handle = use_websocket().subscribe("x")
        return handle.unsubscribe

    async with WebSocketProvider("ws://m", transport=market, protocol=by_ids) as connection:
        await connection.ready()
        async with assert_no_leaks(), Scope() as scope:
            if how == "enter":
                await scope.enter(connection.subscribe("x"))
            elif how == "mount":
                scope.mount(start)
            else:
                scope.on_destroy(connection.subscribe("x").unsubscribe)
            await turns()
            assert market.visit.has == {"x"}
        await turns()
        assert market.visit.has == set()


@pytest.mark.contract("SU1", "LC1")
async def test_unmounting_one_component_leaves_the_subscription_of_the_other():
    market = Market()

    def start():
        return use_websocket().subscribe("x").unsubscribe

    async with WebSocketProvider("ws://m", transport=market, protocol=by_ids) as connection:
        await connection.ready()
        async with Scope() as scope:
            one, two = scope.mount(start), scope.mount(start)
            await turns()
            await one.unmount()
            await turns()
            assert market.visit.has == {"x"}
            await two.unmount()
            await turns()
            assert (market.visit.has, market.visit.asked) == (set(), ["x"])


@pytest.mark.contract("PV1", "PR1")
@pytest.mark.parametrize("share", [False, True])
async def test_a_provider_carries_the_protocol(share):
    market = Market()
    async with (
        WebSocketProvider("ws://m", transport=market, protocol=by_ids, share=share),
        use_websocket().subscribe("x") as handle,
    ):
        assert await handle.ready(5) == {"id": 1, "result": ["x"]}


# Leaks


@pytest.mark.contract("LC5", "SU1")
async def test_assert_no_leaks_notices_a_subscription_that_was_left():
    by_type = Topics(key=lambda data: data.get("type"))
    async with WebSocketStore("ws://x", protocol=by_type, transport=FakeServer()) as connection:
        await connection.ready()
        with pytest.raises(
            AssertionError, match=r"<Subscription 'price' subscribed> made at .*test_holders\.py"
        ):
            async with assert_no_leaks():
                handle = connection.subscribe("price")
        async with assert_no_leaks():
            connection.subscribe("news").unsubscribe()
            connection.subscribe("price").unsubscribe()
        with pytest.raises(AssertionError, match="'news' subscribed"):
            async with assert_no_leaks():
                second = connection.subscribe("news")
    async with assert_no_leaks():
        pass
    assert handle.state.value.error == second.state.value.error == "the connection has ended"
    handle.unsubscribe()
    second.unsubscribe()


@pytest.mark.contract("LC5", "SU1")
async def test_assert_no_leaks_notices_one_of_a_connection_that_never_connected():
    with pytest.raises(AssertionError, match="'price' waiting"):
        async with assert_no_leaks():
            by_type = Topics(key=lambda data: data.get("type"))
            handle = WebSocketStore("ws://x", protocol=by_type).subscribe("price")
    handle.unsubscribe()
