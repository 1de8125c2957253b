"""The server that the pages' code talks to: every address that a page mentions, over loopback."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from sockstore.server import ChatServer

ADDRESS = re.compile(
    r"\b(ws|http)s?://(?:localhost:8765|(?:[a-z-]+\.)*example(?:\.com)?)(?![\w.:])"
)
PAUSE = 0.005


def pointed_at(code: str, port: int) -> str:
    """Return code whose addresses are those of the server on this port."""
    return ADDRESS.sub(rf"\1://127.0.0.1:{port}", code)


@contextmanager
def serving():
    """Serve in a thread of its own; yields the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        application(),
        log_level="warning",
        ws="sockstore.server.uvicorn_protocol:BoundedWebSocketProtocol",
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def application() -> Starlette:
    """The chat server, and what other servers have."""
    server = ChatServer()

    @asynccontextmanager
    async def lifespan(app):
        yield
        await server.aclose()

    others = [
        WebSocketRoute("/ws", lobby),
        WebSocketRoute("/feed", feed),
        WebSocketRoute("/rpc", rpc),
        WebSocketRoute("/private", private),
        Route("/orders", orders),
    ]
    app = Starlette(routes=[*server.routes, *others], lifespan=lifespan)
    app.state.echo, app.state.chat = (route.app for route in server.routes[:2])
    return app


async def lobby(websocket: WebSocket) -> None:
    """A room, under the guide's address."""
    scope = {**websocket.scope, "path_params": {"room": "lobby"}}
    await websocket.app.state.chat(scope, websocket._receive, websocket._send)


async def feed(websocket: WebSocket) -> None:
    """Prices for ever, from the sequence number that was asked for; pings are answered."""
    await websocket.accept()
    prices = asyncio.create_task(tell_prices(websocket, after=0))
    with suppress(WebSocketDisconnect):
        while True:
            asked = await websocket.receive_json()
            if asked.get("op") == "ping":
                await websocket.send_json({"op": "pong"})
            elif asked.get("op") == "replay":
                prices.cancel()
                prices = asyncio.create_task(tell_prices(websocket, after=asked["after"]))
    prices.cancel()
    await asyncio.wait([prices])


async def tell_prices(websocket: WebSocket, after: int) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):
        for sequence in range(after + 1, 1_000_000):
            await asyncio.sleep(PAUSE)
            symbol = "ACME" if sequence % 2 else "INITECH"
            price = {"type": "price", "symbol": symbol, "price": 100.0 + sequence}
            await websocket.send_json({**price, "sequence": sequence})


async def rpc(websocket: WebSocket) -> None:
    """JSON-RPC 2.0 with one method."""
    await websocket.accept()
    with suppress(WebSocketDisconnect):
        while True:
            asked = await websocket.receive_json()
            answer = {key: asked[key] for key in ("jsonrpc", "id") if key in asked}
            if asked.get("method") == "add":
                answer["result"] = sum(asked["params"])
            else:
                answer["error"] = {"code": -32601, "message": "there is no such method"}
            await websocket.send_json(answer)


async def private(websocket: WebSocket) -> None:
    """An echo for those who show the new token."""
    if websocket.headers.get("authorization") == "Bearer new":
        await websocket.app.state.echo(websocket.scope, websocket._receive, websocket._send)
    else:
        await websocket.send_denial_response(Response(status_code=401))


async def orders(request) -> JSONResponse:
    return JSONResponse([{"order": 6}])
