"""A navigator that follows the browser: its address, its links, back and forward."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Self

from sockstore.base.errors import ScopeClosed
from sockstore.base.plain_calls import PLAIN, refuse_async
from sockstore.base.tasks import report
from sockstore.scope.navigator import Navigator, Page
from sockstore.scope.scope import Scope
from sockstore.ui.browser.dom import Node, document, listen, window

__all__ = ["PageHistory"]


class PageHistory:
    """Let a navigator show the page that the browser's address names, after every change.

    Plain clicks on links, back and forward become navigations of the navigator. When the visitor
    leaves the document its page is left, too: connections with ``close_on_navigate`` close at once,
    and the browser may keep the document; the page is shown again when they come back.

    Args:
        navigator: It shows the pages.
        page_of: Returns the page of an address, or None for one that the browser is to load.
            If an address differs only in what follows ``#``, returning the same page keeps it.

    Raises:
        LookupError: On entry, if the present address has no page.

    Source:
        The guide's navigation handling, which SvelteKit's router does for it.

    Example:
        ::

            async def chat(scope):
                page = mount(layout, "#app")
                scope.on_destroy(page.unmount)


            async with Navigator() as navigator:
                async with PageHistory(navigator, lambda url: chat) as history:
                    await history.go("/chat?room=lobby")
    """

    def __init__(self, navigator: Navigator, page_of: Callable[[str], Page | None]) -> None:
        refuse_async(page_of, "PageHistory()", f"{PLAIN}; the page that it returns may be async")
        self._navigator = navigator
        self._page_of = page_of
        self._scope = Scope()
        self._url = ""
        self._page: Page | None = None
        self._is_away = False

    @property
    def url(self) -> str:
        """The address whose page is shown or loaded."""
        return self._url

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Show the page of the present address, and follow the browser from now on.

        Raises:
            LookupError: If it has no page.
            Exception: Any exception of the page.
        """
        url = str(window().location.href)
        page = self._page_of(url)
        if page is None:
            raise LookupError(f"{url} has no page")
        self._listen()
        try:
            await self._show(url, page)
        except BaseException:
            await self.aclose()
            raise

    def _listen(self) -> None:
        for event in ("popstate", "hashchange"):
            listen(self._scope, window(), event, self._moved)
        listen(self._scope, document(), "click", self._clicked)
        listen(self._scope, window(), "pagehide", self._leave_document)
        listen(self._scope, window(), "pageshow", self._return_to_document)

    async def aclose(self) -> None:
        """Stop following the browser; the page stays, because the navigator owns it."""
        await self._scope.aclose()

    async def go(self, url: str) -> bool:
        """Go to another address, as a link would.

        Args:
            url: The address; it may be relative to the present one.

        Returns:
            Whether its page is shown; False if the browser loads it, or if another navigation
            took its place.

        Raises:
            Exception: Any exception of the page.
        """
        place = window().location
        target = window().URL.new(url, place.href)
        page = self._page_of(str(target.href)) if target.origin == place.origin else None
        if page is None:
            place.assign(target.href)
            return False
        return await self._go(str(target.href), page)

    async def _go(self, url: str, page: Page) -> bool:
        history = window().history
        # As in a browser, going to the present address adds no entry.
        (history.replaceState if url == self._url else history.pushState)(None, "", url)
        is_shown = await self._show(url, page)
        if is_shown:
            window().scrollTo(0, 0)
        return is_shown

    async def _show(self, url: str, page: Page) -> bool:
        self._url, self._page = url, page
        return await self._navigator.goto(page)

    def _moved(self, _: Node) -> None:
        """Follow back and forward; the browser may send two events for one move."""
        url = str(window().location.href)
        if url == self._url:
            return
        page = self._page_of(url)
        if page is None:
            window().location.reload()
        elif page == self._page and _differ_in_hash(url, self._url):
            self._url = url
        else:
            self._follow(self._show(url, page))

    def _clicked(self, event: Node) -> None:
        link = _link_of(event)
        # The browser follows a link within the document: it scrolls, and reports the move.
        if link is None or _differ_in_hash(link, self._url):
            return
        page = self._page_of(link)
        if page is not None:
            event.preventDefault()
            self._follow(self._go(link, page))

    def _follow(self, navigation: Coroutine[Any, Any, object]) -> None:
        """Navigate in a task, because the visitor asked for it; its errors are reported."""
        self._scope.task(_reported(navigation), name="sockstore: follow the visitor")

    def _leave_document(self, _: Node) -> None:
        """Begin to leave the page at once: soon the document is frozen, or gone."""
        self._is_away = True
        _begin(self._leave())

    async def _leave(self) -> None:
        with suppress(ScopeClosed):  # the navigator was left before
            await self._navigator.goto(_nothing)

    def _return_to_document(self, event: Node) -> None:
        if event.persisted and self._is_away and self._page is not None:
            self._follow(self._show(self._url, self._page))
        self._is_away = False


async def _reported(navigation: Coroutine[Any, Any, object]) -> None:
    try:
        await navigation
    except Exception as error:  # noqa: BLE001 - reported to the event loop's handler
        report(error, "a page")


async def _nothing(_: Scope) -> None:
    """An empty page, for a document that the visitor has left."""


def _begin(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine up to its first wait at once, and the rest in a task."""
    eagerly: dict[str, Any] = {"eager_start": True}  # Python 3.11 does not know it
    task = asyncio.Task(coroutine, loop=asyncio.get_running_loop(), **eagerly)
    _begun.add(task)
    task.add_done_callback(_begun.discard)


_begun: set[asyncio.Task[None]] = set()
"""Tasks that run: the loop itself holds them weakly."""


def _differ_in_hash(one: str, other: str) -> bool:
    """Whether both addresses are places in the same document."""
    return one != other and one.partition("#")[0] == other.partition("#")[0]


def _link_of(event: Node) -> str | None:
    """Return the address of the link that was clicked, if that is to be followed here."""
    if event.defaultPrevented or event.button != 0:
        return None
    if event.metaKey or event.ctrlKey or event.shiftKey or event.altKey:
        return None
    link = event.target.closest("a[href]")
    if not link or link.hasAttribute("download") or link.target not in {"", "_self"}:
        return None
    is_here = link.origin == window().location.origin
    return str(link.href) if is_here else None
