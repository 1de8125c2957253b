"""What a message of a room costs, in calls of Python: they are the same on each machine."""

from __future__ import annotations

import json
import sys

import pytest

from room_server import RoomServer, connect
from sockstore import WebSocketStore
from sockstore.testing import FakeServer

pytestmark = pytest.mark.virtual_clock

MESSAGES = 1000
MORE_CALLS = 3
"""Calls for a message of a room beyond those of a plain one: one step of what reads it, one for its
place, and less than one for what a slice needs."""


async def calls_of(peer, frames, log) -> float:
    """Return the calls of Python for each frame that a server sends, until the log has all."""
    frames = list(frames)
    got = []
    stop = log.on_append(got.append)
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        peer.send(*frames)
        await log.wait_for(lambda _: len(got) == MESSAGES)
    finally:
        sys.setprofile(None)
    stop()
    assert [message.data for message in got] == [{"n": n} for n in range(MESSAGES)]
    return count / MESSAGES


@pytest.mark.contract("SE8")
async def test_a_message_of_a_room_costs_little_more_than_a_plain_one():
    data = [{"n": n} for n in range(MESSAGES)]
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server) as plain:
        await plain.ready()
        (peer,) = server.open_connections
        usual = await calls_of(peer, map(json.dumps, data), plain.messages)
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("room") as room:
        await room.ready()
        for each in data:
            server.store("room", each)
        pushes = [{"push": {"channel": "room", "pub": pub}} for pub in server.room().log]
        in_room = await calls_of(server.connection, map(json.dumps, pushes), room.messages)
    assert in_room - usual <= MORE_CALLS


@pytest.mark.contract("SE8")
async def test_messages_of_several_rooms_stay_apart_however_they_are_mixed():
    server = RoomServer()
    names = ("a", "b", "c")
    async with connect(server) as connection:
        rooms = {name: connection.subscribe(name) for name in names}
        for room in rooms.values():
            await room.ready()
        mixed = [names[n * n % 7 % 3] for n in range(300)]
        for number, name in enumerate(mixed):
            server.say(name, number)
        for name, room in rooms.items():
            mine = [n for n, each in enumerate(mixed) if each == name]
            await room.latest.wait_for(lambda last, mine=mine: last == mine[-1])
            assert [message.data for message in room.messages.value] == mine[-100:]
            room.unsubscribe()
