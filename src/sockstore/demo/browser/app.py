"""Serve the demo whose Python runs in the visitor's browser: its page, its files and a server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from sockstore.demo.browser.archive import Archive, pack_sources
from sockstore.demo.browser.files import Folder
from sockstore.demo.browser.runtime import CDN, FETCHED, Runtime
from sockstore.demo.visitor import NO_SERVER_HERE
from sockstore.server import ChatServer
from sockstore.server.app import other_paths
from sockstore.server.middleware import HostGuard

__all__ = ["create_browser_demo", "document", "policy"]

HERE = Path(__file__).parent
PAGE = HERE / "page.html"
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

    # One document: its Python looks at the address.
    pages = [Route("/", show), Route("/chat", show)]
    return [*pages, assets.route(), python.route(), package.route()]


def _package(runtime: Runtime, archive: Archive) -> Mapping[str, Path | bytes]:
    """Return this package as a file, with bytecode if the staging tool compiled these sources."""
    compiled = runtime.compiled(archive)
    return {archive.name: archive.data} if compiled is None else {compiled.name: compiled}


def _sizes(python: Folder, package: Folder) -> dict[str, dict[str, int]]:
    """Return the sizes of what the page loads; empty for the CDN, whose sizes are unknown."""
    if not python.files:
        return {}
    fetched = {name: python.size(name) for name in FETCHED}
    return fetched | {name: package.size(name) for name in package.files}


def document(assets: str, runtime: str, settings: Mapping[str, object]) -> str:
    """Return the page's HTML.

    Args:
        assets: The path of its scripts and styles.
        runtime: The path or the url of Pyodide, with a slash at the end.
        settings: The settings of its script.
    """
    # A closing tag in a value must not end the element that contains it.
    text = json.dumps({**settings, "runtime": runtime}).replace("<", "\\u003c")
    template = Template(PAGE.read_text(encoding="utf-8"))
    return template.substitute(assets=assets, runtime=runtime, settings=text)


def policy(runtime: str, server: str | None) -> str:
    """Return the page's ``Content-Security-Policy``.

    Args:
        runtime: The path or the url of Pyodide.
        server: Another server that the page connects to; None if there is none.

    Example:
        >>> "connect-src 'self' ws://localhost:8765;" in policy("/", "ws://localhost:8765")
        True
    """
    runtimes = _origin(runtime)
    rules = {
        "default-src": ["'self'"],
        # WebAssembly needs the first; the second is for `pyodide.code.run_js`, by which the
        # components bring their scripts. Python that runs here can do all that a script can.
        "script-src": ["'self'", "'wasm-unsafe-eval'", "'unsafe-eval'", *runtimes],
        "connect-src": ["'self'", *runtimes, *_origin(server or "")],
        # Components bring their own style.
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
    return "; ".join(" ".join([rule, *sources]) for rule, sources in rules.items())


def _origin(url: str) -> list[str]:
    parts = urlsplit(url)
    return [f"{parts.scheme}://{parts.netloc}"] if parts.netloc else []
