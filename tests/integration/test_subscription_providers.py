"""A provider carries a subscription of a shared connection, for one part of a program."""

from __future__ import annotations

import asyncio

import pytest

from integration.rooms_server import RoomsServer
from sockstore import (
    InvalidOption,
    ProviderNotFound,
    Scope,
    ScopeClosed,
    SubscriptionProvider,
    WebSocketProvider,
    use_subscription,
    use_websocket,
)
from sockstore.protocols import Centrifuge
from sockstore.testing import assert_no_leaks

pytestmark = [pytest.mark.virtual_clock, pytest.mark.contract("SU9")]

URL = "ws://localhost/connection/websocket"


def connected(server: RoomsServer, **options) -> WebSocketProvider:
    return WebSocketProvider(URL, transport=server, protocol=Centrifuge(), **options)


async def test_each_part_of_a_program_has_its_room_and_all_have_one_connection():
    async def listen(room: str) -> list[object]:
        async with SubscriptionProvider(room):
            subscription = use_subscription()
            await subscription.ready()
            server.say(room, f"in {room}")
            [message] = await subscription.messages.wait_for(len)
            return [message.key, message.data["content"]]

    server = RoomsServer()
    async with assert_no_leaks(), connected(server):
        heard = await asyncio.gather(listen("lobby"), listen("tides"))
        assert heard == [["lobby", "in lobby"], ["tides", "in tides"]]
        await asyncio.sleep(1)
        assert len(server.open_connections) == 1
        left = [each["channel"] for each in server.commands("unsubscribe")]
        assert sorted(left) == ["lobby", "tides"]


async def test_leaving_it_releases_the_room_and_nothing_else():
    server = RoomsServer()
    async with connected(server) as connection:
        kept = connection.subscribe("lobby")
        async with SubscriptionProvider("lobby") as subscription:
            await subscription.ready()
        assert subscription.state.value.phase == "ended"
        await asyncio.sleep(1)
        assert kept.state.value.phase == "subscribed"
        assert server.commands("unsubscribe") == []
        kept.unsubscribe()


@pytest.mark.contract("PV2")
async def test_the_nearest_provider_wins_and_another_connection_hides_a_subscription():
    server = RoomsServer()
    async with connected(server) as outer, SubscriptionProvider("lobby") as lobby:
        assert use_subscription() is lobby
        assert use_websocket() is outer
        async with SubscriptionProvider("tides") as tides:
            assert use_subscription() is tides
        assert use_subscription() is lobby
        async with connected(server) as inner:
            assert use_websocket() is inner
            with pytest.raises(ProviderNotFound, match="use_subscription"):
                use_subscription()


async def test_it_is_of_the_connection_of_its_name():
    server, other = RoomsServer(), RoomsServer()
    async with connected(server), connected(other, name="other"):
        async with SubscriptionProvider("lobby", name="other") as lobby:
            await lobby.ready()
            assert use_subscription("other") is lobby
            with pytest.raises(ProviderNotFound):
                use_subscription()
        assert server.commands("subscribe") == []
        assert len(other.commands("subscribe")) == 1


async def test_without_a_connection_around_it_there_is_nothing_to_subscribe_to():
    with pytest.raises(ProviderNotFound):
        async with SubscriptionProvider("lobby"):
            pass
    with pytest.raises(InvalidOption, match="name"):
        SubscriptionProvider("lobby", name="")


async def test_what_cannot_be_subscribed_to_leaves_nothing():
    server = RoomsServer()
    async with assert_no_leaks(), connected(server):
        with pytest.raises(InvalidOption, match="limit"):
            async with SubscriptionProvider("lobby", limit=0):
                pass
        with pytest.raises(ProviderNotFound):
            use_subscription()


async def test_a_shared_connection_serves_a_room_in_each_part_and_closes_with_the_last():
    server = RoomsServer()

    async def part(room: str, seconds: float) -> None:
        async with connected(server, share=True), SubscriptionProvider(room) as subscription:
            await subscription.ready()
            await asyncio.sleep(seconds)

    async with assert_no_leaks():
        parts = asyncio.gather(part("lobby", 1), part("tides", 2))
        await asyncio.sleep(0.5)
        assert len(server.open_connections) == 1
        await parts
    assert not server.open_connections


async def test_a_scope_owns_what_is_mounted_in_it():
    server = RoomsServer()
    async with connected(server), Scope() as scope:
        provider = SubscriptionProvider("lobby", {"join_leave": True})
        subscription = await scope.enter(provider)
        assert use_subscription() is subscription
        await subscription.ready()
        await provider.aclose()
        assert subscription.state.value.phase == "ended"
        with pytest.raises(ScopeClosed):
            provider.scope.on_destroy(print)
