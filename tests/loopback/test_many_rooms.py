"""Many rooms on one socket, with a server whose limits are those that it has by default."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from loopback.chaos import chaos
from loopback.server_kit import PATIENCE, running
from sockstore import Reconnect, SubscriptionRefused, WebSocketStore
from sockstore.protocols import Centrifuge
from sockstore.server import Limits

pytestmark = [pytest.mark.loopback, pytest.mark.asyncio]

QUICKLY = Reconnect.exponential(base=0.05, max=0.2, min_uptime=0)


@asynccontextmanager
async def rooms_of(port, count, **options):
    """Connect to a server through a proxy that counts, and subscribe to rooms."""
    async with chaos(port) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}/connection/websocket?name=Ann"
        async with WebSocketStore(
            url, protocol=Centrifuge(), reconnect=QUICKLY, **options
        ) as connection:
            rooms = [connection.subscribe(f"room{number}") for number in range(count)]
            try:
                yield connection, rooms, proxy
            finally:
                for room in rooms:
                    room.unsubscribe()


async def ready(rooms):
    async with asyncio.timeout(3 * PATIENCE):
        for room in rooms:
            await room.ready()


async def talk(rooms, streams, number):
    """Say something in each room, and hear it in that one."""
    async with asyncio.timeout(3 * PATIENCE):
        receipts = [room.send((room.key, number)) for room in rooms]
        for receipt in receipts:
            assert (await receipt).state == "acknowledged"
        for room, stream in zip(rooms, streams, strict=True):
            assert (await anext(stream)).data == [room.key, number]


@pytest.mark.contract("SE0", "SU1", "SV3")
async def test_thirty_rooms_are_one_socket_and_one_handshake_also_after_a_loss():
    async with running(limits=Limits()) as server:
        async with rooms_of(server.port, 30) as (connection, rooms, proxy):
            streams = [room.stream() for room in rooms]
            await ready(rooms)
            assert proxy.accepted == 1
            assert len(server.sockets()) == 1
            await talk(rooms, streams, 1)
            proxy.pairs[0].reset()
            await connection.connected.wait_for(lambda is_so: not is_so, PATIENCE)
            await ready(rooms)
            assert proxy.accepted == 2
            await talk(rooms, streams, 2)
            assert all(room.state.value.recovered for room in rooms)
            assert connection.error.value is None
            assert proxy.accepted == 2, "no burst was too much for the server"


@pytest.mark.contract("SE0", "SU1", "SV3")
async def test_three_hundred_rooms_keep_to_the_pace_of_a_server_that_allows_so_many():
    """Its burst is not enough for all of them at once."""
    async with running(limits=Limits(subscriptions=300, rate=200.0, burst=100)) as server:
        async with rooms_of(server.port, 300) as (connection, rooms, proxy):
            streams = [room.stream() for room in rooms]
            await ready(rooms)
            await talk(rooms, streams, 1)
            proxy.pairs[0].reset()
            await connection.connected.wait_for(lambda is_so: not is_so, PATIENCE)
            await ready(rooms)
            await talk(rooms, streams, 2)
            assert all(room.state.value.recovered for room in rooms)
            assert proxy.accepted == 2


@pytest.mark.contract("SE0", "SU6")
async def test_rooms_above_the_servers_number_are_refused_one_by_one_and_the_others_live():
    async with running(limits=Limits(subscriptions=30)) as server:
        async with rooms_of(server.port, 40) as (connection, rooms, proxy):
            live, refused = rooms[:30], rooms[30:]
            streams = [room.stream() for room in live]
            await ready(live)
            for room in refused:
                with pytest.raises(SubscriptionRefused, match="106"):
                    await room.ready(PATIENCE)
            await talk(live, streams, 1)
            assert proxy.accepted == 1
            # One that is left makes room for another one.
            live[0].unsubscribe()
            refused[0].unsubscribe()
            async with connection.subscribe("room30") as again:
                await again.ready(PATIENCE)
            await talk(live[1:], streams[1:], 2)
            assert proxy.accepted == 1


@pytest.mark.contract("SE0", "SE1")
async def test_rooms_that_come_and_go_keep_to_the_pace_of_the_server():
    async with running(limits=Limits()) as server:
        async with rooms_of(server.port, 1) as (connection, rooms, proxy):
            await ready(rooms)
            for turn in range(10):
                names = [f"turn{turn}-{number}" for number in range(9)]
                many = [connection.subscribe(name) for name in names]
                await ready(many)
                for room in many:
                    room.unsubscribe()
            await talk(rooms, [rooms[0].stream()], 1)
            assert proxy.accepted == 1


@pytest.mark.contract("SE0")
async def test_a_connection_to_one_room_has_that_room_only():
    async with (
        running() as server,
        WebSocketStore(
            server.url("/chat/lobby?name=Ann"),
            protocol=Centrifuge(),
            subprotocols=["centrifuge-json"],
        ) as connection,
        connection.subscribe("lobby") as lobby,
        connection.subscribe("other") as other,
    ):
        await lobby.ready(PATIENCE)
        with pytest.raises(SubscriptionRefused, match="102"):
            await other.ready(PATIENCE)
        assert (await lobby.send("x")).offset == 1
