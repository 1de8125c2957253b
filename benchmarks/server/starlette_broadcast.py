"""Broadcast with Starlette: a list of WebSockets, and a loop that sends to each.

Users of Starlette write the same: the ``ConnectionManager`` of FastAPI's documentation ("Handling
disconnections and multiple clients"), on uvicorn with all its defaults. It keeps no history.
"""

from __future__ import annotations

import socket

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect


class ConnectionManager:
    """Holds the open connections."""

    def __init__(self) -> None:
        self.active_connections: list[WebSocket] = []

    async def connect(self, websocket: WebSocket) -> None:
        """Accept a connection."""
        await websocket.accept()
        self.active_connections.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        """Remove a connection."""
        self.active_connections.remove(websocket)

    async def broadcast(self, message: str) -> None:
        """Send a text to all connections."""
        for connection in self.active_connections:
            await connection.send_text(message)


manager = ConnectionManager()


async def chat(websocket: WebSocket) -> None:
    """Send each client's messages to all clients."""
    await manager.connect(websocket)
    try:
        while True:
            await manager.broadcast(await websocket.receive_text())
    except WebSocketDisconnect:
        manager.disconnect(websocket)


def main() -> None:
    """Serve until it is terminated."""
    listening = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[WebSocketRoute("/chat/{room}", chat)])
    print(f"listening on ws://127.0.0.1:{listening.getsockname()[1]}/chat/ROOM", flush=True)
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])


if __name__ == "__main__":
    main()
