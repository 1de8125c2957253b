"""`sockstore demo --browser`, as a user starts it."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys

import pytest

from loopback.processes import free_port, run, start
from loopback.test_cli import assert_one_line
from sockstore.demo.browser.runtime import CDN, FILES, PYODIDE

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback, pytest.mark.contract("CL1")]

LIMIT = 60


@pytest.fixture
def copy(tmp_path):
    """A folder that looks like a copy of Pyodide: here nobody runs it."""
    for name in FILES:
        (tmp_path / name).write_text("")
    (tmp_path / "pyodide.mjs").write_text(f'version="{PYODIDE}"')
    return tmp_path


async def test_a_folder_without_pyodide_is_one_line(tmp_path):
    finished = await run("demo", "--browser", "--pyodide", str(tmp_path), "--port", "0")
    assert finished.status == 1
    assert_one_line(finished, "pyodide.mjs", f"pyodide@{PYODIDE}", "make browser-runtime")


async def test_a_copy_of_another_version_is_one_line(copy):
    (copy / "pyodide.mjs").write_text('version="0.28.3"')
    finished = await run("demo", "--browser", "--pyodide", str(copy), "--port", "0")
    assert finished.status == 1
    assert_one_line(finished, "0.28.3", PYODIDE)


async def test_a_copy_without_the_page_that_runs_on_it_is_one_line(copy):
    finished = await run("demo", "--pyodide", str(copy), "--port", "0")
    assert finished.status == 2
    assert_one_line(finished, "--pyodide", "--browser")


async def test_it_runs_either_in_the_terminal_or_in_the_browser():
    finished = await run("demo", "--browser", "--terminal")
    assert finished.status == 2
    assert_one_line(finished, "--terminal", "--browser", "--help")


async def test_a_taken_port_is_one_line(copy):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        finished = await run("demo", "--browser", "--pyodide", str(copy), "--port", port)
    assert finished.status == 1
    assert_one_line(finished, port, "--port")


async def test_another_server_must_let_the_page_in_and_it_says_how(copy):
    server = ("--server", "ws://localhost:8765")
    demo = await start("demo", "--browser", "--pyodide", str(copy), "--port", "0", *server)
    async with asyncio.timeout(LIMIT):
        page = await demo.stdout.readline()
        hint = await demo.stdout.readline()
    demo.send_signal(signal.SIGINT)
    async with asyncio.timeout(LIMIT):
        out, err = await demo.communicate()
    [address] = re.findall(rb"http://127\.0\.0\.1:\d+", page)
    assert b"sockstore serve --origin " + address in hint
    assert (demo.returncode, out, err) == (0, b"", b"")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "there are /echo, /chat/ROOM, and /connection/websocket for any number of rooms."),
        (("--server", "ws://localhost:8765"), "the pages connect to ws://localhost:8765."),
    ],
)
async def test_a_websocket_on_another_path_is_told_which_paths_exist(copy, options, words):
    port = str(free_port())
    demo = await start("demo", "--browser", "--pyodide", str(copy), "--port", port, *options)
    try:
        async with asyncio.timeout(LIMIT):
            assert port.encode() in await demo.stdout.readline()
        refused = await run("listen", f"ws://127.0.0.1:{port}/nowhere", "--attempts", "0")
    finally:
        demo.kill()
        await demo.communicate()
    assert refused.status == 1
    assert "404" in refused.err
    assert refused.err.strip().endswith(words), refused.err


WITHOUT_NICEGUI = """
import sys
sys.modules["nicegui"] = None
from sockstore.demo.browser import runtime
from pathlib import Path
runtime._staged = lambda: Path("nowhere")
from sockstore.cli import main
sys.exit(main(["demo", "--browser", "--no-browser", "--port", "0"]))
"""


async def test_without_a_copy_it_says_that_pages_use_the_cdn_and_needs_no_nicegui():
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-u", "-c", WITHOUT_NICEGUI)
    demo = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(LIMIT):
        lines = [await demo.stdout.readline(), await demo.stdout.readline()]
    demo.send_signal(signal.SIGTERM)
    async with asyncio.timeout(LIMIT):
        _, err = await demo.communicate()
    assert CDN.encode() in lines[0]
    assert b"make browser-runtime" in lines[0]
    assert b"http://127.0.0.1:" in lines[1]
    assert (demo.returncode, err) == (0, b"")


async def test_without_the_extra_it_says_which_one():
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from sockstore.cli import main; sys.exit(main(['demo', '--browser', '--port', '0']))"
    )
    pipe = asyncio.subprocess.PIPE
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdout=pipe, stderr=pipe
    )
    async with asyncio.timeout(LIMIT):
        _, err = await demo.communicate()
    assert demo.returncode == 1
    assert err.decode().strip().splitlines() == [
        "sockstore demo: the server needs the package uvicorn: pip install 'sockstore[server]'"
    ]
