"""Starlette: echoes, and does what the tests ask for (see server_programs.py)."""

from __future__ import annotations

import json

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

last: list[object] = [0, ""]


async def echo(websocket: WebSocket) -> None:
    offered = websocket.scope["subprotocols"]
    await websocket.accept(subprotocol="two" if "two" in offered else None)
    while True:
        event = await websocket.receive()
        if event["type"] == "websocket.disconnect":
            last[:] = event["code"], event.get("reason") or ""
            return
        data = event.get("text") or event.get("bytes")
        word, _, rest = data.partition(" ") if isinstance(data, str) else ("", "", "")
        if word == "!close":
            code, _, reason = rest.partition(" ")
            await websocket.close(int(code), reason)
        elif word == "!last":
            await websocket.send_text(json.dumps(last))
        elif isinstance(data, str):
            await websocket.send_text(data)
        else:
            await websocket.send_bytes(data)


app = Starlette(routes=[WebSocketRoute("/", echo)])
