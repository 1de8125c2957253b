"""The examples of pages, in a browser, as a user would run them."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from browser.demos import CONNECTED, say, texts, wait_for_lines
from browser.pyodide_pages import LOAD, pages
from loopback.processes import SECONDS, free_port, serving
from sockstore.server import ChatServer

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.loopback,
    pytest.mark.xdist_group("web examples"),
]

EXAMPLES = Path(__file__).parents[2] / "examples"


@asynccontextmanager
async def example(name: str, *arguments: str):
    """Run an example until its port is open; its address."""
    port = free_port()
    async with program(port, EXAMPLES / name, *arguments, str(port)) as address:
        yield address


@asynccontextmanager
async def program(port: int, *arguments: str | Path):
    """Run Python with these arguments until a port is open; the address."""
    # NiceGUI behaves differently where it finds itself in a test.
    environment = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=environment,
    )
    try:
        async with asyncio.timeout(SECONDS):
            while not await _is_open(port):
                assert process.returncode is None
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def own_lines(name: str) -> int:
    """Count the lines that a user has to write: not blanks, imports and the docstring."""
    tree = ast.parse((EXAMPLES / name).read_text())
    lines = [
        line
        for statement in tree.body[1:]
        if not isinstance(statement, ast.Import | ast.ImportFrom)
        for line in ast.unparse(statement).splitlines()
    ]
    return sum(bool(line.strip()) for line in lines)


async def trades(client: ServerConnection) -> None:
    await client.send('{"type": "subscribed"}')
    for symbol, price in (("BTC-USD", 64_000.5), ("ETH-USD", 3_100)):
        await client.send(json.dumps({"symbol": symbol, "price": price}))
    await client.wait_closed()


@pytest.mark.contract("UI1")
async def test_a_feed_in_ten_lines(open_page):
    assert own_lines("web_feed.py") <= 10
    async with serve(trades, "127.0.0.1", 0) as feed:
        port = next(iter(feed.sockets)).getsockname()[1]
        async with example("web_feed.py", f"ws://127.0.0.1:{port}") as address:
            page = await open_page(address)
            expected = ["BTC-USD", "64000.5", "ETH-USD", "3100"]
            await wait_for_lines(page, *expected, selector=".sockstore-cells span")
            assert await texts(page, ".sockstore-columns strong") == ["Symbol", "Price"]


@pytest.mark.contract("UI1", "UI3", "UI4")
async def test_a_chat_in_thirty_lines_fills_the_page_and_scrolls_in_itself(open_page):
    assert len((EXAMPLES / "web_chat.py").read_text().splitlines()) <= 30
    async with example("web_chat.py") as address:
        page = await open_page(f"{address}/?name=Ann")
        await page.wait_for_selector(CONNECTED)
        for number in range(20):
            await say(page, f"message {number}")
        await page.get_by_text("message 19").wait_for()
        assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")
        scrolls = "one => one.scrollHeight > one.clientHeight"
        assert await page.locator(".sockstore-messages").evaluate(scrolls)


ON_ANOTHER_PORT = """
import functools, runpy, sys, sockstore.ui.nicegui as kit
path, port, *arguments = sys.argv[1:]
kit.run = functools.partial(kit.run, port=int(port))
sys.argv = [path, *arguments]
runpy.run_path(path, run_name="__main__")
"""


@pytest.mark.contract("UI1")
async def test_one_file_is_a_chat_in_a_web_page_too(open_page):
    port = free_port()
    async with serving(0, "--history", "sqlite:///:memory:") as server:
        url = f"ws://127.0.0.1:{server.port}/chat/lobby?name=Ann"
        command = ("-c", ON_ANOTHER_PORT, EXAMPLES / "chat.py", str(port), "nicegui", url)
        async with program(port, *command) as address:
            page = await open_page(address)
            await page.wait_for_selector(CONNECTED)
            await say(page, "hello")
            await wait_for_lines(page, "hello")


AS_PROGRAM = """async (code) => {
    python.FS.writeFile("/home/pyodide/chat.py", code);
    await python.runPythonAsync("import runpy; runpy.run_path('chat.py', run_name='__main__')");
}"""


@pytest.mark.contract("UI1")
async def test_one_file_is_a_chat_in_the_browsers_own_python_too(open_page):
    async with pages(routes=ChatServer().routes) as address:
        page = await open_page(f"{address}/?name=Ann")
        await page.evaluate(LOAD, "")
        await page.evaluate(AS_PROGRAM, (EXAMPLES / "chat.py").read_text())
        await page.wait_for_selector(CONNECTED)
        await say(page, "hello")
        await wait_for_lines(page, "hello")
        assert await texts(page, ".sockstore-members") == ["1 here: Ann"]
