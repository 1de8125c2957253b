"""Decide when a subscription's snapshot is loaded, and hold back the messages that follow it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

__all__ = ["SNAPSHOT_FAILED", "OwedSnapshot"]

SNAPSHOT_FAILED: Final = "the snapshot could not be loaded: "
"""What an error about a snapshot begins with."""

T = TypeVar("T")


class OwedSnapshot(Generic[T]):
    """The snapshot of one handle: owed at the beginning and after each gap, until it was loaded.

    Whoever loads compares `attempt` after each call: another number is another load, and None means
    that nothing is to be loaded now. A message that comes while a snapshot is owed is given to
    `hold`; `loaded` returns those that follow the snapshot.

    Args:
        limit: Messages that are held back at most. Above it they are dropped, which is a gap.
        wait: ``wait(failures)`` is how many seconds to wait after so many failures in a row.

    Attributes:
        is_owed: Whether messages have to be held back; set by `missed`, cleared by `loaded`.
        attempt: The number of the load that is wanted, or None; set by all methods.
        delay: Seconds to wait before that load.
    """

    __slots__ = (
        "_attempts",
        "_failures",
        "_held",
        "_is_live",
        "_is_told",
        "_limit",
        "_runs",
        "_wait",
        "attempt",
        "delay",
        "is_owed",
    )

    def __init__(self, limit: int, wait: Callable[[int], float]) -> None:
        self.is_owed: bool = True
        self.attempt: int | None = None
        self.delay: float = 0.0
        self._limit = limit
        self._wait = wait
        self._attempts = 0  # counted by `_begin`
        self._failures = 0  # in a row; cleared by `loaded`
        self._held: deque[T] = deque()
        self._is_live = False  # set by `subscribed`, cleared by `lost`
        self._runs = False  # whether the load is under way; set by `begun`, cleared with `attempt`
        self._is_told = False  # whether readers know a gap here; set by a gap, cleared by `loaded`

    def subscribed(self) -> None:
        """The server accepted the subscription: what follows is complete."""
        self._is_live = True
        if self.is_owed and self.attempt is None:
            self._begin(0.0)

    def lost(self) -> None:
        """The connection is lost: a load that fails now is begun again on the next one."""
        self._is_live = False

    def missed(self) -> None:
        """Messages are missing here: what a load under way returns may be too old."""
        self._held.clear()
        self.is_owed = self._is_told = True
        self._stop()
        if self._is_live:
            self._begin(0.0)

    def hold(self, message: T) -> bool:
        """Hold a message back; return whether readers have to be told of a gap."""
        if len(self._held) < self._limit:
            self._held.append(message)
            return False
        self._held.clear()
        self._held.append(message)
        is_news, self._is_told = not self._is_told, True
        if self._runs:
            self._begin(self._wait(self._failures) if self._failures else 0.0)
            self._failures += 1
        return is_news

    def begun(self, attempt: int) -> bool:
        """The delay is over; return whether this load is still wanted."""
        self._runs = self._runs or attempt == self.attempt
        return attempt == self.attempt

    def loaded(self, attempt: int) -> Sequence[T] | None:
        """A load returned: return what was held back; None if this load is not wanted any more."""
        if attempt != self.attempt:
            return None
        held, self._held = self._held, deque()
        self.is_owed = self._is_told = False
        self._failures = 0
        self._stop()
        return held

    def failed(self, attempt: int) -> None:
        """A load raised, or took too long."""
        if attempt != self.attempt:
            return
        self._stop()
        self._failures += 1
        if self._is_live:
            self._begin(self._wait(self._failures))

    def ended(self) -> None:
        """Nothing will come any more: nothing is to be loaded."""
        self._held.clear()
        self._is_live, self.is_owed = False, True
        self._stop()

    @property
    def is_live(self) -> bool:
        """Whether the server tells what follows."""
        return self._is_live

    def _begin(self, delay: float) -> None:
        self._attempts += 1
        self.attempt, self.delay, self._runs = self._attempts, delay, False

    def _stop(self) -> None:
        self.attempt, self._runs = None, False
