"""Follow a log from a page: each message once, in slices, with a pause after each update."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any

from sockstore.base.records import Message
from sockstore.stores import Readable

__all__ = ["PAUSE", "Bookmark", "Update", "in_slices", "pause", "watching"]

PAUSE = 0.05
"""Seconds between two updates of a page, so that a burst is one update."""
SHARE = 0.25
"""The share of the event loop's time that the updates of one component may take."""
CHARACTERS_A_SECOND = 1_000_000
"""Characters that a visitor's browser can lay out in a second and still answer its user."""
AT_ONCE = 20
"""Messages that are made ready to be shown before other tasks get a turn."""


@contextmanager
def watching(stores: Iterable[Readable[Any]], changed: asyncio.Event) -> Iterator[None]:
    """Set `changed` now, and whenever one of the stores changes, until the block ends."""
    with ExitStack() as subscriptions:
        for store in stores:
            subscriptions.enter_context(store.subscribe(lambda _: changed.set()))
        yield


def pause(spent: float, characters: int) -> float:
    """Return the seconds until the next update.

    Args:
        spent: How long this one took, in seconds.
        characters: How much text it sent.
    """
    return max(PAUSE, spent / SHARE, characters / CHARACTERS_A_SECOND)


class Bookmark:
    """How far a log has been read.

    Attributes:
        last_read: The number of the last message that was read; `advance` sets it.
    """

    __slots__ = ("last_read",)

    def __init__(self) -> None:
        self.last_read: int = 0

    def unread(self, log: Sequence[Message]) -> Sequence[Message]:
        """Return the messages of a log, whose numbers have no gaps, that were not read yet."""
        count = log[-1].number - self.last_read if log else 0
        return log[-count:] if count > 0 else ()

    def advance(self, message: Message) -> bool:
        """Note that a message is read now; return whether it had not been read before."""
        is_new = message.number > self.last_read
        if is_new:
            self.last_read = message.number
        return is_new


class Update:
    """One update of a page, which begins now, and the pause after it.

    A loop with a `work_clock`, as the virtual clock has, says how long work takes: a test must not
    wait longer on a busy machine.
    """

    __slots__ = ("_began", "_clock")

    def __init__(self) -> None:
        # The loop's own time may stand still within one of its turns (uvloop).
        loop = asyncio.get_running_loop()
        self._clock: Callable[[], float] = getattr(loop, "work_clock", perf_counter)
        self._began = self._clock()

    def pause(self, characters: int) -> Coroutine[Any, Any, None]:
        """Return what to await until the next update.

        Args:
            characters: How much text this one sent.
        """
        return asyncio.sleep(pause(self._clock() - self._began, characters))


async def in_slices(messages: Sequence[Message]) -> AsyncIterator[Sequence[Message]]:
    """Yield the messages a few at a time; other tasks get a turn between the slices."""
    for start in range(0, len(messages), AT_ONCE):
        if start:
            await asyncio.sleep(0)
        yield messages[start : start + AT_ONCE]
