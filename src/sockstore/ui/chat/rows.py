"""Build the rows of a chat: its lines, and the separators between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sockstore.ui.chat.clock import local_time
from sockstore.ui.chat.lines import Line

__all__ = ["Row", "rows"]

TOGETHER = timedelta(minutes=5)
"""Messages of one sender that came within this time stand together, under one name and time."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line, and facts about the line before it.

    Args:
        line: The line.
        previous_time: When the nearest line with a time before it was; None for the first.
        continues: Whether the line before it is a message of the same sender, a short time ago.
        is_first_unread: Whether the "New" marker stands before it.
        can_be_filled: Whether it is a gap whose messages can be asked for.
    """

    line: Line
    previous_time: str | None = None
    continues: bool = False
    is_first_unread: bool = False
    can_be_filled: bool = False


def rows(
    lines: Sequence[Line], first_unread: str | None = None, *, can_be_filled: bool = False
) -> Iterator[Row]:
    """Yield the rows of a chat.

    Args:
        lines: The lines that are shown, oldest first.
        first_unread: The key of the line that the "New" marker stands before.
        can_be_filled: Whether the messages of gaps can be asked for.

    Example:
        >>> lines = [Line("1", "hello", "Ann"), Line("2", "are you there?", "Ann")]
        >>> [row.continues for row in rows(lines)]
        [False, True]
    """
    before: Line | None = None
    time: str | None = None
    for line in lines:
        continues = (
            before is not None
            and _speaker(line) == _speaker(before) is not None
            and _is_soon_after(line.time, time)
        )
        is_gap = line.kind == "gap"
        yield Row(line, time, continues, line.key == first_unread, is_gap and can_be_filled)
        before = line
        time = line.time or time


def _speaker(line: Line) -> tuple[str, bool] | None:
    """Return the speaker; the user may have the same name as another person."""
    if line.kind != "message" or line.sender is None:
        return None
    return line.sender, line.mark is not None


def _is_soon_after(time: str | None, previous_time: str | None) -> bool:
    then, before = local_time(time), local_time(previous_time)
    if then is None:
        return True
    return before is not None and abs(then - before) < TOGETHER
