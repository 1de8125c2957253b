"""A connection and the event loops it lives on, one after another."""

from __future__ import annotations

import asyncio
import gc
import itertools
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sockstore import Navigator, Receipt, Reconnect, Scope, WebSocketStore, blocking
from sockstore.protocols import Heartbeat, Plain
from sockstore.testing import FakeServer, VirtualClock, accept, drop, receive, refuse, repeat, send


@pytest.mark.contract("CN4", "CN10")
def test_a_connection_can_be_used_again_after_its_loop_was_closed_under_it():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    phases: list[str] = []
    connection.phase.subscribe(phases.append)

    async def open_and_forget() -> None:
        connection.connect()
        await connection.ready(10)

    async def open_and_close() -> None:
        await open_and_forget()
        await connection.aclose()

    asyncio.run(open_and_forget())
    assert connection.phase.value == "open"
    VirtualClock().run(open_and_close())
    assert connection.phase.value == "closed"
    assert len(server.handshakes) == 2


def left_in_its_closed_loop(server: FakeServer) -> tuple[WebSocketStore, Receipt]:
    """A connection that was in use when its loop was closed, and the receipt of its message."""
    connection = WebSocketStore("ws://fake", transport=server, reconnect=Reconnect.linear())

    async def use() -> Receipt:
        connection.connect()
        await connection.phase.wait_for(lambda phase: phase in {"open", "waiting"}, 10)
        return connection.send("hello")

    return connection, asyncio.run(use())


def connect_again(connections: list[WebSocketStore]) -> None:
    async def use() -> None:
        async with connections[0]:
            pass

    asyncio.run(use())


def forget(connections: list[WebSocketStore]) -> None:
    def drop() -> None:
        connections.clear()
        gc.collect()

    with pytest.warns(ResourceWarning, match="was dropped while it was in use"):
        drop()


def close_in_thread(connections: list[WebSocketStore]) -> None:
    with ThreadPoolExecutor(1) as threads:
        threads.submit(connections[0].close).result()


ACTIONS = {
    "connect": connect_again,
    "close": lambda connections: connections[0].close(),
    "close in another thread": close_in_thread,
    "forget it": forget,
}


@pytest.mark.contract("CN4", "OB2", "OB3")
@pytest.mark.parametrize("act", ACTIONS.values(), ids=ACTIONS)
def test_what_a_closed_loop_left_queued_is_dropped_and_what_it_left_unproven_is_unknown(act):
    waiting, queued = left_in_its_closed_loop(FakeServer(refuse()))
    live, sent = left_in_its_closed_loop(FakeServer(accept()))
    assert (queued.state, sent.state) == ("queued", "sent")
    connections = [waiting, live]
    del waiting, live
    while connections:
        act([connections.pop()])
    assert repr(queued) == "<Receipt dropped: the connection was closed>"
    assert sent.state == "unknown"


@pytest.mark.contract("CN4", "OB2")
@pytest.mark.parametrize("thread", ["same", "another"])
def test_a_message_for_a_connection_whose_loop_was_closed_is_refused(thread):
    connection, sent = left_in_its_closed_loop(FakeServer(accept()))
    if thread == "same":
        receipt = connection.send("too late")
    else:
        with ThreadPoolExecutor(1) as threads:
            receipt = threads.submit(connection.send, "too late").result()
    assert repr(receipt) == "<Receipt refused: the connection is closed>"
    assert sent.state == "unknown"
    assert connection.phase.value == "closed"


@pytest.mark.contract("CN9")
def test_a_connection_that_failed_stays_failed_when_its_loop_is_closed():
    connection = WebSocketStore("ws://fake", transport=FakeServer(refuse()), reconnect=False)

    async def fail() -> None:
        connection.connect()
        await connection.phase.wait_for(lambda phase: phase == "failed", 10)

    asyncio.run(fail())
    connection.hint("online")
    assert connection.phase.value == "failed"


@pytest.mark.contract("OB3")
def test_a_receipt_is_settled_although_a_task_of_the_closed_loop_awaits_it():
    server = FakeServer(refuse())
    connection = WebSocketStore("ws://fake", transport=server, reconnect=Reconnect.linear())
    loop = asyncio.new_event_loop()

    async def use() -> tuple[Receipt, asyncio.Task[Receipt]]:
        connection.connect()
        await connection.phase.wait_for(lambda phase: phase == "waiting", 10)
        receipt = connection.send("hello")

        async def wait() -> Receipt:
            return await receipt

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        return receipt, waiting

    receipt, waiting = loop.run_until_complete(use())
    loop.close()
    connection.close()
    assert receipt.state == "dropped"
    assert connection.phase.value == "closed"
    assert not waiting.done()
    waiting._log_destroy_pending = False  # what a closed loop leaves pending is never run


@pytest.mark.contract("OB3")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_blocking_connection_outlives_the_loop_that_a_callable_ended():
    async def leave(store: WebSocketStore) -> None:
        threads.put(threading.current_thread())
        asyncio.get_running_loop().stop()
        await asyncio.sleep(100)

    threads: queue.Queue[threading.Thread] = queue.Queue()
    connection = blocking.WebSocket("ws://fake", transport=FakeServer(), on_open=leave)
    receipt = connection.send("hello")
    connection.connect()
    threads.get(timeout=20).join(20)
    assert receipt.state == "queued"
    connection.close()
    assert repr(receipt) == "<Receipt dropped: the connection was closed>"
    assert connection.phase == "closed"


@pytest.mark.contract("CN4")
def test_a_connection_in_use_is_refused_to_another_loop():
    connection = WebSocketStore("ws://fake", transport=FakeServer())

    async def connect_twice() -> None:
        connection.connect()
        await connection.ready(10)

        async def again() -> None:
            with pytest.raises(RuntimeError, match="thread of its event loop"):
                connection.connect()

        await asyncio.to_thread(asyncio.run, again())
        await connection.aclose()

    asyncio.run(connect_twice())


@pytest.mark.contract("CN4")
def test_a_connection_in_use_is_refused_to_another_loop_of_the_same_thread():
    connection = WebSocketStore("ws://fake", transport=FakeServer())

    async def connect() -> None:
        connection.connect()
        await connection.ready(10)

    async def refused() -> None:
        with pytest.raises(RuntimeError, match="in use on another event loop"):
            connection.connect()

    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(connect())
        second.run(refused())
        first.run(connection.aclose())
        second.run(connect())
        second.run(connection.aclose())


@pytest.mark.contract("CN4")
def test_connect_without_a_loop_says_what_it_needs():
    with pytest.raises(RuntimeError, match=r"connect\(\) needs a running event loop"):
        WebSocketStore("ws://fake").connect()


@pytest.mark.contract("CN11")
@pytest.mark.virtual_clock
async def test_a_transport_factory_that_raises_is_a_failed_attempt():
    def broken(listener: object, options: object) -> object:
        raise ValueError("no network card")

    connection = WebSocketStore("ws://fake", transport=broken, reconnect=False)
    connection.connect()
    state = await connection.state.wait_for(lambda state: state.phase == "failed")
    assert "no network card" in state.error


FACTORIES = [None, lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options)]
if sys.version_info >= (3, 12):
    FACTORIES.append(asyncio.eager_task_factory)


@pytest.mark.contract("CN21")
@pytest.mark.parametrize("factory", FACTORIES, ids=["none", "its own", "eager"][: len(FACTORIES)])
def test_the_programs_task_factory_changes_nothing(factory):
    """All of tests/integration runs with eager tasks in `make test-all`."""
    notes: list[str] = []
    server = FakeServer(refuse(503), refuse(), repeat(accept(), send("hello"), receive(), drop()))

    async def page(scope: Scope) -> None:
        connection = WebSocketStore(
            "ws://fake",
            transport=server,
            reconnect=Reconnect(schedule=lambda attempt, outcome: 1.0, min_uptime=0),
            on_open=lambda opening: opening.send("first"),
        )
        await scope.enter(connection)
        scope.subscribe(connection.phase, lambda phase: notes.append(f"{clock.now:g}: {phase}"))
        scope.on_destroy(lambda: notes.append(f"{clock.now:g}: page is left"))
        scope.task(asyncio.sleep(1000))

    async def failing(scope: Scope) -> None:
        scope.on_destroy(lambda: notes.append(f"{clock.now:g}: failing is left"))
        raise ZeroDivisionError

    async def main() -> None:
        async with Navigator() as navigator:
            await navigator.goto(page)
            await asyncio.sleep(4.5)
            with pytest.raises(ZeroDivisionError):
                await navigator.goto(failing)

    clock = VirtualClock()
    with asyncio.Runner(loop_factory=clock.new_event_loop) as runner:
        runner.get_loop().set_task_factory(factory)
        runner.run(main())
    assert notes == [
        *("0: connecting", "0: waiting", "1: connecting", "1: waiting"),
        *(f"{n}: {phase}" for n in (2, 3, 4) for phase in ("connecting", "open", "waiting")),
        *("4.5: page is left", "4.5: failing is left"),
    ]


def browsers_loop():
    """Return a loop like Pyodide's: it refuses the past, and time passes between two looks."""
    loop = VirtualClock().new_event_loop()
    virtual_time, looks = loop.time, itertools.count()

    def call_later(delay, callback, *args, context=None):
        if delay < 0:
            raise ValueError("Can't schedule in the past")
        return asyncio.SelectorEventLoop.call_at(
            loop, loop.time() + delay, callback, *args, context=context
        )

    def call_at(when, callback, *args, context=None):
        return call_later(when - loop.time(), callback, *args, context=context)

    loop.time = lambda: virtual_time() + next(looks) * 2**-10
    loop.call_later, loop.call_at = call_later, call_at
    return loop


@pytest.mark.contract("CN8", "LV2")
def test_a_time_that_passes_while_its_timer_is_set_is_not_missed():
    beats, opens = 5, 3
    server = FakeServer(repeat(accept(), *[receive()] * beats, drop()))
    connection = WebSocketStore(
        "ws://fake",
        transport=server,
        reconnect=Reconnect(schedule=lambda attempt, outcome: 0.0),
        protocol=Plain(heartbeat=Heartbeat("beat", interval=2**-11)),
    )

    async def beat_and_come_back() -> None:
        async with connection:
            for _ in range(opens):
                await connection.phase.wait_for(lambda phase: phase == "open")
                await connection.phase.wait_for(lambda phase: phase != "open")

    with asyncio.Runner(loop_factory=browsers_loop) as runner:
        runner.run(beat_and_come_back())
    assert len(server.handshakes) >= opens
    assert len(server.received) >= beats * opens


@pytest.mark.contract("CN4", "CN10")
@pytest.mark.parametrize(
    "act", [WebSocketStore.close, lambda connection: connection.send("x")], ids=["close", "send"]
)
def test_a_connection_whose_thread_has_ended_can_be_used_by_another_one(act):
    connection = WebSocketStore("ws://fake", transport=FakeServer(accept()))
    phases: list[str] = []

    async def use() -> None:
        async with asyncio.timeout(5):
            connection.connect()
            await connection.ready()

    with ThreadPoolExecutor(1) as threads:
        threads.submit(asyncio.run, use()).result()
    act(connection)
    with connection.phase.subscribe(phases.append):
        pass
    assert (phases, connection.connected.value, connection.stats().phase) == (
        ["closed"],
        False,
        "closed",
    )
