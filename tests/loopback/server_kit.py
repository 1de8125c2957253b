"""What the server's tests share: a server in this process, and guests that talk plain JSON."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sockstore.server import ChatServer, Limits, create_app
from sockstore.server.client import Client
from sockstore.server.connections import Connections
from sockstore.server.uvicorn_http import (
    BoundedH11Protocol,
    BoundedHTTPProtocol,
    BoundedHttpToolsProtocol,
    Doors,
)
from sockstore.server.uvicorn_protocol import BoundedWebSocketProtocol
from waiting import until

PATIENCE = 20.0
"""Seconds any single step may take before a test fails; far above what it needs."""

QUICK = {"rate": 1e6, "burst": 1_000_000}
"""Limits of a server that counts nothing, for tests of something else."""


HTTP = {"h11": BoundedH11Protocol, "httptools": BoundedHttpToolsProtocol}
"""uvicorn's protocols with our bounds, by their parsers."""


class Running:
    """A server that runs in this process and this event loop."""

    def __init__(self, app: Any, port: int, state: uvicorn.server.ServerState) -> None:
        self.app = app
        self.port = port
        self.state = state

    @property
    def chat(self) -> ChatServer:
        return self.app.state.chat_server

    def url(self, path: str = "/echo") -> str:
        return f"ws://127.0.0.1:{self.port}{path}"

    def sockets(self) -> list[socket.socket]:
        """The sockets of the open WebSockets, as the server has them."""
        return [each.transport.get_extra_info("socket") for each in self.state.connections]

    def enter(self, room: str = "lobby", name: str | None = None, **options: Any) -> Any:
        """Enter a room; the guest has read history and presence."""
        return guest(self.url(f"/chat/{room}{'' if name is None else f'?name={name}'}"), **options)


@asynccontextmanager
async def running(
    app: Any = None, *, limits: Limits | None = None, ws: Any = None, **config: Any
) -> AsyncIterator[Running]:
    """Run an application, by default the chat server, until the block ends."""
    app = app or create_app(limits=limits or Limits(**QUICK))
    listening = socket.socket()
    # Small buffers in the kernel: what a client does not read is felt soon.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    listening.bind(("127.0.0.1", 0))
    options = {
        "log_level": "warning",
        "lifespan": "on",
        "ws_ping_interval": None,
        "ws_per_message_deflate": False,  # as in `sockstore serve`
        "http": BoundedHTTPProtocol,
        "proxy_headers": False,
        **config,
    }
    settings = uvicorn.Config(app, ws=ws or BoundedWebSocketProtocol, **options)
    settings.load()
    server = uvicorn.Server(settings)
    server.lifespan = settings.lifespan_class(settings)
    await server.startup(sockets=[listening])
    try:
        yield Running(app, listening.getsockname()[1], server.server_state)
    finally:
        await stop(server)


def room(port: int, name: str = "Ann") -> str:
    """Return the url of the lobby for a guest."""
    return f"ws://127.0.0.1:{port}/chat/lobby?name={name}"


async def stop(server: uvicorn.Server) -> None:
    """Do what uvicorn does at its end, without the tenth of a second that it sleeps."""
    for each in server.servers:
        each.close()
    for connection in list(server.server_state.connections):
        connection.shutdown()
    await until(lambda: not (server.server_state.connections or server.server_state.tasks))
    await server.lifespan.shutdown()


class Guest:
    """A client that speaks plain JSON, and is not of the library under test."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.history: list[dict[str, Any]] = []
        self.presence: dict[str, Any] = {}

    async def read(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            return json.loads(await self.connection.recv())

    async def read_until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Read until a frame of that type, with those fields."""
        while True:
            frame = await self.read()
            if frame["type"] == kind and fields.items() <= frame.items():
                return frame

    async def messages(self, count: int) -> list[dict[str, Any]]:
        return [await self.read_until("message") for _ in range(count)]

    async def say(self, content: str, **fields: Any) -> None:
        await self.connection.send(json.dumps({"content": content, **fields}, ensure_ascii=False))

    async def ask(self, before: int, **fields: Any) -> None:
        """Ask for the messages before an offset."""
        await self.connection.send(json.dumps({"type": "history", "before": before, **fields}))

    async def close_of(self) -> tuple[int, str]:
        """Read to the end, and return the close code and reason."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    await self.connection.recv()
        except ConnectionClosed:
            return self.connection.close_code or 0, self.connection.close_reason or ""


@asynccontextmanager
async def guest(url: str, **options: Any) -> AsyncIterator[Guest]:
    """Connect, and read history and presence if it is a room."""
    options = {"max_size": None, "max_queue": None, "ping_interval": None, "proxy": None, **options}
    async with connect(url, **options) as connection:
        visitor = Guest(connection)
        if "/chat/" in url:
            history = await visitor.read()
            assert history["type"] == "history"
            visitor.history = history["messages"]
            visitor.presence = await visitor.read()
            assert visitor.presence["type"] == "presence"
        yield visitor


class Mute:
    """A client that did the opening handshake, and then does nothing at all: it never reads.

    Attributes:
        sent: Bytes that `send_without_end` has sent so far.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sent = 0

    @classmethod
    async def connect(cls, port: int, path: str) -> Mute:
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n"
        )
        await loop.sock_sendall(sock, request.encode())
        answer = b""
        async with asyncio.timeout(PATIENCE):
            while not answer.endswith(b"\r\n\r\n"):
                answer += await loop.sock_recv(sock, 1)
        assert answer.startswith(b"HTTP/1.1 101")
        return cls(sock)

    async def read_until(self, wanted: bytes) -> bytes:
        """Read until these bytes came, and return all that came."""
        loop = asyncio.get_running_loop()
        data = bytearray()
        async with asyncio.timeout(PATIENCE):
            while wanted not in data[-(65536 + len(wanted)) :]:
                part = await loop.sock_recv(self.sock, 65536)
                assert part, "they never came"
                data += part
        return bytes(data)

    async def until_gone(self) -> bytes:
        """Read to the end, by close or by reset."""
        loop = asyncio.get_running_loop()
        data = b""
        try:
            async with asyncio.timeout(PATIENCE):
                while part := await loop.sock_recv(self.sock, 65536):
                    data += part
        except ConnectionError:
            pass
        finally:
            self.sock.close()
        return data


async def send_without_end(mute: Mute, data: bytes) -> None:
    """Send again and again, and read nothing, until the server ends the connection."""
    try:
        while True:
            await asyncio.get_running_loop().sock_sendall(mute.sock, data)
            mute.sent += len(data)
    except ConnectionError:
        return


def masked(first: int, payload: bytes) -> bytes:
    """One frame of a client; masked with zeros, which changes nothing."""
    size = len(payload)
    head = bytes((first, 0x80 | size)) if size < 126 else struct.pack("!BBH", first, 0xFE, size)
    return head + b"\0\0\0\0" + payload


def doors(*, per_address: int = 10**6, handshakes: int = 10**6, most: int | None = None) -> Doors:
    """Doors that count connections from this machine, too."""
    return Doors(Connections(per_address, handshakes, most=most, group=ip_network))


def note_buffered(monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """Note how many bytes wait for the client of that name after each message for it."""
    buffered: list[int] = []
    offer = Client.offer

    def noted(client: Client, message: Any) -> None:
        offer(client, message)
        if client.name == name:
            buffered.append(client._buffered_bytes)

    monkeypatch.setattr(Client, "offer", noted)
    return buffered
