"""Messages of rooms: nothing lost, nothing twice, and each room from its own position."""

from __future__ import annotations

import asyncio
import json

import pytest

from room_server import RoomServer, back_again, connect, data_of, heard, lost
from sockstore import InvalidOption, Position
from sockstore.protocols import Centrifuge, Publication

pytestmark = pytest.mark.virtual_clock


@pytest.mark.contract("SE0", "SE1")
async def test_publications_are_the_messages_of_their_room():
    server = RoomServer()
    async with (
        connect(server) as connection,
        connection.subscribe("room") as room,
        connection.subscribe("other") as other,
    ):
        stream, also = room.stream(), other.stream()
        await room.ready()
        server.say("room", {"content": "hello"}, "plain text")
        server.say("other", 1)
        message = await anext(stream)
        assert (message.data, message.kind, message.key) == ({"content": "hello"}, "json", "room")
        assert message.publication == Publication(1, "e1", "id-1", "Ann")
        assert message.publication.position == Position(1, "e1", "id-1")
        assert (await anext(stream)).record == {"type": "text", "content": "plain text"}
        assert (await anext(also)).key == "other"
        assert room.position == Position(2, "e1", "id-2")
        assert other.position == Position(1, "e1", "id-1")
        assert [each.data for each in room.messages.value] == [{"content": "hello"}, "plain text"]
        assert connection.messages.total == 0


@pytest.mark.contract("SE0", "CN2")
async def test_a_connection_is_open_once_the_server_has_let_it_in_and_a_room_later():
    server = RoomServer()
    server.is_mute = True
    async with connect(server) as connection, connection.subscribe("room") as room:
        await heard(server)
        assert connection.phase.value == "connecting"
        server.is_mute, server.mute_rooms = False, {"room"}
        server.hear(server.connection, server.received[0])
        await connection.ready()
        await heard(server, 2)
        assert room.state.value.phase == "subscribing"
        server.mute_rooms.clear()
        server.hear(server.connection, server.received[1])
        await room.ready()
        assert room.state.value.recovered is None
        assert room.position == Position(0, "e1")


@pytest.mark.contract("SE0")
async def test_a_connection_without_rooms_only_says_who_it_is():
    server = RoomServer()
    async with connect(server, protocol=Centrifuge(name="desk")) as connection:
        await connection.ready()
        await asyncio.sleep(10)
        assert server.asked == [{"id": 1, "connect": {"name": "desk"}}]


@pytest.mark.contract("SE1", "CN2")
async def test_what_was_missed_comes_first_and_in_order():
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("room") as room:
        stream = room.stream()
        await room.ready()
        server.say("room", 1)
        assert await data_of(stream, 1) == [1]
        server.drop()
        for number in (2, 3, 4):
            server.store("room", number)
        await back_again(connection, room)
        server.say("room", 5)
        assert await data_of(stream, 4) == [2, 3, 4, 5]
        assert room.state.value.recovered is True
        assert server.commands("subscribe")[-1] == {
            "channel": "room",
            "recover": True,
            "epoch": "e1",
            "offset": 1,
            "data": {"last": "id-1"},
        }


@pytest.mark.contract("SE0", "SE1")
async def test_thirty_rooms_come_back_in_one_handshake_each_from_its_own_position():
    server = RoomServer()
    names = [f"room {number}" for number in range(30)]
    async with connect(server) as connection:
        rooms = [connection.subscribe(name) for name in names]
        streams = [room.stream() for room in rooms]
        for room in rooms:
            await room.ready()
        assert server.connection.received[1].count("\n") == 29, "one message asks for all of them"
        for number, name in enumerate(names):
            server.say(name, *range(number))
        await rooms[-1].messages.wait_for(lambda said: len(said) == 29)
        server.drop()
        for name in names:
            server.store(name, "missed")
        await back_again(connection, *rooms)
        assert len(server.handshakes) == 2
        for number, (name, room, stream) in enumerate(zip(names, rooms, streams, strict=True)):
            assert server.commands("subscribe", name)[-1]["offset"] == number
            assert await data_of(stream, number + 1) == [*range(number), "missed"]
            assert stream.lag == 0
            assert room.state.value.recovered is True
        for room in rooms:
            room.unsubscribe()


@pytest.mark.contract("SE1")
async def test_since_is_a_position_of_an_earlier_program():
    server = RoomServer()
    for number in (1, 2, 3):
        server.store("room", number)
    async with (
        connect(server) as connection,
        connection.subscribe("room", since=Position(1, "e1", "id-1")) as room,
        connection.subscribe("from the beginning", since=Position(0)) as other,
        connection.subscribe("from now on") as third,
    ):
        assert room.position == Position(1, "e1", "id-1")
        stream = room.stream()
        assert await data_of(stream, 2) == [2, 3]
        assert room.state.value.recovered is True
        await other.ready()
        await third.ready()
        assert other.position == Position(0, "e1")
        assert other.state.value.recovered is True
        assert third.state.value.recovered is None


@pytest.mark.contract("SE1")
async def test_positions_survive_close():
    server = RoomServer()
    connection = connect(server)
    rooms = [connection.subscribe(name) for name in ("a", "b")]
    connection.connect()
    for room in rooms:
        await room.ready()
    server.say("a", 1)
    server.say("b", 1, 2)
    await rooms[1].messages.wait_for(lambda said: len(said) == 2)
    await connection.aclose()
    assert [room.position.offset for room in rooms] == [1, 2]
    server.store("a", 2)
    connection.connect()
    streams = [room.stream() for room in rooms]
    assert await data_of(streams[0], 1) == [2]
    await rooms[1].ready()
    assert [room.state.value.recovered for room in rooms] == [True, True]
    for room in rooms:
        room.unsubscribe()
    await connection.aclose()


@pytest.mark.contract("SE1")
async def test_a_position_that_a_program_kept_goes_on_where_another_connection_ended():
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("room") as room:
        await room.ready()
        server.say("room", 1, 2)
        await room.messages.wait_for(lambda said: len(said) == 2)
        kept = room.position
    server.store("room", 3)
    async with connect(server) as connection, connection.subscribe("room", since=kept) as room:
        assert await data_of(room.stream(), 1) == [3]


@pytest.mark.contract("SE1", "SU3")
async def test_a_room_that_lingers_keeps_its_position_and_one_that_was_left_begins_anew():
    server = RoomServer()
    async with connect(server) as connection:
        room = connection.subscribe("room", linger=60)
        await room.ready()
        server.say("room", 1)
        await room.messages.wait_for(len)
        room.unsubscribe()
        await asyncio.sleep(30)
        again = connection.subscribe("room")
        server.say("room", 2)
        assert [message.data for message in await again.messages.wait_for(len)] == [2]
        assert len(server.commands("subscribe")) == 1
        again.unsubscribe()
        await asyncio.sleep(61)
        assert len(server.commands("unsubscribe")) == 1
        server.store("room", 3)
        async with connection.subscribe("room") as anew:
            await anew.ready()
            assert anew.position.offset == 3
            assert "recover" not in server.commands("subscribe")[-1]


@pytest.mark.contract("SE1")
async def test_a_publication_that_comes_twice_is_dropped_and_a_hole_is_closed_in_place():
    server = RoomServer()
    async with (
        connect(server) as connection,
        connection.subscribe("room") as room,
        connection.subscribe("other") as other,
    ):
        stream = room.stream()
        await room.ready()
        server.say("room", 1)
        server.tell("room", server.room().log[0])
        server.store("room", 2)
        server.say("room", 3)  # nobody was told 2
        assert await data_of(stream, 3) == [1, 2, 3]
        assert room.state.value.recovered is True
        assert [list(each)[1] for each in server.asked[-2:]] == ["unsubscribe", "subscribe"]
        assert len(server.handshakes) == 1
        assert len(server.commands("subscribe", "other")) == 1
        server.say("room", 4)
        assert await data_of(stream, 1) == [4]
        assert other.state.value.recovered is None


@pytest.mark.contract("SE1")
async def test_a_subscription_that_the_server_ends_is_made_again():
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("room") as room:
        stream = room.stream()
        await room.ready()
        server.push("room", unsubscribe={"code": 2500, "reason": "position lost"})
        server.inside[server.connection].clear()
        server.store("room", 1)
        assert await data_of(stream, 1) == [1]
        assert len(server.commands("subscribe")) == 2
        assert len(server.handshakes) == 1
        assert room.state.value.phase == "subscribed"


@pytest.mark.contract("SE1", "RC1")
async def test_a_room_in_trouble_again_and_again_is_asked_for_by_the_schedule():
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("room") as room:
        stream = room.stream()
        await room.ready()
        for _ in range(50):
            server.end("room", 2500, "insufficient state")
            await asyncio.sleep(0.1)
        assert 3 <= len(server.commands("subscribe")) <= 8, "it asks once a second"
        state = await room.state.wait_for(lambda state: state.phase == "waiting" or state.error)
        assert "insufficient state" in state.error
        await room.ready()
        server.say("room", 1)
        assert await data_of(stream, 1) == [1]
        assert len(server.handshakes) == 1


@pytest.mark.contract("SE0")
async def test_pings_are_answered_and_what_is_unknown_is_passed_over():
    server = RoomServer()
    server.connects = {"ping": 25, "pong": True}
    async with connect(server) as connection, connection.subscribe("room") as room:
        await room.ready()
        server.connection.send("{}")
        server.push("room", join={"info": {"client": "x"}}, what="ever")
        server.push("room", message={"data": 7})
        nowhere = {"push": {"channel": "nowhere", "pub": {"data": 1, "offset": 7}}}
        server.say_frames({"what": "ever"}, {"id": 99}, nowhere)
        server.say("room", 1)
        assert [message.data for message in await room.messages.wait_for(len)] == [1]
        assert server.received[-1] == "{}"
        assert len(server.handshakes) == 1


@pytest.mark.contract("SE0", "LV1")
async def test_a_server_that_promised_pings_and_says_nothing_is_left():
    server = RoomServer()
    server.connects = {"ping": 25, "pong": True}
    async with connect(server) as connection, connection.subscribe("room") as room:
        stream = room.stream()
        await room.ready()
        server.freeze()
        server.store("room", 1)
        await lost(connection)
        assert connection.state.value.error == "the server said nothing for 35 s"
        assert await data_of(stream, 1) == [1]


@pytest.mark.contract("CN22")
async def test_options_are_checked_when_they_are_given():
    for wrong in ({"token": 7}, {"token": ""}, {"name": ""}, {"name": 7}):
        with pytest.raises(InvalidOption):
            Centrifuge(**wrong)
    with pytest.raises(InvalidOption):
        Position(-1)
    async with connect(RoomServer()) as connection:
        for wrong in ({"token": 7}, {"since": 7}, {"snapshot": 7}):
            with pytest.raises((InvalidOption, TypeError)):
                connection.subscribe("room", **wrong)


# Messages that come too late for a connection


def together(server, *numbers):
    """Store messages, and tell them in one text."""
    for number in numbers:
        server.store("room", number)
    log = server.room().log[-len(numbers) :]
    server.say_frames(*({"push": {"channel": "room", "pub": each}} for each in log))


@pytest.mark.contract("CN5", "SE1")
@pytest.mark.parametrize("at_once", [True, False])
async def test_who_closes_at_a_message_gets_those_behind_it_later(at_once):
    server, got = RoomServer(), []
    connection = connect(server)
    room = connection.subscribe("room")

    def take(message):
        got.append(message.data)
        if message.data == 3:
            connection.close()

    room.messages.on_append(take)
    connection.connect()
    await room.ready()
    together(server, *range(8)) if at_once else server.say("room", *range(8))
    await connection.phase.wait_for(lambda phase: phase == "closed")
    assert got == [0, 1, 2, 3]
    assert room.position.offset == 4
    connection.connect()
    await room.messages.wait_for(lambda said: len(said) == 8)
    assert got == [*range(8)]
    assert room.state.value.recovered is True
    room.unsubscribe()
    await connection.aclose()


@pytest.mark.contract("SU4", "SE1")
@pytest.mark.parametrize("how", ["close", "drop", "reconnect"])
async def test_what_stands_behind_an_answer_is_not_lost_with_its_connection(how):
    """It waits for two turns of the loop, in which the connection may end."""
    server = RoomServer()
    connection = connect(server)
    connection.connect()
    room = connection.subscribe("room")
    await room.ready()
    server.is_mute = True
    asking = asyncio.ensure_future(connection.request({"method": "price"}))
    await heard(server, 3)
    for number in (1, 2, 3):
        server.store("room", number)
    pushes = [{"push": {"channel": "room", "pub": each}} for each in server.room().log]
    answer = {"id": server.asked[-1]["id"], "rpc": {"data": 7}}
    server.say_frames(answer, *pushes[:2])
    server.connection.send(json.dumps(pushes[2]))
    server.is_mute = False
    assert await asking == 7
    match how:
        case "close":
            await connection.aclose()
            connection.connect()
        case "drop":
            server.drop()
        case _:
            connection.reconnect()
    messages = await room.messages.wait_for(lambda said: len(said) == 3)
    assert [message.data for message in messages] == [1, 2, 3]
    if how == "drop":  # what came before the end is delivered
        await connection.connected.wait_for(lambda is_so: not is_so)
    await room.ready()
    assert room.state.value.recovered is True
    room.unsubscribe()
    await connection.aclose()
