"""What a room cannot get back is told: by its streams, by its state, and by no other room."""

from __future__ import annotations

import asyncio

import pytest

from room_server import Room, RoomServer, back_again, connect, data_of, lost
from sockstore import Gap, Position

pytestmark = pytest.mark.virtual_clock

UNKNOWN = Gap(None, None, "reconnected")

CHANGES = {
    "trimmed": (Gap(1, 2, "trimmed"), [3, 4]),
    "epoch": (Gap(1, 0, "epoch"), ["new"]),
    "forked": (Gap(1, 2, "forked"), []),
}


def change(server, how, name="room"):
    """Let a room, whose first message is known, lose its history; nobody is in it."""
    room = server.room(name)
    match how:
        case "trimmed":
            for number in (2, 3, 4):
                server.store(name, number)
            room.first = 3
        case "epoch":
            room.epoch, room.log = "e2", []
            server.store(name, "new")
        case _:
            room.log = []
            server.store(name, "another", "another-1")
            server.store(name, "another")


@pytest.mark.contract("SE3", "CN2")
@pytest.mark.parametrize("how", CHANGES)
async def test_what_cannot_be_had_is_told(how):
    server = RoomServer()
    gap, then = CHANGES[how]
    async with (
        connect(server) as connection,
        connection.subscribe("room") as room,
        connection.subscribe("other") as other,
    ):
        stream, silent, also = room.stream(), room.stream(gaps=False), other.stream()
        await room.ready()
        server.say("room", 1)
        server.say("other", 1)
        assert await data_of(stream, 1) == [1]
        server.drop()
        change(server, how)
        await back_again(connection, room, other)
        message = await anext(stream)
        assert (message.kind, message.data) == ("gap", gap)
        assert room.state.value.recovered is False
        server.say("room", "live")
        server.say("other", 2)
        assert await data_of(stream, len(then) + 1) == [*then, "live"]
        assert await data_of(silent, len(then) + 2) == [1, *then, "live"]
        assert [m.data for m in room.messages.value] == [1, *then, "live"]
        assert await data_of(also, 2) == [1, 2]
        assert other.state.value.recovered is True
        server.drop()
        await back_again(connection, room)
        assert room.state.value.recovered is True, "it was said once"
        assert stream.lag == 0


@pytest.mark.contract("SE3")
def test_a_gap_knows_how_much_is_missing():
    assert Gap(5, 99, "trimmed").missed == 94
    assert Gap(5, 3, "epoch").missed is None
    assert Gap(None, None, "reconnected").missed is None


@pytest.mark.contract("SE3")
@pytest.mark.parametrize("how", CHANGES)
async def test_a_gap_comes_on_an_open_connection_too(how):
    """A room that is asked for again, because of a hole, may find its history gone."""
    server = RoomServer()
    gap, then = CHANGES[how]
    async with connect(server) as connection, connection.subscribe("room") as room:
        stream = room.stream()
        await room.ready()
        server.say("room", 1)
        assert await data_of(stream, 1) == [1]
        change(server, how)
        server.end("room", 2500, "insufficient state")
        assert await data_of(stream, len(then) + 1) == [gap, *then]
        assert room.state.value.recovered is False
        assert len(server.handshakes) == 1


@pytest.mark.contract("SE3", "OP6")
async def test_two_gaps_in_two_outages_are_two_gaps():
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("room") as room:
        stream = room.stream()
        await room.ready()
        server.say("room", "old")
        for epoch in ("e2", "e3"):
            server.drop()
            server.rooms["room"] = Room(epoch)
            server.store("room", "new")
            await back_again(connection, room)
        gap = Gap(1, 0, "epoch")
        assert await data_of(stream, 5) == ["old", gap, "new", gap, "new"]


@pytest.mark.contract("SE3", "OP6")
@pytest.mark.parametrize("how", ["raises", "hangs", "is cut by a loss"])
@pytest.mark.parametrize("change_", CHANGES)
async def test_openings_that_fail_neither_add_a_gap_nor_forget_one(how, change_):
    server = RoomServer()
    gap, then = CHANGES[change_]
    plan = [None, how, how]

    async def on_open(opening):
        match plan.pop(0) if plan else None:
            case "raises":
                raise OSError("not now")
            case "hangs":
                await asyncio.sleep(1e6)
            case "is cut by a loss":
                server.drop()
                await asyncio.sleep(1e6)

    async with (
        connect(server, on_open=on_open, connect_timeout=5) as connection,
        connection.subscribe("room") as room,
    ):
        stream = room.stream()
        await room.ready(1000)
        server.say("room", 1)
        assert await data_of(stream, 1) == [1]
        server.drop()
        change(server, change_)
        await back_again(connection, room)
        assert room.state.value.recovered is False
        assert len(server.handshakes) == 4
        server.say("room", "live")
        assert await data_of(stream, len(then) + 2) == [gap, *then, "live"]
        assert stream.lag == 0


@pytest.mark.contract("SE3", "CN5")
@pytest.mark.parametrize("how", CHANGES)
async def test_a_gap_that_comes_too_late_for_a_connection_is_told_by_the_next_one(how):
    """The answers for all rooms may be in one text, and the program closes at the first of them."""
    server = RoomServer()
    gap, then = CHANGES[how]
    connection = connect(server)
    first, room = connection.subscribe("first"), connection.subscribe("room")
    connection.connect()
    await room.ready()
    server.say("room", 1)
    await room.messages.wait_for(len)
    server.drop()
    await lost(connection)
    first.messages.on_append(lambda message: message.data == "missed" and connection.close())
    server.store("first", "missed")
    change(server, how)
    await connection.phase.wait_for(lambda phase: phase == "closed")
    assert room.position.offset == 1
    connection.connect()
    stream = room.stream()
    assert await data_of(stream, len(then) + 1) == [gap, *then]
    for each in (first, room):
        each.unsubscribe()
    await connection.aclose()


# Snapshots


class Loads:
    """A `snapshot` callable that does what it is told, and is "state" in the end.

    Args:
        plan: What each call does first: "raise" or "hang".
    """

    def __init__(self, *plan):
        self.plan = list(plan)
        self.calls = 0

    async def __call__(self):
        self.calls += 1
        what = self.plan.pop(0) if self.plan else None
        if what == "raise":
            raise OSError("not now")
        if what == "hang":
            await asyncio.sleep(1e6)
        return f"state {self.calls}"


@pytest.mark.contract("SU7", "SE3")
async def test_a_snapshot_is_loaded_at_first_and_after_a_gap_and_not_after_a_recovery():
    server, load = RoomServer(), Loads()
    async with connect(server) as connection, connection.subscribe("room", snapshot=load) as room:
        stream = room.stream()
        assert await data_of(stream, 1) == ["state 1"]
        server.say("room", 1)
        server.drop()
        server.store("room", 2)
        await back_again(connection, room)
        assert await data_of(stream, 2) == [1, 2]
        assert load.calls == 1
        server.drop()
        server.rooms["room"] = Room("e2")
        server.store("room", "new")
        await back_again(connection, room)
        server.say("room", "live")
        assert await data_of(stream, 4) == [Gap(2, 0, "epoch"), "state 2", "new", "live"]
        assert stream.lag == 0


@pytest.mark.contract("SU7", "OP6")
@pytest.mark.parametrize("how", ["raise", "hang"])
@pytest.mark.parametrize("since", [None, Position(0), Position(1, "e1", "id-1")])
async def test_a_snapshot_that_was_not_loaded_is_owed_until_it_is(how, since, reported):
    server = RoomServer()
    server.store("room", 1)
    load = Loads(*[how] * 3)
    async with (
        connect(server) as connection,
        connection.subscribe("room", snapshot=load, since=since) as room,
    ):
        stream = room.stream()
        expected = ["state 4", *([1] if since == Position(0) else [])]
        assert await data_of(stream, len(expected)) == expected
        assert load.calls == 4
        server.say("room", 2)
        assert await data_of(stream, 1) == [2]
        server.drop()
        await back_again(connection, room)
        assert load.calls == 4, "nothing was missed, so none is needed"
        assert room.state.value.recovered is True
    assert len(reported) == 3


@pytest.mark.contract("SU7", "SE3")
async def test_what_is_said_while_a_snapshot_is_loaded_comes_once_and_behind_it():
    server = RoomServer()
    go_on = asyncio.Event()

    async def load():
        await go_on.wait()
        return "state"

    async with (
        connect(server) as connection,
        connection.subscribe("room", snapshot=load) as room,
        connection.subscribe("other") as other,
    ):
        stream, also = room.stream(), other.stream()
        await room.ready()
        for number in range(1, 14):
            server.say("room", number)
            server.say("other", number)
            if number == 7:
                server.drop()
                await back_again(connection, room, other)
        assert await data_of(also, 13) == [*range(1, 14)], "the other room waits for nothing"
        go_on.set()
        assert await data_of(stream, 14) == ["state", *range(1, 14)]
        assert stream.lag == 0


@pytest.mark.contract("SU7", "OP6")
async def test_a_snapshot_is_owed_over_close_and_connect_too():
    server, load = RoomServer(), Loads("hang")
    connection = connect(server)
    room = connection.subscribe("room", snapshot=load)
    connection.connect()
    await room.ready()
    while not load.calls:
        await asyncio.sleep(0)
    await connection.aclose()
    connection.connect()
    assert await data_of(room.stream(), 1) == ["state 2"]
    room.unsubscribe()
    await connection.aclose()


# Rooms without history


@pytest.mark.contract("SE4", "SE3")
async def test_a_room_without_history_tells_of_each_reconnection_once():
    server = RoomServer()
    server.refuses = lambda name, fields: {"subscribe": {}} if name == "subscribe" else None
    async with connect(server) as connection, connection.subscribe("room") as room:
        stream, silent = room.stream(), room.stream(gaps=False)
        await room.ready()
        assert (room.position, room.state.value.recovered) == (None, None)
        server.inside[server.connection].add("room")
        server.tell("room", {"data": 0})
        message = await anext(stream)
        assert (message.data, message.publication.position) == (0, None)
        for number in (1, 2):
            server.drop()
            await lost(connection)
            await room.ready()
            assert room.state.value.recovered is False
            server.inside[server.connection].add("room")
            server.tell("room", {"data": number})
            assert await data_of(stream, 2) == [UNKNOWN, number]
        assert await data_of(silent, 3) == [0, 1, 2]


@pytest.mark.contract("SE3")
async def test_a_room_that_stops_keeping_history_is_a_gap_and_never_silent():
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("room") as room:
        stream = room.stream()
        await room.ready()
        server.say("room", 1)
        assert await data_of(stream, 1) == [1]
        server.refuses = lambda name, fields: (
            {"subscribe": {"epoch": "", "offset": 0}} if name == "subscribe" else None
        )
        server.drop()
        await back_again(connection, room)
        (gap,) = await data_of(stream, 1)
        assert gap.reason in {"unavailable", "forked", "epoch"}
        assert room.position is None
