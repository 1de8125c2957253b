"""The browser's own WebSocket, in a real Chromium."""

from __future__ import annotations

import pytest
from starlette.responses import Response
from starlette.routing import Route

from browser.demos import address_of, listen, served
from browser.pyodide_pages import LOAD, pages
from emscripten.remote_server import remote_ends
from loopback.processes import free_port
from sockstore.server import Limits, create_app

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.loopback,
    pytest.mark.xdist_group("python in a page"),
]

PROGRAMS = ("browser/facts_in_page.py", "emscripten/contract_in_page.py", "emscripten/words.py")


async def run_in_page(open_page, module: str, *words: str) -> None:
    """Run `main` of a module of the tests in a page; what it raises fails the test."""
    async with pages(*PROGRAMS) as address:
        page = await open_page(address)
        await page.evaluate(LOAD, "import asyncio")
        call = f"from {module} import main\nawait main(*{words!r})"
        assert await page.evaluate("(call) => python.runPythonAsync(call)", call) == 0


@pytest.mark.contract("CN6", "CN12", "CN15", "MS1", "TK1")
async def test_it_keeps_the_contract_of_all_transports(open_page):
    async with remote_ends() as ports:
        await run_in_page(open_page, "emscripten.contract_in_page", *map(str, ports))


@pytest.mark.contract("CN4", "LV1", "LV2", "LV5", "OB4", "MS2")
async def test_a_connection_over_it_is_what_it_is_elsewhere(open_page):
    listening = listen()
    patient = Limits(rate=10_000.0, burst=10_000, buffer_bytes=2**25)
    async with served(create_app(allowed_origins=["*"], limits=patient), listening):
        echo = f"ws://{address_of(listening)}/echo"
        await run_in_page(
            open_page, "browser.facts_in_page", echo, f"ws://127.0.0.1:{free_port()}/"
        )


WORKER = f"""
const window = self;
onmessage = async ({{ data }}) => {{
    try {{
        await ({LOAD})("import asyncio");
        postMessage(await python.runPythonAsync(data));
    }} catch (error) {{
        postMessage(error.message);
    }}
}};"""
ASK_WORKER = """(code) => new Promise((answer) => {
    const worker = new Worker("/worker.mjs", { type: "module" });
    worker.onmessage = ({ data }) => (worker.terminate(), answer(data));
    worker.postMessage(code);
})"""


@pytest.mark.contract("CN6", "LC3")
async def test_a_connection_works_in_a_worker_and_components_say_that_they_need_a_page(open_page):
    async def script(_: object) -> Response:
        return Response(WORKER, media_type="text/javascript")

    listening = listen()
    async with (
        served(create_app(allowed_origins=["*"]), listening),
        pages(routes=[Route("/worker.mjs", script)]) as address,
    ):
        page = await open_page(address)
        told = await page.evaluate(
            ASK_WORKER,
            f"""
from sockstore import WebSocketStore
from sockstore.ui.browser import Element, mount
async with WebSocketStore("ws://{address_of(listening)}/echo") as connection:
    connection.send("from a worker")
    view = await connection.messages.wait_for(len)
try:
    mount(lambda: Element("p"))
except Exception as error:
    why = str(error)
f"{{view[0].data}}; {{why}}"
""",
        )
    data, why = told.split("; ")
    assert data == "from a worker"
    assert why == (
        "sockstore.ui.browser draws on the document of a page, and there is none here: "
        "run it with Pyodide in a page, not in a worker or with another Python"
    )
