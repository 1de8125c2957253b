"""The page on how to run it in the browser is true: its HTML and its code run in Chromium."""

from __future__ import annotations

import json

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from browser.demos import CONNECTED, address_of, listen, say, served, wait_for_lines
from browser.pyodide_pages import LOAD, PAGE
from browser_runtime import PYODIDE, pack_sources, staged_runtime
from documentation.page_server import pointed_at
from documentation.pages import ROOT, Block, blocks_of
from loopback.node_packages import SCRIPTS, node_modules
from sockstore import __version__
from sockstore.server import ChatServer

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.loopback,
    pytest.mark.xdist_group("python in a page"),
]

VERSION = json.loads((SCRIPTS / "package.json").read_text())["dependencies"]["@pyscript/core"]
CDN = f"https://cdn.jsdelivr.net/pyodide/v{PYODIDE}/full/"
PYSCRIPT = f"https://cdn.jsdelivr.net/npm/@pyscript/core@{VERSION}/"
WHEEL = f"/sockstore-{__version__}-py3-none-any.whl"
"""What a reader downloads from an index: a zip of the package, as the demo's is."""

DOCUMENT = ROOT / "docs" / "howto" / "in-the-browser.md"


def blocks(language: str) -> list[Block]:
    return [block for block in blocks_of(DOCUMENT) if block.language == language]


def site(html: str) -> Starlette:
    """Serve what a reader of the page would: their document, the wheel, the program, the server."""
    wheel = pack_sources().data

    def page(_: Request) -> Response:
        return HTMLResponse(html)

    def package(_: Request) -> Response:
        return Response(wheel)

    def program(_: Request) -> Response:
        return FileResponse(ROOT / "examples" / "chat.py")

    routes: list[BaseRoute] = [
        Route(WHEEL, package),
        Route("/chat.py", program),
        Mount("/pyodide", StaticFiles(directory=staged_runtime())),
        Mount("/node_modules", StaticFiles(directory=node_modules() / "node_modules")),
        *ChatServer().routes,
        Route("/{path:path}", page),
    ]
    return Starlette(routes=routes)


@pytest.mark.contract("UI1", "UI3", "UI4")
@pytest.mark.parametrize("loader", ["Pyodide", "PyScript"])
async def test_the_document_runs_the_file_that_runs_in_every_kit(open_page, loader):
    html = dict(zip(("Pyodide", "PyScript"), blocks("html"), strict=True))[loader].code
    for place, here in ((CDN, "/pyodide/"), (PYSCRIPT, "/node_modules/@pyscript/core/")):
        html = html.replace(place, here)
    listening = listen()
    async with served(site(html), listening):
        page = await open_page(f"http://{address_of(listening)}/?name=Ann")
        await page.wait_for_selector(CONNECTED)
        await say(page, "from the browser itself")
        await wait_for_lines(page, "from the browser itself")


@pytest.mark.contract("UI1", "UI6", "LC4")
async def test_the_code_of_the_page_runs_in_a_page(open_page):
    lobby, later, history = (block for block in blocks("python") if block.in_a_page is not None)
    listening = listen()
    port = listening.getsockname()[1]
    async with served(site(PAGE), listening):
        page = await open_page(f"http://{address_of(listening)}/")
        await page.evaluate(LOAD.replace("/sources.zip", WHEEL), "import asyncio")

        async def run(block: Block) -> None:
            await page.evaluate("code => python.runPythonAsync(code)", pointed_at(block.code, port))

        await run(lobby)
        await page.wait_for_selector(f"section.talk {CONNECTED}")
        assert await page.locator("h1").text_content() == "<Lobby>"
        await run(later)
        assert await page.locator("h1").count() == 0
        assert await page.locator(".sockstore-root").count() == 0
        await run(history)
        await page.wait_for_selector(f"section.talk {CONNECTED}")
        assert page.url.endswith("/lobby")
        await page.go_back()
        await page.get_by_role("link", name="Enter the lobby").click()
        await page.wait_for_selector(f"section.talk {CONNECTED}")
