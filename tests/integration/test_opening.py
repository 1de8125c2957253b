"""`on_open(opening)`: it speaks with the server before anybody sees the connection open."""

from __future__ import annotations

import asyncio
import json

import pytest
from puppets import Puppeteer

from room_server import RoomServer
from sockstore import (
    Close,
    HandshakeFailed,
    InvalidOption,
    Opening,
    Reconnect,
    StopReconnecting,
    WebSocketStore,
)
from sockstore.protocols import (
    BaseProtocol,
    Centrifuge,
    Conversation,
    Heartbeat,
    Opened,
    Plain,
    Received,
    Topics,
    Write,
)
from sockstore.testing import FakeServer, accept, close, drop, pause, receive, send
from sockstore.transports.memory import Ping
from waiting import turns

pytestmark = pytest.mark.virtual_clock

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0, min_uptime=0)
MOST_HELD = 4 * 2**20  # as OP2 says


def connect(server, on_open, **options) -> WebSocketStore:
    options = {"reconnect": EVERY_SECOND, **options}
    return WebSocketStore("ws://fake", transport=server, on_open=on_open, **options)


async def read(stream, count: int) -> list[object]:
    async with asyncio.timeout(50):
        return [(await anext(stream)).data for _ in range(count)]


async def receive_data(opening: Opening, count: int) -> list[object]:
    return [(await opening.receive()).data for _ in range(count)]


async def in_phase(connection: WebSocketStore, *phases: str):
    return await connection.state.wait_for(lambda state: state.phase in phases, 100)


# What it is given


@pytest.mark.contract("OP1")
@pytest.mark.parametrize("is_async", [False, True])
async def test_an_opening_knows_its_connection_and_its_attempt(
    is_async,
):
    seen: list[tuple] = []

    def note(opening):
        attempt = opening.attempt
        assert opening.connection is connection
        assert connection.phase.value == "connecting"
        seen.append((attempt.number, attempt.refresh, opening.is_reconnection))
        if len(seen) == 1:
            raise OSError("not now")

    async def note_later(opening):
        await asyncio.sleep(1)
        note(opening)

    server = FakeServer()
    connection = connect(server, note_later if is_async else note)
    async with connection:
        await connection.ready(100)
        server.drop()
        await in_phase(connection, "waiting")
        await connection.ready(100)
        assert seen == [(0, False, False), (1, False, False), (1, False, True)]


@pytest.mark.contract("OP1", "OB2")
async def test_what_it_sends_leaves_first_from_any_task_and_then_the_outbox():
    async def sign_in(opening):
        receipt = opening.send({"token": 1})
        assert receipt.state == "sent"
        await receipt
        openings.append(opening)
        await asyncio.sleep(1)

    openings: list[Opening] = []
    server = FakeServer()
    async with connect(server, sign_in) as connection:
        assert connection.send("queued").state == "queued"
        await asyncio.sleep(0.5)
        assert openings[0].send("from outside").state == "sent"
        assert connection.send("queued too").state == "queued"
        await connection.ready(100)
        await turns()
        assert server.received == ['{"token":1}', "from outside", "queued", "queued too"]


@pytest.mark.contract("OP1", "OB5")
async def test_a_request_of_an_opening_is_answered_and_the_answer_is_no_message():
    async def sign_in(opening):
        got.append(await opening.request({"op": "sign in"}))
        got.extend(await receive_data(opening, 1))

    got: list[object] = []
    server = FakeServer(accept(), receive(), send("before", {"id": 1, "ok": True}, "behind"))
    async with connect(server, sign_in) as connection:
        await connection.ready(100)
        assert got == [{"id": 1, "ok": True}, "before"]
        assert await read(connection.stream(), 1) == ["behind"]
        assert connection.messages.total == 1
    silent = connect(FakeServer(), lambda opening: opening.request({"op": "x"}, timeout=2))
    async with silent:
        state = await in_phase(silent, "waiting")
        assert "no answer to the request within 2 s" in state.error


@pytest.mark.contract("OP1")
@pytest.mark.parametrize(
    ("what", "named"),
    [
        (lambda connection: connection.ready(), "opening.receive()"),
        (lambda connection: connection.request({"op": "time"}), "opening.request()"),
        (lambda connection: anext(connection.stream()), "opening.receive()"),
        (lambda connection: asyncio.wait_for(connection.ready(), 1), "opening.receive()"),
    ],
    ids=["ready", "request", "stream", "a task of its own"],
)
async def test_what_would_wait_for_itself_is_an_error_that_names_the_opening(what, named):
    async def on_open(opening):
        if not caught:
            with pytest.raises(RuntimeError, match="inside on_open") as error:
                await what(opening.connection)
            caught.append(str(error.value))

    caught: list[str] = []
    async with connect(FakeServer(), on_open) as connection:
        await connection.ready(1)
        assert named in caught[0]


@pytest.mark.contract("OP1")
async def test_another_connection_may_be_used_inside_on_open():
    async def on_open(opening):
        async with WebSocketStore("ws://other", transport=FakeServer()) as other:
            other_server = other  # its own ready() waits for nobody else
            await other_server.ready(5)

    async with connect(FakeServer(), on_open) as connection:
        await connection.ready(5)


@pytest.mark.contract("OP1")
async def test_an_opening_that_is_over_says_so_and_a_task_of_on_open_lives_on():
    async def on_open(opening):
        openings.append(opening)
        tasks.append(asyncio.ensure_future(opening.connection.state.wait_for(is_open)))
        tasks.append(asyncio.ensure_future(later(opening)))
        waiting.append(asyncio.ensure_future(opening.receive()))
        await asyncio.sleep(1)

    def is_open(state):
        return state.phase == "open"

    async def later(opening):
        await asyncio.sleep(5)
        await opening.connection.ready(1)
        return await asyncio.wait_for(anext(opening.connection.stream()), 10)

    openings, tasks, waiting = [], [], []
    server = FakeServer(accept(), pause(6), send("hello"))
    async with connect(server, on_open) as connection:
        await connection.ready(100)
        with pytest.raises(RuntimeError, match="had ended"):
            await waiting[0]
        (opening,) = openings
        for action in (opening.send, opening.request, opening.receive, opening.heartbeat):
            with pytest.raises(RuntimeError, match=rf"opening.{action.__name__}\(\).*had ended"):
                result = action() if action == opening.receive else action(Heartbeat("x"))
                await result
        assert (await tasks[1]).data == "hello"


@pytest.mark.contract("OP1")
async def test_two_tasks_cannot_receive_at_once():
    async def on_open(opening):
        one = asyncio.ensure_future(opening.receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task waits"):
            await opening.receive()
        one.cancel()
        await asyncio.sleep(0)
        got.extend(await receive_data(opening, 1))

    got: list[object] = []
    async with connect(FakeServer(accept(), pause(1), send("once")), on_open) as connection:
        await connection.ready(10)
        assert got == ["once"]


# Nothing is missed, and nobody gets it twice


@pytest.mark.contract("OP2", "MS4", "TK2")
@pytest.mark.parametrize("rest", [0, 5], ids=["in the same read", "later"])
@pytest.mark.parametrize("begins_after", [None, 0, 3])
async def test_receive_begins_with_the_first_message_and_the_rest_comes_once(rest, begins_after):
    async def on_open(opening):
        if begins_after is not None:
            await asyncio.sleep(begins_after)
        taken.append(await opening.receive())
        taken.append(await opening.receive())

    taken: list = []
    appended: list[object] = []
    server = FakeServer(accept(), send("hello"), pause(rest), send({"n": 1}, b"2", "c"))
    connection = connect(server, on_open)
    before = connection.stream()
    connection.messages.on_append(lambda message: appended.append(message.data))
    async with connection:
        await connection.ready(100)
        assert [(each.data, each.kind, each.number) for each in taken] == [
            ("hello", "text", 0),
            ({"n": 1}, "json", 0),
        ]
        assert await read(connection.stream(), 2) == await read(before, 2) == [b"2", "c"]
        server.send("d")
        assert await read(before, 1) == ["d"]
        assert appended == [b"2", "c", "d"]
        assert [each.number for each in connection.messages.value] == [1, 2, 3]


@pytest.mark.contract("OP2")
@pytest.mark.parametrize("count", [1, 300, 20_000])
async def test_what_is_left_waits_for_readers_who_keep_up(count):
    server = FakeServer(accept(), send(*range(count)))

    async with connect(server, lambda opening: asyncio.sleep(1)) as connection:
        stream = connection.stream()
        await connection.ready(100)
        server.send("after")
        assert await read(stream, count + 1) == [*range(count), "after"]


@pytest.mark.contract("OP2", "CN4")
async def test_each_connection_begins_anew_and_what_a_failed_opening_left_is_dropped():
    async def on_open(opening):
        got.append((await opening.receive()).data)
        if len(got) == 1:
            raise OSError("not now")

    got: list[object] = []
    server = FakeServer(
        accept(), send(1, 2), accept(), send(3, 4), pause(9), drop(), accept(), send(5, 6)
    )
    connection = connect(server, on_open)
    stream = connection.stream(gaps=True)
    async with connection:
        await asyncio.sleep(20)
        assert got == [1, 3, 5]
        kinds = [(await anext(stream)).kind for _ in range(stream.lag)]
        assert kinds == ["json", "gap", "json"]
        assert [each.data for each in connection.messages.value] == [4, 6]


@pytest.mark.contract("OP2", "MS5")
async def test_a_codec_decodes_what_is_received_and_what_it_cannot_decode_is_told():
    def decode(frame):
        return int(frame)

    errors: list[object] = []
    got: list[object] = []

    async def on_open(opening):
        got.extend(await receive_data(opening, 2))

    server = FakeServer(accept(), send("7", "x", "8", "y"))
    connection = connect(
        server, on_open, codec=(decode, str), on_error=lambda error, raw: errors.append(raw)
    )
    async with connection:
        await connection.ready(10)
        assert await read(connection.stream(), 2) == [8, "y"]
        assert got == [7, "x"]
        assert errors == ["x", "y"]


@pytest.mark.contract("OP2", "MS4")
async def test_a_transport_that_delivers_in_the_turn_of_its_handshake_loses_nothing():
    async def on_open(opening):
        got.extend(await receive_data(opening, 2))

    got: list[object] = []
    puppeteer = Puppeteer()
    connection = connect(puppeteer, on_open)
    connection.connect()
    await turns()
    puppeteer.newest.accept()
    puppeteer.newest.deliver("hello")
    puppeteer.newest.deliver("more")
    await connection.ready()
    assert got == ["hello", "more"]
    puppeteer.newest.end()
    await connection.aclose()


@pytest.mark.contract("OP2", "MS2")
@pytest.mark.parametrize("takes", [True, False])
async def test_reading_pauses_above_four_mebibytes_and_goes_on(takes):
    size, count = 2**19, 24

    async def on_open(opening):
        await asyncio.sleep(1)
        held.append(server.connection.transport.reading_paused)
        if takes:
            taken.extend(await receive_data(opening, count))

    held: list[bool] = []
    taken: list[object] = []
    server = FakeServer(accept(), *(send(f"{n}" + "x" * size) for n in range(count)))
    async with connect(server, on_open) as connection:
        stream = connection.stream()
        await connection.ready(100)
        data = taken if takes else await read(stream, count)
        assert held == [True]
        assert [each.split("x")[0] for each in data] == [str(n) for n in range(count)]
        assert not server.connection.transport.reading_paused


@pytest.mark.contract("OP2", "MS2")
@pytest.mark.parametrize("end", ["raise", "close", "drop", "late"])
async def test_an_opening_that_ends_while_reading_is_paused_leaves_nothing(end):
    async def on_open(opening):
        if opening.is_reconnection or len(server.connections) > 1:
            return
        await asyncio.sleep(1)
        assert server.connection.transport.reading_paused
        if end == "raise":
            raise OSError("too much")
        if end == "close":
            connection.close()
        if end == "drop":
            server.drop()
        await asyncio.sleep(100)

    server = FakeServer(accept(), *(send("x" * 2**19) for _ in range(24)))
    connection = connect(server, on_open)
    async with connection:
        if end == "close":
            await in_phase(connection, "closed")
            assert connection.messages.total == 0
            return
        await connection.ready(100)
        assert connection.messages.total == 0


@pytest.mark.contract("OP2", "LV1")
async def test_pings_are_answered_while_an_opening_holds_messages():
    async def on_open(opening):
        await asyncio.sleep(2)
        pongs.append(server.connection.pongs)

    pongs: list[int] = []
    server = FakeServer(accept(), send("held"), pause(1))
    async with connect(server, on_open) as connection:
        await asyncio.sleep(1)
        server.connection.transport.write(Ping(b"1"), "more", Ping(b"2"))
        await connection.ready(10)
        assert pongs == [2]


# Refusals, and closes before it is open


@pytest.mark.contract("OP3", "OP4", "RC7")
@pytest.mark.parametrize("reconnect", [EVERY_SECOND, False])
async def test_unauthorised_asks_once_more_at_once_with_refresh_and_then_fails(reconnect):
    async def sign_in(opening):
        asked.append(opening.attempt.refresh)
        opening.send("token")
        if (await opening.receive()).data == "no":
            raise opening.unauthorised("the token has expired")

    asked: list[bool] = []
    refuses = (accept(), receive(), send("no"))
    server = FakeServer(*refuses, accept(), receive(), send("yes"), pause(9), drop(), *refuses * 2)
    connection = connect(server, sign_in, reconnect=reconnect)
    connection.connect()
    loop = asyncio.get_running_loop()
    await connection.ready(1)
    assert asked == [False, True]
    assert loop.time() < 1
    if reconnect:
        state = await in_phase(connection, "failed")
        assert asked == [False, True, False, True]
        assert state.failure.reason == "unauthorised"
        assert state.error == "cannot connect to ws://fake: the token has expired"
    await connection.aclose()


@pytest.mark.contract("OP4", "RC7", "OP3")
@pytest.mark.parametrize("code", [4401, 4403, 1008, 3000])
async def test_a_token_in_the_first_message_is_refreshed_like_one_in_a_header(code):
    async def sign_in(opening):
        asked.append(opening.attempt.refresh)
        await opening.request({"op": "sign in", "token": 7})

    asked: list[bool] = []
    server = FakeServer(accept(), receive(), close(code, "expired"), accept(), receive())
    async with connect(server, sign_in) as connection:
        await asyncio.sleep(0.5)
        assert asked == [False, True]
        assert connection.state.value.close == Close(code, "expired", clean=True)
        server.send({"id": 1, "ok": True})
        await connection.ready(10)


@pytest.mark.contract("OP4", "RC7")
async def test_a_parameter_of_a_protocol_is_asked_again_and_a_fixed_one_is_not():
    class Tokens(BaseProtocol):
        def __init__(self, token):
            self.token = token

        def parameters(self):
            return {"token": self.token}

        def classify(self, code):
            return {4999: "unauthorised"}.get(code)

    asked: list[bool] = []
    server = FakeServer(accept(), close(4999))
    protocol = Tokens(lambda attempt: asked.append(attempt.refresh))
    async with WebSocketStore("ws://fake", transport=server, protocol=protocol) as connection:
        await asyncio.sleep(0.1)
        await connection.ready(10)
        assert asked == [False, True]
    server = FakeServer(accept(), close(4999))
    connection = WebSocketStore("ws://fake", transport=server, protocol=Tokens("fixed"))
    connection.connect()
    assert (await in_phase(connection, "failed")).failure.reason == "unauthorised"
    await connection.aclose()


@pytest.mark.contract("OP3")
async def test_refused_is_fatal_and_any_other_error_is_a_failed_attempt():
    async def on_open(opening):
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("nonsense")
        raise opening.refused("this account is closed")

    calls: list[int] = []
    connection = connect(FakeServer(), on_open)
    connection.connect()
    state = await in_phase(connection, "waiting")
    assert state.error.endswith("on_open raised KeyError('nonsense')")
    state = await in_phase(connection, "failed")
    assert state.error == "cannot connect to ws://fake: this account is closed"
    assert isinstance(state.exception, HandshakeFailed)
    assert (state.exception.kind, state.failure.reason) == ("refused", "refused by the server")
    await connection.aclose()


REFUSAL = {"type": "auth_invalid", "message": "Invalid access token"}


@pytest.mark.contract("OP3")
@pytest.mark.parametrize("code", [1000, 1005, 1001, 1011])
@pytest.mark.parametrize("after_goodbye", [None, False])
@pytest.mark.parametrize("how", ["receives", "asks", "sleeps"])
async def test_a_close_before_it_was_open_is_a_failed_attempt_with_the_last_words(
    code, after_goodbye, how
):
    async def on_open(opening):
        match how:
            case "receives":
                while True:
                    await opening.receive()
            case "asks":
                await opening.request({"op": "sign in"})
            case "sleeps":
                await asyncio.sleep(2)

    policy = Reconnect(schedule=lambda attempt, outcome: 1.0, after_goodbye=after_goodbye)
    server = FakeServer(accept(), send("hello", REFUSAL), close(code), pause(9), accept())
    connection = connect(server, on_open, reconnect=policy)
    phases: list[str] = []
    connection.phase.subscribe(phases.append)
    connection.connect()
    state = await in_phase(connection, "waiting")
    assert phases == ["idle", "connecting", "waiting"]
    assert isinstance(state.exception, HandshakeFailed)
    assert state.error == (
        f"cannot connect to ws://fake: the server closed the connection with {Close(code)}, "
        "before the connection was open; it said last: Invalid access token"
    )
    assert state.close.code == code
    assert connection.messages.total == 0
    await connection.aclose()


@pytest.mark.contract("OP3")
@pytest.mark.parametrize("raised", ["unauthorised", "refused", "StopReconnecting"])
@pytest.mark.parametrize("asks", [False, True])
async def test_what_the_server_said_before_it_closed_is_read_and_decides(raised, asks):
    async def on_open(opening):
        calls.append(opening.attempt.refresh)
        if asks:
            answer = await asyncio.wait_for(opening.request({"op": "sign in"}), 5)
        else:
            hello = await opening.receive()
            await asyncio.sleep(1)  # it asks a user, say
            answer = (await opening.receive()).data
            assert hello.data == "hello"
        if raised == "StopReconnecting":
            raise StopReconnecting(answer["message"])
        raise getattr(opening, raised)(answer["message"])

    calls: list[bool] = []
    says = [receive(), send({"id": 1, **REFUSAL})] if asks else [send("hello", REFUSAL)]
    server = FakeServer(accept(), *says, close(1000), accept(), *says, close(1000))
    connection = connect(server, on_open)
    connection.connect()
    state = await in_phase(connection, "failed")
    assert state.error.endswith("Invalid access token")
    assert calls == ([False, True] if raised == "unauthorised" else [False])
    await connection.aclose()


@pytest.mark.contract("OP3", "RC6")
async def test_who_calls_a_code_a_goodbye_wants_no_further_attempt_and_sees_the_error():
    policy = Reconnect.exponential(classify={1000: "goodbye"})
    server = FakeServer(accept(), send("go away"), close(1000))
    connection = connect(server, lambda opening: opening.receive(), reconnect=policy)
    connection.connect()
    state = await in_phase(connection, "failed", "closed")
    assert state.phase == "failed"
    assert state.error.endswith("it said last: go away")
    await connection.aclose()


@pytest.mark.contract("OP3", "CN14", "CN17")
@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("s3cret is no token", "*** is no token"),
        ({"error": {"message": "no\x1b[31m room"}}, "no\ufffd[31m room"),
        ({"code": 7}, '{"code":7}'),
        ("x" * 500, "x" * 199 + "…"),
    ],
)
async def test_the_last_words_are_one_clean_line_without_secrets(words, shown):
    server = FakeServer(accept(), send(words), close(4000))
    headers = {"Authorization": "Bearer s3cret"}
    async with connect(server, lambda opening: asyncio.sleep(9), headers=headers) as connection:
        await connection.state.wait_for(lambda state: state.error, 100)
        assert connection.state.value.error.split("it said last: ")[1] == shown


@pytest.mark.contract("OP3")
@pytest.mark.parametrize("words", ["<html>no</html>", b"\x00"])
async def test_html_and_bytes_are_not_quoted(words):
    server = FakeServer(accept(), send(words), close(4000))
    async with connect(server, lambda opening: asyncio.sleep(9)) as connection:
        state = await in_phase(connection, "waiting")
        assert state.error.endswith("before the connection was open")


# The heartbeat that the server asked for


@pytest.mark.contract("OP5", "LV2")
async def test_an_opening_begins_a_heartbeat_at_the_pace_that_the_server_asks_for():
    async def on_open(opening):
        seconds = (await opening.receive()).data["heartbeat_interval"] / 1000
        opening.heartbeat(Heartbeat({"op": 1}, {"op": 11}, interval=seconds, timeout=3))

    server = FakeServer(accept(), send({"heartbeat_interval": 7000}))
    of_the_options = Plain(heartbeat=Heartbeat("option", interval=2))
    connection = connect(server, on_open, protocol=of_the_options)
    async with connection:
        await connection.ready(10)
        await asyncio.sleep(7.5)
        assert server.received == ['{"op":1}']
        server.send({"op": 11}, "a message")
        await asyncio.sleep(7)
        assert server.received == ['{"op":1}'] * 2
        assert [each.data for each in connection.messages.value] == ["a message"]
        state = await in_phase(connection, "waiting")
        assert state.error == "no answer to heartbeat"


@pytest.mark.contract("OP5", "LV2")
async def test_each_connection_has_the_heartbeat_of_its_own_opening():
    async def on_open(opening):
        if not opening.is_reconnection:
            opening.heartbeat(Heartbeat("first", interval=3))

    server = FakeServer()
    async with connect(server, on_open) as connection:
        await connection.ready(10)
        await asyncio.sleep(4)
        server.drop()
        await in_phase(connection, "waiting")
        await connection.ready(10)
        await asyncio.sleep(40)
        assert server.received == ["first"]


@pytest.mark.contract("OP5")
async def test_a_heartbeat_beside_a_protocol_keeps_its_replies_from_it():
    async def on_open(opening):
        opening.heartbeat(Heartbeat("ping", "pong", interval=5, timeout=3))

    heard: list[object] = []

    class Listening(Conversation):
        def hear(self, frame, now):
            heard.append(frame)
            return [Received(frame)]

    class Listens(BaseProtocol):
        def converse(self, memory, attempt):
            return Listening()

    server = FakeServer()
    async with connect(server, on_open, protocol=Listens()) as connection:
        await connection.ready(10)
        await asyncio.sleep(5.5)
        server.send("pong", "news")
        await asyncio.sleep(4)
        assert connection.connected.value
        assert heard == ["news"]


@pytest.mark.contract("OP5", "OP2", "SE0")
async def test_an_opening_of_rooms_may_ask_and_what_it_cannot_do_is_refused():
    async def on_open(opening):
        with pytest.raises(InvalidOption, match="give a Heartbeat"):
            opening.heartbeat("x")
        with pytest.raises(RuntimeError, match=r"connection.subscribe\(key\)"):
            opening.send({})
        answers.append(await opening.request({"method": "price"}))

    server = RoomServer()
    server.refuses = lambda name, fields: {"rpc": {"data": 7}} if name == "rpc" else None
    answers: list[object] = []
    async with connect(server, on_open, protocol=Centrifuge()) as connection:
        async with connection.subscribe("room") as room:
            await room.ready(10)
    assert answers == [7]
    assert [next(iter({*each} - {"id"})) for each in server.asked] == [
        *("connect", "rpc", "subscribe")
    ], "rooms are asked for once the opening is over"


# One deadline


@pytest.mark.contract("OP6")
@pytest.mark.parametrize(
    ("what", "awaited"),
    [
        (lambda opening: opening.receive(), "a message of the server (opening.receive())"),
        (lambda opening: opening.request({}), "the answer to a request (opening.request())"),
        (lambda opening: asyncio.sleep(100), ""),
    ],
    ids=["receive", "request", "something else"],
)
async def test_the_deadline_says_what_was_waited_for(what, awaited):
    loop = asyncio.get_running_loop()
    connection = connect(FakeServer(), what, connect_timeout=4)
    connection.connect()
    state = await in_phase(connection, "waiting")
    assert loop.time() == 4
    assert state.exception.why == "on_open took over 4 s" + (
        f"; it waited for {awaited}" if awaited else ""
    )
    await connection.aclose()


class Greeted(Conversation):
    """Waits for "welcome", says that it heard it, and passes on what is not "control"."""

    def __init__(self):
        super().__init__()
        self.is_open = False

    def open(self, given, now):
        return [Write("greetings")]

    def hear(self, frame, now):
        if frame == "welcome":
            return [Opened()]
        return [] if frame == "control" else [Received(frame)]


class Greeting(BaseProtocol):
    def converse(self, memory, attempt):
        return Greeted()


@pytest.mark.contract("OP6", "OP1")
async def test_the_openings_of_protocol_and_program_share_one_deadline():
    loop = asyncio.get_running_loop()
    server = FakeServer(accept(), pause(3), send("welcome"))
    connection = connect(
        server, lambda opening: asyncio.sleep(9), protocol=Greeting(), connect_timeout=5
    )
    connection.connect()
    state = await in_phase(connection, "waiting")
    assert loop.time() == 5
    assert state.exception.why == "on_open took over 5 s"
    await connection.aclose()
    connection = connect(FakeServer(), None, protocol=Greeting(), connect_timeout=5)
    connection.connect()
    state = await in_phase(connection, "waiting")
    assert state.exception.why == "the protocol's opening took over 5 s"
    await connection.aclose()


# After the opening of a protocol


@pytest.mark.contract("OP1", "OP2")
async def test_on_open_runs_after_the_protocols_opening_and_receives_messages_alone():
    async def on_open(opening):
        opening.send("it is me")
        got.extend(await receive_data(opening, 2))

    got: list[object] = []
    server = FakeServer(
        accept(),
        receive(),
        send("early", "welcome", "control"),
        receive(),
        send("control", "a", "b"),
    )
    async with connect(server, on_open, protocol=Greeting()) as connection:
        stream = connection.stream()
        await connection.ready(10)
        assert server.received == ["greetings", "it is me"]
        assert got == ["early", "a"]
        assert await read(stream, 1) == ["b"]


@pytest.mark.contract("OP3")
async def test_a_close_in_the_protocols_opening_has_the_last_words_too():
    server = FakeServer(accept(), receive(), send("no such user"), close(1000))
    connection = connect(server, None, protocol=Greeting())
    connection.connect()
    state = await in_phase(connection, "waiting")
    assert state.error.endswith("before the connection was open; it said last: no such user")
    await connection.aclose()


@pytest.mark.contract("OP1")
async def test_subscriptions_are_asked_for_after_on_open_and_what_came_before_stays_readable():
    topics = Topics(
        key=lambda data: data.get("topic"),
        subscribe=lambda keys: {"subscribe": list(keys)},
        unsubscribe=lambda keys: {"unsubscribe": list(keys)},
    )

    async def on_open(opening):
        opening.send("sign in")
        await asyncio.sleep(1)

    server = FakeServer()
    async with connect(server, on_open, protocol=topics) as connection:
        one = connection.subscribe("a")
        await asyncio.sleep(0.5)
        two = connection.subscribe("b")
        assert server.received == ["sign in"]
        await connection.ready(10)
        await turns()
        assert server.received[0] == "sign in"
        assert json.loads(server.received[1])["subscribe"] == ["a", "b"]
        one.unsubscribe()
        two.unsubscribe()
