"""Make an ASGI application of the chat server, to serve or to mount in another one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from sockstore.server.admission import Denied, Token, check_host_names, check_origins
from sockstore.server.chat_server import IN_MEMORY, ChatServer, ExactRoute
from sockstore.server.history.base import History
from sockstore.server.limits import Limits
from sockstore.server.middleware import HostGuard, refuse

__all__ = ["create_app", "other_paths"]

NOTHING_HERE = (
    "There is nothing at this address; there are /echo, /chat/ROOM, and /connection/websocket for "
    "any number of rooms."
)


def create_app(
    *,
    history: History | str = IN_MEMORY,
    allowed_origins: Iterable[str] = (),
    host_names: Iterable[str] = (),
    token: Token | None = None,
    limits: Limits | None = None,
    trusted_proxies: Iterable[str] = (),
) -> Starlette:
    """Return the ASGI application, to serve or to mount in another one.

    Its lifespan opens and closes the history. A mounted application has no lifespan, so the history
    is opened at its first use; what was stored is safe at any time.

    Args:
        history: As in `ChatServer`; without it messages are kept in memory.
        allowed_origins: As in `ChatServer`.
        host_names: As in `ChatServer`.
        token: As in `ChatServer`.
        limits: As in `ChatServer`.
        trusted_proxies: As in `ChatServer`.

    Returns:
        An application with ``/echo``, which sends every message back as it came, and
        ``/chat/{room}``. Its `ChatServer` is ``app.state.chat_server``.

    Raises:
        InvalidOption: If a value cannot work.

    Example:
        ::

            uvicorn.run(create_app(history="sqlite:///chat.db"), port=8765)
            Starlette(routes=[Mount("/live", create_app())])
    """
    origins, names = check_origins(allowed_origins), check_host_names(host_names)
    server = ChatServer(
        history=history,
        allowed_origins=origins,
        host_names=names,
        token=token,
        limits=limits,
        trusted_proxies=trusted_proxies,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        await server.open()
        try:
            yield
        finally:
            await server.aclose()

    guard = Middleware(HostGuard, host_names=names, allowed_origins=origins)
    routes = [*server.routes, other_paths()]
    app = Starlette(routes=routes, middleware=[guard], lifespan=lifespan)
    app.state.chat_server = server
    return app


def other_paths(sentence: str = NOTHING_HERE) -> ExactRoute:
    """Return a last route, which answers 404 to WebSockets; Starlette's answer would be a bare 403.

    Args:
        sentence: The body of the answer, for the user of the client.
    """
    return ExactRoute("/{path:path}", _Nowhere(sentence), name="nowhere")


class _Nowhere:
    def __init__(self, sentence: str) -> None:
        self._refused = Denied(404, sentence)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(self._refused, scope, receive, send)
