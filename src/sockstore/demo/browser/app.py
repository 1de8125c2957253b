"""The demo in the visitor's browser as one ASGI application: its page, its files and the server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from sockstore.demo.browser.files import Served, file_route
from sockstore.demo.browser.runtime import CDN, Runtime, fingerprint
from sockstore.demo.browser.wheel import make_wheel
from sockstore.server import ChatServer

__all__ = ["create_browser_demo"]

HERE = Path(__file__).parent
ASSETS = {
    "boot.css": HERE / "boot.css",
    "boot.js": HERE / "boot.js",
    "too-old.js": HERE / "too-old.js",
    "style.css": HERE.parent / "style.css",
}


def create_browser_demo(runtime: Runtime, server: str | None = None) -> Starlette:
    """Return the demo whose Python runs in the page; it needs the extra ``server`` only.

    Args:
        runtime: The copy of Pyodide that the page runs on.
        server: Another server for the page to talk to, for example ``ws://localhost:8765``, which
            must allow this page's origin; None adds one, whose rooms last as long as the demo.
    """
    chat_server = ChatServer()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await chat_server.aclose()

    page = _Page(runtime, server)
    routes = [Route("/", page.show), Route("/chat", page.show), *page.files]
    return Starlette(routes=[*routes, *([] if server else chat_server.routes)], lifespan=lifespan)


class _Page:
    """One document for every page of the demo, and the files that it asks for."""

    def __init__(self, runtime: Runtime, server: str | None) -> None:
        wheel = make_wheel()
        compiled = runtime.compiled(wheel)
        name = wheel.name if compiled is None else compiled.name
        package = {name: Served(wheel.data if compiled is None else compiled)}
        version = fingerprint(runtime.files)
        assets = fingerprint(ASSETS)
        self.files = [
            file_route("/runtime", version, {k: Served(v) for k, v in runtime.files.items()}),
            file_route("/wheel", wheel.digest[:16], package),
            file_route("/assets", assets, {k: Served(v) for k, v in ASSETS.items()}),
        ]
        base = f"/runtime/{version}/" if runtime.folder else CDN
        self._html = _html(
            assets=f"/assets/{assets}/",
            runtime=base,
            settings={
                "runtime": base,
                "wheel": f"/wheel/{wheel.digest[:16]}/{name}",
                "server": server,
            },
        )
        self._policy = _policy(base, server)

    def show(self, request: Request) -> Response:
        del request
        headers = {"cache-control": "no-cache", "content-security-policy": self._policy}
        return HTMLResponse(self._html, headers=headers)


def _html(*, assets: str, runtime: str, settings: dict[str, object]) -> str:
    template = Template((HERE / "page.html").read_text(encoding="utf-8"))
    # A closing tag in a value must not end the element that holds it.
    text = json.dumps(settings).replace("<", "\\u003c")
    return template.substitute(assets=assets, runtime=runtime, wheel=settings["wheel"], settings=text)


def _policy(runtime: str, server: str | None) -> str:
    """Return what the page may do, as ``Content-Security-Policy`` says it."""
    elsewhere = [_origin(url) for url in (runtime, server or "") if "://" in url]
    rules = {
        "default-src": ["'self'"],
        "script-src": ["'self'", "'wasm-unsafe-eval'", "'unsafe-eval'", *elsewhere[:1]],
        "connect-src": ["'self'", *elsewhere],
        "img-src": ["'self'", "data:"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
    }
    return "; ".join(f"{rule} {' '.join(sources)}" for rule, sources in rules.items())


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
