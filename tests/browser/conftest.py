"""A real Chromium for tests of pages, and the demo to look at."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeAlias

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

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
    # Python in a page starts sooner, and runs as it does otherwise.
    "--js-flags=--liftoff-only",
]
VIEWPORT = {"width": 1280, "height": 800}
MILLISECONDS = 60_000
"""A step may take as long under load; far above what it needs."""


@asynccontextmanager
async def remembering_chromium(**options: Any) -> AsyncIterator[BrowserContext]:
    """Start a browser that keeps compiled scripts on disk, as a visitor's does.

    A page that was there before loads in half the time; other profiles begin with nothing.
    """
    if CHROMIUM is None:
        pytest.skip("no Chromium here; install your system's package `chromium`")
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch_persistent_context(
            "", executable_path=CHROMIUM, args=FLAGS, viewport=VIEWPORT, **options
        ) as context,
    ):
        context.set_default_timeout(MILLISECONDS)
        yield context


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def visitor() -> AsyncIterator[BrowserContext]:
    """The profile of a visitor who comes again, one for the tests of a module."""
    async with remembering_chromium() as context:
        yield context


@pytest.fixture(scope="module")
def chromium(visitor) -> Browser:
    """The browser, for profiles that have seen nothing."""
    return visitor.browser


OpenPage: TypeAlias = Callable[[str], Awaitable[Page]]


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(visitor) -> AsyncIterator[OpenPage]:
    """Open pages in a profile that has kept nothing; what goes wrong in one fails the test."""
    async with pages_in(visitor) as open_page:
        yield open_page
    await forget(visitor)


@asynccontextmanager
async def first_visit(chromium: Browser) -> AsyncIterator[OpenPage]:
    """Open pages in a profile that has seen nothing; what goes wrong in one fails the test."""
    async with await chromium.new_context(viewport=VIEWPORT) as context:
        context.set_default_timeout(MILLISECONDS)
        async with pages_in(context) as open_page:
            yield open_page


@asynccontextmanager
async def pages_in(context: BrowserContext) -> AsyncIterator[OpenPage]:
    """Open pages in a profile, and close them; what went wrong in one of them is an error."""
    problems: list[str] = []
    async with AsyncExitStack() as stack:

        async def open_page(address: str) -> Page:
            page = await context.new_page()
            stack.push_async_callback(page.close)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("request", lambda request: problems.extend(_outside(request.url)))
            await page.goto(address)
            return page

        yield open_page
    assert not problems


async def forget(visitor: BrowserContext) -> None:
    """Forget whatever pages have kept, and that the network is gone."""
    await visitor.set_offline(False)
    await visitor.clear_cookies()
    await visitor.clear_permissions()
    devtools = await visitor.new_cdp_session(visitor.pages[0])
    for kept in (await visitor.storage_state())["origins"]:
        clear = {"origin": kept["origin"], "storageTypes": "all"}
        await devtools.send("Storage.clearDataForOrigin", clear)
    await devtools.detach()


def _outside(url: str) -> list[str]:
    """Nothing of a page comes from elsewhere."""
    is_here = url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))
    return [] if is_here else [f"asked for {url}"]
