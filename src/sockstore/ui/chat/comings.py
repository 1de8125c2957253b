"""Tell of those who come and go in a room, by what is true afterwards.

A person may be in a room twice, in two tabs, and a page that is loaded again leaves and comes back:
nobody is told that somebody left who is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sockstore.ui.text import ANONYMOUS

__all__ = ["NAMES_KEPT", "Coming", "Comings"]

BACK_WITHIN = 30.0
"""Seconds; who comes back within them has not left."""

NAMES_KEPT = 1000
"""Names that are kept, so that a server cannot fill the memory with joins."""


@dataclass(frozen=True, slots=True)
class Coming:
    """Somebody came or left.

    Args:
        name: The name, as it is shown.
        has_joined: Whether they came.
        is_back: Whether they came back so soon that they have not left: what was told of that is
            taken back, and nothing else is told.
    """

    name: str
    has_joined: bool
    is_back: bool = False


class Comings:
    """Who is in a room, by name, and what to tell when that changes.

    Example:
        >>> room = Comings()
        >>> room.join("Ann", now=0.0), room.join("Ann", now=1.0)  # a second tab
        (Coming(name='Ann', has_joined=True, is_back=False), None)
        >>> room.leave("Ann", now=2.0), room.leave("Ann", now=3.0)
        (None, Coming(name='Ann', has_joined=False, is_back=False))
    """

    def __init__(self) -> None:
        # How often each name is in the room; every method changes it.
        self._here: Counter[str] = Counter()
        # When the names that have gone left.
        self._left: dict[str, float] = {}
        # Whether it is known who is in the room; the first list of all says so.
        self._is_known = False

    def join(self, name: str, now: float) -> Coming | None:
        """Somebody came; return what to tell, None for nothing.

        Args:
            name: The name, as it is shown.
            now: The time, in seconds.
        """
        was_here = name in self._here
        if was_here or len(self._here) < NAMES_KEPT:
            self._here[name] += 1
        if name == ANONYMOUS:
            return Coming(name, has_joined=True)  # each may be somebody else
        left_at = self._left.pop(name, None)
        if was_here:
            return None
        is_back = left_at is not None and now - left_at <= BACK_WITHIN
        return Coming(name, has_joined=True, is_back=is_back)

    def leave(self, name: str, now: float) -> Coming | None:
        """Somebody left; return what to tell, None for nothing.

        Args:
            name: The name, as it is shown.
            now: The time, in seconds.
        """
        if self._here[name] > 1:
            self._here[name] -= 1
            return Coming(name, has_joined=False) if name == ANONYMOUS else None
        del self._here[name]
        self._left.pop(name, None)
        self._left[name] = now
        if len(self._left) > NAMES_KEPT:
            del self._left[next(iter(self._left))]
        return Coming(name, has_joined=False)

    def list_all(self, names: Iterable[str], now: float) -> list[Coming]:
        """The server says who is in the room; return who came back so soon that they never left.

        Args:
            names: All names, once for each time that they are in the room.
            now: The time, in seconds.
        """
        before, self._here, self._is_known = self._here, Counter(names), True
        came = (name for name in self._here if name not in before)
        return [told for name in came if (told := self._back(name, now)) is not None]

    def change_to(self, names: Iterable[str], now: float) -> list[Coming]:
        """These are in the room now; return what to tell of the change.

        Args:
            names: All names, once for each time that they are in the room; empty while it is not
                known who is there.
            now: The time, in seconds.
        """
        after = Counter(names)
        if not after:
            return []
        if not self._is_known:
            return self.list_all(after.elements(), now)
        gone, new = self._here - after, after - self._here
        told = [self.leave(name, now) for name in gone.elements()]
        told += [self.join(name, now) for name in new.elements()]
        return [each for each in told if each is not None]

    def _back(self, name: str, now: float) -> Coming | None:
        left_at = self._left.pop(name, None)
        if left_at is None or now - left_at > BACK_WITHIN:
            return None
        return Coming(name, has_joined=True, is_back=True)
