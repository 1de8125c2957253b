"""A fake server with a handler converses with its clients, and hides nothing."""

from __future__ import annotations

import asyncio
import json

import pytest

from sockstore import Close, ConnectionEnded, Outbox, Reconnect, WebSocketStore
from sockstore.testing import (
    ClientGone,
    FakeServer,
    VirtualClock,
    accept,
    drop,
    hang,
    pause,
    refuse,
    repeat,
    send,
)
from sockstore.transports.base import Target, TransportOptions
from waiting import turns

pytestmark = [pytest.mark.virtual_clock, pytest.mark.contract("TK2")]

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


def connected(server, url: str = "ws://fake", **options) -> WebSocketStore:
    return WebSocketStore(url, transport=server, reconnect=EVERY_SECOND, **options)


async def next_of(stream, count: int) -> list[object]:
    async with asyncio.timeout(100):
        return [(await anext(stream)).data for _ in range(count)]


async def shout(client) -> None:
    async for message in client:
        await client.send(message.upper())


async def count_up(client) -> None:
    number = 0
    while True:
        await client.send(number := number + 1)
        await asyncio.sleep(1)


async def test_a_handler_answers_what_it_receives():
    server = FakeServer(shout)
    async with connected(server) as connection:
        stream = connection.stream()
        connection.send("hello")
        connection.send("again")
        assert await next_of(stream, 2) == ["HELLO", "AGAIN"]
    assert server.received == ["hello", "again"]


async def test_each_client_has_a_conversation_of_its_own():
    async def name(client) -> None:
        given = await client.receive()
        async for message in client:
            await client.send(f"{given}: {message}")

    server = FakeServer(name)
    async with connected(server) as ann, connected(server) as bob:
        streams = [each.stream() for each in (ann, bob)]
        for connection, words in ((ann, ("Ann", "hi")), (bob, ("Bob", "hello"))):
            for word in words:
                connection.send(word)
        assert [await next_of(stream, 1) for stream in streams] == [["Ann: hi"], ["Bob: hello"]]
        assert len(server.open_connections) == 2


async def test_a_handler_knows_what_the_handshake_said():
    async def tell(client) -> None:
        told = [client.path, client.query, client.headers, client.subprotocols]
        await client.send(told)
        await client.wait_closed()

    async with WebSocketStore(
        "ws://fake/tea%20room?name=Ada&token=",
        transport=FakeServer(tell),
        headers={"X-Kind": "test"},
        subprotocols=["chat", "other"],
    ) as connection:
        assert await next_of(connection.stream(), 1) == [
            ["/tea room", {"name": "Ada", "token": ""}, {"x-kind": "test"}, ["chat", "other"]]
        ]
        assert connection.socket.value.subprotocol == "chat"


async def test_a_handler_chooses_a_subprotocol_and_headers():
    async def choose(client) -> None:
        client.accept("other", (("X-Answer", "yes"),))
        with pytest.raises(RuntimeError, match="answered already"):
            client.refuse(404)
        await client.wait_closed()

    async with connected(FakeServer(choose), subprotocols=["chat", "other"]) as connection:
        await connection.ready()
        socket = connection.socket.value
        assert (socket.subprotocol, socket.headers) == ("other", (("X-Answer", "yes"),))


async def test_a_handler_refuses_with_a_status_and_words():
    async def guard(client) -> None:
        if client.headers.get("authorization") != "Bearer good":
            client.refuse(401, body="the token has expired")
            return
        await shout(client)

    server = FakeServer(guard)
    tokens = iter(["old", "good"])
    async with connected(
        server, headers=lambda attempt: {"Authorization": f"Bearer {next(tokens)}"}
    ) as connection:
        await connection.ready()
        assert len(server.handshakes) == 2
        assert server.connections == [server.connection]
    async with WebSocketStore(
        "ws://fake", transport=FakeServer(guard), reconnect=False
    ) as connection:
        with pytest.raises(ConnectionEnded, match="HTTP 401: the token has expired"):
            await connection.ready()


async def test_a_handler_that_waits_first_has_accepted():
    async def late(client) -> None:
        await asyncio.sleep(5)
        await client.send("late")
        await client.wait_closed()

    clock = asyncio.get_running_loop().time
    async with connected(FakeServer(late)) as connection:
        stream = connection.stream()
        await connection.ready()
        assert clock() == 0
        assert await next_of(stream, 1) == ["late"]
        assert clock() == 5


async def test_the_first_words_come_in_the_read_of_the_handshake():
    slices: list[list[object]] = []

    async def greet(client) -> None:
        client.send("hello")
        await client.send("again")
        await asyncio.sleep(0.1)
        await client.send("apart")
        await client.wait_closed()

    class Listener:
        def opened(self, socket) -> None:
            slices.append(["opened"])

        def begin_slice(self):
            slices.append([])
            return self

        def texts(self, messages) -> bool:
            slices[-1].extend(messages)
            return False

        def end_slice(self) -> None:
            pass

        def closed(self, close, why, cause=None) -> None:
            pass

        def released(self) -> None:
            pass

    transport = FakeServer(greet)(Listener(), TransportOptions())
    await transport.open(Target(url="ws://fake"))
    await asyncio.sleep(1)
    assert slices == [["opened"], ["hello", "again"], ["apart"]]
    transport.abort()


async def test_a_handler_that_returns_closes_with_1000():
    async def one(client) -> None:
        await client.send("only this")

    async with connected(FakeServer(one)) as connection:
        assert await next_of(connection.stream(), 1) == ["only this"]
        await connection.connected.wait_for(lambda connected: not connected)
        assert "1000" in str(connection.error.value or connection.explain())


@pytest.mark.parametrize(
    ("act", "close"),
    [
        (lambda client: client.close(4001, "enough"), Close(4001, "enough", clean=True)),
        (lambda client: client.drop(), Close(1006)),
    ],
    ids=["close", "drop"],
)
async def test_a_handler_ends_its_connection(act, close):
    ended: list[str] = []

    async def end(client) -> None:
        await client.receive()
        act(client)
        async for _ in client:
            pass
        ended.append("loop")
        with pytest.raises(ClientGone):
            await client.send("too late")

    server = FakeServer(end)
    async with connected(server) as connection:
        await connection.ready()
        connection.send("go")
        await connection.connected.wait_for(lambda connected: not connected)
        assert str(close.code) in str(connection.error.value) or close.code == 1006
        assert ended == ["loop"]


@pytest.mark.parametrize("leave", ["close", "reconnect", "drop"])
async def test_when_the_client_goes_the_loop_ends_and_what_is_left_is_cancelled(leave):
    events: list[str] = []

    async def stay(client) -> None:
        try:
            async for _ in client:
                pass
            events.append("left")
            await asyncio.sleep(3600)
        finally:
            events.append("cancelled")

    server = FakeServer(stay, accept())
    connection = connected(server)
    async with connection:
        await connection.ready()
        {"close": connection.close, "reconnect": connection.reconnect, "drop": server.drop}[leave]()
        await turns(30)
        assert events == ["left", "cancelled"]


async def test_task_groups_of_a_handler_end_with_the_client():
    async def both(client) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(count_up(client))
            async for message in client:
                await client.send(message)

    async with FakeServer(both) as server:
        async with connected(server) as connection:
            assert await next_of(connection.stream(), 3) == [1, 2, 3]
        await asyncio.sleep(10)
        async with connected(server) as connection:
            await connection.ready()
            server.drop()
            await asyncio.sleep(3)
            assert connection.connected.value


async def test_what_a_handler_raises_closes_with_1011_and_is_reported(reported):
    async def fail(client) -> None:
        assert await client.receive() == "expected", "this is not what was expected"

    async with connected(FakeServer(fail, hang())) as connection:
        await connection.ready()
        connection.send("something else")
        await connection.connected.wait_for(lambda connected: not connected)
        assert "1011" in str(connection.error.value)
        assert "not what was expected" in str(connection.error.value)
    assert [type(context["exception"]) for context in reported] == [AssertionError]


async def test_a_handler_that_fails_before_it_accepts_refuses_with_500(reported):
    async def fail(client) -> None:
        raise KeyError(client.path)

    async with WebSocketStore(
        "ws://fake", transport=FakeServer(fail), reconnect=False
    ) as connection:
        with pytest.raises(ConnectionEnded, match="HTTP 500: KeyError"):
            await connection.ready()
    assert len(reported) == 1


async def test_a_server_in_a_block_raises_what_its_handlers_raised(reported):
    async def fail(client) -> None:
        raise ValueError(await client.receive())

    with pytest.raises(ValueError, match="words"):
        async with FakeServer(fail, hang()) as server, connected(server) as connection:
            connection.send("words")
            await asyncio.sleep(1)
    with pytest.raises(KeyError):  # the test's own error comes first
        async with FakeServer(fail, hang()) as server, connected(server) as connection:
            connection.send("words")
            await asyncio.sleep(1)
            raise KeyError
    assert len(reported) == 2


async def test_a_server_in_a_block_closes_what_is_open_at_its_end():
    async with connected(FakeServer()) as other:
        await other.ready()
        async with FakeServer(count_up) as server:
            connection = connected(server)
            connection.connect()
            await connection.ready()
        await turns(10)
        assert "1001" in str(connection.error.value)
        await connection.aclose()


async def test_a_server_in_a_block_waits_for_no_client_that_it_let_hang():
    async def never(client) -> None:
        client.hang()
        await client.wait_closed()
        await asyncio.sleep(3600)

    async with FakeServer(never) as server:
        connection = connected(server, connect_timeout=3)
        connection.connect()
        await asyncio.sleep(1)
        assert repr(server.connection) == "<FakeClient ws://fake waiting>"
    await connection.aclose()


async def test_handlers_are_steps_of_a_script():
    async def first(client) -> None:
        await client.send("from the first")
        await client.wait_closed()

    async def second(client) -> None:
        await client.send("from the second")
        await client.wait_closed()

    server = FakeServer(
        refuse(503), first, pause(10), drop(), accept(), send("words"), drop(), second
    )
    async with connected(server) as connection:
        stream = connection.stream()
        assert await next_of(stream, 3) == ["from the first", "words", "from the second"]
        server.drop()
        assert await next_of(stream, 1) == ["from the second"]
        assert len(server.handshakes) == 5
        assert len(server.connections) == 4


async def test_handlers_are_repeated():
    async def one(client) -> None:
        await client.send("one")
        client.drop()

    server = FakeServer(repeat(one, refuse(503)))
    async with connected(server) as connection:
        assert await next_of(connection.stream(), 3) == ["one"] * 3
        assert len(server.handshakes) == 5


@pytest.mark.parametrize("wrong", [print, "accept", lambda client: None])
def test_what_is_neither_a_step_nor_an_async_function_is_refused(wrong):
    with pytest.raises(TypeError, match="async function"):
        FakeServer(wrong)
    with pytest.raises(TypeError, match="async function"):
        FakeServer(repeat(wrong))


def test_methods_and_callable_objects_are_handlers():
    class Feed:
        async def __call__(self, client) -> None:
            await client.send("called")
            await client.wait_closed()

        async def serve(self, client) -> None:
            await self(client)

    async def story(handler) -> None:
        async with connected(FakeServer(handler)) as connection:
            assert await next_of(connection.stream(), 1) == ["called"]

    for handler in (Feed(), Feed().serve):
        VirtualClock().run(story(handler))


async def test_a_handler_does_not_outrun_its_client():
    sent: list[int] = []

    async def pour(client) -> None:
        while True:
            await client.send("x" * 1000)
            sent.append(1)

    server = FakeServer(pour)
    async with connected(server, history=0) as connection:
        while connection.messages.total < 1000:
            await asyncio.sleep(0)
        assert len(sent) - connection.messages.total < 100


async def test_a_client_does_not_outrun_its_handler():
    async def slow(client) -> None:
        async for message in client:
            await asyncio.sleep(1)
            await client.send(json.loads(message)["number"])

    server = FakeServer(slow)
    async with connected(server, outbox=Outbox(limit=1000)) as connection:
        stream = connection.stream(limit=500)
        await connection.ready()
        receipts = [connection.send({"number": n, "pad": "x" * 4000}) for n in range(100)]
        await asyncio.sleep(3)
        assert len(server.received) < 30, "what a handler does not read waits on the way"
        assert connection.buffered_amount.value > 0
        receipts += [connection.send({"number": n}) for n in (100, 101)]
        assert receipts[-1].state == "queued"
        assert await next_of(stream, 102) == list(range(102))
        await receipts[-1]


async def test_a_frozen_handler_hears_nothing_and_ends_with_its_client():
    ended: list[bool] = []

    async def freeze(client) -> None:
        await client.receive()
        client.freeze()
        try:
            await client.receive()
        except ClientGone:
            ended.append(True)

    server = FakeServer(freeze)
    async with connected(server) as connection:
        await connection.ready()
        connection.send("one")
        await turns()
        connection.send("two")
        await connection.connected.wait_for(lambda connected: not connected)
        await turns()
        assert ended == [True]
        assert server.connections[0].received == ["one"]
