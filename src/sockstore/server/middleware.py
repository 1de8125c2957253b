"""ASGI middleware: checks the `Host` of requests, and lets requests begin one at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sockstore.server.admission import (
    Handshake,
    Refused,
    check_host,
    check_host_names,
    check_origins,
)
from sockstore.server.asgi import Peer, PeerLeft

__all__ = ["HostGuard", "Turns", "listening_address"]


class HostGuard:
    """Answers a page that was led here under a name of its own (DNS rebinding) with 403.

    Args:
        app: What answers all other requests.
        host_names: As in `ChatServer`.
        allowed_origins: As in `ChatServer`.

    Raises:
        InvalidOption: If a value cannot work.

    Example:
        ::

            app.add_middleware(HostGuard, host_names=["chat.example.com"])
    """

    def __init__(
        self, app: ASGIApp, *, host_names: Iterable[str] = (), allowed_origins: Iterable[str] = ()
    ) -> None:
        self._app = app
        self._host_names = check_host_names(host_names)
        self._origins = check_origins(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        handshake = Handshake.read(scope["headers"], b"")
        try:
            check_host(handshake, listening_address(scope), self._host_names, self._origins)
        except Refused as refused:
            await _refuse(refused, scope, receive, send)
        else:
            await self._app(scope, receive, send)


def listening_address(scope: Scope) -> str | None:
    """Return the address that the server says it listens on; None if it does not say one."""
    server = scope.get("server")
    return None if server is None or server[1] is None else str(server[0])


class Turns:
    """An ASGI application that lets another one begin one request in each turn of the event loop.

    A request, or an opening handshake, costs half a millisecond, and a peer with many connections
    may have many of them at once. They wait here, in the order in which they came.

    Args:
        app: The other one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._next: asyncio.Handle | None = None  # lets the first of them begin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin when it is this request's turn."""
        if scope["type"] != "lifespan":
            await self._turn()
        await self._app(scope, receive, send)

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        if self._next is None:
            self._next = loop.call_soon(self._give_turn, loop)
        await turn

    def _give_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next = None
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # it was cancelled
                turn.set_result(None)
                break
        if self._waiting:
            self._next = loop.call_soon(self._give_turn, loop)


async def _refuse(refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        text = f"{refused.message}\n"
        await PlainTextResponse(text, refused.status)(scope, receive, send)
        return
    await receive()  # "websocket.connect"
    with suppress(PeerLeft):
        await Peer(scope, receive, send).refuse(refused)
