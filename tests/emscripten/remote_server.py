"""A WebSocket server whose ends of connections are led from afar, over its path `/control`.

The transport contract needs both ends of a connection. A program in a browser has only one, and
asks for the other one over a WebSocket of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from emscripten.words import from_words, to_words

PATIENCE = 10.0
"""Seconds."""
GREETING = ("hello", b"\0\1")
"""What `TransportHarness.greeting_url` promises."""


class RemoteEnds:
    """The server's ends of its connections."""

    def __init__(self) -> None:
        self._new: deque[ServerConnection] = deque()

    async def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        if connection.request.path == "/greeting":
            for message in GREETING:
                await connection.send(message)
            await connection.wait_closed()
            return
        if connection.request.path != "/control":
            self._new.append(connection)
            await connection.wait_closed()
            return
        led: ServerConnection | None = None
        async for order in connection:
            do, *words = json.loads(order)
            if do == "take":
                led = await self._newest()
            answer = await _obey(led, do, words)
            await connection.send(json.dumps(answer))

    async def _newest(self) -> ServerConnection:
        async with asyncio.timeout(PATIENCE):
            while not self._new:
                await asyncio.sleep(0)
        newest = self._new.pop()
        self._new.clear()
        return newest


async def _obey(led: ServerConnection | None, do: str, words: list[Any]) -> Any:
    assert led is not None
    match do:
        case "receive":
            return to_words(await led.recv())
        case "send":
            for message in words:
                await led.send(from_words(message))
        case "close":
            await led.close(*words)
        case "drop":
            led.transport.abort()
    return None


@asynccontextmanager
async def remote_ends() -> AsyncIterator[tuple[int, int]]:
    """Serve; yields the port, and one of a server that answers no handshake."""

    def refuse(connection: ServerConnection, request: Any) -> Any:
        return connection.respond(403, "no") if request.path == "/refused" else None

    def choose(connection: ServerConnection, offered: Any) -> Any:
        return "chat" if "chat" in offered else None

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    hanging = await asyncio.start_server(hang, "127.0.0.1", 0)
    handle = RemoteEnds().handle
    async with (
        hanging,
        serve(handle, "127.0.0.1", 0, process_request=refuse, select_subprotocol=choose) as server,
    ):
        accepting, silent = (it.sockets[0].getsockname()[1] for it in (server, hanging))
        yield accepting, silent
