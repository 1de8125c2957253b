"""Pages of a real Chromium in which Python runs: Pyodide, our sources, and tests without a kit."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from browser.demos import address_of, listen, served
from browser_runtime import pack_sources, staged_runtime
from sockstore.demo.browser.runtime import Runtime, find_runtime

__all__ = ["LOAD", "PAGE", "Runtime", "archive", "pages"]

TESTS = Path(__file__).parents[1]

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Test</title>
</head>
<body></body>
</html>"""

LOAD = """async (setUp) => {
    const { loadPyodide } = await import("/pyodide/pyodide.mjs");
    const python = window.python = await loadPyodide({ indexURL: "/pyodide/" });
    const sources = await (await fetch("/sources.zip")).arrayBuffer();
    await python.unpackArchive(sources, "zip", { extractDir: "/lib/ours" });
    await python.runPythonAsync(`import sys; sys.path.insert(0, "/lib/ours")\\n${setUp}`);
}"""
"""Start Python in a page, and run this first."""


def archive(tests: Iterable[str] = ()) -> bytes:
    """Pack our package as pages get it, compiled, and some modules of the tests."""
    compiled = find_runtime(staged_runtime()).compiled(pack_sources())
    assert compiled is not None
    packed = io.BytesIO(compiled.read_bytes())
    with zipfile.ZipFile(packed, "a") as files:
        for name in tests:
            files.write(TESTS / name, name)
    return packed.getvalue()


@asynccontextmanager
async def pages(*tests: str, routes: Sequence[BaseRoute] = ()) -> AsyncIterator[str]:
    """Serve an empty page, Pyodide, the sources, and what else is wanted; the address."""
    packed = archive(tests)

    async def page(request: Request) -> Response:
        return HTMLResponse(PAGE)

    async def sources(request: Request) -> Response:
        return Response(packed, media_type="application/zip")

    all_routes = [
        *routes,
        Route("/sources.zip", sources),
        Mount("/pyodide", StaticFiles(directory=staged_runtime())),
        Route("/{path:path}", page),
    ]
    listening = listen()
    async with served(Starlette(routes=all_routes), listening):
        yield f"http://{address_of(listening)}"
