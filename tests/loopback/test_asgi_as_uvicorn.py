"""What a client sees of an ASGI application in its own process is what it sees with uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from sockstore import WebSocketStore
from sockstore.testing import asgi_transport
from waiting import PATIENCE

pytestmark = [pytest.mark.loopback, pytest.mark.asyncio, pytest.mark.contract("TK2")]


async def closes(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("last words")
    await websocket.close(4001, "enough")


async def closes_plainly(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


async def closes_before_it_accepts(websocket: WebSocket) -> None:
    await websocket.close(4001)


async def denies(websocket: WebSocket) -> None:
    await websocket.send_denial_response(PlainTextResponse("not today", 418))


async def denies_in_json(websocket: WebSocket) -> None:
    await websocket.send_denial_response(JSONResponse({"detail": "who are you?"}, 401))


async def returns(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("last words")


async def returns_before_it_accepts(websocket: WebSocket) -> None:
    await websocket.receive()


async def raises(websocket: WebSocket) -> None:
    await websocket.accept()
    raise LookupError


async def raises_before_it_accepts(websocket: WebSocket) -> None:
    raise LookupError


async def chooses(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol="b", headers=[(b"x-answer", b"yes")])
    await websocket.send_json(
        [
            websocket.url.path,
            websocket.scope["raw_path"].decode(),
            dict(websocket.query_params),
            websocket.scope["subprotocols"],
            websocket.headers["x-kind"],
            sorted(set(websocket.headers) - {"sec-websocket-extensions"}),
        ]
    )
    await websocket.close(4000)


async def tells_how_it_was_left(websocket: WebSocket) -> None:
    await websocket.accept()
    event = await websocket.receive()
    left.put_nowait((event["code"], event.get("reason")))


left: asyncio.Queue[tuple[int, str | None]] = asyncio.Queue()

ENDPOINTS = [
    chooses, closes, closes_before_it_accepts, closes_plainly, denies, denies_in_json, raises,
    raises_before_it_accepts, returns, returns_before_it_accepts,
]  # fmt: skip


@contextlib.asynccontextmanager
async def with_uvicorn(app):
    """Serve an application with uvicorn as it comes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, ws="websockets-sansio", log_level="critical")
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve([listening]))
        try:
            yield f"ws://127.0.0.1:{listening.getsockname()[1]}", {}
        finally:
            server.should_exit = True
            await task


@contextlib.asynccontextmanager
async def in_process(app):
    """Run an application in this process; what it raises is not this test's matter."""
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    with contextlib.suppress(LookupError):
        async with asgi_transport(app) as transport:
            yield "ws://127.0.0.1:80", {"transport": transport}


async def seen(where, endpoint) -> dict[str, object]:
    """Return what a client sees from its first attempt to the end."""
    app = Starlette(routes=[WebSocketRoute("/{path:path}", endpoint)])
    async with where(app) as (url, options):
        messages: list[object] = []
        async with WebSocketStore(
            f"{url}/a%20b?x=1&y=%20z",
            **options,
            reconnect=False,
            headers={"X-Kind": "test"},
            subprotocols=["a", "b"] if endpoint is chooses else [],
        ) as connection:
            connection.messages.on_append(lambda message: messages.append(message.data))
            sockets: list[object] = []
            connection.socket.subscribe(sockets.append)
            await connection.phase.wait_for(lambda phase: phase in {"closed", "failed"}, PATIENCE)
            error = connection.error.value
            return {
                "messages": messages,
                "subprotocols": [socket.subprotocol for socket in sockets if socket is not None],
                "phase": connection.phase.value,
                "error": str(error).replace(url, "URL"),
                "status": getattr(error, "status", None),
            }


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.__name__)
async def test_a_client_sees_the_same(endpoint):
    assert await seen(in_process, endpoint) == await seen(with_uvicorn, endpoint)


async def test_an_application_sees_the_same_when_its_client_goes():
    told = []
    for where in (with_uvicorn, in_process):
        app = Starlette(routes=[WebSocketRoute("/", tells_how_it_was_left)])
        async with where(app) as (url, options):
            async with WebSocketStore(url, **options) as connection:
                await connection.ready(PATIENCE)
                connection.close(4002, "bye")
            async with asyncio.timeout(PATIENCE):
                told.append(await left.get())
    assert told == [(4002, "bye")] * 2
