"""The native transport on uvloop, where uvicorn and NiceGUI run it on Linux and macOS.

uvloop keeps asyncio's promises in its own way: it reads up to 32 times in one turn of the loop,
raises at a write to a transport that is gone, and calls no `connection_lost` if the making of a
transport is cancelled. The other modules ask asyncio's loop the same questions.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from time import monotonic
from typing import ParamSpec, TypeVar

import pytest
from websockets.asyncio.server import Server as WebSocketsServer
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websockets

from loopback.servers import (
    BINARY,
    CLOSE,
    PATIENCE,
    PAUSES_ABOVE,
    PING,
    ClientSide,
    NativeTransport,
    NotedTransports,
    Peer,
    Recorder,
    Trust,
    close_frame,
    frame,
    opened,
    serve,
    sockets_to,
    text,
    timers,
    undelivered,
)
from sockstore import Close, HandshakeFailed, Opening, Reconnect, WebSocketStore
from sockstore.transports.base import SLICE_SECONDS, Target, TransportOptions
from waiting import turns

try:
    import uvloop
except ImportError:
    uvloop, Loop = None, object
else:
    Loop = uvloop.Loop

pytestmark = [
    pytest.mark.loopback,
    pytest.mark.skipif(uvloop is None, reason="uvloop is not installed; there is none for Windows"),
]

MIB = 2**20
LARGEST_READ = 256_000
"""Bytes that uvloop reads at once."""

Parameters = ParamSpec("Parameters")


class NotingLoop(Loop):
    """Notes what uvloop does not list: timers, except its own, and the transports of clients."""

    def __init__(self) -> None:
        super().__init__()
        self.noted_timers: set[asyncio.TimerHandle] = set()
        self.noted_transports: list[asyncio.Transport] = []

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: object = None
    ) -> asyncio.TimerHandle:
        def call() -> None:
            self.noted_timers.discard(timer)
            callback(*args)

        timer: asyncio.TimerHandle = super().call_later(delay, call, context=context)
        module = getattr(callback, "__module__", None) or type(callback.__self__).__module__
        if not module.startswith("uvloop"):
            self.noted_timers.add(timer)
        return timer

    async def create_connection(self, *args: object, **options: object) -> object:
        transport, protocol = await super().create_connection(*args, **options)
        self.noted_transports.append(transport)
        return transport, protocol


def on_uvloop(test: Callable[Parameters, Awaitable[None]]) -> Callable[Parameters, None]:
    """Run a test on a uvloop loop of its own, whose exception handler must hear of nothing."""

    @functools.wraps(test)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        told: list[dict[str, object]] = []
        with asyncio.Runner(loop_factory=NotingLoop) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: told.append(context))
            runner.run(test(*args, **kwargs))
        assert told == []

    return run


Census = tuple[frozenset[str], frozenset[str], int]


def census() -> Census:
    """Return which file descriptors and tasks there are, and how many timers."""
    files = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the folder
            files.add(f"{entry.name} -> {entry.readlink()}")
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return frozenset(files), frozenset(map(repr, tasks)), timers()


Counted = TypeVar("Counted")


async def settled(before: Counted, count: Callable[[], Counted] = census) -> Counted:
    """Return what is counted once it is as before, or what it is when patience ends.

    Nothing is left to the garbage collector: it is off meanwhile. A thread that asks for the
    addresses of a name cannot be cancelled, and has files open until it knows them.
    """
    gc.disable()
    try:
        until = monotonic() + PATIENCE
        while (now := count()) != before and monotonic() < until:
            await asyncio.sleep(0.001)  # the kernel tells the server's half of it
        return now
    finally:
        gc.enable()


async def until_phase(connection: WebSocketStore, *phases: str) -> None:
    await connection.state.wait_for(lambda state: state.phase in phases, PATIENCE)


async def echo(websocket: ServerConnection) -> None:
    async for message in websocket:
        await websocket.send(message)


async def accepting(peer: Peer) -> None:
    await peer.accept()
    await peer.until_gone()


async def answer_the_close(peer: Peer) -> tuple[int, bytes]:
    """Read until the client closes, and answer; return its close code and reason."""
    opcode = -1
    while opcode != CLOSE:
        opcode, payload = await peer.read_frame()
    await peer.write(frame(CLOSE, payload))
    return int.from_bytes(payload[:2], "big"), payload[2:]


def echo_server(port: int = 0, **options: object) -> AbstractAsyncContextManager[WebSocketsServer]:
    return serve_websockets(echo, "127.0.0.1", port, max_size=None, **options)  # type: ignore[arg-type]


def port_of(server: WebSocketsServer) -> int:
    (listening,) = server.sockets
    return int(listening.getsockname()[1])


# Messages


@pytest.mark.contract("MS1", "OB1", "CN10")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@on_uvloop
async def test_payloads_of_every_length_class_come_back(tls: bool) -> None:
    trust = Trust()
    sizes = (0, 1, 125, 126, 127, 65535, 65536, MIB)
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
    async with echo_server(ssl=trust.server() if tls else None) as server:
        before = census()
        scheme = "wss" if tls else "ws"
        connection = WebSocketStore(
            f"{scheme}://127.0.0.1:{port_of(server)}", ssl=trust.client() if tls else None
        )
        async with connection, asyncio.timeout(PATIENCE):
            stream = connection.stream()
            for size in sizes:
                for sent in ("x" * size, b"x" * size):
                    assert connection.send(sent)
                    assert (await anext(stream)).data == sent
            await connection.aclose()
        assert await settled(before) == before


@pytest.mark.contract("CN15")
@on_uvloop
async def test_a_message_of_10_mib_closes_with_1009() -> None:
    told: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    async def handler(peer: Peer) -> None:
        await peer.accept()
        peer.writer.write(frame(BINARY, b"x" * (10 * MIB)))
        told.set_result(await answer_the_close(peer))

    async with serve(handler) as server:
        before = ClientSide.take(server)
        async with WebSocketStore(server.url) as connection:
            await until_phase(connection, "failed")
            assert connection.state.value.close.code == 1009
            assert "larger than max_message_bytes" in str(connection.state.value.error)
            async with asyncio.timeout(PATIENCE):
                assert (await told)[0] == 1009
        assert ClientSide.take(server) == before


@pytest.mark.contract("MS2", "MS3")
@on_uvloop
async def test_a_burst_of_100000_small_messages_arrives_in_order() -> None:
    count = 100_000

    async def handler(peer: Peer) -> None:
        await peer.accept()
        await peer.write(b"".join(text(str(number)) for number in range(count)))
        await answer_the_close(peer)

    async with serve(handler) as server:
        connection = WebSocketStore(server.url, history=100)
        seen: list[object] = []
        connection.messages.on_append(lambda message: seen.append(message.data))
        async with connection, asyncio.timeout(PATIENCE):
            await connection.messages.wait_for(lambda _: connection.messages.total == count)
            assert connection.connected.value
            assert len(connection.messages) == 100
    assert seen == list(range(count))


@pytest.mark.contract("MS2")
@on_uvloop
async def test_many_reads_in_one_turn_do_not_block_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each read is delivered within one slice; thirty of them in one turn must not be."""
    now = 0.0
    monkeypatch.setattr("sockstore.transports.native.slices.monotonic", lambda: now)
    loop = asyncio.get_running_loop()
    count = 20_000
    turned_at, longest, handle = now, 0.0, None

    def turn() -> None:
        nonlocal turned_at, longest, handle
        longest = max(longest, now - turned_at)
        turned_at = now
        handle = loop.call_soon(turn)

    def on_message(_: str | bytes) -> bool:
        nonlocal now
        now += 12e-6  # 250 messages, one read, take 3 ms
        return False

    async def handler(peer: Peer) -> None:
        await peer.accept()
        await go.wait()
        await peer.write(frame(BINARY, b"x" * 1000) * count)
        await peer.until_gone()

    go = asyncio.Event()
    async with serve(handler) as server, opened(server) as (_, heard):
        heard.on_message = on_message
        turn()
        go.set()
        await heard.until_messages(count)
        handle.cancel()
    # One slice that is just short enough, then one that uses up its time.
    assert longest < 2.5 * SLICE_SECONDS


@pytest.mark.contract("MS2")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@on_uvloop
async def test_reading_pauses_while_delivering_lags_and_nothing_is_lost(tls: bool) -> None:
    count = 15_000
    trust = Trust()

    async def handler(peer: Peer) -> None:
        await peer.accept()
        await go.wait()
        for number in range(0, count, 1000):
            await peer.write(
                b"".join(frame(BINARY, b"%01000d" % n) for n in range(number, number + 1000))
            )
        await peer.until_gone()

    go = asyncio.Event()
    async with (
        serve(handler, tls=trust.server() if tls else None) as server,
        opened(server, ssl=trust.client() if tls else None) as (transport, heard),
    ):
        most, paused = 0, 0

        def on_message(_: str | bytes) -> bool:
            nonlocal most, paused
            most = max(most, undelivered(transport))
            paused += transport.reading_paused
            return len(heard.messages) % 50 == 0  # one turn of the loop for 50 kB

        heard.on_message = on_message
        go.set()
        await heard.until_messages(count)
    assert heard.messages == [b"%01000d" % number for number in range(count)]
    assert paused
    assert most < PAUSES_ABOVE + 3 * LARGEST_READ


# Ends


@pytest.mark.contract("MS1", "RC5", "CN10")
@on_uvloop
async def test_a_close_behind_a_burst_is_heard_although_the_server_has_left() -> None:
    """It is delivered after `connection_lost`, when answers cannot be sent any more."""

    async def handler(peer: Peer) -> None:
        await peer.accept()
        await peer.write(text("x") * 100_000 + frame(PING, b"?") + close_frame(1000, "bye"))

    async with serve(handler) as server:
        before = census()
        async with WebSocketStore(server.url) as connection:
            await until_phase(connection, "closed", "failed", "waiting")
            assert connection.messages.total == 100_000
            assert connection.state.value.close == Close(1000, "bye", clean=True)
        await server.until_all_are_gone()
        assert await settled(before) == before


@pytest.mark.contract("CN5", "MS1")
@on_uvloop
async def test_what_is_written_behind_the_end_complains_about_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server is gone, and a part of what it sent still waits to be delivered."""
    written = 0

    async def handler(peer: Peer) -> None:
        await peer.accept(first=text("x") * 100 + frame(PING, b"?") * 10 + text("y"))

    async with serve(handler) as server:
        heard = Recorder()
        transport = NativeTransport(heard, TransportOptions())

        def on_message(_: str | bytes) -> bool:
            nonlocal written
            if not sockets_to(server.port):  # uvloop has closed it
                written += 1
                transport.ping(b"late")
                transport.send("late")
                transport.close(1000, "late")
            return True

        heard.on_message = on_message
        await transport.open(Target(url=server.url))
        await heard.until_event("released")
        transport.abort()
    assert written
    assert heard.messages == ["x"] * 100 + ["y"]
    assert heard.events == ["opened", "closed", "released"]
    assert heard.close == Close(1000, "late") or heard.close.code == 1006
    assert not caplog.records


@pytest.mark.contract("CN5", "CN10")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@on_uvloop
async def test_a_clean_close_tells_both_sides_and_leaves_nothing(tls: bool) -> None:
    told: list[tuple[int, bytes]] = []
    trust = Trust()

    async def handler(peer: Peer) -> None:
        await peer.accept()
        told.append(await answer_the_close(peer))

    async with serve(handler, tls=trust.server() if tls else None) as server:
        before, client = census(), ClientSide.take(server)
        context = trust.client() if tls else None
        connection = WebSocketStore(server.url, close_timeout=60.0, ssl=context)
        async with connection:
            async with asyncio.timeout(PATIENCE):
                await connection.ready()
                await connection.aclose(4001, "enough")
            assert connection.state.value.close == Close(4001, "enough", clean=True)
            assert ClientSide.take(server) == client
            await server.until_all_are_gone()
            assert await settled(before) == before
    assert told == [(4001, b"enough")]


@pytest.mark.contract("LV1", "OB4", "CN10")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@on_uvloop
async def test_a_peer_that_does_not_read_is_aborted_by_the_watchdog(tls: bool) -> None:
    """No polite close waits behind the full send buffer."""
    trust = Trust()
    over = asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.accept()
        peer.stop_reading()
        await over.wait()

    async with serve(silent, tls=trust.server() if tls else None, receive_buffer=16384) as server:
        before, client = census(), ClientSide.take(server)
        transports = NotedTransports()
        connection = WebSocketStore(
            server.url,
            ssl=trust.client() if tls else None,
            reconnect=False,
            ping_interval=0.1,
            ping_timeout=0.2,
            close_timeout=60.0,
            transport=transports,
        )
        async with connection:
            await connection.ready(PATIENCE)
            while (receipt := connection.send(b"x" * 65536)).state != "queued":
                assert receipt
                await turns(2)
            assert transports.made[0].buffered_amount > 0
            await until_phase(connection, "failed")
            assert str(connection.state.value.error) == "no answer to ping"
            assert await settled(client, lambda: ClientSide.take(server)) == client
            over.set()
            await server.until_all_are_gone()
            assert await settled(before) == before


@pytest.mark.contract("OB4")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@on_uvloop
async def test_writing_goes_on_once_the_peer_reads(tls: bool) -> None:
    may_read = asyncio.Event()
    trust = Trust()
    sent = total = 0

    async def handler(peer: Peer) -> None:
        nonlocal total
        await peer.accept()
        peer.stop_reading()
        await may_read.wait()
        peer.writer.transport.resume_reading()
        while total < sent:
            _, payload = await peer.read_frame()
            total += len(payload)

    async with (
        serve(handler, tls=trust.server() if tls else None, receive_buffer=16384) as server,
        opened(server, ssl=trust.client() if tls else None) as (transport, heard),
    ):
        while "writing_paused" not in heard.events:
            transport.send(b"x" * 65536)
            sent += 65536
            await turns(1)
            assert sent < 64 * MIB
        assert transport.buffered_amount > 0
        may_read.set()
        await heard.until_event("closed")
    assert total == sent
    assert heard.events == ["opened", "writing_paused", "writing_resumed", "closed", "released"]


# Reconnecting


@pytest.mark.contract("RC1", "RC2", "OB2")
@on_uvloop
async def test_a_server_that_is_killed_and_comes_back_is_found_again() -> None:
    quick = Reconnect.exponential(base=0.05, max=0.2)
    async with echo_server() as server:
        port = port_of(server)
        connection = WebSocketStore(f"ws://127.0.0.1:{port}", reconnect=quick)
        connection.connect()
        await connection.ready(PATIENCE)
        for websocket in server.connections:
            websocket.transport.abort()
    stream = connection.stream()
    async with asyncio.timeout(PATIENCE):
        await until_phase(connection, "waiting")
        assert connection.status.value == "error"
        assert connection.send({"n": 1}).state == "queued"
        async with echo_server(port):
            assert (await anext(stream)).data == {"n": 1}
            assert connection.status.value == "connected"
            await connection.aclose()
    assert sockets_to(port) == timers() == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


def closed_port() -> int:
    """Return a port on which no program listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.contract("RC3", "CN9", "CN10")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@on_uvloop
async def test_a_port_that_refuses_ends_the_attempts_in_words(host: str) -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)  # starts the threads
    before = census()
    connection = WebSocketStore(
        f"ws://{host}:{closed_port()}", reconnect=Reconnect.linear(0.01, attempts=3)
    )
    async with connection:
        await until_phase(connection, "failed")
        assert connection.state.value.error == "Failed to reconnect after 3 attempts"
        assert "refused" in str(connection.error.value.__cause__)
        assert await settled(before) == before


# TLS


@pytest.mark.contract("RC6", "CN9", "CN10")
@pytest.mark.parametrize("fault", ["unknown authority", "another name", "no TLS", "hangs up"])
@on_uvloop
async def test_tls_that_fails_is_told_and_leaves_nothing(fault: str) -> None:
    trust = Trust()

    async def handler(peer: Peer) -> None:
        if is_tls:
            await accepting(peer)
            return
        await peer.reader.read(1)
        if fault == "no TLS":
            await peer.write(b"HTTP/1.1 400 Speak plainly\r\n\r\n")
            await peer.until_gone()

    names = ("else.test",) if fault == "another name" else ()
    is_tls = fault in {"unknown authority", "another name"}
    async with serve(handler, tls=trust.server(*names) if is_tls else None) as server:
        server.scheme = "wss"
        context = (Trust() if fault == "unknown authority" else trust).client()
        before = census()
        transport = NativeTransport(Recorder(), TransportOptions(ssl=context))
        with pytest.raises(HandshakeFailed) as caught:
            async with asyncio.timeout(PATIENCE):
                await transport.open(Target(url=server.url))
        assert caught.value.kind == ("certificate" if is_tls else "network")
        await server.until_all_are_gone()
        assert await settled(before) == before


async def answered_by_hand(peer: Peer, trust: Trust, frames: bytes) -> bytes:
    """Do both handshakes, and return frames in records of TLS, for the test to send as it likes."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trust.server().wrap_bio(incoming, outgoing, server_side=True)
    head, is_up = b"", False
    while not head.endswith(b"\r\n\r\n"):
        try:
            if not is_up:
                tls.do_handshake()
                is_up = True
            head += tls.read(4096)
        except ssl.SSLWantReadError:
            await peer.write(outgoing.read())
            incoming.write(await peer.reader.read(65536))
    await peer.write(outgoing.read())
    peer.head = head.decode().strip()
    tls.write(peer.switching())
    await peer.write(outgoing.read())
    for at in range(0, len(frames), 16384):
        tls.write(frames[at : at + 16384])
    return outgoing.read()


@pytest.mark.contract("MS1", "MS2")
@pytest.mark.parametrize("size", [1, 7, 1000])
@on_uvloop
async def test_records_of_tls_may_be_cut_anywhere_while_reading_pauses_and_resumes(
    size: int,
) -> None:
    messages = ["x" * 100, "y" * 300, *(["z" * 20_000] * (size > 7)), "the last"]
    trust = Trust()

    async def handler(peer: Peer) -> None:
        records = await answered_by_hand(peer, trust, b"".join(map(text, messages)))
        for at in range(0, len(records), size):
            await peer.write(records[at : at + size])
            await turns(1)
        await peer.until_gone()

    async with serve(handler) as server, asyncio.timeout(PATIENCE):
        server.scheme = "wss"
        async with opened(server, ssl=trust.client()) as (_, heard):
            (tcp,) = asyncio.get_running_loop().noted_transports
            while len(heard.messages) < len(messages):
                tcp.pause_reading()
                await turns(2)
                tcp.resume_reading()
                await turns(3)
    assert heard.messages == messages


@pytest.mark.contract("MS1", "MS2", "RC5")
@on_uvloop
async def test_an_end_of_tls_that_comes_while_reading_is_paused_loses_nothing() -> None:
    """uvloop itself forgets what it read and did not decrypt, and the close frame with it.

    What comes after reading has paused is so little that uvloop would read it at once, to the end.
    """
    messages = [b"%01000d" % number for number in range(PAUSES_ABOVE // 1000 + 300)]
    trust = Trust()

    async def handler(peer: Peer) -> None:
        frames = b"".join(frame(BINARY, message) for message in messages) + close_frame(1000)
        await peer.write(await answered_by_hand(peer, trust, frames))
        peer.writer.write_eof()  # without the close_notify of TLS
        await peer.until_gone()

    async with serve(handler) as server:
        server.scheme = "wss"
        async with opened(server, ssl=trust.client()) as (transport, heard):
            was_paused = False

            def on_message(_: str | bytes) -> bool:
                nonlocal was_paused
                was_paused = was_paused or transport.reading_paused
                return True

            heard.on_message = on_message
            await heard.until_event("released")
    assert was_paused
    assert heard.messages == messages
    assert heard.close == Close(1000, clean=True)


# Connecting


def resolving_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let one host name have these addresses; uvloop's `sock_connect` asks for theirs."""
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo

    async def getaddrinfo(host: str, port: int, **options: object) -> list[object]:
        if host != "service.test":
            return await resolve(host, port, **options)
        kind = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [
            (socket.AF_INET6 if ":" in address[0] else socket.AF_INET, *kind, address)
            for address in addresses
        ]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)


@on_uvloop
async def test_addresses_that_refuse_or_do_not_answer_are_overtaken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as deaf, socket.socket() as first, socket.socket() as second:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for filler in (first, second):  # its queue is full then: what comes later is dropped
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        async with serve(accepting) as server:
            await asyncio.get_running_loop().getaddrinfo("localhost", 80)  # starts the threads
            before = census()
            resolving_to(
                monkeypatch,
                ("127.0.0.1", closed_port()),
                deaf.getsockname(),
                ("127.0.0.1", server.port),
            )
            heard = Recorder()
            transport = NativeTransport(heard, TransportOptions())
            async with asyncio.timeout(PATIENCE):
                await transport.open(Target(url="ws://service.test/"))
            transport.abort()
            await heard.until_event("released")
            await server.until_all_are_gone()
            assert await settled(before) == before


@pytest.mark.contract("CN12", "CN10")
@pytest.mark.parametrize("where", ["tcp", "tls", "upgrade", "dns"])
@on_uvloop
async def test_connect_timeout_cuts_every_step(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stuck(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    async def handler(peer: Peer) -> None:
        if where == "upgrade":
            await peer.read_request()
            await peer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
        await peer.until_gone()

    async with serve(handler) as server:
        server.scheme = "wss" if where == "tls" else "ws"
        if where == "dns":
            server.host = "service.test"
            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", stuck)
        before = census()
        connection = WebSocketStore(server.url, reconnect=False, connect_timeout=0.1)
        async with connection:
            await until_phase(connection, "failed")
            cause = connection.error.value
            assert isinstance(cause, HandshakeFailed)
            assert cause.kind == "timeout"
        await server.until_all_are_gone()
        assert await settled(before) == before


@pytest.mark.contract("CN12", "CN10")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@on_uvloop
async def test_a_connect_cancelled_in_any_turn_leaves_nothing(tls: bool, host: str) -> None:
    """After k turns of the loop, for every k until it is open."""
    trust = Trust()
    options = TransportOptions(ssl=trust.client() if tls else None)
    async with serve(accepting, tls=trust.server() if tls else None) as server:
        server.host = host
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)  # starts the threads
        before = census()
        cancelled = 0
        for k in range(2000):
            heard = Recorder()
            transport = NativeTransport(heard, options)
            opening = asyncio.create_task(transport.open(Target(url=server.url)))
            await turns(k)
            if opening.done():
                transport.abort()
                await heard.until_event("released")
                break
            opening.cancel()
            cancelled += 1
            with pytest.raises(asyncio.CancelledError):
                await opening
            assert await settled(before) == before, f"cancelled after {k} turns"
            if heard.events:  # it was open already when the cancellation arrived
                assert heard.events == ["opened", "closed", "released"]
        assert cancelled > 5
        await server.until_all_are_gone()
        assert await settled(before) == before


@pytest.mark.contract("CN12", "CN10")
@on_uvloop
async def test_a_cancelled_connect_is_released_although_the_server_answered_at_once() -> None:
    """uvloop closes a transport whose making is cancelled, and calls no `connection_lost`.

    If the answer is in the socket before the cancellation arrives, it must not open the WebSocket.
    """
    answered = threading.Event()

    def answer(listening: socket.socket) -> None:
        clients = []
        while True:
            client, _ = listening.accept()
            clients.append(client)
            head = b""
            while not head.endswith(b"\r\n\r\n") and (more := client.recv(4096)):
                head += more
            if head:
                client.sendall(Peer(None, None, head.decode()).switching())  # type: ignore[arg-type]
                answered.set()
            elif over:
                break
        for client in clients:
            client.close()

    over = False
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host, port = listening.getsockname()
        server = threading.Thread(target=answer, args=(listening,))
        server.start()
        try:
            is_open = False
            k = 0
            while not is_open:
                answered.clear()
                heard = Recorder()
                transport = NativeTransport(heard, TransportOptions())
                opening = asyncio.create_task(transport.open(Target(url=f"ws://{host}:{port}/")))
                await turns(k)
                answered.wait(0.05)  # the loop stands still until the answer is in the socket
                is_open = opening.done()
                opening.cancel()
                await asyncio.wait([opening])
                if is_open:
                    transport.abort()
                if is_open or heard.events:
                    await heard.until_event("released", 5)
                k += 1
        finally:
            over = True
            socket.create_connection((host, port)).close()
            await asyncio.to_thread(server.join, PATIENCE)
        assert not server.is_alive()


@pytest.mark.contract("CN10", "CN5", "LC3")
@pytest.mark.parametrize("way", ["upgrade", "tls", "refusal"])
@on_uvloop
async def test_close_in_every_turn_of_connecting_leaves_nothing(way: str) -> None:
    trust = Trust()

    async def handler(peer: Peer) -> None:
        if way == "refusal":
            await peer.answer("503 No")
        else:
            await peer.accept(first=text("hello"))
            await answer_the_close(peer)

    async with serve(handler, tls=trust.server() if way == "tls" else None) as server:
        before, client = census(), ClientSide.take(server)
        context = trust.client() if way == "tls" else None
        for k in range(40):
            connection = WebSocketStore(
                server.url, ssl=context, reconnect=Reconnect.linear(0.001, attempts=None)
            )
            connection.connect()
            await turns(k)
            connection.close()
            assert connection.state.value.phase in {"closing", "closed"}
            total = connection.messages.total
            async with asyncio.timeout(PATIENCE):
                await connection.aclose()
            assert connection.state.value.phase == "closed"
            assert connection.messages.total == total
            assert ClientSide.take(server) == client
            await server.until_all_are_gone()
            assert await settled(before) == before, f"closed after {k} turns"


@pytest.mark.contract("CN11", "CN6", "MS4")
@pytest.mark.parametrize("tls", [False, True], ids=["ws", "wss"])
@on_uvloop
async def test_on_open_misses_nothing_although_many_reads_come_in_the_turn_of_the_handshake(
    tls: bool,
) -> None:
    reads, heard = 20, []

    async def speak(peer: Peer) -> None:
        await peer.accept(first=text("0"))
        for number in range(1, reads):
            # Larger than a read of uvloop, so that the next one is its next read.
            await peer.write(frame(BINARY, bytes(LARGEST_READ)) + text(str(number)))
        await answer_the_close(peer)

    async def on_open(opening: Opening) -> None:
        while len(heard) < reads:
            if (message := await opening.receive()).kind == "json":
                heard.append(message.data)

    trust = Trust() if tls else None
    async with (
        serve(speak, tls=trust.server("127.0.0.1") if trust else None) as server,
        WebSocketStore(
            server.url, on_open=on_open, ssl=trust.client() if trust else None, reconnect=False
        ) as connection,
    ):
        await connection.ready(60)
        assert heard == list(range(reads))
