"""The examples and the README's code run as they stand, against a real server."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest

from loopback.processes import free_port, serving
from sockstore import Reconnect, WebSocketStore
from sockstore.protocols import Topics

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
OFTEN = Reconnect(schedule=lambda attempt, outcome: 0.1)
HELLO = "ws://localhost:8765/echo"


async def start(*command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def output_of(*command: str) -> str:
    async with asyncio.timeout(60):
        process = await start(*command)
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert err == b""
    return out.decode()


def first_block_of_the_readme() -> str:
    return re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]


async def test_the_ten_lines_of_the_readme_start_before_the_server_and_survive_its_restart():
    code = first_block_of_the_readme()
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    port = free_port()
    assert HELLO in code
    process = await start("-c", code.replace(HELLO, f"ws://127.0.0.1:{port}/echo"))
    try:
        async with asyncio.timeout(60):
            async with serving(port):
                assert await process.stdout.readline() == b"Hello world!\n"
            async with serving(port):
                pass
            assert process.returncode is None
    finally:
        process.kill()
        _, err = await process.communicate()
    # Python writes warnings of a program that has set up no logging to standard error.
    assert all(b"it will be tried again" in line for line in err.splitlines())
    assert len(err.splitlines()) <= 3  # one for each outage


async def test_hello_is_the_readme_s():
    process = None
    async with serving() as server:
        process = await start(str(EXAMPLES / "hello.py"), server.url)
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"Hello world!\n"
        process.kill()
        await process.communicate()


async def test_stores():
    printed = await output_of(str(EXAMPLES / "stores.py"))
    assert printed.split("status: ")[1:] == [
        "disconnected\n",
        "connected\n",
        "error\n",
        "connected\n",
    ]


async def test_room():
    async with serving(0, "--history", "sqlite:///:memory:") as server:
        url = f"ws://127.0.0.1:{server.port}/connection/websocket"
        printed = await output_of(str(EXAMPLES / "room.py"), url)
    assert printed == "stored at 1\nstored at 2\n1 Ann: hello\n2 Ann: still here\n"


async def test_offline_outbox():
    async with serving() as server:
        printed = await output_of(str(EXAMPLES / "offline_outbox.py"), server.url)
    assert printed == "queued queued queued\nsent sent sent\n"


async def test_token_refresh():
    async with serving() as server:
        assert await output_of(str(EXAMPLES / "token_refresh.py"), server.url) == "connected\n"


async def test_providers():
    async with serving() as server:
        printed = await output_of(str(EXAMPLES / "providers.py"), server.url)
    assert sorted(printed.splitlines()) == [
        "afterwards it is closed",
        "chat is connected",
        "price 42",
    ]


async def test_pages():
    async with serving() as server:
        printed = await output_of(str(EXAMPLES / "pages.py"), server.url)
    assert printed.splitlines() == [
        "chat is connected",
        "chat is left",
        "home is mounted, news is disconnected",
    ]


async def test_web_chat_serves_its_page_and_its_room():
    port = free_port()
    process = await start(str(EXAMPLES / "web_chat.py"), str(port))
    try:
        room = f"ws://localhost:{port}/chat/lobby?name=Bob"
        by_type = Topics(key=lambda frame: frame.get("type"))
        async with (
            WebSocketStore(room, reconnect=OFTEN, protocol=by_type) as connection,
            connection.subscribe("message") as messages,
        ):
            await connection.ready(timeout=60)
            page = await asyncio.to_thread(urlopen, f"http://localhost:{port}/?name=Ann")
            with page:
                assert "sockstore-input" in page.read().decode()
            connection.send({"content": "hello"})
            said = await messages.latest.wait_for(lambda said: said, timeout=60)
            assert (said["sender"], said["content"], said["offset"]) == ("Bob", "hello", 1)
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize(
    "name",
    ["test_a_conversation.py", "test_board.py", "test_home_assistant.py", "test_your_program.py"],
)
async def test_the_examples_that_are_tests_pass(name):
    path = str(EXAMPLES / name)
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", path]
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, *command], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout


async def test_on_open():
    async with serving() as server:
        printed = await output_of(str(EXAMPLES / "on_open.py"), server.url)
    assert printed == "signed in\norder\n"


async def test_asking():
    async with serving() as server:
        printed = await output_of(str(EXAMPLES / "asking.py"), server.url)
    assert printed.splitlines() == [
        "{'op': 'price', 'symbol': 'BTC', 'reqId': 1}",
        "{'op': 'price', 'symbol': 'ETH', 'reqId': 2}",
    ]


async def test_topics():
    async with serving() as server:
        printed = await output_of(str(EXAMPLES / "topics.py"), server.url)
    price, news = "{'type': 'price', 'value': 101}", "{'type': 'news', 'value': 'good'}"
    assert printed.splitlines()[0] == "None | None"
    assert printed.splitlines()[-1] == f"{price} | {news}"
    assert "rain" not in printed


async def test_typed_messages():
    async with serving() as server:
        printed = await output_of(str(EXAMPLES / "typed_messages.py"), server.url)
    assert printed.splitlines() == [
        'rejected: {"symbol":"BTC","price":"high"}',
        "Trade(symbol='BTC', price=101.5)",
        'rejected: {"symbol":"BTC","amount":-1}',
        "Order(symbol='BTC', amount=3)",
    ]


async def test_every_example_has_a_test():
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    examples = [path.name for path in EXAMPLES.rglob("*") if path.suffix in {".py", ".ipynb"}]
    assert len(examples) >= 10
    assert not [name for name in examples if f'"{name}"' not in tests]
