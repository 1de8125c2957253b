"""Helpers of the loopback tests: servers that misbehave on purpose, and listeners that take notes.

The frames are written by hand and not by the library under test, nor by the one it stands on.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from inside import timers_of
from sockstore import Close, SocketInfo
from sockstore.transports.base import Deliver, Listener, Target, TransportOptions
from sockstore.transports.native.transport import NativeTransport
from waiting import turns

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PAUSES_ABOVE, RESUMES_BELOW = 4 * 2**20, 2**20
"""Bytes that wait to be delivered, above which a transport stops reading, below which it reads."""
PATIENCE = 15.0
"""Seconds any single step may take before a test fails; far above what it needs."""


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = False
) -> bytes:
    """Return one server frame; with its faults, if asked for."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    mark = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = bytes((first, mark | size))
    elif size < 65536:
        head = struct.pack("!BBH", first, mark | 126, size)
    else:
        head = struct.pack("!BBQ", first, mark | 127, size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def text(message: str) -> bytes:
    """Return a whole text message."""
    return frame(TEXT, message.encode())


def close_frame(code: int | None = None, reason: str = "") -> bytes:
    """Return a close frame; without a status if no code is given."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason.encode())


@dataclass
class Peer:
    """One accepted TCP connection, as the server sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The request's headers by lower-case name."""
        lines = self.head.split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}

    @property
    def path(self) -> str:
        """The request's target."""
        return self.head.split(" ", 2)[1]

    async def read_request(self) -> None:
        """Read the handshake request."""
        self.head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip()

    async def accept(self, *headers: str, first: bytes = b"") -> None:
        """Do the opening handshake; `first` goes out in the same packet."""
        await self.read_request()
        self.writer.write(self.switching(*headers) + first)
        await self.writer.drain()

    def switching(self, *headers: str) -> bytes:
        """Return the head of a right answer."""
        key = self.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        token = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        lines = (
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {token}",
            *headers,
        )
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def answer(self, status: str, *headers: str, body: bytes = b"") -> None:
        """Read the request and refuse it."""
        await self.read_request()
        lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers)
        await self.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)

    async def write(self, data: bytes) -> None:
        """Write, with backpressure."""
        self.writer.write(data)
        await self.writer.drain()

    async def read_frame(self) -> tuple[int, bytes]:
        """Read one frame of the client: (opcode, payload)."""
        first, second = await self.reader.readexactly(2)
        assert second & 0x80, "a client masks its frames"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        mask = await self.reader.readexactly(4)
        payload = await self.reader.readexactly(size)
        key = (mask * (size // 4 + 1))[:size]
        plain = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
        return first & 0x0F, plain.to_bytes(size, "big")

    async def until_gone(self) -> None:
        """Read, and throw away, until the client has ended the connection."""
        try:
            while await self.reader.read(65536):
                pass
        except OSError:
            pass

    def stop_reading(self) -> None:
        """Read nothing any more: the client's sends will block."""
        self.writer.transport.pause_reading()

    def reset(self) -> None:
        """End the connection with a RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Handler = Callable[[Peer], Awaitable[object]]


@dataclass
class Server:
    """A raw TCP server on the loopback interface."""

    handler: Handler
    scheme: str = "ws"
    host: str = "127.0.0.1"
    port: int = 0
    peers: list[Peer] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, in a task of its own."""
        peer = Peer(reader, writer)
        self.peers.append(peer)
        task = asyncio.get_running_loop().create_task(self._serve(peer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self.host}]" if "::" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/"

    @property
    def open_sockets(self) -> int:
        """Accepted connections that are not closed."""
        return sum(not peer.writer.transport.is_closing() for peer in self.peers)

    async def until_all_are_gone(self) -> None:
        """Wait until every handler has come to its end."""
        async with asyncio.timeout(PATIENCE):
            while self.tasks:
                await asyncio.wait(self.tasks)

    async def _serve(self, peer: Peer) -> None:
        try:
            await self.handler(peer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client left; what that means, the test says
        except Exception as error:
            self.errors.append(error)
        finally:
            peer.writer.close()


@asynccontextmanager
async def serve(
    handler: Handler,
    *,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
    receive_buffer: int | None = None,
) -> AsyncIterator[Server]:
    """Run a raw TCP server, and leave nothing of it behind."""
    server = Server(handler, "wss" if tls else "ws", host)
    family = socket.AF_INET6 if "::" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # TCP_NODELAY
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if receive_buffer is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    listening.bind((host, 0))
    server.port = listening.getsockname()[1]
    running = await asyncio.start_server(
        server.accepted, sock=listening, ssl=tls, backlog=1024, limit=2**16
    )
    try:
        yield server
    finally:
        running.close()
        for task in server.tasks:
            task.cancel()
        for peer in server.peers:
            peer.writer.transport.abort()
        if server.tasks:
            await asyncio.wait(server.tasks)
        await asyncio.sleep(0)
        await running.wait_closed()
        await turns(3)
    if server.errors:
        raise ExceptionGroup("the server's handler failed", server.errors)


class Recorder:
    """A listener that takes notes."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.messages: list[str | bytes] = []
        self.pongs: list[bytes] = []
        self.socket: SocketInfo | None = None
        self.close: Close | None = None
        self.why = ""
        self.cause: Exception | None = None
        self.slices = 0
        self.before_closed = -1
        self.on_message: Callable[[str | bytes], bool] | None = None
        self._changed: list[asyncio.Future[None]] = []

    def opened(self, socket: SocketInfo) -> None:
        self.socket = socket
        self._note("opened")

    def begin_slice(self) -> Deliver | None:
        self.slices += 1
        return self

    def texts(self, messages: Iterator[str], /) -> bool:
        return any(map(self._deliver, messages))

    def binaries(self, messages: Iterator[bytes], /) -> bool:
        return any(map(self._deliver, messages))

    def _deliver(self, message: str | bytes) -> bool:
        self.messages.append(message)
        return self.on_message is not None and self.on_message(message)

    def end_slice(self) -> None:
        self._wake()

    def pong_received(self, payload: bytes) -> None:
        self.pongs.append(payload)
        self._note("pong")

    def writing_paused(self) -> None:
        self._note("writing_paused")

    def writing_resumed(self) -> None:
        self._note("writing_resumed")

    def closed(self, close: Close, why: str, cause: Exception | None = None) -> None:
        self.close, self.why, self.cause = close, why, cause
        self.before_closed = len(self.messages)
        self._note("closed")

    def released(self) -> None:
        self._note("released")

    def _note(self, event: str) -> None:
        self.events.append(event)
        self._wake()

    def _wake(self) -> None:
        waiting, self._changed = self._changed, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], object], patience: float = PATIENCE) -> None:
        """Wait until what was noted fulfils a condition."""
        async with asyncio.timeout(patience):
            while not condition():
                waiter = asyncio.get_running_loop().create_future()
                self._changed.append(waiter)
                await waiter

    async def until_event(self, event: str, patience: float = PATIENCE) -> None:
        """Wait until something was told."""
        await self.until(lambda: event in self.events, patience)

    async def until_messages(self, count: int, patience: float = PATIENCE) -> None:
        """Wait until so many messages came."""
        await self.until(lambda: len(self.messages) >= count, patience)


@asynccontextmanager
async def opened(
    server: Server,
    *,
    path: str = "",
    headers: tuple[tuple[str, str], ...] = (),
    subprotocols: tuple[str, ...] = (),
    **options: object,
) -> AsyncIterator[tuple[NativeTransport, Recorder]]:
    """Open a native transport to the server, and abort it at the end."""
    heard = Recorder()
    transport = NativeTransport(heard, TransportOptions(**options))  # type: ignore[arg-type]
    target = Target(url=server.url + path, headers=headers, subprotocols=subprotocols)
    async with asyncio.timeout(PATIENCE):
        await transport.open(target)
    try:
        yield transport, heard
    finally:
        transport.abort()
        await heard.until_event("released")


class NotedTransports:
    """Makes the transports of a connection, as its `transport=`, and keeps them to be looked at."""

    def __init__(self) -> None:
        self.made: list[NativeTransport] = []

    def __call__(self, listener: Listener, options: TransportOptions) -> NativeTransport:
        self.made.append(NativeTransport(listener, options))
        return self.made[-1]


def undelivered(transport: NativeTransport) -> int:
    """Return how many bytes were read and wait to be delivered; no public name tells it."""
    wire = transport._wire
    return 0 if wire is None else wire.undelivered


async def received(*data: bytes, max_message_bytes: int = 2**20) -> Recorder:
    """Return what a transport tells when a server writes `data` and then waits for its end."""

    async def handler(peer: Peer) -> None:
        await peer.accept()
        for part in data:
            await peer.write(part)
        peer.writer.write_eof()
        await peer.until_gone()

    async with (
        serve(handler) as server,
        opened(server, max_message_bytes=max_message_bytes) as (_, heard),
    ):
        await heard.until_event("closed")
    return heard


# What must be gone afterwards


def open_files() -> int:
    """Return how many file descriptors this process has."""
    return len([*Path("/proc/self/fd").iterdir()])


def timers() -> int:
    """Return how many timers of the running loop are armed."""
    return len(timers_of(asyncio.get_running_loop()))


def sockets_to(port: int) -> int:
    """Return how many sockets of this process are the client's half of a connection to a port."""
    inodes = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the folder
            inodes.add(str(entry.readlink()))
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/self/net", table).read_text().splitlines()[1:]
    ]
    return sum(
        remote.endswith(f":{port:04X}") and f"socket:[{inode}]" in inodes
        for _, _, remote, _, _, _, _, _, _, inode, *_ in rows
    )


@dataclass(frozen=True)
class ClientSide:
    """What exists now of clients of a server, besides the task that asks: not the server's half."""

    sockets: int
    tasks: int
    timers: int

    @classmethod
    def take(cls, server: Server) -> ClientSide:
        """Count."""
        tasks = asyncio.all_tasks() - server.tasks
        return cls(sockets_to(server.port), len(tasks), timers())


@dataclass(frozen=True)
class Inventory:
    """What exists now, besides the task that asks."""

    files: int
    tasks: int
    timers: int

    @classmethod
    def take(cls) -> Inventory:
        """Count."""
        return cls(open_files(), len(asyncio.all_tasks()), timers())


async def settled(before: Inventory, most_turns: int = 200) -> Inventory:
    """Return the inventory once it is as before, or what it is after some turns of the loop.

    Nothing is left to the garbage collector: it is off meanwhile.
    """
    gc.disable()
    try:
        for _ in range(most_turns):
            now = Inventory.take()
            if now == before:
                return now
            await asyncio.sleep(0.001)  # the kernel tells the server's half of it
        return now
    finally:
        gc.enable()


# TLS


class Trust:
    """A certificate authority of our own, and contexts made of it."""

    def __init__(self) -> None:
        self.ca = trustme.CA()

    def server(self, *names: str) -> ssl.SSLContext:
        """Return a server's context with a certificate for these names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*(names or ("127.0.0.1", "localhost", "::1"))).configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        """Return a client's context that trusts this authority."""
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context
