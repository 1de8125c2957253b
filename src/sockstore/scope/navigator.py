"""Show one page at a time, each in a scope of its own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextvars import copy_context
from typing import Self, TypeAlias

from sockstore.base.errors import ScopeClosed
from sockstore.base.plain_calls import name_of, refuse_generator
from sockstore.base.tasks import awaited, report, start_task
from sockstore.connection.navigation import Navigation
from sockstore.scope.scope import Scope
from sockstore.stores import Readable, Writable, readonly, writable

__all__ = ["Navigator", "Page"]

Page: TypeAlias = Callable[[Scope], object]
"""``async def page(scope)``, or a plain function: it mounts what it shows, and returns."""


class Navigator:
    """Show one page at a time: the scope of a page is left before the next page is mounted.

    Args:
        destroy_timeout: Seconds that leaving a page may take, as for `Scope`.

    Source:
        The guide's navigation handling (``navigating`` of SvelteKit's ``$app/stores``).

    Example:
        >>> import asyncio
        >>> from sockstore import Navigator, Scope
        >>> async def home(scope: Scope) -> None:
        ...     scope.on_destroy(lambda: print("home is left"))
        >>> async def chat(scope: Scope) -> None:
        ...     print("chat is mounted")
        >>> async def main() -> None:
        ...     async with Navigator() as navigator:
        ...         await navigator.goto(home)
        ...         await navigator.goto(chat)
        >>> asyncio.run(main())
        home is left
        chat is mounted
    """

    def __init__(self, *, destroy_timeout: float = 10.0) -> None:
        self._destroy_timeout = destroy_timeout
        # Pages run in the context of the navigator, not in that of the caller of `goto`.
        self._context = copy_context()
        self._navigating: Writable[Navigation | None] = writable(None)
        # The tasks of all navigations that are not over.
        self._under_way: set[asyncio.Task[bool]] = set()
        # The task of the last call of `goto` or `aclose`, which wins.
        self._latest: asyncio.Task[bool] | None = None
        # Set once the page is mounted, reset when it is left.
        self._page: Page | None = None
        # The scope of the page that is mounted, or being mounted.
        self._scope: Scope | None = None
        self._closed = False
        self.navigating: Readable[Navigation | None] = readonly(self._navigating)
        """None, or the `Navigation` that is under way."""

    @property
    def page(self) -> Page | None:
        """The page that is shown, if it has been mounted."""
        return self._page

    async def goto(self, page: Page) -> bool:
        """Leave the present page and mount another one.

        It may be called from within the page that is left. A navigation that has begun continues
        even if its caller is cancelled; only another `goto` or `aclose` ends it.

        Args:
            page: ``async def page(scope)``, or a plain function: it mounts things in its scope and
                returns; the scope is left by the next navigation.

        Returns:
            Whether the page is shown; False if another navigation took its place meanwhile.

        Raises:
            ScopeClosed: If the navigator has been left.
            TypeError: If the page is a generator function.
            ExceptionGroup: Errors of the previous page's cleanups; the page is mounted.
            Exception: The error of the page; no page is shown then.
        """
        if self._closed:
            raise ScopeClosed("navigate")
        refuse_generator(page, "goto()")
        return await self._begin(page)

    async def aclose(self) -> None:
        """Leave the present page; no other can be shown.

        Raises:
            ExceptionGroup: Errors of the page's cleanups.
        """
        if not self._closed:
            self._closed = True
            await self._begin(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _begin(self, page: Page | None) -> bool:
        earlier = frozenset(self._under_way)
        if self._scope is not None:
            # Stop mounting an earlier page; leaving a page is never interrupted.
            for task in earlier:
                task.cancel()
        latest = start_task(
            self._navigate(page, earlier), name="navigation", context=self._context.copy()
        )
        self._latest = latest
        self._under_way.add(latest)
        latest.add_done_callback(self._under_way.discard)
        self._tell(Navigation(self._page, page))
        await asyncio.wait({latest})
        return not latest.cancelled() and latest.result()

    async def _navigate(self, page: Page | None, earlier: frozenset[asyncio.Task[bool]]) -> bool:
        if earlier:
            await asyncio.wait(earlier)
        trouble = await self._leave()
        try:
            if page is not None and self._is_latest():
                await self._mount(page)
        except BaseException:
            if trouble is not None:
                report(trouble, "a cleanup of the page before")
            raise
        finally:
            if self._is_latest():
                self._tell(None)
        if trouble is not None:
            raise trouble
        return self._is_latest()

    def _is_latest(self) -> bool:
        return self._latest is asyncio.current_task()

    async def _leave(self) -> Exception | None:
        scope, self._scope, self._page = self._scope, None, None
        try:
            if scope is not None:
                await scope.aclose()
        except Exception as error:  # noqa: BLE001 - raised when the next page is mounted
            return error
        return None

    async def _mount(self, page: Page) -> None:
        scope = self._scope = await Scope(destroy_timeout=self._destroy_timeout).__aenter__()
        try:
            mounted = page(scope)
            if inspect.isawaitable(mounted):
                # The scope ends it, within a bound, if another navigation cancels this one.
                mounting = scope.task(awaited(mounted), name=f"page {name_of(page)}")
                await asyncio.wait({mounting})
                mounting.result()
            self._page = page
        except Exception:
            self._scope = None
            await self._leave_after_error(scope)
            raise

    async def _leave_after_error(self, scope: Scope) -> None:
        try:
            await scope.aclose()
        except Exception as error:  # noqa: BLE001 - what the page raised matters more
            report(error, "a cleanup of the page")

    def _tell(self, navigation: Navigation | None) -> None:
        try:
            self._navigating.set(navigation)
        except Exception as error:  # noqa: BLE001 - a subscriber's bug must not stop the navigation
            report(error, "a subscriber of navigating")
