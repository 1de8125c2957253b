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
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from sockstore.server import ChatServer

ADDRESS = re.compile(
    r"\b(ws|http)s?://(?:localhost:8765|(?:[a-z-]+\.)*example(?:\.com)?)(?![\w.:])"
)
A_FEW = 10
"""Prices that come at once; NiceGUI ends badly while a page is drawn hundreds of times a second."""


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
    config.load()  # here: two threads that import the same modules at once get in each other's way
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@asynccontextmanager
async def visiting(page):
    """Visit a page of NiceGUI, and leave it."""
    from nicegui.testing import user_simulation  # noqa: PLC0415 - a second that few pages need

    async with user_simulation(page) as visitor:
        await visitor.open("/")
        yield visitor
        visitor.client.delete()
        await asyncio.sleep(0)
        if leaving := {task for task in asyncio.all_tasks() if "unmount" in task.get_name()}:
            await asyncio.wait(leaving)


def application() -> Starlette:
    """The chat server, and what other servers have."""
    server = ChatServer()

    @asynccontextmanager
    async def lifespan(app):
        yield
        await server.aclose()

    others = [
        WebSocketRoute("/ws", Lobby()),
        WebSocketRoute("/feed", feed),
        WebSocketRoute("/rpc", rpc),
        WebSocketRoute("/private", Private()),
        Route("/orders", orders),
    ]
    app = Starlette(routes=[*server.routes, *others], lifespan=lifespan)
    app.state.echo, app.state.chat = (route.app for route in server.routes[:2])
    return app


class Lobby:
    """A room, under the guide's address."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        room = {**scope, "path_params": {"room": "lobby"}}
        await scope["app"].state.chat(room, receive, send)


async def feed(websocket: WebSocket) -> None:
    """Prices without end, from the sequence number that was asked for; pings are answered."""
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
            await asyncio.sleep(0.005 if sequence - after <= A_FEW else 0.5)
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


class Private:
    """An echo for those who show the new token."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        websocket = WebSocket(scope, receive, send)
        if websocket.headers.get("authorization") == "Bearer new":
            await scope["app"].state.echo(scope, receive, send)
        else:
            await websocket.send_denial_response(Response(status_code=401))


async def orders(request) -> JSONResponse:
    return JSONResponse([{"order": 6}])
