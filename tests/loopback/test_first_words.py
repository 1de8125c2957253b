"""Servers that speak first, on foreign stacks: `on_open` hears it each time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from loopback.server_kit import running
from loopback.servers import CLOSE, PATIENCE, PING, PONG, Peer, frame, text
from loopback.servers import serve as serve_raw
from sockstore import Opening, WebSocketStore
from sockstore.testing import assert_no_leaks
from waiting import until

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


@pytest.mark.contract("OP2", "MS4")
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.__name__)
async def test_on_open_hears_what_the_server_says_first_each_time(server):
    heard: list[list[object]] = []

    async def log_in(opening: Opening) -> None:
        first = [(await opening.receive()).data for _ in SAID]
        opening.send("it is me")
        heard.append([*first, (await opening.receive()).data])

    async with server() as url, assert_no_leaks(), asyncio.timeout(4 * PATIENCE):
        for _ in range(TIMES):
            connection = WebSocketStore(url, on_open=log_in, reconnect=False)
            async with connection:
                await connection.ready()
                assert heard.pop() == [*SAID, "it is me"]
                assert connection.messages.total == 0


@pytest.mark.contract("OP2", "MS4")
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.__name__)
async def test_what_on_open_leaves_is_delivered_each_time_once(server):
    async def take_one(opening: Opening) -> None:
        heard.append((await opening.receive()).data)

    heard: list[object] = []
    async with server() as url, assert_no_leaks(), asyncio.timeout(4 * PATIENCE):
        for _ in range(TIMES):
            async with WebSocketStore(url, on_open=take_one, reconnect=False) as connection:
                await connection.ready()
                words = connection.stream()
                assert heard.pop() == HELLO
                assert (await anext(words)).data == SAID[1]
                connection.send("and then")
                assert (await anext(words)).data == "and then"
                assert connection.messages.total == 2


SIZE, COUNT = 64 * 2**10, 400  # 25 MiB


@pytest.mark.contract("OP2", "MS2")
@pytest.mark.parametrize("how", ["takes it", "leaves it", "raises", "is too slow"])
async def test_a_server_that_says_too_much_is_not_read_meanwhile(how):
    sent: list[int] = []

    async def speak(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            for number in range(COUNT):
                await connection.send(f"{number} " + "x" * SIZE)
                sent.append(number)
            await connection.wait_closed()

    async def on_open(opening: Opening) -> None:
        await until(lambda: len(sent) * SIZE > 4 * 2**20)
        match how:
            case "takes it":
                heard.extend([(await opening.receive()).data for _ in range(COUNT)])
            case "raises":
                raise OSError("too much")
            case "is too slow":
                await asyncio.sleep(PATIENCE)

    heard: list[str] = []
    async with serve(speak, "127.0.0.1", 0) as server, assert_no_leaks():
        connection = WebSocketStore(
            f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}",
            on_open=on_open,
            reconnect=False,
            connect_timeout=2 if how == "is too slow" else PATIENCE,
        )
        words = connection.stream(limit=COUNT)
        async with connection, asyncio.timeout(2 * PATIENCE):
            if how in {"raises", "is too slow"}:
                await connection.phase.wait_for(lambda phase: phase == "failed")
                assert len(sent) < COUNT
                return
            await connection.ready()
            if how == "leaves it":
                heard.extend([(await anext(words)).data for _ in range(COUNT)])
            assert [text.split()[0] for text in heard] == [str(n) for n in range(COUNT)]


@pytest.mark.contract("CN4", "MS4")
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.__name__)
async def test_who_makes_a_stream_when_it_is_ready_hears_it_each_time(server):
    async with server() as url, assert_no_leaks(), asyncio.timeout(4 * PATIENCE):
        for _ in range(TIMES):
            async with WebSocketStore(url, reconnect=False) as connection:
                await connection.ready()
                words = connection.stream()
                assert [(await anext(words)).data for _ in SAID] == SAID
