"""The fake servers of the jobs on a port, for programs in processes of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from jobs.job_server import JobServer

__all__ = ["on_loopback"]


class LoopbackClient:
    """A client on a socket, with as much of a `FakeClient` as the servers of the jobs use."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self._tasks: set[asyncio.Task[None]] = set()  # `send` and `close` add; the end removes
        self.subprotocols = (socket.subprotocol,)
        self.is_open = True  # reset by `on_loopback`

    def accept(self, subprotocol: str | None = None) -> None:
        """The library has accepted it already."""

    async def receive(self) -> str | bytes:
        return await self._socket.recv()

    def send(self, *messages: Any) -> asyncio.Task[None]:
        return self._begin(self._send(messages))

    def close(self, code: int = 1000, reason: str = "") -> asyncio.Task[None]:
        return self._begin(self._socket.close(code, reason))

    async def _send(self, messages: tuple[Any, ...]) -> None:
        with suppress(ConnectionClosed):
            for message in messages:
                await self._socket.send(json.dumps(message))

    def _begin(self, coroutine: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


@asynccontextmanager
async def on_loopback(server: JobServer) -> AsyncIterator[str]:
    """Serve a fake server, and what its `load` returns by HTTP; yield the `host:port`."""

    async def converse(socket: ServerConnection) -> None:
        client = LoopbackClient(socket)
        server.connections.append(client)
        try:
            await server.converse(client)
            await socket.wait_closed()
        except* ConnectionClosed:
            pass
        finally:
            client.is_open = False

    async def load(socket: ServerConnection, request: Request) -> Response | None:
        if "Upgrade" in request.headers:
            return None
        (symbol,) = parse_qs(urlsplit(request.path).query)["symbol"]
        return socket.respond(HTTPStatus.OK, json.dumps(await server.load(symbol)))

    async with (
        server,
        serve(
            converse,
            "127.0.0.1",
            0,
            process_request=load,
            select_subprotocol=lambda _, offered: next(iter(offered), None),
        ) as listening,
    ):
        yield "{}:{}".format(*listening.sockets[0].getsockname())
