"""Load the snapshots of subscriptions, each in a task while it is owed."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from sockstore.base.tasks import as_exception, is_cancelled

if TYPE_CHECKING:
    from sockstore.connection.feed import Feed
    from sockstore.machine.snapshots import OwedSnapshot

__all__ = ["SnapshotLoader"]


class SnapshotLoader:
    """Call the functions that load snapshots, as often as `OwedSnapshot` says.

    Args:
        run: ``run(coroutine, is_needed)`` runs it in a task while it is needed.
        cancel_obsolete: Cancels those tasks that are not needed any more.
        tell: ``tell(feed, error)``: a load that was wanted failed; with None it returned.
        seconds: The seconds that a load may take.
    """

    def __init__(
        self,
        run: Callable[[Coroutine[Any, Any, None], Callable[[], bool]], None],
        cancel_obsolete: Callable[[], None],
        tell: Callable[[Feed, Exception | None], None],
        seconds: float,
    ) -> None:
        self._run = run
        self._cancel_obsolete = cancel_obsolete
        self._tell = tell
        self._seconds = seconds

    def follow(self, feed: Feed) -> None:
        """Begin the load that is wanted now, unless it was begun, and cancel the one before."""
        owed = feed.owed
        if owed is None or owed.attempt == feed.loading:
            return
        had_one, attempt = feed.loading is not None, owed.attempt
        feed.loading = attempt
        if attempt is not None:
            self._run(self._load(feed, owed, attempt), lambda: owed.attempt == attempt)
        if had_one:
            self._cancel_obsolete()

    async def _load(self, feed: Feed, owed: OwedSnapshot[Any], attempt: int) -> None:
        if owed.delay:
            await asyncio.sleep(owed.delay)
        if not owed.begun(attempt) or feed.load is None:
            return
        deadline = asyncio.timeout(self._seconds)
        try:
            async with deadline:
                snapshot = feed.load()
                if inspect.isawaitable(snapshot):
                    snapshot = await snapshot
        except BaseException as error:
            if is_cancelled(error):
                raise
            if deadline.expired():
                error = TimeoutError(f"it took over {self._seconds:g} s (connect_timeout)")
            self._failed(feed, owed, attempt, error)
            if not isinstance(error, Exception | asyncio.CancelledError):
                self.follow(feed)
                raise
        else:
            if owed.attempt == attempt:
                self._tell(feed, None)
            feed.loaded(attempt, snapshot)
        self.follow(feed)

    def _failed(
        self, feed: Feed, owed: OwedSnapshot[Any], attempt: int, error: BaseException
    ) -> None:
        # What fails because the connection was lost is no news: it is loaded again on the next one.
        if owed.attempt == attempt and owed.is_live:
            self._tell(feed, as_exception(error))
        owed.failed(attempt)
