"""The server's ASGI application: for now the echo, the counterpart of the guide's first page."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

__all__ = ["create_app"]


def create_app() -> Starlette:
    """Return the ASGI application, to serve or to mount in another one.

    Returns:
        An application with ``/echo``, which sends every message back as it came.

    Example:
        ::

            uvicorn.run(create_app(), port=8765)
    """
    return Starlette(routes=[WebSocketRoute("/echo", _echo)])


async def _echo(websocket: WebSocket) -> None:
    await websocket.accept()
    while (event := await websocket.receive())["type"] == "websocket.receive":
        await websocket.send({**event, "type": "websocket.send"})
