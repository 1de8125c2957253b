"""Requests begin one at a time: those of many connections leave every other client its turn."""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Turns"]


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
