"""What a server of rooms refuses, and what that ends: a room, a connection, or all attempts."""

from __future__ import annotations

import asyncio

import pytest

from room_server import RoomServer, connect, data_of, heard, lost
from sockstore import ConnectionEnded

pytestmark = pytest.mark.virtual_clock


def refusing(server, error, command="connect"):
    server.refuses = lambda name, fields: {"error": error} if name == command else None


@pytest.mark.contract("CN9", "RC6", "SE0")
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": 101, "message": "unauthorized"}, "unauthorised"),
        ({"code": 103, "message": "not you"}, "unauthorised"),
        ({"code": 108, "message": "not available"}, "refused by the server"),
        ({"code": 1000, "message": "an application's own"}, "refused by the server"),
    ],
)
async def test_a_server_that_does_not_let_us_in_is_the_end_in_its_words(error, reason):
    server = RoomServer()
    refusing(server, error)
    async with connect(server) as connection, connection.subscribe("room") as room:
        with pytest.raises(ConnectionEnded, match=error["message"]):
            await connection.ready()
        with pytest.raises(ConnectionEnded, match=error["message"]):
            await room.ready()
        assert connection.state.value.failure.reason == reason
        assert len(server.handshakes) == 1


@pytest.mark.contract("RC6", "SE0")
@pytest.mark.parametrize("code", [100, 110, 111, 112, 4000])
async def test_a_server_that_cannot_let_us_in_now_is_tried_again(code):
    server = RoomServer()
    refusing(server, {"code": code, "message": "later", "temporary": code == 4000})
    async with connect(server) as connection, connection.subscribe("room") as room:
        await lost(connection)
        assert "later" in connection.state.value.error
        server.refuses = lambda name, fields: None
        await room.ready(1000)
        assert len(server.handshakes) == 2


@pytest.mark.contract("CN9", "RC6")
@pytest.mark.parametrize(
    ("code", "phase"),
    [
        (3500, "failed"),
        (3501, "failed"),
        (4500, "failed"),
        (3000, "waiting"),
        (3004, "waiting"),
        (4429, "waiting"),
    ],
)
async def test_close_codes_mean_what_they_mean_to_centrifugo(code, phase):
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("room") as room:
        stream = room.stream()
        await room.ready()
        server.close(code, "because")
        state = await connection.state.wait_for(lambda state: state.phase != "open")
        assert (state.phase, state.close.code) == (phase, code)
        if phase == "waiting":
            server.store("room", 1)
            assert await data_of(stream, 1) == [1]
        else:
            with pytest.raises(ConnectionEnded):
                await anext(stream)


@pytest.mark.contract("RC7", "SE0")
@pytest.mark.parametrize("code", [3005, 3500, 3507])
async def test_a_close_code_about_the_token_asks_for_another_one_at_once(code):
    server, asked = RoomServer(), []

    def token(attempt):
        asked.append(attempt.refresh)
        return "t"

    async with connect(server, token=token) as connection, connection.subscribe("room") as room:
        stream = room.stream()
        await room.ready()
        server.close(code, "expired")
        server.store("room", 1)
        assert await data_of(stream, 1) == [1]
        assert asked == [False, True]


FOREIGN = [
    "no json",
    "[]",
    '"text"',
    '{"id": "1"}',
    '{"push": 7}',
    '{"push": {"channel": "room", "pub": {"offset": -1, "data": 1}}}',
    '{"push": {"channel": "room", "pub": {"offset": 1}}}',
    b"binary",
    '{"id": 1, "connect": []}',
    '{"id": 1, "connect": {"name": "sockstore"}}',
    '{"id": 1, "connect": {"client": "c", "data": {"sockstore": {"rate": "fast"}}}}',
    '{"id": 1, "error": {"code": "x"}}',
]


@pytest.mark.contract("CN9")
@pytest.mark.parametrize("frame", FOREIGN)
async def test_a_server_that_speaks_another_protocol_is_not_tried_again(frame):
    server = RoomServer()
    server.is_mute = True
    async with connect(server) as connection, connection.subscribe("room"):
        await heard(server)
        server.connection.send(frame)
        with pytest.raises(ConnectionEnded, match="protocol"):
            await connection.ready()
        assert connection.state.value.failure.reason == "refused by the server"


@pytest.mark.contract("SE0", "RC1")
@pytest.mark.parametrize("frame", ["no json", b"binary", '{"push": 7}', '{"id": 2, "x": []}'])
async def test_a_server_that_has_let_us_in_and_then_says_nonsense_is_tried_again(frame):
    server = RoomServer()
    async with connect(server) as connection, connection.subscribe("room") as room:
        stream = room.stream()
        await room.ready()
        server.connection.send(frame)
        server.store("room", 1)
        assert await data_of(stream, 1) == [1]
        assert len(server.handshakes) == 2


@pytest.mark.contract("CN12")
async def test_a_server_that_never_answers_is_a_failed_attempt():
    server = RoomServer()
    server.is_mute = True
    async with connect(server, connect_timeout=3) as connection:
        await lost(connection)
        assert "3 s" in connection.state.value.error


@pytest.mark.contract("SU3")
async def test_a_room_that_is_never_answered_is_told_by_ready():
    server = RoomServer()
    server.mute_rooms = {"room"}
    async with connect(server) as connection, connection.subscribe("room") as room:
        with pytest.raises(TimeoutError, match="not subscribed to 'room' within 5 s"):
            await room.ready(5)
        await asyncio.sleep(600)
        assert len(server.handshakes) == 1
