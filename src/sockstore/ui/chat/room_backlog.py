"""Load older messages of a room that is a subscription, by its history."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from sockstore.base.errors import SockstoreError
from sockstore.base.tasks import start_task
from sockstore.connection.subscription import Subscription
from sockstore.machine.subscriptions import WAITING, SubscriptionState
from sockstore.ui.chat.backlog import Backlog
from sockstore.ui.chat.lines import Page
from sockstore.ui.chat.loading import PAGES_BY_ITSELF

__all__ = ["RoomBacklog"]

PAGE = 100
"""Messages of one page, as many as servers give."""


class RoomBacklog(Backlog):
    """Loads older messages of a subscription, for one reader, who takes them from `take_pages`.

    The newest page is loaded at first, and again when the server could not recover what was missed.

    Args:
        subscription: The subscription.
        can_load: Whether its protocol has a history; without one nothing is loaded.
    """

    def __init__(self, subscription: Subscription[Any], *, can_load: bool) -> None:
        super().__init__()
        self._subscription = subscription
        self._can_load = can_load
        # The pages that came; `_load` adds, `take_pages` removes.
        self._pages: list[Page] = []
        # Whether the newest page is to be loaded; `_see` sets it, `_go_on` clears it.
        self._wants_newest = False
        # The state of the subscription at its last change; `_see` sets it.
        self._last = WAITING
        # Loads a page; None while none is on its way.
        self._loading: asyncio.Task[None] | None = None
        self._is_followed = False

    def follow(self) -> Callable[[], None]:
        """Follow the subscription, and load what is missing, until the reader leaves."""
        if not self._can_load:
            return lambda: None
        self._is_followed = True
        stop = self._subscription.state.subscribe(self._see)

        def leave() -> None:
            stop()
            self._is_followed = False
            if self._loading is not None:
                self._loading.cancel()

        return leave

    def take_pages(self) -> list[Page]:
        """Return the pages that came since the last call, in the order in which they came."""
        pages, self._pages = self._pages, []
        return pages

    def _see(self, state: SubscriptionState) -> None:
        """Follow the subscription's state: after each answer of the server something is missing."""
        is_open = state.phase == "subscribed"
        has_begun = is_open and (self._last.phase != "subscribed" or state.recovered is False)
        self._load_state = replace(self._load_state, is_open=is_open)
        if has_begun and state != self._last:
            self._load_state = replace(self._load_state, answered=None, pages=PAGES_BY_ITSELF)
            self._wants_newest = self._wants_newest or state.recovered is not True
        self._last = state
        self._go_on()

    def _go_on(self) -> None:
        if self._is_followed and self._loading is None and self._load_state.is_open:
            before = None if self._wants_newest else self._next()
            if self._wants_newest or before is not None:
                self._wants_newest = False
                if before is not None:
                    self._has_asked(before)
                self._loading = start_task(self._load(before), name="sockstore: history")
        self._tell(is_asked=self._loading is not None)

    async def _load(self, before: int | None) -> None:
        page: Page | None = None
        try:
            with suppress(SockstoreError, TimeoutError, RuntimeError):
                page = Page(tuple(await self._subscription.history(PAGE, before)), before)
        finally:
            self._loading = None
        self._note(page)
        self._go_on()

    def _note(self, page: Page | None) -> None:
        if page is None:
            self._load_state = self._load_state.refused()
            return
        self._is_behind = True
        self._pages.append(page)
        if page.before is None:
            self._load_state = self._load_state.entered(page)
            self._has_older.set(self._load_state.has_older(self._shown))
        else:
            self._load_state = self._load_state.paged(page)
        self._arrived.update(lambda count: count + 1)
