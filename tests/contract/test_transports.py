"""Every transport keeps one contract: the memory network, fake servers and real sockets alike."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest
from websockets.asyncio.server import ServerConnection, serve

from loopback.servers import BINARY, Peer, frame, text
from loopback.servers import serve as serve_raw
from sockstore.testing import (
    FakeClient,
    FakeServer,
    asgi_transport,
    assert_no_leaks,
    check_transport,
)
from sockstore.transports.base import TransportFactory
from sockstore.transports.memory import MemoryNetwork, MemoryPeer
from sockstore.transports.native.transport import NativeTransport

GREETING = ("hello", b"\x00\x01")
"""What `TransportHarness.greeting_url` promises."""

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.contract("CN6", "CN12", "CN15", "MS1", "TK1"),
]


class MemoryServerHalf:
    def __init__(self, peer: MemoryPeer) -> None:
        self.peer = peer
        self.messages: asyncio.Queue[str | bytes] = asyncio.Queue()
        peer.on_message = self.messages.put_nowait

    async def receive(self) -> str | bytes:
        return await self.messages.get()

    async def send(self, *messages: str | bytes) -> None:
        self.peer.send(*messages)

    async def ping(self) -> None:
        pongs = self.peer.pongs
        self.peer.ping()
        async with asyncio.timeout(10):
            while self.peer.pongs == pongs:
                await asyncio.sleep(0.001)

    async def close(self, code: int, reason: str) -> None:
        self.peer.close(code, reason)

    async def drop(self) -> None:
        self.peer.drop()


class MemoryHarness:
    url = "ws://memory/accepts"
    refusing_url = "ws://memory/refuses"
    hanging_url = "ws://memory/hangs"
    greeting_url = "ws://memory/greets"
    pings = True

    def __init__(self, latency: float) -> None:
        self.make = MemoryNetwork(self.handshake_received, latency)
        self.newest: MemoryServerHalf | None = None

    def handshake_received(self, peer: MemoryPeer) -> None:
        match peer.target.url:
            case self.url:
                self.newest = MemoryServerHalf(peer)
                peer.accept("chat" if "chat" in peer.target.subprotocols else None)
            case self.greeting_url:
                peer.accept()
                peer.send(*GREETING)
            case self.refusing_url:
                peer.refuse(403)

    async def server(self) -> MemoryServerHalf:
        assert self.newest is not None
        return self.newest


@pytest.mark.parametrize("latency", [0.0, 0.001])
async def test_the_memory_transport_keeps_the_contract(latency):
    async with assert_no_leaks():
        await check_transport(MemoryHarness(latency))


class HandlerServerHalf:
    def __init__(self, client: FakeClient) -> None:
        self.client = client

    async def receive(self) -> str | bytes:
        return await self.client.receive()

    async def send(self, *messages: str | bytes) -> None:
        self.client.send(*messages)

    async def ping(self) -> None:
        pongs = self.client.pongs
        self.client.ping()
        async with asyncio.timeout(10):
            while self.client.pongs == pongs:
                await asyncio.sleep(0.001)

    async def close(self, code: int, reason: str) -> None:
        self.client.close(code, reason)

    async def drop(self) -> None:
        self.client.drop()


class HandlerHarness:
    url = "ws://fake/accepts"
    refusing_url = "ws://fake/refuses"
    hanging_url = "ws://fake/hangs"
    greeting_url = "ws://fake/greets"
    pings = True

    def __init__(self) -> None:
        self.server_ = FakeServer(self.handle)
        self.make = self.server_
        self.newest: FakeClient | None = None

    async def handle(self, client: FakeClient) -> None:
        match client.path:
            case "/refuses":
                client.refuse(403)
            case "/greets":
                await client.send(*GREETING)
            case "/hangs":
                client.hang()
            case _:
                self.newest = client
        await client.wait_closed()

    async def server(self) -> HandlerServerHalf:
        assert self.newest is not None
        return HandlerServerHalf(self.newest)


async def test_a_fake_server_with_a_handler_keeps_the_contract():
    async with assert_no_leaks(), asyncio.timeout(60):
        await check_transport(HandlerHarness())


class ApplicationServerHalf:
    """An ASGI application's side of one connection, with what our server's extension adds."""

    def __init__(self, scope, receive, send) -> None:
        self.scope, self.events, self.write = scope, receive, send

    async def receive(self) -> str | bytes:
        event = await self.events()
        return event["text"] if event.get("text") is not None else event["bytes"]

    async def send(self, *messages: str | bytes) -> None:
        for message in messages:
            key = "text" if isinstance(message, str) else "bytes"
            await self.write({"type": "websocket.send", key: message})

    async def ping(self) -> None:
        raise NotImplementedError

    async def close(self, code: int, reason: str) -> None:
        await self.write({"type": "websocket.close", "code": code, "reason": reason})

    async def drop(self) -> None:
        self.scope["extensions"]["sockstore.abort"]["abort"]()


class ApplicationHarness:
    url = "ws://app/accepts"
    refusing_url = "ws://app/refuses"
    hanging_url = "ws://app/hangs"
    greeting_url = "ws://app/greets"
    pings = False  # an ASGI application has no pings

    def __init__(self) -> None:
        self.newest: ApplicationServerHalf | None = None
        self.make: TransportFactory

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await receive()
        half = ApplicationServerHalf(scope, receive, send)
        match scope["path"]:
            case "/refuses":
                await send({"type": "websocket.close"})
            case "/greets":
                await send({"type": "websocket.accept"})
                await half.send(*GREETING)
                await receive()
            case "/hangs":
                await receive()
            case _:
                chosen = "chat" if "chat" in scope["subprotocols"] else None
                self.newest = half
                await send({"type": "websocket.accept", "subprotocol": chosen})
                await asyncio.sleep(3600)

    async def server(self) -> ApplicationServerHalf:
        assert self.newest is not None
        return self.newest


async def test_an_asgi_application_in_the_process_keeps_the_contract(monkeypatch):
    monkeypatch.setattr("sockstore.testing.asgi.SECONDS_TO_LEAVE", 0.01)
    harness = ApplicationHarness()
    async with assert_no_leaks(), asgi_transport(harness) as harness.make:
        await check_transport(harness)


class NativeServerHalf:
    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection

    async def receive(self) -> str | bytes:
        return await self.connection.recv()

    async def send(self, *messages: str | bytes) -> None:
        for message in messages:
            await self.connection.send(message)

    async def ping(self) -> None:
        await (await self.connection.ping())

    async def close(self, code: int, reason: str) -> None:
        await self.connection.close(code, reason)

    async def drop(self) -> None:
        self.connection.transport.abort()


class NativeHarness:
    pings = True
    make = NativeTransport

    def __init__(
        self, port: int, connections: deque[ServerConnection], hanging: int, greeting: int
    ) -> None:
        self.greeting_url = f"ws://127.0.0.1:{greeting}/"
        self.url = f"ws://127.0.0.1:{port}/"
        self.refusing_url = f"ws://127.0.0.1:{port}/refused"
        self.hanging_url = f"ws://127.0.0.1:{hanging}/"
        self.connections = connections

    async def server(self) -> NativeServerHalf:
        async with asyncio.timeout(10):
            while not self.connections:
                await asyncio.sleep(0)
        return NativeServerHalf(self.connections.pop())


@pytest.mark.loopback
async def test_the_native_transport_keeps_the_contract():
    connections: deque[ServerConnection] = deque()

    async def keep(connection: ServerConnection) -> None:
        connections.append(connection)
        await connection.wait_closed()

    def refuse(connection: ServerConnection, request):
        return connection.respond(403, "no") if request.path == "/refused" else None

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    def choose(connection: ServerConnection, offered):
        return "chat" if "chat" in offered else None

    async def greet(peer: Peer) -> None:
        words, data = GREETING
        await peer.accept(first=text(words) + frame(BINARY, data))
        await peer.until_gone()

    hanging = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with (
        hanging,
        serve_raw(greet) as greeting,
        serve(keep, "127.0.0.1", 0, process_request=refuse, select_subprotocol=choose) as server,
    ):
        ports = [it.sockets[0].getsockname()[1] for it in (server, hanging)]
        await check_transport(NativeHarness(ports[0], connections, ports[1], greeting.port))
