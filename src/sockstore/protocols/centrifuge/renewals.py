"""Remember when tokens expire, so that they are renewed before."""

from __future__ import annotations

import math
from typing import Final, Generic, TypeVar

__all__ = ["SOON", "Renewals"]

T = TypeVar("T")

SHARE_OF_TIME: Final = 0.9
LONGEST_LEAD: Final = 30.0
"""Seconds before its end at which a token is renewed; or at nine tenths of its time, if later."""

SHORTEST_TIME: Final = 0.5
"""Seconds between two renewals, at least; no server can ask for more."""

SOON: Final = 5.0
"""Seconds until a renewal is tried again that the server could not do."""


class Renewals(Generic[T]):
    """When which token is to be renewed."""

    __slots__ = ("_due", "_next")

    def __init__(self) -> None:
        # `plan` adds, `drop` and `take_due` remove.
        self._due: dict[T, float] = {}
        # The earliest of them, or earlier: set by `plan`, and anew by `take_due`.
        self._next = math.inf

    @property
    def next(self) -> float:
        """When `take_due` has to be called; infinite for never."""
        return self._next

    def plan(self, whose: T, ttl: float | None, now: float) -> None:
        """A token has so many seconds left; None for any number."""
        if ttl is None:
            self._due.pop(whose, None)
            return
        seconds = max(ttl * SHARE_OF_TIME, ttl - LONGEST_LEAD)
        self.put_off(whose, seconds, now)

    def put_off(self, whose: T, seconds: float, now: float) -> None:
        """A token is to be renewed in so many seconds."""
        self._due[whose] = now + max(seconds, SHORTEST_TIME)
        self._next = min(self._next, self._due[whose])

    def drop(self, whose: T) -> None:
        """A token need not be renewed any more."""
        self._due.pop(whose, None)

    def take_due(self, now: float) -> list[T]:
        """Return whose tokens are to be renewed now, each once."""
        if now < self._next:
            return []
        due = [whose for whose, at in self._due.items() if at <= now]
        for whose in due:
            del self._due[whose]
        self._next = min(self._due.values(), default=math.inf)
        return due
