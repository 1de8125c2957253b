"""The blocking WebSocket over real sockets: threads, Ctrl-C, the interpreter's exit."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from loopback.blocking_programs import (
    PATIENCE,
    deaf,
    echoing,
    in_a_thread,
    output_of,
    silent,
)
from loopback.processes import free_port, serving
from loopback.servers import Peer, text
from loopback.servers import serve as raw_server
from sockstore import InvalidOption, Lagged, Reconnect
from sockstore.blocking import WebSocket, loop_thread, streams
from sockstore.protocols import Centrifuge

pytestmark = pytest.mark.loopback

OFTEN = Reconnect(schedule=lambda attempt, outcome: 0.05)


@pytest.fixture(autouse=True)
def says_where_it_hangs():
    faulthandler.dump_traceback_later(PATIENCE * 3, exit=False)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def echo():
    with in_a_thread(echoing()) as server:
        yield server


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# Starting and stopping


def test_a_thousand_starts_and_stops_leave_no_thread_and_no_descriptor(echo):
    with WebSocket(echo.url) as ws:
        ws.ready(PATIENCE)
    echo.until_gone(1)
    threads, files = set(threading.enumerate()), open_files()
    for number in range(1000):
        with WebSocket(echo.url) as ws:
            if number % 4 == 0:
                ws.ready(PATIENCE)
            elif number % 4 == 1:
                ws.on_message(lambda message: None)
                ws.send(number)
    assert set(threading.enumerate()) <= threads
    echo.until_gone(echo.connected)
    # The server is in the same process and closes its own ends, also those of attempts that were
    # given up before it saw them.
    deadline = time.monotonic() + PATIENCE
    while open_files() > files and time.monotonic() < deadline:
        time.sleep(0.001)
    assert open_files() <= files


def test_threads_that_start_and_stop_share_one_loop_and_leave_nothing(echo):
    threads = set(threading.enumerate())

    def use() -> None:
        for _ in range(25):
            with WebSocket(echo.url) as ws:
                ws.send("x")
                assert ws.recv(PATIENCE).data == "x"

    users = [threading.Thread(target=use) for _ in range(8)]
    for user in users:
        user.start()
    for user in users:
        user.join(PATIENCE)
        assert not user.is_alive()
    assert set(threading.enumerate()) <= threads


def test_all_that_are_open_share_one_thread(echo):
    before = threading.active_count()
    sockets = [WebSocket(echo.url) for _ in range(5)]
    for ws in sockets:
        ws.connect()
    for ws in sockets:
        ws.ready(PATIENCE)
    assert threading.active_count() == before + 1
    for ws in sockets:
        ws.close()
    assert threading.active_count() == before


def test_waiting_while_others_subscribe_to_the_phase_fails_for_no_other_reason(echo):
    is_over = threading.Event()

    def subscribe() -> None:
        while not is_over.is_set():
            ws.on_change("phase", id)()

    interval = sys.getswitchinterval()
    with WebSocket(echo.url) as ws:
        ws.ready(PATIENCE)
        subscribing = threading.Thread(target=subscribe)
        subscribing.start()
        try:
            sys.setswitchinterval(1e-6)
            for _ in range(40_000):
                with contextlib.suppress(TimeoutError):
                    ws.recv(0)
        finally:
            sys.setswitchinterval(interval)
            is_over.set()
            subscribing.join(PATIENCE)


def test_connecting_at_the_moment_when_the_thread_is_released_holds_a_thread(echo, monkeypatch):
    release, hold = loop_thread.LoopThread.release, loop_thread.shared.hold
    is_held, is_released = threading.Event(), threading.Event()
    errors = []

    def connect() -> None:
        try:
            ws.connect()
        except RuntimeError as error:
            errors.append(error)

    connecting = threading.Thread(target=connect, daemon=True)

    def slow_release(thread, user):
        if not connecting.ident:
            connecting.start()
            is_held.wait(0.5)
        release(thread, user)
        is_released.set()

    def slow_hold(user):
        thread = hold(user)
        if threading.current_thread() is connecting:
            is_held.set()
            is_released.wait(PATIENCE)
        return thread

    monkeypatch.setattr(loop_thread.LoopThread, "release", slow_release)
    monkeypatch.setattr(loop_thread.shared, "hold", slow_hold)
    with WebSocket(echo.url) as ws:
        ws.ready(PATIENCE)
        ws.close()
        connecting.join(PATIENCE)
        assert (connecting.is_alive(), errors) == (False, [])
        ws.send("again")
        assert ws.recv(PATIENCE).data == "again"


@pytest.mark.contract("CN5")
def test_those_who_close_at_once_do_not_wait_for_a_thread_that_others_use(echo, monkeypatch):
    waits = []
    join = threading.Thread.join

    def watched(thread, timeout=None):
        if thread.name == "sockstore":
            waits.append(threading.current_thread())
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", watched)
    with WebSocket(echo.url) as other:
        other.ready(PATIENCE)
        for _ in range(20):
            ws = WebSocket(echo.url)
            ws.connect()
            closing = [threading.Thread(target=ws.close) for _ in range(4)]
            for thread in closing:
                thread.start()
            for thread in closing:
                thread.join(PATIENCE)
        assert waits == []
        other.send("still here")
        assert other.recv(PATIENCE).data == "still here"
    assert waits == [threading.current_thread()]


def test_close_waits_for_the_closing_handshake_and_no_longer_than_its_bound(echo):
    with WebSocket(echo.url) as ws:
        ws.ready(PATIENCE)
        ws.close(3001, "done")
        assert ws.phase == "closed"
        assert echo.until_gone(1) == [3001]
    with in_a_thread(deaf()) as server, WebSocket(server.url, close_timeout=0.2) as ws:
        ws.ready(PATIENCE)
        ws.close()
        assert ws.phase == "closed"


# Messages


@pytest.mark.contract("MS4")
def test_each_thread_with_a_stream_of_its_own_gets_everything_in_order(echo):
    got: dict[int, list[int]] = {}
    with WebSocket(echo.url) as ws:
        streams = [ws.stream(limit=2000) for _ in range(4)]

        def read(number: int) -> None:
            got[number] = [streams[number].recv(PATIENCE).data for _ in range(1000)]

        readers = [threading.Thread(target=read, args=(number,)) for number in range(4)]
        for reader in readers:
            reader.start()
        for number in range(1000):
            ws.send(number)
        for reader in readers:
            reader.join(PATIENCE)
    assert got == {key: list(range(1000)) for key in range(4)}


def test_many_threads_send_and_nothing_is_lost_or_out_of_a_thread_s_order(echo):
    with WebSocket(echo.url) as ws:
        ws.ready(PATIENCE)  # before, only as many may wait as the outbox has room for
        everything = ws.stream(limit=5000)

        def send(name: int) -> None:
            for number in range(200):
                assert ws.send([name, number])

        senders = [threading.Thread(target=send, args=(name,)) for name in range(8)]
        for sender in senders:
            sender.start()
        came = [tuple(everything.recv(PATIENCE).data) for _ in range(1600)]
        for sender in senders:
            sender.join(PATIENCE)
    for name in range(8):
        assert [number for who, number in came if who == name] == list(range(200))


@pytest.mark.contract("OB6", "OB8")
def test_messages_that_wait_have_the_same_options_and_can_be_taken_back(echo):
    ws = WebSocket(echo.url)
    old = ws.send("old", key="x")
    new = ws.send("new", key="x")
    assert (old.state, new.state, new.id) == ("dropped", "queued", None)
    assert not ws.send("now or never", now=True)
    urgent = ws.send("urgent", 60.0, urgent=True)
    assert ws.clear_outbox() == ["urgent", "new"]
    assert (urgent.state, urgent.cancel()) == ("dropped", False)
    kept, taken = ws.send("kept"), ws.send("taken")
    assert taken.cancel()
    with pytest.raises(InvalidOption, match="ttl"):
        ws.send("x", ttl=0)
    with pytest.raises(TypeError, match="no ids"):
        ws.send("x", id="mine")
    with ws:
        kept.wait(PATIENCE)
        assert ws.recv(PATIENCE).data == "kept"
        assert not kept.cancel()


@pytest.mark.contract("MS4")
def test_a_burst_does_not_outrun_a_reader_that_keeps_up(monkeypatch):
    # A machine that is busy with other work gives no thread its turn in time.
    monkeypatch.setattr(streams, "PATIENCE", PATIENCE)

    async def burst(peer: Peer) -> None:
        await peer.accept(first=b"".join(text(str(number)) for number in range(20_000)))
        await peer.until_gone()

    with in_a_thread(raw_server(burst)) as server, WebSocket(server.url, close_timeout=0.1) as ws:
        assert [ws.recv(PATIENCE).data for _ in range(20_000)] == list(range(20_000))


@pytest.mark.contract("MS4")
def test_a_reader_that_sleeps_is_told_what_it_missed_and_memory_stays_bounded(echo):
    with WebSocket(echo.url) as ws:
        slow = ws.stream(limit=10)
        dropping = ws.stream(limit=10, overflow="drop_oldest")
        for number in range(100):
            ws.send(number)
        last = ws.stream(where=lambda message: message.data == 100)
        ws.send(100)
        last.recv(PATIENCE)
        assert (slow.lag, dropping.lag, dropping.dropped) == (10, 10, 91)
        assert [slow.recv(PATIENCE).data for _ in range(10)] == list(range(10))
        with pytest.raises(Lagged) as lagged:
            slow.recv(PATIENCE)
        assert lagged.value.missed == 91
        ws.send(101)
        assert slow.recv(PATIENCE).data == 101
        assert [dropping.recv(PATIENCE).data for _ in range(10)] == list(range(92, 102))


@pytest.mark.contract("MS4")
def test_a_stream_that_is_closed_drops_what_waits_and_ends(echo):
    with WebSocket(echo.url) as ws:
        closed, last = ws.stream(), ws.stream()
        ws.send(1)
        last.recv(PATIENCE)
        assert closed.lag == 1
        closed.close()
        assert list(closed) == []


@pytest.mark.contract("MS4")
def test_a_filter_of_a_callback_that_raises_is_logged_and_each_later_message_comes_once(
    echo, caplog
):
    with WebSocket(echo.url) as ws:
        seen = []
        ws.on_message(lambda message: seen.append(message.data), where=lambda m: 1 / m.data)
        everything = ws.stream()

        def echoed(number: int) -> None:
            ws.send(number)
            everything.recv(PATIENCE)

        echoed(1)
        echoed(0)
        ws.reconnect()
        ws.ready(PATIENCE)
        echoed(2)
        echoed(3)
    assert seen == [1, 2, 3]
    (record,) = (record for record in caplog.records if record.name == "sockstore")
    assert "where= of on_message raised" in record.getMessage()
    assert record.exc_info[0] is ZeroDivisionError


@pytest.mark.contract("MS4")
def test_the_filter_of_an_unsubscribed_callback_is_not_called_any_more(echo):
    with WebSocket(echo.url) as ws:
        asked = []
        unsubscribe = ws.on_message(print, where=lambda message: asked.append(message.data))
        everything = ws.stream()
        for number in (1, 2, 3):
            ws.send(number)
            everything.recv(PATIENCE)
            unsubscribe()
    assert asked == [1]


COUNTING = """
from sockstore.protocols import Centrifuge
logging.disable()  # of outages; they are what this is about
with WebSocket(URL, protocol=Centrifuge(), reconnect=OFTEN) as ws, ws.subscribe('lobby') as lobby:
    lobby.send({'content': '1'})
    for expected, message in enumerate(lobby, 1):
        if message.data['content'] == 'enough':
            break
        assert message.data['content'] == str(expected), message
        lobby.send({'content': str(expected + 1)})
    assert message.publication.offset > 30
"""


def watch_the_room(url: str, *, last_word: str = "") -> None:
    """Be somebody else in the room for ten messages, and then say something."""
    with WebSocket(url, protocol=Centrifuge(), reconnect=OFTEN) as ws:
        lobby = ws.subscribe("lobby")
        messages = lobby.stream()
        for _ in range(10):
            messages.recv(PATIENCE)
        if last_word:
            lobby.send({"content": last_word}).wait(PATIENCE)


async def restart_twice_under_a_script(history: str) -> None:
    port = free_port()
    url = f"ws://127.0.0.1:{port}/connection/websocket"
    script = asyncio.create_task(asyncio.to_thread(output_of, COUNTING, url))
    for _ in range(2):
        async with serving(port, "--history", history) as server:
            await asyncio.to_thread(watch_the_room, url)
            await server.kill()
    async with serving(port, "--history", history):
        await asyncio.to_thread(watch_the_room, url, last_word="enough")
        await script


@pytest.mark.contract("SE1", "SV2")
def test_a_killed_and_restarted_server_loses_an_iterating_script_nothing(tmp_path):
    asyncio.run(restart_twice_under_a_script(f"sqlite:///{tmp_path}/rooms.db"))


# Ctrl-C

BLOCKING_CALLS = {
    "ready": ("silent", "ws.ready()"),
    "recv": ("echo", "ws.recv()"),
    "recv with a timeout": ("echo", "ws.recv(60)"),
    "iteration": ("echo", "for message in ws: pass"),
    "stream": ("echo", "for message in ws.stream(): pass"),
    "request": ("deaf", "ws.ready(); ws.request({'op': 1}, 60)"),
    "drain": ("silent", "ws.send('x'); ws.drain()"),
    "wait": ("silent", "ws.send('x').wait()"),
    "close": ("deaf", "ws.ready(); ws.close()"),
    "pump": ("echo", "ws.pump(None)"),
    "send": ("echo", "entered.wait(); ws.send('x')"),
}


@pytest.mark.parametrize("call", BLOCKING_CALLS)
def test_ctrl_c_gets_out_of_every_blocking_call_and_the_block_closes(call, echo):
    kind, statement = BLOCKING_CALLS[call]
    code = f"""
    entered = threading.Event()
    def on_open(opening):
        entered.set()
        time.sleep(0.3 if {call == "send"} else 0)
    ws = WebSocket(URL, callbacks='pump', close_timeout=0.5, on_open=on_open)
    try:
        with ws:
            interrupt_when_waiting('wait', 'wait_until')
            {statement}
    except KeyboardInterrupt:
        print('out', ws.phase, threading.active_count())
    """
    if kind == "echo":
        assert output_of(code, echo.url).split()[:2] == ["out", "closed"]
    else:
        with in_a_thread({"silent": silent, "deaf": deaf}[kind]()) as server:
            assert output_of(code, server.url).split()[:2] == ["out", "closed"]


def test_ctrl_c_while_leaving_the_block_gets_out_too(echo):
    with in_a_thread(deaf()) as server:
        assert (
            output_of(
                """
                ws = WebSocket(URL, close_timeout=60)
                try:
                    with ws:
                        ws.ready()
                        interrupt_when_waiting('close')
                except KeyboardInterrupt:
                    while ws.phase == 'open':
                        pass  # the loop's thread has its turn
                    print('out', ws.phase)
                """,
                server.url,
            )
            == "out closing\n"
        )


def test_after_ctrl_c_the_connection_goes_on(echo):
    assert (
        output_of(
            """
            with WebSocket(URL) as ws:
                ws.ready()
                interrupt_when_waiting('recv')
                try:
                    ws.recv()
                except KeyboardInterrupt:
                    ws.send('still here')
                    print(ws.recv(20).data)
            """,
            echo.url,
        )
        == "still here\n"
    )


# The interpreter's exit

EXITS = {
    "idle": ("echo", "ws = WebSocket(URL); ws.send('x')", []),
    "connecting": (
        "silent",
        "ws = WebSocket(URL); ws.connect(); assert ws.phase == 'connecting'",
        [],
    ),
    "open": ("echo", "ws = WebSocket(URL); ws.connect(); ws.ready()", [1000]),
    "waiting": (
        "nobody",
        """
        ws = WebSocket(URL)
        waits = ws.stream()
        logging.disable()
        seen = threading.Event()
        ws.on_change('phase', lambda phase: seen.set() if phase == 'waiting' else None)
        ws.connect()
        assert seen.wait(20)
        """,
        [],
    ),
    "iterating in a daemon thread": (
        "echo",
        """
        ws = WebSocket(URL); ws.connect(); ws.send('x')
        got = threading.Event()
        def read():
            for message in ws:
                got.set()
        threading.Thread(target=read, daemon=True).start()
        assert got.wait(20)
        """,
        [1000],
    ),
    "iterating in a thread that ends": (
        "echo",
        """
        ws = WebSocket(URL, reconnect=Reconnect.exponential(after_goodbye=False)); ws.connect()
        def read():
            for message in ws:
                ws.send('goodbye')
        threading.Thread(target=read).start()
        ws.send('x')
        """,
        [1000],
    ),
    "opened in a thread": (
        "echo",
        """
        ws = WebSocket(URL)
        def start():
            ws.connect(); ws.ready()
        thread = threading.Thread(target=start)
        thread.start(); thread.join()
        """,
        [1000],
    ),
    "with callbacks": (
        "echo",
        """
        ws = WebSocket(URL); ws.on_message(id); ws.on_status(id)
        ws.connect(); ws.send('x'); ws.recv(20)
        """,
        [1000],
    ),
    "with an executor": (
        "echo",
        """
        from concurrent.futures import ThreadPoolExecutor
        ws = WebSocket(URL, callbacks=ThreadPoolExecutor(2)); ws.on_message(id); ws.on_status(id)
        ws.connect(); ws.send('x'); ws.recv(20)
        """,
        [1000],
    ),
    "by sys.exit in the block": (
        "echo",
        """
        with WebSocket(URL) as ws:
            ws.ready()
            sys.exit()
        """,
        [1000],
    ),
    "closing": (
        "deaf",
        """
        ws = WebSocket(URL, close_timeout=60); ws.connect(); ws.ready()
        threading.Thread(target=ws.close, daemon=True).start()
        while ws.phase != 'closing': pass
        """,
        [],
    ),
    "a name server that does not answer": (
        "nobody",
        """
        import socket
        asked = threading.Event()
        def getaddrinfo(*args, flags=0, **options):
            if flags:
                raise socket.gaierror(socket.EAI_NONAME, 'no address')
            asked.set(); time.sleep(600)
        socket.getaddrinfo = getaddrinfo
        ws = WebSocket('ws://example.invalid'); ws.connect()
        assert asked.wait(20)
        """,
        [],
    ),
    "a callable that blocks the loop": (
        "echo",
        """
        entered = threading.Event()
        def on_open(opening):
            entered.set(); time.sleep(600)
        ws = WebSocket(URL, on_open=on_open); ws.connect()
        assert entered.wait(20)
        """,
        None,
    ),
}


@pytest.mark.contract("CN10")
@pytest.mark.parametrize("when", EXITS)
def test_the_interpreter_exits_cleanly(when, echo):
    kind, code, codes = EXITS[when]
    if kind == "echo":
        assert output_of(code, echo.url) == ""
        if codes is not None:
            assert echo.until_gone(len(codes)) == codes
    elif kind == "nobody":
        assert output_of(code, f"ws://127.0.0.1:{free_port()}") == ""
    else:
        with in_a_thread({"silent": silent, "deaf": deaf}[kind]()) as server:
            assert output_of(code, server.url) == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_child_is_told_to_open_its_own(echo):
    printed = output_of(
        """
        faulthandler.cancel_dump_traceback_later()
        import warnings
        ws = WebSocket(URL); ws.connect(); ws.ready()
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            child = os.fork()
        if child == 0:
            for use in (lambda: ws.send('x'), lambda: ws.recv(), lambda: ws.ready(), ws.connect):
                try:
                    use()
                except RuntimeError as error:
                    print('make a new WebSocket' in str(error))
            ws.close()
            with WebSocket(URL) as own:
                own.send('child')
                print(own.recv(20).data)
            sys.exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        ws.send('parent')
        print(ws.recv(20).data)
        """,
        echo.url,
    )
    assert printed.split() == ["True"] * 4 + ["child", "0", "parent"]


@pytest.mark.contract("CN10")
def test_one_that_nobody_has_any_more_is_ended_and_its_thread_with_it(echo):
    printed = output_of(
        """
        import gc, warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            ws = WebSocket(URL); ws.connect(); ws.ready()
            del ws
            gc.collect()
        for thread in threading.enumerate():
            if thread.name == 'sockstore':
                thread.join(20)
        print([str(one.category.__name__) for one in caught], threading.active_count())
        """,
        echo.url,
    )
    assert printed == "['ResourceWarning'] 1\n"
    echo.until_gone(1)


def test_importing_the_package_does_not_import_the_facade_and_the_facade_starts_no_thread():
    count = "print(threading.active_count())"
    code = "import sockstore; print('sockstore.blocking' in sys.modules, threading.active_count())"
    whole = f"import sys, threading; {code}; import sockstore.blocking; {count}"
    done = subprocess.run([sys.executable, "-c", whole], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "1", "1"]
