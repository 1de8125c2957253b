"""The demo as one ASGI application: the server and the pages that talk to it, on one port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from nicegui import ui

from sockstore.demo.pages import add_pages
from sockstore.server import ChatServer
from sockstore.server.middleware import HostGuard

__all__ = ["create_demo"]

SECONDS_TO_COME_BACK = 3.0
"""How long a visitor's own link may be down before the page, and its connections, end."""


def create_demo(address: str, server: str | None = None, host_names: Iterable[str] = ()) -> FastAPI:
    """Return the demo; NiceGUI's pages are global, so make it once in a process.

    Args:
        address: Where the demo itself is served, for example ``localhost:8080``.
        server: Another server for the pages to talk to, for example ``ws://localhost:8765``;
            None adds one, whose rooms last as long as the demo.
        host_names: As in `ChatServer`, for the pages, too.
    """
    names = frozenset(host_names)
    chat_server = ChatServer(host_names=names)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await chat_server.aclose()

    app = FastAPI(title="sockstore demo", lifespan=lifespan, docs_url=None, redoc_url=None)
    if server is None:
        app.router.routes.extend(chat_server.routes)
    add_pages(server or f"ws://{address}")
    ui.run_with(
        app,
        title="sockstore",
        dark=None,
        reconnect_timeout=SECONDS_TO_COME_BACK,
        tailwind=False,
        show_welcome_message=False,
    )
    app.add_middleware(HostGuard, host_names=names)
    return app
