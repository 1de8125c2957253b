"""ASGI application of the demo that runs in the visitor's browser: page, files and server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from sockstore.demo.browser.archive import Archive, pack_sources
from sockstore.demo.browser.files import Folder
from sockstore.demo.browser.page import document, policy
from sockstore.demo.browser.runtime import CDN, FETCHED, Runtime
from sockstore.demo.visitor import NO_SERVER_HERE
from sockstore.server import ChatServer
from sockstore.server.app import other_paths
from sockstore.server.middleware import HostGuard

__all__ = ["create_browser_demo"]

HERE = Path(__file__).parent
SCRIPTS = ("boot.css", "boot.js", "failures.js", "loading.js", "too-old.js")
ASSETS = {**{name: HERE / name for name in SCRIPTS}, "style.css": HERE.parent / "style.css"}


def create_browser_demo(
    runtime: Runtime, server: str | None = None, host_names: Iterable[str] = ()
) -> Starlette:
    """Return the demo whose Python runs in the page; it needs the extra ``server`` only.

    Args:
        runtime: The copy of Pyodide that the page runs on.
        server: Another server for the page to talk to, for example ``ws://localhost:8765``, which
            must allow the page's origin; None adds one, whose rooms last as long as the demo.
        host_names: As in `ChatServer`, for the pages, too.
    """
    names = frozenset(host_names)
    chat_server = ChatServer(host_names=names)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await chat_server.aclose()

    routes = _routes(runtime, server)
    if server is None:
        routes += [*chat_server.routes, other_paths()]
    else:
        routes.append(other_paths(NO_SERVER_HERE.format(server=server)))
    guard = Middleware(HostGuard, host_names=names)
    return Starlette(routes=routes, middleware=[guard], lifespan=lifespan)


def _routes(runtime: Runtime, server: str | None) -> list[BaseRoute]:
    assets = Folder("/assets", ASSETS)
    python = Folder("/runtime", runtime.files)
    package = Folder("/sources", _package(runtime, pack_sources()))
    base = CDN if runtime.folder is None else python.url
    [sources] = package.files
    html = document(
        assets.url,
        base,
        {"sources": package.url + sources, "server": server, "sizes": _sizes(python, package)},
    )
    headers = {"cache-control": "no-cache", "content-security-policy": policy(base, server)}

    def show(_: Request) -> Response:
        return HTMLResponse(html, headers=headers)

    # One document: the Python in it looks at the address.
    pages = [Route("/", show), Route("/chat", show)]
    return [*pages, assets.route(), python.route(), package.route()]


def _package(runtime: Runtime, archive: Archive) -> Mapping[str, Path | bytes]:
    """Return this package as a file: with bytecode, if the staging tool compiled these sources."""
    compiled = runtime.compiled(archive)
    return {archive.name: archive.data} if compiled is None else {compiled.name: compiled}


def _sizes(python: Folder, package: Folder) -> dict[str, dict[str, int]]:
    """Return the sizes of what the page loads; empty for the CDN, whose sizes are unknown."""
    if not python.files:
        return {}
    fetched = {name: python.size(name) for name in FETCHED}
    return fetched | {name: package.size(name) for name in package.files}
