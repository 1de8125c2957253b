"""The command `sockstore demo` as a process, and what tests do on its pages."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import uvicorn

from loopback.processes import SECONDS, start
from sockstore.demo.pages import create_demo

__all__ = [
    "CONNECTED", "FIELD", "LINES", "RECORDS", "SEND", "address_of", "background", "create_demo",
    "demo", "eventually", "greet_each_other", "listen", "say", "served", "texts", "wait_for_lines",
]  # fmt: skip

CONNECTED = ".connected"
FIELD = "textarea"
SEND = "button[type=submit].sockstore-send"
LINES = ".sockstore-line.message .sockstore-content"
RECORDS = ".sockstore-record"


@asynccontextmanager
async def demo(*arguments: str) -> AsyncIterator[str]:
    """Run `sockstore demo ARGUMENTS`; the address of its pages."""
    process = await start("demo", "--no-browser", "--port", "0", *arguments)
    try:
        async with asyncio.timeout(SECONDS):
            line = (await process.stdout.readline()).decode()
        found = re.search(r"(http://\S+)", line)
        if found is None:
            raise AssertionError(f"{line!r} {(await process.stderr.read()).decode()}")
        yield found[1]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def listen() -> socket.socket:
    """Return a socket that listens on a free port of 127.0.0.1."""
    return socket.create_server(("127.0.0.1", 0))


def address_of(listening: socket.socket) -> str:
    """Return the address of a socket as in a url."""
    return "{}:{}".format(*listening.getsockname())


@asynccontextmanager
async def served(app, listening):
    """Serve an application on this loop."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="websockets-sansio"))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
        listening.close()


async def say(page, text: str) -> None:
    """Write a message and send it with Enter."""
    await page.locator(FIELD).fill(text)
    await page.locator(FIELD).press("Enter")


async def texts(page, selector: str) -> list[str]:
    return await page.locator(selector).all_text_contents()


async def wait_for_lines(page, *expected: str, selector: str = LINES) -> None:
    """Wait until exactly these are shown, in this order, and none is on its way to the server."""
    await page.wait_for_function(
        """([selector, expected]) => JSON.stringify(
            [...document.querySelectorAll(selector)].map(one => one.textContent)
        ) === JSON.stringify(expected)
        && !document.querySelector("[data-mark=queued], [data-mark=sent]")""",
        arg=[selector, list(expected)],
    )


async def greet_each_other(ann, bob) -> None:
    """Let two pages of one room chat: each sees who is there, and what both say, once."""
    await ann.wait_for_function("document.body.innerText.includes('2 here: Ann, Bob')")
    await say(ann, "Hello Bob")
    await wait_for_lines(bob, "Hello Bob")
    await say(bob, "Hello Ann")
    for page in (ann, bob):
        await wait_for_lines(page, "Hello Bob", "Hello Ann")
        assert await texts(page, ".sockstore-sender") == ["Ann", "Bob"]


async def background(page, selector: str) -> str:
    return await page.locator(selector).evaluate("one => getComputedStyle(one).backgroundColor")


async def eventually(is_true: Callable[[], object], what: str) -> None:
    """Wait until something is true on the server's side, which reports no event of it."""
    try:
        async with asyncio.timeout(SECONDS):
            while not is_true():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"it never came true that {what}") from None
