"""Servers that speak first, on foreign stacks: `on_open` hears it each time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.server import ServerConnection, serve

from loopback.server_kit import running
from loopback.servers import CLOSE, PATIENCE, PING, PONG, Peer, frame, text
from loopback.servers import serve as serve_raw
from sockstore import WebSocketStore
from sockstore.testing import assert_no_leaks

pytestmark = [pytest.mark.loopback, pytest.mark.asyncio]

TIMES = 20
HELLO, ASKED = "who are you?", '{"type": "auth_required"}'
SAID = [HELLO, {"type": "auth_required"}]


@asynccontextmanager
async def with_aiohttp() -> AsyncIterator[str]:
    async def speak(request: web.Request) -> web.WebSocketResponse:
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.send_str(HELLO)
        await websocket.send_str(ASKED)
        async for message in websocket:
            await websocket.send_str(message.data)
        return websocket

    app = web.Application()
    app.router.add_get("/", speak)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def with_websockets() -> AsyncIterator[str]:
    async def speak(connection: ServerConnection) -> None:
        await connection.send(HELLO)
        await connection.send(ASKED)
        async for message in connection:
            await connection.send(message)

    async with serve(speak, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@asynccontextmanager
async def with_starlette() -> AsyncIterator[str]:
    async def speak(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(HELLO)
        await websocket.send_text(ASKED)
        async for message in websocket.iter_text():
            await websocket.send_text(message)

    async with running(Starlette(routes=[WebSocketRoute("/", speak)]), ws="auto") as server:
        yield server.url("/")


@asynccontextmanager
async def in_one_packet() -> AsyncIterator[str]:
    async def speak(peer: Peer) -> None:
        await peer.accept(first=frame(PING) + text(HELLO) + text(ASKED))
        while True:
            opcode, payload = await peer.read_frame()
            if opcode != PONG:
                await peer.write(frame(opcode, payload))
            if opcode == CLOSE:
                return

    async with serve_raw(speak) as server:
        yield server.url


SERVERS = [with_aiohttp, with_websockets, with_starlette, in_one_packet]


@pytest.mark.contract("CN11", "MS4")
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.__name__)
async def test_on_open_hears_what_the_server_says_first_each_time(server):
    heard: list[list[object]] = []

    async def log_in(connection: WebSocketStore) -> None:
        words = connection.stream()
        first = [(await anext(words)).data for _ in SAID]
        connection.send("it is me")
        heard.append([*first, (await anext(words)).data])

    async with server() as url, assert_no_leaks(), asyncio.timeout(4 * PATIENCE):
        for _ in range(TIMES):
            connection = WebSocketStore(url, on_open=log_in, reconnect=False)
            before = connection.stream()
            async with connection:
                await connection.ready()
                assert heard.pop() == [*SAID, "it is me"]
                assert [(await anext(before)).data for _ in range(3)] == [*SAID, "it is me"]
                assert before.lag == 0
                assert connection.messages.total == 3


@pytest.mark.contract("CN4", "MS4")
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.__name__)
async def test_who_makes_a_stream_when_it_is_ready_hears_it_each_time(server):
    async with server() as url, assert_no_leaks(), asyncio.timeout(4 * PATIENCE):
        for _ in range(TIMES):
            async with WebSocketStore(url, reconnect=False) as connection:
                await connection.ready()
                words = connection.stream()
                assert [(await anext(words)).data for _ in SAID] == SAID
