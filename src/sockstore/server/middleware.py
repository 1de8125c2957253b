"""ASGI middleware: checks the `Host` of requests, and lets requests begin one at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sockstore.server import admission
from sockstore.server.admission import Denied
from sockstore.server.asgi import Peer, PeerLeft

__all__ = ["HostGuard", "Turns", "refuse"]


class HostGuard:
    """Answers 403 to a page that reached this server under a foreign name (DNS rebinding).

    Args:
        app: The application, which answers all other requests.
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
        self._allowed = admission.allowed_hosts(
            admission.check_host_names(host_names), admission.check_origins(allowed_origins)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or hand it to the application."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        try:
            admission.check_host(scope, self._allowed)
        except Denied as refused:
            await refuse(refused, scope, receive, send)
        else:
            await self._app(scope, receive, send)


class Turns:
    """Lets an application begin one request in each turn of the event loop.

    A request or an opening handshake costs half a millisecond, and a peer with many connections may
    send many of them at once. They wait here, in the order in which they came, so that other
    connections have their turn in between.

    Args:
        app: The application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        # One for each waiting request, the oldest first; `_give_turn` sets and removes them.
        self._waiting: deque[asyncio.Future[None]] = deque()
        # The next call of `_give_turn`, while requests wait.
        self._next: asyncio.Handle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin when it is this request's turn."""
        if scope["type"] != "lifespan":
            loop = asyncio.get_running_loop()
            turn: asyncio.Future[None] = loop.create_future()
            self._waiting.append(turn)
            if self._next is None:
                self._next = loop.call_soon(self._give_turn, loop)
            await turn
        await self._app(scope, receive, send)

    def _give_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._next = None
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # a cancelled request is done
                turn.set_result(None)
                break
        if self._waiting:
            self._next = loop.call_soon(self._give_turn, loop)


async def refuse(refused: Denied, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request or an opening handshake with an HTTP status."""
    if scope["type"] == "http":
        text = f"{refused.message}\n"
        await PlainTextResponse(text, refused.status)(scope, receive, send)
        return
    await receive()  # "websocket.connect"
    with suppress(PeerLeft):
        await Peer(scope, receive, send).refuse(refused)
