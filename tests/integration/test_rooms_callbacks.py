"""A callback may do anything amid a slice: nothing is lost by it, and nothing comes twice."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from room_server import RoomServer, connect, data_of

pytestmark = pytest.mark.virtual_clock

TOGETHER = [True, False]
"""Whether all messages come in one text, or each in its own."""


def say(server: RoomServer, *data: Any, together: bool) -> None:
    """Tell these messages to two rooms, in turns."""
    pushes = []
    for each in data:
        for name in ("room", "other"):
            server.store(name, each)
            pushes.append({"push": {"channel": name, "pub": server.room(name).log[-1]}})
    if together:
        server.say_frames(*pushes)
    else:
        for push in pushes:
            server.connection.send(json.dumps(push))


@pytest.mark.contract("SE1", "SU3")
@pytest.mark.parametrize("together", TOGETHER)
@pytest.mark.parametrize("releases", [True, False])
async def test_who_subscribes_amid_a_slice_gets_all_that_follows(releases, together):
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("other") as other:
        room = connection.subscribe("room")
        await room.ready()
        await other.ready()
        new = []

        def take(message):
            if message.data == 3:
                if releases:
                    room.unsubscribe()
                new.append(connection.subscribe("room"))

        room.messages.on_append(take)
        say(server, *range(10), together=together)
        await asyncio.sleep(0.1)
        assert [each.data for each in new[0].messages.value] == [4, 5, 6, 7, 8, 9]
        kept = [each.data for each in room.messages.value]
        assert kept == [*range(4 if releases else 10)]
        assert [each.data for each in other.messages.value] == [*range(10)]
        assert new[0].position.offset == other.position.offset == 10
        assert len(server.commands("subscribe", "room")) == 1
        room.unsubscribe()
        new[0].unsubscribe()


@pytest.mark.contract("SE1", "SU3")
@pytest.mark.parametrize("together", TOGETHER)
async def test_a_filter_that_subscribes_is_as_good_as_a_callback(together):
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("room") as room:
        await room.ready()
        new = []

        def where(message):
            if message.data == 3:
                new.append(connection.subscribe("room"))
            return True

        stream = room.stream(where, limit=8)  # half of it is collected before it is told
        for number in range(8):
            server.store("room", number)
        pushes = [{"push": {"channel": "room", "pub": each}} for each in server.room().log]
        for several in (pushes,) if together else ([each] for each in pushes):
            server.say_frames(*several)
        assert await data_of(stream, 8) == [*range(8)]
        assert [each.data for each in new[0].messages.value] == [4, 5, 6, 7]
        new[0].unsubscribe()


@pytest.mark.contract("SE1", "CN5")
@pytest.mark.parametrize("together", TOGETHER)
@pytest.mark.parametrize("history", [0, 3, None])
async def test_who_reconnects_at_a_message_gets_those_behind_it_once(history, together):
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("other") as other:
        room = connection.subscribe("room", history=history)
        await room.ready()
        await other.ready()
        got = []

        def take(message):
            got.append(message.data)
            if message.data in {3, 4}:
                connection.reconnect()

        room.messages.on_append(take)
        say(server, *range(10), together=together)
        await asyncio.sleep(10)
        assert got == [each.data for each in other.messages.value] == [*range(10)]
        assert room.position.offset == other.position.offset == 10
        assert room.state.value.recovered is other.state.value.recovered is True
        assert len(server.handshakes) == 3
        room.unsubscribe()


@pytest.mark.contract("SE1", "SE3")
async def test_a_gap_that_came_too_late_is_told_later_also_with_what_followed_it():
    """A restored log has lower offsets, so what follows the gap looks as if it had been seen."""
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("other") as other:
        room = connection.subscribe("room")
        stream = room.stream()
        await room.ready()
        await other.ready()
        server.say("room", *range(9))
        assert await data_of(stream, 9) == [*range(9)]
        other.messages.on_append(lambda message: connection.reconnect())
        del server.room("room").log[3:]
        server.mute_rooms = {"room"}
        server.end("room", 2500)
        await asyncio.sleep(0.1)
        number, asked = server.asked[-1]["id"], server.asked[-1]["subscribe"]
        answer = {"id": number, "subscribe": server.room("room").granted(asked)}
        server.mute_rooms = set()
        server.store("room", "restored")
        server.store("other", 1)
        pushes = {name: {"pub": server.room(name).log[-1]} for name in ("other", "room")}
        frames = [{"push": {"channel": name, **push}} for name, push in pushes.items()]
        server.say_frames({}, frames[0], answer, frames[1])  # after a ping they are one batch
        await asyncio.sleep(10)
        server.say("room", "live")
        gap, *items = await data_of(stream, 2)
        assert (gap.since, gap.reason) == (9, "forked")
        assert items == ["live"]
        room.unsubscribe()
