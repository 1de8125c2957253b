"""A real Chromium for tests of pages, and the demo to look at."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MILLISECONDS = 60_000
"""A step may take as long under load; far above what it needs."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium():
    """One browser for the tests of a module."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here; install your system's package `chromium`")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(chromium) -> AsyncIterator[Callable[[str], Awaitable[object]]]:
    """Open pages in a fresh profile; whatever goes wrong in one of them fails the test."""
    problems: list[str] = []
    async with AsyncExitStack() as stack:
        context = await chromium.new_context(viewport={"width": 1280, "height": 800})
        stack.push_async_callback(context.close)
        context.set_default_timeout(MILLISECONDS)

        async def open_page(address: str):
            page = await context.new_page()
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("request", lambda request: problems.extend(_outside(request.url)))
            await page.goto(address)
            return page

        yield open_page
    assert not problems


def _outside(url: str) -> list[str]:
    """Nothing of a page comes from elsewhere."""
    is_here = url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))
    return [] if is_here else [f"asked for {url}"]
