"""The test kit: its fake server, its clock, its proof against leaks, its pytest plugin."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from queue import SimpleQueue

import pytest

from sockstore import Reconnect, WebSocketStore
from sockstore.testing import (
    FakeServer,
    VirtualClock,
    accept,
    assert_no_leaks,
    close,
    drop,
    echo,
    freeze,
    hang,
    pause,
    receive,
    refuse,
    repeat,
    send,
    slow,
)
from sockstore.transports.base import Target, TransportOptions
from waiting import turns

pytestmark = pytest.mark.contract("TK1")

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0, min_uptime=0)


def connected(server: FakeServer, **options) -> WebSocketStore:
    return WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND, **options)


@pytest.mark.virtual_clock
async def test_a_script_is_played_in_order_and_then_everything_is_accepted(virtual_clock):
    server = FakeServer(
        refuse(),
        refuse(503, retry_after=12),
        hang(),
        accept("chat"),
        send("a", {"b": 1}, b"c"),
        drop(),
        accept(),
        close(1012, "restart"),
        accept(),
        drop(4000),
    )
    async with assert_no_leaks(), connected(server, subprotocols=["chat"]) as connection:
        await virtual_clock.advance(60)
        assert [handshake.at for handshake in server.handshakes] == [0, 1, 13, 24, 25, 26, 27]
        assert [message.data for message in connection.messages.value] == ["a", {"b": 1}, b"c"]
        assert connection.socket.value.subprotocol == "chat"
        assert connection.phase.value == "open"
    assert len(server.connections) == 4
    assert server.open_connections == []


@pytest.mark.virtual_clock
async def test_receive_echo_pause_slow_and_freeze(virtual_clock):
    server = FakeServer(accept(), receive(), send("got it"), pause(5), echo(), slow(2.0))
    async with assert_no_leaks(), connected(server) as connection:
        await connection.ready(1)
        stream = connection.stream()
        connection.send("hello")
        assert (await anext(stream)).data == "got it"
        assert virtual_clock.now == 0
        await virtual_clock.advance(5)
        connection.send("echo me")
        assert (await anext(stream)).data == "echo me"
        assert virtual_clock.now == 9  # two seconds there, two seconds back
        assert server.received == ["hello", "echo me"]
    server = FakeServer(accept(), freeze())
    async with connected(server, ping_interval=1, ping_timeout=1) as connection:
        await connection.ready(1)
        state = await connection.state.wait_for(lambda state: state.phase == "waiting", 10)
        assert state.error == "no answer to ping"


@pytest.mark.virtual_clock
async def test_a_handshake_during_a_pause_waits_for_its_step():
    server = FakeServer(accept(), drop(), pause(10), refuse(403))
    connection = connected(server)
    connection.connect()
    state = await connection.state.wait_for(lambda state: state.phase == "failed", 30)
    assert "403" in state.error
    assert [handshake.at for handshake in server.handshakes] == [0, 1]


@pytest.mark.virtual_clock
async def test_a_client_that_gave_up_during_a_pause_takes_no_step_of_the_script():
    server = FakeServer(accept(), drop(), pause(30), accept(), send("hello"))
    async with connected(server, connect_timeout=10) as connection:
        message = await anext(connection.stream())
        assert message.data == "hello"
        assert len(server.connections) == 2


@pytest.mark.virtual_clock
async def test_repeat_plays_for_ever_and_a_server_can_go_down_and_come_up(virtual_clock):
    server = FakeServer(repeat(accept(), drop()))
    async with connected(server):
        await virtual_clock.advance(99.5)
        assert len(server.handshakes) == 100
    server = FakeServer()
    async with connected(server) as connection:
        await connection.ready(1)
        server.go_down()
        await virtual_clock.advance(9.5)
        assert connection.phase.value == "waiting"
        server.come_up()
        await connection.ready(2)
        server.send({"back": True})
        message = await anext(connection.stream())
        assert message.data == {"back": True}
        server.close(1000)
        await connection.phase.wait_for(lambda phase: phase == "waiting", 1)


def test_a_server_without_a_connection_says_so():
    with pytest.raises(AssertionError, match="no connection yet"):
        FakeServer().send("x")


def test_hours_pass_in_no_time_and_always_the_same_way():
    async def sleep_through_the_night(clock: VirtualClock) -> list[float]:
        times: list[float] = []

        async def ring(after: float) -> None:
            await asyncio.sleep(after)
            times.append(clock.now)

        await asyncio.gather(ring(3600), ring(7200), ring(0.5))
        return times

    for _ in range(3):
        clock = VirtualClock(start=100)
        assert clock.run(sleep_through_the_night(clock)) == [100.5, 3700, 7300]


def test_a_story_that_can_never_end_is_told_and_does_not_hang(monkeypatch):
    monkeypatch.setattr("sockstore.testing.clock.REAL_SECONDS_FOR_OTHER_THREADS", 0.05)

    async def wait_for_nothing() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="nothing can ever happen again"):
        VirtualClock().run(wait_for_nothing())


def test_a_timer_in_the_past_is_refused():
    async def set_it() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1)
        with pytest.raises(ValueError, match="in the past"):
            loop.call_at(0.5, print)

    VirtualClock().run(set_it())


def slowly(answer: str) -> str:
    time.sleep(0.05)
    return answer


async def ask_a_call() -> str:
    return await asyncio.to_thread(slowly, "answer")


async def ask_a_pool_of_its_own() -> str:
    with ThreadPoolExecutor(1) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, slowly, "answer")


async def ask_a_thread() -> str:
    loop = asyncio.get_running_loop()
    answered = loop.create_future()

    def answer() -> None:
        loop.call_soon_threadsafe(answered.set_result, slowly("answer"))

    threading.Thread(target=answer).start()
    return await answered


async def ask_two_after_another() -> str:
    for _ in range(2):
        answer = await asyncio.to_thread(slowly, "answer")
    return answer


@pytest.mark.contract("TK4")
@pytest.mark.parametrize(
    "ask", [ask_a_call, ask_a_pool_of_its_own, ask_a_thread, ask_two_after_another]
)
@pytest.mark.parametrize("seconds", [None, 0.001])
def test_another_thread_is_waited_for_in_earnest_and_takes_no_virtual_time(ask, seconds):
    clock = VirtualClock()

    async def in_time() -> str:
        async with asyncio.timeout(seconds):
            return await ask()

    assert clock.run(in_time()) == "answer"
    assert clock.now == 0


@pytest.mark.contract("TK4")
def test_the_end_of_a_loop_waits_for_its_executor_in_real_time():
    clock = VirtualClock()
    ended: list[bool] = []

    async def leave_a_call_behind() -> None:
        asyncio.get_running_loop().run_in_executor(
            None, lambda: (time.sleep(0.05), ended.append(True))
        )

    clock.run(leave_a_call_behind())
    assert ended
    assert clock.now == 0


@pytest.mark.contract("TK4")
def test_a_thread_that_ends_without_a_word_is_waited_for_until_then():
    clock = VirtualClock()
    ended: list[str] = []

    async def start_it() -> None:
        threading.Thread(target=lambda: ended.append(slowly("end"))).start()
        await asyncio.sleep(3600)
        assert ended

    clock.run(start_it())
    assert clock.now == 3600


@pytest.mark.contract("TK4")
def test_time_passes_for_a_thread_that_waits_for_it(monkeypatch):
    monkeypatch.setattr("sockstore.testing.clock.REAL_SECONDS_FOR_OTHER_THREADS", 0.05)
    clock = VirtualClock()

    async def ring() -> str:
        await asyncio.sleep(3600)
        return "ring"

    async def wait_in_a_thread() -> str:
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(
            lambda: asyncio.run_coroutine_threadsafe(ring(), loop).result()
        )

    assert clock.run(wait_in_a_thread()) == "ring"
    assert clock.now == 3600


@pytest.mark.contract("TK4")
def test_a_thread_that_answers_questions_is_not_waited_for_between_them(monkeypatch):
    monkeypatch.setattr("sockstore.testing.clock.REAL_SECONDS_FOR_OTHER_THREADS", 60.0)
    clock = VirtualClock()
    questions: SimpleQueue[asyncio.Future[str] | None] = SimpleQueue()

    def answer() -> None:
        while (question := questions.get()) is not None:
            question.get_loop().call_soon_threadsafe(question.set_result, "answer")

    async def ask_now_and_then() -> None:
        thread = threading.Thread(target=answer)
        thread.start()
        for hours in range(1, 100):
            question = asyncio.get_running_loop().create_future()
            questions.put(question)
            assert await question == "answer"
            await asyncio.sleep(3600)
            assert clock.now == hours * 3600
        questions.put(None)
        await asyncio.to_thread(thread.join)

    before = time.monotonic()
    clock.run(ask_now_and_then())
    assert time.monotonic() - before < 60, "it waited in earnest"


@pytest.mark.contract("TK4")
@pytest.mark.parametrize("leak", [False, True])
def test_what_uvloop_opens_for_itself_is_no_leak_and_what_the_program_opens_is(leak):
    uvloop = pytest.importorskip("uvloop", reason="there is none for Windows")
    left: list = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def use_the_first_stream_of_the_loop() -> None:
        async with assert_no_leaks():
            server = await asyncio.start_server(greet, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            await reader.read()
            writer.close()
            server.close()
            await server.wait_closed()
            if leak:
                left.append(open(os.devnull))  # noqa: SIM115, PTH123 - the leak

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if leak:
            with pytest.raises(AssertionError, match="open file"):
                runner.run(use_the_first_stream_of_the_loop())
        else:
            runner.run(use_the_first_stream_of_the_loop())
    for file in left:
        file.close()


@pytest.mark.virtual_clock
@pytest.mark.parametrize("kind", ["task", "timer", "file", "socket", "thread", "connection"])
async def test_what_is_left_behind_is_found(kind):
    left: list = []
    stop = threading.Event()
    with pytest.raises(AssertionError, match="left behind"):
        async with assert_no_leaks():
            loop = asyncio.get_running_loop()
            match kind:
                case "task":
                    left.append(loop.create_task(asyncio.sleep(1000)))
                case "timer":
                    left.append(loop.call_later(1000, print))
                case "file":
                    left.append(open(os.devnull))  # noqa: SIM115, PTH123 - the leak
                case "socket":
                    left.append(socket.socket())
                case "thread":
                    left.append(threading.Thread(target=stop.wait))
                    left[0].start()
                case "connection":
                    left.append(connected(FakeServer()))
                    left[0].connect()
    stop.set()
    for thing in left:
        if kind in {"task", "timer"}:
            thing.cancel()
        elif kind == "thread":
            thing.join()
        elif kind == "connection":
            await thing.aclose()
        else:
            thing.close()


@pytest.mark.virtual_clock
async def test_the_rest_of_a_script_is_no_leak():
    async with assert_no_leaks():
        async with connected(FakeServer(accept(), pause(3600), drop())) as connection:
            await connection.ready(1)


@pytest.mark.virtual_clock
async def test_a_block_that_raises_is_not_hidden_by_the_leak_check():
    with pytest.raises(KeyError):
        async with assert_no_leaks():
            raise KeyError("the test's own error")


def test_the_plugin_works_in_a_project_of_its_own(tmp_path):
    test = tmp_path / "test_users_program.py"
    test.write_text(
        """
import asyncio, pytest
from sockstore import WebSocketStore

@pytest.mark.virtual_clock
@pytest.mark.parametrize("hours", [1, 2])
async def test_on_the_clock(virtual_clock, fake_server, hours):
    async with WebSocketStore("ws://fake", transport=fake_server) as connection:
        await connection.ready()
        await asyncio.sleep(hours * 3600)
        assert virtual_clock.now == hours * 3600
        assert fake_server.connection.pings > 100

@pytest.mark.virtual_clock
async def test_that_fails():
    await asyncio.sleep(1)
    assert False, "as it should"
"""
    )
    is_installed = any(it.name == "sockstore" for it in entry_points(group="pytest11"))
    plugin = [] if is_installed else ["-p", "sockstore.testing.plugin"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "no:xdist", *plugin, test],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert "1 failed" in done.stdout
    assert "as it should" in done.stdout


# Slices


class Slices:
    """A listener that writes down what each slice brought."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.slice: list[object] = []

    def opened(self, socket) -> None:
        self.told.append("opened")

    def begin_slice(self):
        self.slice = []
        return self

    def texts(self, messages) -> bool:
        self.slice += [len(message) for message in messages]
        return False

    binaries = texts

    def end_slice(self) -> None:
        self.told.append(self.slice)

    def pong_received(self, payload) -> None:
        self.slice.append("pong")

    def closed(self, close, why, cause=None) -> None:
        self.slice.append("closed")

    def released(self) -> None:
        self.told.append("released")


async def slices_of(*script, act=lambda server, transport: None) -> list[object]:
    server, listener = FakeServer(*script), Slices()
    transport = server(listener, TransportOptions())
    await transport.open(Target(url="ws://fake"))
    await turns(3)
    act(server, transport)
    await turns(300)
    return listener.told


@pytest.mark.virtual_clock
@pytest.mark.contract("TK2")
async def test_what_is_sent_right_behind_accept_comes_in_its_read_and_in_the_turn_after_opened():
    assert await slices_of(accept(), send("a", "bc"), send("def")) == ["opened", [1, 2, 3]]
    assert await slices_of(accept(), pause(0.1), send("a")) == ["opened"]


@pytest.mark.virtual_clock
@pytest.mark.contract("TK2")
async def test_reads_are_cut_as_on_a_socket_and_a_read_may_bring_no_message():
    told = await slices_of(act=lambda server, _: server.connection.send("x" * 40_000, "y", "z"))
    assert told == ["opened", [], [], [40_000, 1, 1]]
    told = await slices_of(act=lambda server, _: server.connection.send(*["x" * 6_000] * 5))
    assert told == ["opened", [6_000] * 2, [6_000] * 3]
    assert await slices_of(act=lambda server, _: server.connection.ping()) == ["opened", []]
    assert await slices_of(act=lambda _, transport: transport.ping(b"")) == ["opened", ["pong"]]
    told = await slices_of(act=lambda server, _: server.close())
    assert told == ["opened", ["closed"], "released"]


@pytest.mark.virtual_clock
@pytest.mark.contract("TK2")
async def test_what_is_sent_with_two_calls_arrives_apart():
    def act(server, _):
        server.send("a", "b")
        server.send("c")

    assert await slices_of(act=act) == ["opened", [1, 1], [1]]


class Runs(Slices):
    """A listener that writes down how many messages came in each call, and may leave some."""

    def __init__(self, takes: int = 1000, then=lambda: None) -> None:
        super().__init__()
        self.takes, self.then = takes, then
        self.messages: list[object] = []

    def texts(self, messages) -> bool:
        run = list(itertools.islice(messages, self.takes))
        self.slice.append(len(run))
        self.messages += run
        self.then()
        return False

    binaries = texts


async def runs_of(*messages, **options) -> tuple[Runs, list[object]]:
    server, listener = FakeServer(), Runs(**options)
    transport = server(listener, TransportOptions())
    if "then" in options:
        listener.then = lambda: options["then"](transport)
    await transport.open(Target(url="ws://fake"))
    await turns(3)
    server.connection.send(*messages)
    await turns(300)
    return listener, [told for told in listener.told if isinstance(told, list)]


@pytest.mark.virtual_clock
@pytest.mark.contract("TK2")
async def test_messages_come_in_runs_of_one_type_as_on_a_socket():
    listener, slices = await runs_of(*"abcdef", b"1", b"2", *"gh")
    assert slices == [[1, 2, 3, 2, 2]]
    assert listener.messages == [*"abcdef", b"1", b"2", *"gh"]
    listener, slices = await runs_of(*["x" * 1000] * 40)
    assert slices == [[1, 2, 4, 8, 1], [1, 2, 4, 8, 1], [1, 2, 4, 1]]


@pytest.mark.virtual_clock
@pytest.mark.contract("TK2")
@pytest.mark.parametrize("takes", [1, 2, 3])
async def test_what_a_listener_leaves_comes_again(takes):
    sent = [str(number) * 500 for number in range(100)]
    listener, _ = await runs_of(*sent, takes=takes)
    assert listener.messages == sent


@pytest.mark.contract("TK2", "MS2")
def test_a_listener_that_takes_long_ends_the_slice():
    clock = VirtualClock()
    _, slices = clock.run(runs_of(*"abcdefg", then=lambda _: clock.block(0.004)))
    assert slices == [[1, 2], [1, 2], [1]]


@pytest.mark.virtual_clock
@pytest.mark.contract("TK2", "CN6")
async def test_nothing_is_delivered_after_an_abort():
    listener, _ = await runs_of(*"abcdef", then=lambda transport: transport.abort())
    assert listener.messages == ["a"]
