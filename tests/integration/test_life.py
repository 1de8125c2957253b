"""The life of a connection: constructed, connected, ready, connected again, left."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys

import pytest
from puppets import Puppeteer

from sockstore import (
    Close,
    ConnectionEnded,
    InvalidOption,
    InvalidURI,
    Reconnect,
    SocketInfo,
    WebSocketStore,
)
from sockstore.testing import FakeServer, accept, drop, echo, hang, pause, refuse, send, slow
from waiting import turns

pytestmark = pytest.mark.virtual_clock

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0, min_uptime=0)


@pytest.mark.contract("CN1")
def test_importing_loads_no_engine_and_no_framework_and_constructing_needs_no_loop():
    program = """
import asyncio, sys, threading
import sockstore
for name in ("websockets", "textual", "nicegui", "starlette", "uvicorn", "pydantic", "redis"):
    assert name not in sys.modules, name

class NoLoop(asyncio.AbstractEventLoopPolicy):
    def get_event_loop(self): raise AssertionError("no loop, please")
    new_event_loop = get_event_loop
asyncio.set_event_loop_policy(NoLoop())

before = threading.active_count()
connection = sockstore.WebSocketStore("wss://example.com/feed", history=10)
seen = []
for store in (connection.state, connection.status, connection.connected, connection.socket,
              connection.error, connection.phase, connection.messages,
              connection.buffered_amount, connection.select(len)):
    store.subscribe(seen.append)
connection.messages.on_append(seen.append)
stream = connection.stream()
receipt = connection.send({"queued": True})
assert receipt.state == "queued", receipt
assert connection.status.value == "disconnected"
assert len(seen) == 10, seen  # the queued message changed buffered_amount
assert "websockets" not in sys.modules
assert threading.active_count() == before
connection.close()
assert connection.phase.value == "closed"
assert receipt.state == "dropped"
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr


# connect()


@pytest.mark.contract("CN4")
async def test_connect_returns_at_once_and_fifty_of_them_make_one_handshake():
    server = FakeServer(slow(0.5))
    connection = WebSocketStore("ws://fake", transport=server)

    async def connect() -> str:
        connection.connect()
        assert connection.phase.value == "connecting"
        await connection.ready()
        return connection.phase.value

    assert await asyncio.gather(*(connect() for _ in range(50))) == ["open"] * 50
    connection.connect()
    connection.connect("ws://fake")
    await turns()
    assert len(server.handshakes) == 1
    await connection.aclose()


@pytest.mark.contract("CN4")
async def test_connect_does_nothing_while_it_connects_waits_or_decides():
    asked = asyncio.Event()

    async def ponder(outcome) -> bool:
        asked.set()
        await asyncio.sleep(5)
        return True

    server = FakeServer(slow(1), accept(), pause(3), drop(), slow(0))
    async with WebSocketStore(
        "ws://fake", transport=server, reconnect=EVERY_SECOND, should_reconnect=ponder
    ) as connection:
        connection.connect()
        await connection.ready()
        await asked.wait()
        seen: list[object] = []
        connection.state.subscribe(seen.append)
        connection.connect()  # should_reconnect is being asked
        await connection.state.wait_for(lambda state: state.retry_at)
        connection.connect()  # waiting
        assert [state.phase for state in seen] == ["waiting", "waiting"]
        await connection.ready()
        assert len(server.handshakes) == 2


@pytest.mark.contract("CN4", "CN6", "OB2")
@pytest.mark.parametrize("when", ["connecting", "open", "waiting"])
async def test_another_url_retires_the_old_socket_and_drops_what_was_meant_for_the_old_one(when):
    steps = {"connecting": [hang()], "open": [accept()], "waiting": [refuse()]}[when]
    server = FakeServer(*steps)
    async with WebSocketStore("ws://old", transport=server) as connection:
        await connection.phase.wait_for(lambda phase: phase == when)
        await turns()
        receipt = connection.send("for the old one")
        connection.connect("ws://new")
        assert connection.phase.value == "connecting"
        assert connection.socket.value is None
        assert connection.error.value is None, "connect() clears the error"
        await connection.ready(1)
        urls = [handshake.target.url for handshake in server.handshakes]
        assert urls == ["ws://old", "ws://new"]
        assert connection.socket.value.url == "ws://new"
        assert repr(connection) == "<WebSocketStore ws://new open>"
        if when == "open":
            assert receipt.state == "sent"
            assert server.connections[0].closed == Close(1000, clean=True)
            assert server.connections[0].received == ["for the old one"]
        else:
            assert receipt.state == "dropped"
            assert "another url" in receipt.why
        assert server.connection.received == []
        assert len(server.open_connections) == 1


@pytest.mark.contract("CN4", "RC5")
@pytest.mark.parametrize("end", ["closed by us", "goodbye", "failed"])
async def test_after_the_end_connect_starts_afresh_and_keeps_the_messages(end):
    server = FakeServer(accept(), send("one"))
    connection = WebSocketStore("ws://fake", transport=server, reconnect=False)
    connection.connect()
    await connection.messages.wait_for(len, timeout=1)
    match end:
        case "closed by us":
            await connection.aclose()
        case "goodbye":
            server.close(1000)
        case "failed":
            server.drop()
    ended = "failed" if end == "failed" else "closed"
    await connection.phase.wait_for(lambda phase: phase == ended, timeout=1)
    assert (connection.error.value is not None) == (end == "failed")
    connection.connect()
    state = connection.state.value
    assert (state.phase, state.attempt, state.error, state.close) == ("connecting", 0, None, None)
    await connection.ready(1)
    server.send("two")
    await connection.messages.wait_for(lambda messages: len(messages) == 2, timeout=1)
    assert [(message.number, message.data) for message in connection.messages.value] == [
        (1, "one"),
        (2, "two"),
    ]
    await connection.aclose()


@pytest.mark.contract("CN4", "CN5", "CN6")
async def test_connect_while_closing_starts_afresh_at_once_beside_the_old_socket():
    puppeteer = Puppeteer()
    connection = WebSocketStore("ws://fake", transport=puppeteer)
    connection.connect()
    old = await puppeteer.opened()
    connection.close()
    assert connection.phase.value == "closing"
    connection.connect()
    assert connection.phase.value == "connecting"
    new = await puppeteer.opened()
    assert connection.connected.value
    old.end(Close(1000, clean=True))
    assert connection.connected.value, "the end of the old socket is not the end of the new one"
    connection.close()
    new.end(Close(1000, clean=True))
    assert connection.phase.value == "closed"


@pytest.mark.contract("CN4")
async def test_a_bad_url_is_refused_before_anything_happens():
    for bad in ("http://example.com", "ws://", "ws://host:99999", "ws://host/#x", "", 5, b"ws://x"):
        with pytest.raises(InvalidURI):
            WebSocketStore(bad)
    server = FakeServer()
    async with WebSocketStore("ws://good", transport=server) as connection:
        await connection.ready()
        with pytest.raises(InvalidURI):
            connection.connect("http://bad")
        assert connection.connected.value
        connection.close()
        connection.connect()
        await connection.ready()
        assert server.handshakes[-1].target.url == "ws://good"
    nowhere = WebSocketStore(transport=server)
    for go in (nowhere.connect, nowhere.reconnect):
        with pytest.raises(InvalidOption, match="url=None"):
            go()
    assert nowhere.phase.value == "idle"
    nowhere.connect("ws://somewhere")
    await nowhere.ready()
    await nowhere.aclose()


@pytest.mark.contract("CN4")
def test_ready_and_close_need_no_connect_and_connect_needs_a_loop():
    connection = WebSocketStore("ws://fake")
    for name in ("connect", "reconnect"):
        with pytest.raises(RuntimeError, match=rf"{name}\(\) needs a running event loop"):
            getattr(connection, name)()
    assert connection.phase.value == "idle"
    with pytest.raises(RuntimeError, match="connected once"):
        connection.call_threadsafe(connection.send, "x")


# ready()


@pytest.mark.contract("CN4", "CN8")
async def test_ready_waits_through_attempts_and_tells_the_last_error_when_its_time_is_up():
    server = FakeServer(refuse(), refuse(), refuse(503), slow(0))
    async with WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND) as connection:
        with pytest.raises(
            TimeoutError, match=r"not connected within 1.5 s; the last error: .*ref"
        ):
            await connection.ready(1.5)
        assert connection.phase.value == "waiting", "it goes on trying"
        await connection.ready()
        await connection.ready(0.001)
    idle = WebSocketStore("ws://fake", transport=server)
    with pytest.raises(TimeoutError, match=r"^not connected within 3 s$"):
        await idle.ready(3)


@pytest.mark.contract("CN4", "CN9")
async def test_ready_raises_what_ended_the_connection():
    connection = WebSocketStore("ws://fake", transport=FakeServer(refuse(404)))
    connection.connect()
    with pytest.raises(ConnectionEnded, match="404") as caught:
        await connection.ready()
    assert caught.value.reason == "fatal HTTP status"
    assert caught.value.__cause__ is connection.error.value
    connection = WebSocketStore("ws://fake", transport=FakeServer(hang()))
    connection.connect()
    waiting = asyncio.create_task(connection.ready())
    await turns()
    connection.close()
    with pytest.raises(ConnectionEnded, match="the connection is clos"):
        await waiting


@pytest.mark.contract("CN4", "CN8")
async def test_cancelling_ready_leaves_the_connection_alone():
    server = FakeServer(slow(2))
    async with WebSocketStore("ws://fake", transport=server) as connection:
        waiting = asyncio.create_task(connection.ready())
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await connection.ready()
        assert len(server.handshakes) == 1


# async with


@pytest.mark.contract("CN8")
async def test_the_block_is_entered_without_waiting_and_closes_when_it_is_left():
    server = FakeServer(slow(0.25))
    async with WebSocketStore("ws://fake", transport=server) as connection:
        assert connection.phase.value == "connecting"
        await connection.ready()
    assert connection.phase.value == "closed"
    assert connection.state.value.close == Close(1000, clean=True)
    assert server.connection.closed == Close(1000, clean=True)


@pytest.mark.contract("CN8")
async def test_a_body_that_raises_closes_and_its_own_error_comes_out():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    with pytest.raises(KeyError, match="mine"):
        async with connection:
            await connection.ready()
            raise KeyError("mine")
    assert connection.phase.value == "closed"
    assert server.connection.closed is not None


@pytest.mark.contract("CN8", "CN12")
@pytest.mark.parametrize("step", [hang(), accept(), refuse(), "callable"])
async def test_cancelling_a_program_anywhere_closes_and_the_cancellation_comes_out(step):
    async def url(attempt) -> str:
        if step == "callable":
            await asyncio.sleep(1000)
        return "ws://fake"

    server = FakeServer(*(() if step == "callable" else (step,)))
    connection = WebSocketStore(url, transport=server)

    async def program() -> None:
        async with connection:
            async for _ in connection.stream():
                pass

    task = asyncio.create_task(program())
    await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()
    assert connection.phase.value == "closed"


@pytest.mark.contract("CN8", "CN5")
async def test_a_second_cancellation_while_it_closes_aborts_at_once():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)

    async def program() -> None:
        async with connection:
            await asyncio.sleep(1000)

    task = asyncio.create_task(program())
    await connection.ready(1)
    server.freeze()
    loop = asyncio.get_running_loop()
    before = loop.time()
    task.cancel()
    await asyncio.sleep(1)
    assert connection.phase.value == "closing"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await turns()
    assert connection.phase.value == "closed"
    assert loop.time() - before == 1


@pytest.mark.contract("CN8")
async def test_a_timeout_around_everything_ends_in_time():
    server = FakeServer(accept(), echo())
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            async with WebSocketStore("ws://fake", transport=server) as connection:
                stream = connection.stream()
                while True:
                    connection.send("again")
                    await anext(stream)
                    await asyncio.sleep(0.1)
    assert loop.time() == 3
    assert connection.phase.value == "closed"


# Old sockets


@pytest.mark.contract("CN6", "CN2", "MS4", "OB4")
async def test_an_old_socket_that_is_late_with_everything_changes_nothing():
    puppeteer = Puppeteer()
    connection = WebSocketStore("ws://old", transport=puppeteer, ping_interval=1)
    stream = connection.stream()
    connection.connect()
    old = await puppeteer.opened()
    await asyncio.sleep(1)
    connection.connect("ws://new")
    assert old.orders == ["close 1000"]
    new = await puppeteer.opened()
    assert connection.socket.value == SocketInfo("ws://new")

    seen: list[object] = []
    for store in (connection.state, connection.messages, connection.buffered_amount):
        store.subscribe(seen.append)
    connection.messages.on_append(seen.append)
    seen.clear()
    assert not old.deliver("late", b"late"), "late messages are discarded"
    old.pong()
    old.listener.writing_paused()
    old.listener.writing_resumed()
    await turns()
    old.listener.closed(Close(4401, "who are you?", clean=True), "closed late")
    await turns()
    old.listener.released()
    await turns()
    assert seen == []
    assert stream.lag == 0
    assert connection.send("x").state == "sent", "the new socket is as writable as it was"
    assert new.sent == ["x"]
    connection.close()
    new.end()


@pytest.mark.contract("CN6")
async def test_a_handshake_that_succeeds_after_another_url_was_given_is_ended_and_unseen():
    puppeteer = Puppeteer()
    connection = WebSocketStore("ws://slow", transport=puppeteer)
    phases: list[str] = []
    connection.phase.subscribe(phases.append)
    connection.connect()
    await turns()
    slow_one = puppeteer.newest
    # The turn in which the handshake succeeds is also the one in which it is not wanted any more.
    slow_one.decision.set_result(None)
    connection.connect("ws://new")
    slow_one.listener.opened(SocketInfo("ws://slow"))
    assert slow_one.orders == ["abort"]
    new = await puppeteer.opened()
    assert connection.socket.value.url == "ws://new"
    slow_one.end()
    assert connection.socket.value.url == "ws://new"
    assert phases == ["idle", "connecting", "open"]
    connection.close()
    new.end()


@pytest.mark.contract("CN6")
async def test_the_answer_of_a_slow_server_comes_too_late():
    server = FakeServer(slow(4), accept(), send("from the slow one"), slow(0))
    async with WebSocketStore("ws://slow", transport=server) as connection:
        await asyncio.sleep(3)  # accepted there, not yet heard of here
        assert connection.phase.value == "connecting"
        connection.connect("ws://quick")
        await connection.ready(0.5)
        await asyncio.sleep(30)
        assert connection.socket.value.url == "ws://quick"
        assert connection.messages.total == 0


@pytest.mark.contract("CN6", "CN10")
async def test_an_old_socket_that_never_ends_is_aborted_after_close_timeout():
    puppeteer = Puppeteer()
    connection = WebSocketStore("ws://old", transport=puppeteer, close_timeout=2)
    connection.connect()
    old = await puppeteer.opened()
    connection.connect("ws://new")
    new = await puppeteer.opened()
    await asyncio.sleep(1.9)
    assert old.orders == ["close 1000"]
    await asyncio.sleep(0.2)
    assert old.orders == ["close 1000", "abort"]
    connection.close()
    ending = asyncio.create_task(connection.aclose())
    new.end()
    await turns()
    assert connection.phase.value == "closed"
    assert not ending.done(), "aclose() waits for the old socket too"
    old.listener.released()
    await ending


@pytest.mark.contract("CN4", "CN8")
async def test_one_connection_lives_many_lives_and_each_has_its_own_end():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    phases: list[str] = []
    connection.phase.subscribe(phases.append)
    for _ in range(3):
        with contextlib.suppress(ZeroDivisionError):
            async with connection:
                await connection.ready()
                raise ZeroDivisionError
    assert phases == ["idle", *(["connecting", "open", "closing", "closed"] * 3)]


@pytest.mark.contract("CN5", "CN4")
async def test_aclose_waits_for_its_own_end_and_not_for_that_of_the_next_life():
    puppeteer = Puppeteer()
    connection = WebSocketStore("ws://fake", transport=puppeteer)
    connection.connect()
    old = await puppeteer.opened()
    endings = [asyncio.create_task(connection.aclose()) for _ in range(3)]
    await turns()
    assert not any(ending.done() for ending in endings)
    connection.connect()
    new = await puppeteer.opened()
    await asyncio.wait_for(asyncio.gather(*endings), 1)
    assert connection.connected.value
    old.end()
    connection.close()
    new.end()


@pytest.mark.contract("CN5", "CN8", "CN11")
@pytest.mark.parametrize("callback", ["on_open", "url", "headers", "should_reconnect", "reader"])
async def test_aclose_inside_an_async_callback_ends_everything(callback):
    async def end(*_: object) -> object:
        await connection.aclose()
        return True

    async def read() -> None:
        async for _ in connection.stream():
            await connection.aclose()

    server = FakeServer(accept(), send("x"), pause(1), drop())
    options = {} if callback == "reader" else {callback: end}
    connection = WebSocketStore(**({"url": "ws://fake"} | options), transport=server)
    connection.connect()
    reading = asyncio.create_task(read())
    await connection.phase.wait_for(lambda phase: phase == "closed", timeout=30)
    await connection.aclose()
    await reading
    assert len(server.handshakes) <= 1
