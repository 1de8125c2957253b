"""Ends: close() in every phase and in every callback, each terminal reason, and what is left."""

from __future__ import annotations

import asyncio
import gc
import inspect
import sys
import warnings
import weakref

import pytest
from puppets import Puppeteer, let_go

from sockstore import (
    Close,
    ConnectionEnded,
    HandshakeFailed,
    InvalidOption,
    Outbox,
    Reconnect,
    StopReconnecting,
    WebSocketStore,
)
from sockstore.protocols import Topics
from sockstore.testing import FakeServer, accept, close, drop, hang, pause, refuse, send
from waiting import turns

BY_TYPE = Topics(key=lambda data: data.get("type"))

pytestmark = pytest.mark.virtual_clock

NEVER = 1_000_000.0


async def hang_for_ever(*_: object) -> bool:
    await asyncio.sleep(NEVER)
    return True


def brought_to(phase: str) -> tuple[WebSocketStore, FakeServer]:
    """Return a connection that comes to this phase when it is connected, and stays in it."""
    script = {
        "handshake": [hang()],
        "deciding": [refuse()],
        "waiting": [refuse()],
        "failed": [refuse(404)],
        "goodbye": [accept(), close(1000)],
    }.get(phase, [])
    server = FakeServer(*script)
    return (
        WebSocketStore(
            hang_for_ever if phase == "asking" else "ws://fake",
            transport=server,
            on_open=hang_for_ever if phase == "preparing" else None,
            should_reconnect=hang_for_ever if phase == "deciding" else None,
            reconnect=Reconnect(
                schedule=lambda attempt, outcome: NEVER, after_goodbye=phase != "goodbye"
            ),
        ),
        server,
    )


# close()


@pytest.mark.contract("CN5", "CN9", "CN10", "CN7")
@pytest.mark.parametrize(
    ("phase", "then"),
    [
        ("idle", ["closed"]),
        ("asking", ["closing", "closed"]),
        ("handshake", ["closing", "closed"]),
        ("preparing", ["closing", "closed"]),
        ("open", ["closing", "closed"]),
        ("deciding", ["closed"]),
        ("waiting", ["closed"]),
        ("failed", ["closed"]),
        ("goodbye", []),
        ("closing", ["closed"]),
        ("closed", []),
    ],
)
async def test_close_is_legal_in_every_phase_and_one_change_may_follow(phase, then):
    connection, server = brought_to(phase)
    if phase != "idle":
        connection.connect()
        await asyncio.sleep(0.1)
    if phase in {"closing", "closed"}:
        connection.close()
        if phase == "closed":
            await turns()
    states: list = []
    connection.state.subscribe(states.append)
    del states[:]
    connection.close()
    now = connection.state.value
    assert now.phase in {"closing", "closed"}
    assert (now.connected, now.socket, now.error) == (False, None, None)
    assert (connection.connected.value, connection.socket.value) == (False, None)
    assert (connection.error.value, connection.status.value) == (None, "disconnected")
    connection.close(4000, "a second call changes nothing")
    connection.disconnect()
    assert connection.state.value is now
    await connection.aclose()
    await asyncio.sleep(100)
    assert [state.phase for state in states] == then
    assert all(state.error is None for state in states)
    if phase == "open":
        assert server.connection.closed == Close(1000, clean=True)
    assert not connection.send("too late")


@pytest.mark.contract("CN5")
async def test_close_says_code_and_reason_and_its_close_is_shown_at_the_end():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    connection.connect()
    await connection.ready()
    connection.close(4711, "grüße")
    assert connection.state.value.close is None
    await connection.aclose()
    assert server.connection.closed == Close(4711, "grüße", clean=True)
    assert connection.state.value.close == Close(4711, "grüße", clean=True)


@pytest.mark.contract("CN5")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((999,), "999"),
        ((1001,), "1001"),
        ((1005,), "1005"),
        ((2999,), "2999"),
        ((5000,), "5000"),
        ((True,), "True"),
        (("1000",), "'1000'"),
        ((1000, "x" * 124), "124 UTF-8 bytes"),
        ((1000, "é" * 62), "124 UTF-8 bytes"),
    ],
)
async def test_bad_arguments_are_refused_before_anything_happens(arguments, words):
    async with WebSocketStore("ws://fake", transport=FakeServer()) as connection:
        await connection.ready()
        before = connection.state.value
        with pytest.raises(ValueError, match=words):
            connection.close(*arguments)
        with pytest.raises(ValueError, match=words):
            await connection.aclose(*arguments)
        assert connection.state.value is before
        connection.close(3000, "é" * 61)


@pytest.mark.contract("CN5", "CN12")
async def test_a_server_that_does_not_answer_the_close_is_aborted_after_close_timeout():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    connection.connect()
    await connection.ready()
    server.freeze()
    loop = asyncio.get_running_loop()
    before = loop.time()
    connection.close()
    assert connection.phase.value == "closing"
    await connection.aclose()
    assert loop.time() - before == 5
    assert connection.state.value.close == Close(1006)


@pytest.mark.contract("CN5", "MS4")
async def test_messages_that_arrive_after_close_are_discarded_also_those_of_the_same_slice():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    appended: list[object] = []
    views: list[int] = []

    def stop_at_two(message) -> None:
        appended.append(message.data)
        if message.data == 2:
            connection.close()

    connection.messages.on_append(stop_at_two)
    connection.messages.subscribe(lambda view: views.append(len(view)))
    stream = connection.stream()
    connection.connect()
    await connection.ready()
    server.send(1, 2, 3, 4)
    server.send(5)
    await connection.phase.wait_for(lambda phase: phase == "closed", 1)
    assert appended == [1, 2]
    assert views == [0, 2]
    assert connection.messages.total == 2
    assert [message.data async for message in stream] == [1, 2]


CALLBACKS = [
    "state subscriber",
    "connected subscriber",
    "socket subscriber",
    "phase subscriber",
    "error subscriber",
    "status subscriber",
    "on_append",
    "messages subscriber",
    "latest subscriber",
    "select function",
    "select subscriber",
    "buffered_amount subscriber",
    "stream filter",
    "stream reader",
    "codec",
    "on_error",
    "on_open",
    "async on_open",
    "url",
    "async url",
    "headers",
    "async subprotocols",
    "should_reconnect",
    "async should_reconnect",
    "transport factory",
    "receipt",
    "ready",
    "call_threadsafe",
]


@pytest.mark.contract("CN5", "CN10", "ST9")
@pytest.mark.parametrize("callback", CALLBACKS)
async def test_close_is_legal_inside_every_callback(callback):
    closed_in: list[str] = []
    connections: list[WebSocketStore] = []

    def shut(*_: object) -> None:
        if connections[0].phase.value not in {"idle", "closing", "closed"}:
            connections[0].close()
            closed_in.append(connections[0].phase.value)

    def then(result):
        def call(*_: object):
            shut()
            return result

        return call

    def later(result):
        async def call(*_: object):
            await asyncio.sleep(0)
            shut()
            return result

        return call

    def decode(frame):
        if callback == "codec":
            shut()
        raise ValueError("no good")

    server = FakeServer(accept(), send({"type": "price", "n": 1}, {"n": 2}), pause(1), drop())
    make = server
    if callback == "transport factory":

        def make(listener, options):
            shut()
            return server(listener, options)

    url = {"url": then("ws://fake"), "async url": later("ws://fake")}.get(callback, "ws://fake")
    connection = WebSocketStore(
        url,
        transport=make,
        headers=then(()) if callback == "headers" else (),
        subprotocols=later(()) if callback == "async subprotocols" else (),
        protocol=BY_TYPE if callback == "latest subscriber" else None,
        codec=(decode, str) if callback in {"codec", "on_error"} else None,
        on_error=shut if callback == "on_error" else None,
        on_open={"on_open": shut, "async on_open": later(None)}.get(callback),
        should_reconnect={
            "should_reconnect": then(True),
            "async should_reconnect": later(True),
        }.get(callback),
        reconnect=Reconnect(schedule=lambda attempt, outcome: 1.0),
    )
    connections.append(connection)
    tasks: list[asyncio.Task] = []
    stream = None

    async def read() -> None:
        async for _ in connection.stream():
            shut()

    async def wait_until_ready() -> None:
        await connection.ready()
        shut()

    async def wait_for_receipt() -> None:
        await connection.send("x")
        shut()

    match callback.split():
        case "select", "subscriber":
            connection.select(len).subscribe(lambda count: count and shut())
        case "select", "function":
            connection.select(lambda view: view and shut()).subscribe(lambda _: None)
        case "latest", "subscriber":
            latest = connection.subscribe("price").latest
            latest.subscribe(lambda price: price and shut())
        case "messages", "subscriber":
            connection.messages.subscribe(lambda view: view and shut())
        case name, "subscriber":
            getattr(connection, name).subscribe(shut)
            if name == "buffered_amount":
                connection.send("x")
        case ["on_append"]:
            connection.messages.on_append(shut)
        case "stream", "filter":
            stream = connection.stream(where=shut)
        case "stream", "reader":
            tasks.append(asyncio.create_task(read()))
        case ["ready"]:
            tasks.append(asyncio.create_task(wait_until_ready()))
        case ["receipt"]:
            tasks.append(asyncio.create_task(wait_for_receipt()))
    await turns()
    connection.connect()
    if callback == "call_threadsafe":
        await asyncio.to_thread(lambda: connection.call_threadsafe(shut).result())
    async with asyncio.timeout(60):
        await connection.phase.wait_for(lambda phase: phase == "closed")
        await connection.aclose()
    await asyncio.gather(*tasks)
    assert closed_in, "the callback was called"
    assert set(closed_in) <= {"closing", "closed"}
    state = connection.state.value
    assert (state.phase, state.error, state.socket) == ("closed", None, None)
    count = len(server.handshakes)
    await asyncio.sleep(3600)
    assert len(server.handshakes) == count <= 1
    assert connection.phase.value == "closed"
    if callback == "call_threadsafe":
        await asyncio.get_running_loop().shutdown_default_executor()
    del stream


# Each life ends once


def refusing(error: Exception):
    """A network on which every handshake fails like this."""

    class Refusing:
        heard = buffered_amount = 0
        reading_paused = False

        def __init__(self, listener: object, options: object) -> None:
            pass

        async def open(self, target: object) -> None:
            raise error

    return Refusing


def stop(*_: object):
    raise StopReconnecting("you were logged out")


async def stop_later(*_: object):
    raise StopReconnecting("you were logged out")


def broken(*_: object):
    raise ZeroDivisionError("a bug of mine")


async def broken_later(*_: object):
    raise ZeroDivisionError("a bug of mine")


STOPPED = "stopped by a callable"
TLS = HandshakeFailed("wss://fake", "the certificate is of somebody else", kind="certificate")
ENDINGS = [
    ("attempts exhausted", "Failed to reconnect after 2 attempts", [], {"attempts": 2}),
    ("reconnecting is off", "the connection broke", [accept(), drop()], {"reconnect": False}),
    ("reconnecting is off", "refused", [refuse()], {"reconnect": Reconnect.linear(attempts=0)}),
    ("refused by predicate", "broke", [accept(), drop()], {"should_reconnect": lambda o: False}),
    *((STOPPED, "you were logged out", [], {who: stop}) for who in ("url", "headers", "on_open")),
    *((STOPPED, "you were logged out", [], {"subprotocols": it}) for it in (stop, stop_later)),
    *(
        ("fatal close code", f"{code}", [accept(), close(code)], {})
        for code in (1002, 1003, 1007, 1009, 1010, 4400, 4404, 4410)
    ),
    *(("fatal HTTP status", f"HTTP {it}", [refuse(it)], {}) for it in (400, 404, 410, 426)),
    ("fatal TLS", "certificate", [], {"transport": refusing(TLS)}),
    ("fatal url", "must begin with ws://", [], {"url": lambda attempt: "http://fake"}),
    ("fatal option", "'X-A'", [], {"headers": lambda attempt: {"X-A": "\u200b"}}),
    ("fatal option", "number 1", [], {"subprotocols": lambda attempt: ["a b"]}),
    ("no common subprotocol", "none of the offered", [accept("x")], {"subprotocols": ["y"]}),
    *(("unauthorised", f"HTTP {it}", [refuse(it)], {}) for it in (401, 403, 407)),
    *(("unauthorised", f"{it}", [accept(), close(it)], {}) for it in (1008, 3000, 4401, 4403)),
    ("policy error", "should_reconnect raised", [refuse()], {"should_reconnect": broken}),
    ("policy error", "should_reconnect raised", [refuse()], {"should_reconnect": broken_later}),
    ("policy error", "schedule raised", [refuse()], {"reconnect": Reconnect(schedule=broken)}),
    (
        "policy error",
        "returned -1 seconds",
        [refuse()],
        {"reconnect": Reconnect(schedule=lambda a, o: -1)},
    ),
]


@pytest.mark.contract("CN9", "CN7", "CN10", "MS4", "OB2", "OB3", "RC6", "RC9")
@pytest.mark.parametrize(("reason", "words", "script", "options"), ENDINGS)
async def test_a_failure_has_one_reason_and_one_sentence_and_nothing_follows(
    reason, words, script, options
):
    options = dict(options)
    server = FakeServer(*script)
    if attempts := options.pop("attempts", None):
        server.go_down()
        options["reconnect"] = Reconnect.linear(attempts=attempts)
    options = {"url": "ws://fake", "transport": server} | options
    connection = WebSocketStore(**options)
    stream = connection.stream()
    waiting = [connection.send("x"), connection.send("y")]
    phases: list[str] = []
    connection.phase.subscribe(phases.append)
    connection.connect()
    with pytest.raises(ConnectionEnded) as caught:
        await connection.phase.wait_for(lambda phase: phase == "failed", 100)
        await connection.ready()
    assert caught.value.reason == reason
    state = connection.state.value
    assert state.failure.reason == reason
    assert words in state.error
    assert "\n" not in state.error
    assert connection.status.value == "error"
    assert connection.error.value is state.exception
    with pytest.raises(ConnectionEnded) as raised:
        await anext(stream)
    assert raised.value.reason == reason
    if "open" in phases:
        assert {receipt.state for receipt in waiting} <= {"sent", "unknown"}
    else:
        assert [receipt.state for receipt in waiting] == ["dropped", "dropped"]
    assert connection.send("after the end").state == "refused"
    count = len(server.handshakes)
    await asyncio.sleep(24 * 3600)
    assert phases.count("failed") == 1
    assert connection.state.value is state
    assert len(server.handshakes) == count


@pytest.mark.contract("CN9", "RC5", "CN7")
@pytest.mark.parametrize("code", [1000, 1005])
async def test_a_goodbye_that_is_believed_is_no_error(code):
    server = FakeServer(accept(), send("bye"), close(code, "closing time" if code == 1000 else ""))
    policy = Reconnect.exponential(after_goodbye=False)
    connection = WebSocketStore("ws://fake", transport=server, reconnect=policy)
    errors: list[object] = []
    connection.error.subscribe(errors.append)
    connection.connect()
    assert [message.data async for message in connection.stream()] == ["bye"]
    with pytest.raises(ConnectionEnded):
        await connection.ready()
    state = connection.state.value
    assert (state.phase, state.error, state.failure) == ("closed", None, None)
    assert state.close == Close(code, "closing time" if code == 1000 else "", clean=True)
    await asyncio.sleep(3600)
    assert len(server.handshakes) == 1
    assert errors == [None]


# Nothing is left


@pytest.mark.contract("CN10")
async def test_a_connection_dropped_while_it_is_in_use_warns_and_its_socket_is_aborted():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    line = inspect.currentframe().f_lineno - 1
    connection.connect()
    await connection.ready()
    gone = weakref.ref(connection)
    held = [connection]
    del connection
    with pytest.warns(ResourceWarning, match=rf"test_closing\.py:{line} was dropped while it was"):
        let_go(held)
    assert gone() is None
    await turns()
    assert server.open_connections == []


@pytest.mark.contract("CN10")
@pytest.mark.parametrize("phase", ["asking", "handshake", "open", "deciding", "waiting", "closing"])
async def test_one_dropped_in_any_phase_is_ended_also_where_warnings_are_errors(phase, monkeypatch):
    seen: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_value))
    connection, server = brought_to(phase)
    connection.connect()
    await asyncio.sleep(0.1)
    if phase == "closing":
        server.freeze()
        connection.close()
    gone = weakref.ref(connection)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del connection
        gc.collect()
    assert gone() is None
    assert [type(error) for error in seen] == [ResourceWarning]
    await turns(20)
    assert server.open_connections == []


@pytest.mark.contract("CN10")
@pytest.mark.parametrize("phase", ["idle", "goodbye", "failed", "closed"])
async def test_one_dropped_at_rest_is_gone_in_silence(phase):
    connection, _ = brought_to(phase)
    if phase != "idle":
        connection.connect()
        await asyncio.sleep(0.1)
        await connection.aclose()
    gone = weakref.ref(connection)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del connection
        gc.collect()
    assert gone() is None


HELD = {
    "state": lambda connection: connection.state,
    "status": lambda connection: connection.status,
    "connected": lambda connection: connection.connected,
    "error": lambda connection: connection.error,
    "messages": lambda connection: connection.messages,
    "buffered_amount": lambda connection: connection.buffered_amount,
    "latest": lambda connection: connection.subscribe("price").latest,
    "select": lambda connection: connection.select(len),
    "stream": lambda connection: connection.stream(),
    "subscription": lambda connection: connection.state.subscribe(lambda state: None),
    "bound method": lambda connection: connection.send,
}


@pytest.mark.contract("CN10")
@pytest.mark.parametrize("what", HELD)
async def test_what_is_held_of_a_connection_keeps_it_alive(what):
    server = FakeServer()
    protocol = BY_TYPE if what == "latest" else None
    connection = WebSocketStore("ws://fake", transport=server, protocol=protocol)
    held = [HELD[what](connection)]
    connection.connect()
    await connection.ready()
    gone = weakref.ref(connection)
    del connection
    gc.collect()
    await asyncio.sleep(100)
    assert gone() is not None
    assert len(server.open_connections) == 1
    with pytest.warns(ResourceWarning):
        let_go(held)
    assert gone() is None
    await turns()
    assert server.open_connections == []


@pytest.mark.contract("CN10", "MS4")
async def test_a_reader_keeps_a_connection_alive_that_nobody_else_holds():
    server = FakeServer()

    async def read() -> list[object]:
        connection = WebSocketStore("ws://fake", transport=server, reconnect=False)
        connection.connect()
        stream = connection.stream()
        del connection
        return [message.data async for message in stream]

    reading = asyncio.create_task(read())
    await asyncio.sleep(1)
    gc.collect()
    server.send("still", "here")
    server.close()
    assert await reading == ["still", "here"]


@pytest.mark.contract("CN10")
async def test_after_the_end_nothing_refers_to_a_subscriber_any_more():
    class Screen:
        def __init__(self, connection: WebSocketStore) -> None:
            self.stops = [
                connection.state.subscribe(self.draw),
                connection.messages.subscribe(self.draw),
                connection.messages.on_append(self.draw),
                connection.subscribe("x").latest.subscribe(self.draw),
                connection.buffered_amount.subscribe(self.draw),
            ]

        def draw(self, _: object) -> None:
            pass

    server = FakeServer(accept(), send({"type": "x"}))
    connection = WebSocketStore(
        "ws://fake", transport=server, outbox=Outbox(limit=3), protocol=BY_TYPE
    )
    screen = Screen(connection)
    gone = weakref.ref(screen)
    async with connection:
        await connection.ready()
        await turns()
        for stop_ in screen.stops:
            stop_()
            stop_()
        del screen, stop_
        gc.collect()
        assert gone() is None


@pytest.mark.contract("CN10")
async def test_a_thousand_lives_leave_nothing_behind():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server, history=1)

    async def live() -> None:
        async with connection:
            await connection.ready()
            connection.send("x")

    for _ in range(100):  # the timeline is full by then
        await live()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(1000):
        await live()
    server.handshakes.clear()
    server.connections.clear()
    gc.collect()
    assert len(gc.get_objects()) - before < 100


@pytest.mark.contract("CN9", "CN6")
async def test_a_socket_that_ends_twice_ends_one_life():
    puppeteer = Puppeteer()
    connection = WebSocketStore("ws://fake", transport=puppeteer, reconnect=False)
    phases: list[str] = []
    connection.phase.subscribe(phases.append)
    connection.connect()
    puppet = await puppeteer.opened()
    puppet.listener.closed(Close(1001, clean=True), "going away")
    puppet.listener.closed(Close(1000, clean=True), "once more")
    puppet.listener.released()
    assert phases == ["idle", "connecting", "open", "failed"]
    assert connection.state.value.close == Close(1001, clean=True)


def test_options_that_cannot_work_are_refused_at_construction():
    for option, value in {
        "reconnect": "yes",
        "outbox": 5,
        "on_open": "f",
        "on_error": 1,
        "should_reconnect": True,
        "connect_timeout": 0,
        "close_timeout": -1,
        "ping_interval": "20",
        "ping_timeout": None,
        "idle_timeout": 0,
        "max_message_bytes": 0,
        "history": -1,
        "codec": 5,
        "ssl": True,
        "subprotocols": "chat",
        "headers": 5,
    }.items():
        with pytest.raises(InvalidOption, match=option):
            WebSocketStore("ws://fake", **{option: value})


@pytest.mark.contract("CN8", "CN4")
async def test_an_aclose_that_is_cancelled_as_a_new_life_begins_does_not_end_that_life():
    server = FakeServer(accept())
    connection = WebSocketStore("ws://fake", transport=server)
    connection.connect()
    await connection.ready()
    closing = asyncio.create_task(connection.aclose())
    await turns(1)
    assert connection.phase.value == "closing"
    closing.cancel()
    connection.connect()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await connection.ready()
    await connection.aclose()
