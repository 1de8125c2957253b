"""Decide which older messages of a room to ask for, by what is shown and what the server answered.

All of it is pure: `LoadState` and `Shown` are values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Protocol

from sockstore.ui.chat.lines import Line

__all__ = ["HistoryAnswer", "LoadState", "Shown", "see"]

PAGES_BY_ITSELF = 3
"""Pages that are loaded after each opening to fill gaps; the rest is loaded on demand."""


class HistoryAnswer(Protocol):
    """What a server answered to one who wants older messages."""

    @property
    def before(self) -> int | None:
        """The offset that was asked for; None for the newest messages."""

    @property
    def more(self) -> bool | None:
        """Whether there may be older ones; None if the server cannot be asked."""

    @property
    def offsets(self) -> list[int]:
        """The offsets of the messages that came."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The part of the room's log that is shown.

    Args:
        oldest: The offset of the oldest message; None if none has one.
        gaps: The offsets right after the places where messages are missing, the newest first.
        is_full: Whether no older ones are taken in.
    """

    oldest: int | None = None
    gaps: tuple[int, ...] = ()
    is_full: bool = False


@dataclass(frozen=True, slots=True)
class LoadState:
    """What the server answered so far, and what the reader wants to see.

    Args:
        is_open: Whether the server has sent the history on entry, and can be asked for more.
        floor: The offset below which the server keeps nothing.
        wanted: The offset before which the reader wants to see more; None for nothing.
        answered: The offset of the last page that came; messages that are still missing before it
            cannot be loaded.
        pages: How many more pages may be loaded to fill gaps without the reader asking.
    """

    is_open: bool = False
    floor: float = inf
    wanted: int | None = None
    answered: int | None = None
    pages: int = 0

    def entered(self, history: HistoryAnswer) -> LoadState:
        """Return the state after the history on entry."""
        if history.more is None:
            return LoadState()
        return replace(
            self,
            is_open=True,
            floor=_floor(history, inf) if not history.more else 0,
            answered=None,
            pages=PAGES_BY_ITSELF,
        )

    def paged(self, page: HistoryAnswer) -> LoadState:
        """Return the state after a page."""
        assert page.before is not None  # noqa: S101 - a page has it
        floor = self.floor if page.more else max(self.floor, _floor(page, page.before))
        wanted = None if self.wanted == page.before else self.wanted
        return replace(self, floor=floor, wanted=wanted, answered=page.before)

    def refused(self) -> LoadState:
        """Return the state after a page that the server could not read."""
        return replace(self, wanted=None, pages=0)

    def has_older(self, shown: Shown) -> bool:
        """Whether there may be older messages than the oldest that is shown."""
        oldest = shown.oldest
        return (
            oldest is not None
            and oldest > max(1, self.floor)
            and oldest != self.answered
            and not shown.is_full
        )

    def next(self, shown: Shown) -> int | None:
        """Return the offset before which to ask for messages now; None for nothing."""
        if not self.is_open:
            return None
        if self.wanted is not None:
            return self.wanted
        if not self.pages:
            return None
        for gap in shown.gaps:
            if gap > self.floor and gap != self.answered:
                return gap
        return None


def see(lines: Sequence[Line], *, is_full: bool = False) -> Shown:
    """Return what lines show of the room's present log, which comes after all earlier ones.

    Args:
        lines: Oldest first.
        is_full: Whether no older ones are taken in.

    Example:
        >>> see([Line("a", "hello", offset=7), Line("b", "hello again", offset=8)])
        Shown(oldest=7, gaps=(), is_full=False)
    """
    oldest: int | None = None
    gaps: list[int] = []
    for line in reversed(lines):
        if line.offset is None:
            continue
        if oldest is not None and line.offset > oldest:
            break  # this line is of an earlier log
        if line.kind == "gap":
            gaps.append(line.offset)
        oldest = line.offset
    return Shown(oldest, tuple(gaps), is_full)


def _floor(history: HistoryAnswer, otherwise: float) -> float:
    return min(history.offsets, default=otherwise)
