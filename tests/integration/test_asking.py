"""The callables that say where to and as whom, the deadline over it all, and secrets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
import weakref

import pytest
from puppets import let_go

from sockstore import (
    Attempt,
    Close,
    ConnectionEnded,
    HandshakeFailed,
    InvalidOption,
    InvalidURI,
    Opening,
    Reconnect,
    StopReconnecting,
    WebSocketStore,
)
from sockstore.testing import FakeServer, accept, drop, hang, pause, refuse, slow
from sockstore.transports.memory import MemoryNetwork, MemoryPeer
from waiting import turns

pytestmark = pytest.mark.virtual_clock

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


@pytest.mark.contract("CN11")
@pytest.mark.parametrize("is_async", [False, True])
async def test_url_headers_and_subprotocols_are_asked_before_every_attempt(is_async):
    attempts: list[Attempt] = []

    def make(what):
        def answer(attempt: Attempt):
            attempts.append(attempt)
            return what(attempt.number)

        async def answer_later(attempt: Attempt):
            await asyncio.sleep(0.1)
            return answer(attempt)

        return answer_later if is_async else answer

    server = FakeServer(refuse(503), accept(), pause(2), drop(4000), accept())
    connection = WebSocketStore(
        make(lambda n: f"ws://fake/{n}"),
        headers=make(lambda n: {"X-Attempt": str(n)}),
        subprotocols=make(lambda n: [f"v{n}"]),
        transport=server,
        reconnect=EVERY_SECOND,
    )
    async with connection:
        await asyncio.sleep(10)
        assert connection.socket.value.url == "ws://fake/2"
        assert connection.socket.value.subprotocol == "v2"
    targets = [handshake.target for handshake in server.handshakes]
    assert [target.url for target in targets] == ["ws://fake/0", "ws://fake/1", "ws://fake/2"]
    assert [target.headers for target in targets] == [(("X-Attempt", f"{n}"),) for n in range(3)]
    assert [target.subprotocols for target in targets] == [("v0",), ("v1",), ("v2",)]
    assert len(attempts) == 9
    assert all(attempts[i] == attempts[i + 1] == attempts[i + 2] for i in (0, 3, 6))
    first, second, third = attempts[::3]
    assert first == Attempt(0, refresh=False, previous=None)
    assert (second.number, second.previous.status) == (1, 503)
    assert (third.number, third.previous.close) == (2, Close(4000, clean=True))
    assert third.previous.uptime == 2


@pytest.mark.contract("CN11", "CN7")
@pytest.mark.parametrize(
    ("option", "bad", "words"),
    [
        ("url", ZeroDivisionError("oops"), "the url callable raised ZeroDivisionError('oops')"),
        ("headers", KeyError("token"), "the headers callable raised KeyError('token')"),
        ("subprotocols", OSError("disk"), "the subprotocols callable raised OSError('disk')"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_an_exception_from_a_callable_is_a_failed_attempt(option, bad, words, is_async):
    def answer(attempt: Attempt):
        if attempt.number < 2:
            raise bad
        return {"url": "ws://fake", "headers": {}, "subprotocols": []}[option]

    async def answer_later(attempt: Attempt):
        await asyncio.sleep(0)
        return answer(attempt)

    server = FakeServer()
    connection = WebSocketStore(
        **({"url": "ws://fake"} | {option: answer_later if is_async else answer}),
        transport=server,
        reconnect=EVERY_SECOND,
    )
    async with connection:
        state = await connection.state.wait_for(lambda state: state.phase == "waiting")
        assert words in state.error
        assert isinstance(state.exception, HandshakeFailed)
        assert state.exception.__cause__ is bad
        await connection.ready()
        assert len(server.handshakes) == 1
        assert asyncio.get_running_loop().time() == 2


@pytest.mark.contract("CN11", "CN14", "CN9")
@pytest.mark.parametrize(
    ("option", "bad", "words"),
    [
        ("headers", {"SECRET Name": "x"}, "not a valid name of a header"),
        ("headers", {"X": "SECRET\nlines"}, "must be text on one line"),
        ("headers", {"X": "SECRET\u200b"}, "headers='X'"),
        ("headers", {"Upgrade": "SECRET"}, "the handshake sends it"),
        ("headers", 5, "give a mapping"),
        ("subprotocols", "SECRET", "give a list of names"),
        ("subprotocols", ["SECRET\u200b"], "not a valid name of a subprotocol"),
        ("subprotocols", ["SECRET", "SECRET"], "name each only once"),
    ],
)
async def test_what_cannot_be_sent_ends_the_connection_and_is_never_shown(
    option, bad, words, caplog
):
    server = FakeServer()
    connection = WebSocketStore(
        **({"url": "ws://fake"} | {option: lambda attempt: bad}), transport=server
    )
    async with connection:
        state = await connection.state.wait_for(lambda state: state.phase == "failed")
        assert words in state.error
        assert state.failure.reason == "fatal option"
        assert isinstance(state.failure.exception, InvalidOption)
        shown = [state.error, connection.explain(), repr(connection.timeline.value), repr(state)]
        shown += traceback.format_exception(state.exception)
    shown += [record.getMessage() for record in caplog.records]
    assert any(words in one for one in shown[1:3])
    assert not [one for one in shown if "SECRET" in one]
    assert server.handshakes == []


@pytest.mark.contract("CN11", "CN9")
@pytest.mark.parametrize(
    "bad", ["http://x", "", None, 7, "ws://user@x", "ws://h:0", InvalidURI("ws://x", "moved")]
)
async def test_a_bad_url_from_a_callable_is_the_end(bad):
    async def url(attempt: Attempt):
        if isinstance(bad, InvalidURI):
            raise bad
        return bad

    connection = WebSocketStore(url, transport=FakeServer())
    connection.connect()
    with pytest.raises(ConnectionEnded) as caught:
        await connection.ready(100)
    assert caught.value.reason == "fatal url"
    assert isinstance(connection.error.value, InvalidURI)


@pytest.mark.contract("CN11", "CN9")
@pytest.mark.parametrize("option", ["url", "headers", "subprotocols", "on_open"])
@pytest.mark.parametrize("is_async", [False, True])
async def test_stop_reconnecting_is_the_end_with_its_own_sentence(option, is_async):
    def stop(_: object):
        raise StopReconnecting("you were logged out")

    async def stop_later(_: object):
        await asyncio.sleep(0)
        raise StopReconnecting("you were logged out")

    options = {"url": "ws://fake"} | {option: stop_later if is_async else stop}
    server = FakeServer()
    connection = WebSocketStore(**options, transport=server)
    connection.connect()
    with pytest.raises(ConnectionEnded, match=r"^you were logged out$") as caught:
        await connection.ready()
    assert caught.value.reason == "stopped by a callable"
    await turns()
    assert server.open_connections == []


@pytest.mark.contract("CN11", "CN12", "CN5")
@pytest.mark.parametrize("option", ["url", "headers", "subprotocols", "on_open"])
async def test_a_hang_in_a_callable_is_cut_by_connect_timeout_and_by_close(option):
    cancelled: list[float] = []
    loop = asyncio.get_running_loop()

    async def hang_in_it(_: object):
        try:
            await asyncio.sleep(1e9)
        except asyncio.CancelledError:
            cancelled.append(loop.time())
            raise

    options = {"url": "ws://fake"} | {option: hang_in_it}
    connection = WebSocketStore(
        **options, transport=FakeServer(), connect_timeout=7, reconnect=EVERY_SECOND
    )
    connection.connect()
    await connection.phase.wait_for(lambda phase: phase == "waiting")
    assert "7 s" in connection.state.value.error
    await connection.phase.wait_for(lambda phase: phase == "connecting")
    await asyncio.sleep(2)
    await connection.aclose()
    assert cancelled == [7, 10]


@pytest.mark.contract("CN12")
@pytest.mark.parametrize(("asking", "latency"), [(4, 4), (0, 6), (9.9, 0.2)])
async def test_one_deadline_covers_asking_and_handshake_together(asking, latency):
    async def url(attempt: Attempt) -> str:
        await asyncio.sleep(asking)
        return "ws://fake"

    server = MemoryNetwork(MemoryPeer.accept, latency)
    loop = asyncio.get_running_loop()
    connection = WebSocketStore(url, transport=server, reconnect=False)
    connection.connect()
    await connection.phase.wait_for(lambda phase: phase == "failed")
    assert loop.time() == 10
    assert "no answer within 10 s" in connection.state.value.error
    assert connection.state.value.exception.kind == "timeout"


@pytest.mark.contract("CN12", "CN11")
async def test_a_callable_that_swallows_cancellation_is_not_waited_for_by_users():
    async def stubborn(attempt: Attempt) -> str:
        for _ in range(3):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(30)
        return "ws://fake"

    server = FakeServer()
    connection = WebSocketStore(stubborn, transport=server)
    connection.connect()
    await asyncio.sleep(1)
    connection.connect("ws://other")
    await connection.ready(1)
    await asyncio.sleep(100)
    assert next(handshake.target.url for handshake in server.handshakes) == "ws://other"
    assert connection.socket.value.url == "ws://other"
    assert len(server.open_connections) == 1
    await connection.aclose()


@pytest.mark.contract("CN11", "CN10")
@pytest.mark.parametrize("is_async", [False, True])
async def test_what_a_failed_on_open_leaves_does_not_keep_the_connection_alive(is_async):
    def broken(_: Opening) -> None:
        raise ValueError("not today")

    async def broken_later(_: Opening) -> None:
        await asyncio.sleep(0)
        raise ValueError("not today")

    connection = WebSocketStore(
        "ws://fake",
        transport=FakeServer(),
        on_open=broken_later if is_async else broken,
        reconnect=Reconnect(schedule=lambda attempt, outcome: 100.0),
    )
    connection.connect()
    await connection.phase.wait_for(lambda phase: phase == "waiting")
    await turns()
    assert "on_open raised ValueError('not today')" in connection.state.value.error
    assert connection.error.value.__cause__.__traceback__ is not None, "where it was is kept"
    gone = weakref.ref(connection)
    held = [connection]
    del connection
    with pytest.warns(ResourceWarning):
        let_go(held)
    assert gone() is None


@pytest.mark.contract("CN11")
async def test_on_open_runs_before_the_connection_is_open_for_everyone():
    order: list[str] = []

    async def log_in(opening: Opening) -> None:
        assert connection.phase.value == "connecting"
        opening.send({"login": "me"})
        assert (await opening.receive()).data == "welcome"
        order.append("logged in")

    server = FakeServer(accept(), pause(2))
    connection = WebSocketStore("ws://fake", transport=server, on_open=log_in)
    connection.phase.subscribe(order.append)
    queued = connection.send("queued before")
    async with connection:
        await asyncio.sleep(1)
        assert server.received == ['{"login":"me"}']
        assert queued.state == "queued"
        server.send("welcome")
        await connection.ready()
        assert order == ["idle", "connecting", "logged in", "open"]
        await turns()
        assert server.received == ['{"login":"me"}', "queued before"]
        await asyncio.sleep(2)


# Secrets

SECRETS = [
    "s3cret-query",
    "s3cret-user",
    "s3cret-word",
    "s3cret-token",
    "s3cret-cookie",
    "s3cret-set",
]
SECRET_URL = "wss://s3cret-user:s3cret-word@fake/path?token=s3cret-query"
SECRET_HEADERS = {"Authorization": "Bearer s3cret-token", "Cookie": "id=s3cret-cookie"}


@pytest.mark.contract("CN14", "CN7")
@pytest.mark.parametrize("ask", [False, True])
async def test_secrets_are_in_no_repr_no_log_and_no_error(ask, caplog, virtual_clock, reported):
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    shown: list[str] = []
    set_cookie = (("Set-Cookie", "s3cret-set"), ("Server", "fake"))
    server = FakeServer(
        accept("chat", set_cookie),
        drop(),
        refuse(),
        refuse(503, retry_after=1),
        hang(),
        accept("nobody speaks this"),
        refuse(401),
        accept("chat", set_cookie),
        pause(50),
        drop(),
        slow(0),
    )

    def note(value: object) -> None:
        shown.extend([repr(value), str(value)])

    def broken(value: object) -> None:
        note(value)
        raise ValueError("a bug of mine")

    connection = WebSocketStore(
        (lambda attempt: note(attempt) or SECRET_URL) if ask else SECRET_URL,
        transport=server,
        headers=(lambda attempt: SECRET_HEADERS) if ask else SECRET_HEADERS,
        subprotocols=["chat"],
        should_reconnect=lambda outcome: note(outcome) or True,
        reconnect=EVERY_SECOND,
    )
    note(connection)
    for name in ("state", "socket", "error", "status"):
        getattr(connection, name).subscribe(note)
    connection.connect()
    await connection.ready()  # once, so that a bad subprotocol is retried
    await connection.phase.wait_for(lambda phase: phase == "waiting")
    with contextlib.suppress(ConnectionEnded):
        await connection.ready()
    if not ask:
        connection.connect()  # 401 was the end
        await connection.ready()
    connection.state.subscribe(lambda state: state.phase == "open" or broken(state))
    loop.call_later(21, virtual_clock.block, 100)
    await asyncio.sleep(300)
    note(connection)
    note([handshake.target for handshake in server.handshakes])
    note(server.handshakes)
    note(connection.state.value)
    note(connection.stream())
    note(connection.messages)
    note(connection.send("x"))
    await connection.aclose()
    with pytest.raises(ConnectionEnded) as caught:
        await connection.ready()
    note(caught.value)
    note(reported)
    for bad in (
        SECRET_URL.replace("wss", "http"),
        SECRET_URL + "#x",
        SECRET_URL.replace("@", "@:x"),
    ):
        with pytest.raises(InvalidURI) as refused:
            WebSocketStore(bad)
        note(refused.value)
    with pytest.raises(InvalidOption) as option:
        WebSocketStore("ws://x", headers={"Authorization": "s3cret-token\n"})
    note(option.value)
    everything = "\n".join([*shown, caplog.text])
    assert len(server.connections) >= 3
    assert "wss://***@fake/path?***" in everything
    assert "Set-Cookie" in everything
    for secret in SECRETS:
        assert secret not in everything, secret


@pytest.mark.contract("CN15", "RC6")
@pytest.mark.parametrize("options", [{}, {"max_message_bytes": 10}])
async def test_a_message_up_to_max_message_bytes_arrives(options):
    largest = options.get("max_message_bytes", 2**20)
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, **options) as connection:
        await connection.ready()
        server.send("x" * largest)
        await connection.messages.wait_for(len, timeout=1)
        server.send("x" * (largest + 1))
        await connection.phase.wait_for(lambda phase: phase == "failed", 1)
        assert connection.messages.total == 1


@pytest.mark.contract("CN15", "RC6")
@pytest.mark.parametrize("text", ["x" * 11, "é" * 6, b"x" * 11])
async def test_a_larger_message_closes_with_1009(text):
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server, max_message_bytes=10)
    connection.connect()
    await connection.ready()
    server.connection.send("x" * 10, b"y" * 10, "é" * 5)
    server.connection.send("before", text, "after")
    await connection.phase.wait_for(lambda phase: phase == "failed", 1)
    assert [message.data for message in connection.messages.value] == [
        "x" * 10,
        b"y" * 10,
        "é" * 5,
        "before",
    ]
    state = connection.state.value
    assert state.close.code == 1009
    assert "max_message_bytes=10" in state.error
    assert server.connection.closed.code == 1009
