"""Tokens of a connection and of its rooms: shown, renewed in place, and never in a sentence."""

from __future__ import annotations

import asyncio
import json

import pytest

from room_server import RoomServer, back_again, connect, data_of
from sockstore import ConnectionEnded, SubscriptionRefused

pytestmark = pytest.mark.virtual_clock


class Tokens:
    """Makes tokens; what it was asked for is in `asked`, whether anew.

    Args:
        fails: Which calls raise, counted from 0.
    """

    def __init__(self, *fails: int) -> None:
        self.fails = fails
        self.asked: list[bool] = []

    async def __call__(self, question) -> str:
        self.asked.append(question.refresh)
        if len(self.asked) - 1 in self.fails:
            raise OSError("no keys")
        return f"t{len(self.asked)}"


class Expiring(RoomServer):
    """A server whose tokens expire; one that is too old is refused with 109.

    Args:
        connection: Seconds for which a token of a connection is good; None for ever.
        room: Those of a token of a room.
    """

    def __init__(self, connection=None, room=None):
        super().__init__()
        self.seconds = {"connection": connection, "room": room}
        self.refreshed: list[str] = []

    def _left(self, what):
        seconds = self.seconds[what]
        return {} if seconds is None else {"expires": True, "ttl": seconds}

    def answer_connect(self, peer, fields):
        answer = super().answer_connect(peer, fields)
        return {"connect": {**answer["connect"], **self._left("connection")}}

    def answer_subscribe(self, peer, fields):
        answer = super().answer_subscribe(peer, fields)
        return {"subscribe": {**answer["subscribe"], **self._left("room")}}

    def answer_refresh(self, peer, fields):
        self.refreshed.append(fields["token"])
        return {"refresh": {"client": "c", **self._left("connection")}}

    def answer_sub_refresh(self, peer, fields):
        self.refreshed.append(fields["token"])
        return {"sub_refresh": self._left("room")}


EXPIRED = {"error": {"code": 109, "message": "token expired"}}


# Of a connection


@pytest.mark.contract("SE0", "RC6", "RC7")
async def test_a_token_is_shown_and_asked_for_anew_when_it_is_refused():
    server, token = RoomServer(), Tokens()
    server.refuses = lambda name, fields: EXPIRED if fields.get("token") == "t1" else None
    async with connect(server, token=token) as connection, connection.subscribe("room") as room:
        await room.ready()
    assert token.asked == [False, True]
    assert [each["token"] for each in server.commands("connect")] == ["t1", "t2"]


@pytest.mark.contract("SE0", "CN9")
@pytest.mark.parametrize("value", [7, b"bytes"])
async def test_a_callable_that_returns_no_token_is_the_end(value):
    async with connect(RoomServer(), token=lambda attempt: value) as connection:
        with pytest.raises(ConnectionEnded, match="token is not a text"):
            await connection.ready()


@pytest.mark.contract("SE0", "SE6")
async def test_the_token_of_a_connection_is_renewed_in_place():
    server, token = Expiring(connection=60), Tokens()
    async with connect(server, token=token) as connection, connection.subscribe("room") as room:
        await room.ready()
        await asyncio.sleep(300)
        assert token.asked == [False] + [True] * 5
        assert server.refreshed == ["t2", "t3", "t4", "t5", "t6"]
        server.say("room", 1)
        assert (await room.messages.wait_for(len))[0].data == 1
        assert len(server.handshakes) == 1


@pytest.mark.contract("SE0", "RC6", "SE6")
async def test_a_connection_whose_token_is_not_renewed_comes_back_with_another():
    server, token = Expiring(connection=60), Tokens()
    server.refuses = lambda name, fields: EXPIRED if name == "refresh" else None
    async with connect(server, token=token) as connection, connection.subscribe("room") as room:
        stream = room.stream()
        await room.ready()
        await connection.connected.wait_for(lambda is_so: not is_so, 60)
        server.refuses = lambda name, fields: None
        server.store("room", 1)
        assert await data_of(stream, 1) == [1]
        assert room.state.value.recovered is True
        assert len(server.handshakes) == 2


@pytest.mark.contract("SE0", "RC6")
async def test_a_token_that_cannot_be_made_now_is_made_later_for_the_same_connection(reported):
    server, token = Expiring(connection=60), Tokens(1)
    async with connect(server, token=token) as connection, connection.subscribe("room") as room:
        await room.ready()
        await asyncio.sleep(59.5)
        assert token.asked == [False, True, True]
        assert server.refreshed == ["t3"]
        assert len(server.handshakes) == 1
    assert len(reported) == 1


@pytest.mark.contract("SE0")
async def test_a_renewal_that_the_server_cannot_do_now_is_tried_again():
    server, token = Expiring(connection=60), Tokens()
    later = {"error": {"code": 100, "message": "later", "temporary": True}}
    refused = []

    def refuses(name, fields):
        if name != "refresh" or len(refused) == 2:
            return None
        refused.append(name)
        return later

    server.refuses = refuses
    async with connect(server, token=token) as connection, connection.subscribe("room") as room:
        await room.ready()
        await asyncio.sleep(65)
        assert len(refused) == 2
        assert len(server.refreshed) == 1
        assert len(server.handshakes) == 1


# Of a room


@pytest.mark.contract("SE0")
async def test_each_room_has_its_own_token():
    server = RoomServer()
    async with (
        connect(server) as connection,
        connection.subscribe("a", token="for a") as a,
        connection.subscribe("b", token=lambda question: f"for {question.subscription.key}") as b,
        connection.subscribe("c") as c,
    ):
        for room in (a, b, c):
            await room.ready()
        tokens = {each["channel"]: each.get("token") for each in server.commands("subscribe")}
        assert tokens == {"a": "for a", "b": "for b", "c": None}


@pytest.mark.contract("SE0", "SE6")
async def test_the_tokens_of_rooms_are_renewed_in_place():
    server = Expiring(room=60)
    tokens = [Tokens() for _ in range(3)]
    async with connect(server) as connection:
        rooms = [connection.subscribe(f"room {n}", token=each) for n, each in enumerate(tokens)]
        for room in rooms:
            await room.ready()
        await asyncio.sleep(300)
        assert [each.asked for each in tokens] == [[False] + [True] * 5] * 3
        assert {each["channel"] for each in server.commands("sub_refresh")} == {
            room.key for room in rooms
        }
        assert len(server.commands("subscribe")) == 3
        assert len(server.handshakes) == 1
        for room in rooms:
            room.unsubscribe()


@pytest.mark.contract("SE0", "SE1")
@pytest.mark.parametrize("how", ["it is refused", "the server ends it", "it is not made at first"])
async def test_a_room_whose_token_has_expired_goes_on_with_another(how, reported):
    server = Expiring(room=60)
    token = Tokens(1) if how == "it is not made at first" else Tokens()
    async with (
        connect(server) as connection,
        connection.subscribe("room", token=token) as room,
        connection.subscribe("other") as other,
    ):
        stream = room.stream()
        await room.ready()
        server.say("room", 1)
        if how == "it is refused":
            server.refuses = lambda name, fields: EXPIRED if name == "sub_refresh" else None
        await asyncio.sleep(55)  # it is renewed a few seconds before its end
        server.refuses = lambda name, fields: EXPIRED if fields.get("token") == "t1" else None
        if how == "the server ends it":
            server.end("room", 2501, "expired")
        await asyncio.sleep(6)
        server.say("room", 2)
        assert await data_of(stream, 2) == [1, 2]
        assert stream.lag == 0
        assert room.state.value.phase == "subscribed"
        assert other.state.value.phase == "subscribed"
        assert len(server.commands("subscribe", "other")) == 1
        assert len(server.handshakes) == 1
    assert len(reported) == (how == "it is not made at first")


@pytest.mark.contract("SE0", "RC7")
async def test_a_room_that_comes_back_asks_for_its_token_again():
    server, token = RoomServer(), Tokens()
    async with (
        connect(server) as connection,
        connection.subscribe("room", token=token) as room,
    ):
        await room.ready()
        server.drop()
        await back_again(connection, room)
        shown = [each["token"] for each in server.commands("subscribe")]
        assert shown == ["t1", "t2"]


@pytest.mark.contract("SE0")
async def test_a_token_that_takes_long_holds_up_its_room_only():
    server, go_on = RoomServer(), asyncio.Event()

    async def token(question):
        await go_on.wait()
        return "t"

    async with (
        connect(server) as connection,
        connection.subscribe("slow", token=token) as slow,
        connection.subscribe("quick") as quick,
    ):
        await quick.ready()
        receipt = slow.send(1)
        await quick.send(2)
        await asyncio.sleep(60)
        assert (slow.state.value.phase, receipt.state) == ("subscribing", "queued")
        go_on.set()
        await receipt


# In no sentence


@pytest.mark.contract("CN14")
async def test_a_server_that_repeats_a_token_does_not_show_it():
    server = RoomServer()

    def refuses(name, fields):
        words = f"the token {fields.get('token')} has expired"
        return {"error": {"code": 102, "message": words}} if fields.get("token") else None

    server.refuses = refuses
    async with connect(server, token="s3cr3t-token") as connection:
        with pytest.raises(ConnectionEnded) as ended:
            await connection.ready(60)
        assert "the token *** has expired" in str(ended.value)
        assert "s3cr3t-token" not in repr(connection.state.value)
    async with (
        connect(server) as connection,
        connection.subscribe("room", token="s3cr3t-token") as room,
    ):
        with pytest.raises(SubscriptionRefused) as refused:
            await room.ready(60)
        assert "the token *** has expired" in str(refused.value)
        assert "s3cr3t-token" not in repr((room, room.state.value, connection.explain()))


LONG = "s3cr3t-" + "x" * 100


@pytest.mark.contract("SE6", "CN14")
@pytest.mark.parametrize("frame", ["unknown command: %s", '{"what": %s}', '{"push": {"pub": %s}}'])
async def test_a_server_that_repeats_what_it_was_told_shows_no_piece_of_a_token(frame):
    """The sentence quotes how the frame begins: no more than a piece of a long token."""
    server = RoomServer()
    async with (
        connect(server, token=LONG) as connection,
        connection.subscribe("room", token=f"of the room: {LONG}") as room,
    ):
        await room.ready(60)
        server.connection.send(frame % json.dumps(server.asked[-1]))
        await asyncio.sleep(0.1)
        assert "s3cr3t" not in repr(connection.state.value) + connection.explain()
    server.hear = lambda peer, command: peer.send(frame % command)
    async with connect(server, token=LONG) as connection:
        with pytest.raises(ConnectionEnded, match=r"\*\*\*") as ended:
            await connection.ready(60)
        assert "s3cr3t" not in str(ended.value)


@pytest.mark.contract("SE6", "CN14")
@pytest.mark.parametrize("code", [2000, 2500])
async def test_a_server_that_repeats_a_token_as_it_ends_a_room_does_not_show_it(code):
    server = RoomServer()
    async with (
        connect(server) as connection,
        connection.subscribe("room", token="s3cr3t-token") as room,
    ):
        await room.ready(60)
        for _ in range(2):
            server.end("room", code, "the token s3cr3t-token is gone")
            await asyncio.sleep(0.1)
        assert "the token *** is gone" in room.state.value.error
        assert "s3cr3t-token" not in repr((room.state.value, connection.explain()))
