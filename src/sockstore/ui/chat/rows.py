"""Build the rows of a chat: its lines, the separators between them, and their times.

Times are written in the reader's time zone, and in English, as all other texts are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from sockstore.ui.chat.lines import Line

__all__ = ["Row", "local_time", "new_day", "rows"]

TOGETHER = timedelta(minutes=5)
"""Messages of one sender that came within this time stand together, under one name and time."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


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
) -> tuple[Row, ...]:
    """Return the rows of a chat.

    Args:
        lines: The lines that are shown, oldest first.
        first_unread: The key of the line that the "New" marker stands before.
        can_be_filled: Whether the messages of gaps can be asked for.

    Example:
        >>> lines = [Line("1", "hello", "Ann"), Line("2", "are you there?", "Ann")]
        >>> [row.continues for row in rows(lines)]
        [False, True]
    """
    made: list[Row] = []
    previous_speaker: tuple[str, bool] | None = None
    previous_time: str | None = None
    for line in lines:
        # The user may have the same name as another person, so the mark tells them apart.
        is_said = line.kind == "message" and line.sender is not None
        speaker = (line.sender or "", line.mark is not None) if is_said else None
        continues = (
            speaker is not None
            and speaker == previous_speaker
            and _is_soon_after(line.time, previous_time)
        )
        is_gap = line.kind == "gap" and can_be_filled
        made.append(Row(line, previous_time, continues, line.key == first_unread, is_gap))
        previous_speaker, previous_time = speaker, line.time or previous_time
    return tuple(made)


def _is_soon_after(time: str | None, previous_time: str | None) -> bool:
    if time is None:
        return True
    then, before = local_time(time), local_time(previous_time)
    return then is None or (before is not None and abs(then - before) < TOGETHER)


def local_time(time: str | None, zone: tzinfo | None = None) -> datetime | None:
    """Return the moment of a line in the reader's time zone; None if it has none.

    Args:
        time: ISO 8601 with its offset, as `Line.time` is.
        zone: The reader's time zone; None for this machine's.

    Example:
        >>> from datetime import timezone
        >>> local_time("2026-03-03T12:05:00+00:00", timezone(timedelta(hours=2))).hour
        14
    """
    if time is None:
        return None
    try:
        return datetime.fromisoformat(time).astimezone(zone)
    except (ValueError, OverflowError, OSError):
        return None


def new_day(row: Row, now: datetime, zone: tzinfo | None = None) -> str:
    """Return the day of a row, to be shown before it; empty if the row before has the same day.

    Args:
        row: The row.
        now: The present moment, with a time zone.
        zone: The reader's time zone; None for this machine's.

    Returns:
        ``"Today"``, ``"Yesterday"``, ``"Tue 3 March"`` or, in another year, ``"Tue 3 March 2026"``;
        empty also if the line has no time.

    Example:
        >>> from datetime import UTC
        >>> now = datetime(2026, 3, 5, 12, tzinfo=UTC)
        >>> new_day(Row(Line("1", "hello", time="2026-03-04T23:59:00+00:00")), now, UTC)
        'Yesterday'
        >>> new_day(Row(Line("1", "hello", time="2026-03-03T12:05:00+00:00")), now, UTC)
        'Tue 3 March'
    """
    moment, previous = local_time(row.line.time, zone), local_time(row.previous_time, zone)
    if moment is None:
        return ""
    day, today = moment.date(), now.astimezone(zone).date()
    if previous is not None and previous.date() == day:
        return ""
    match (today - day).days:
        case 0:
            return "Today"
        case 1:
            return "Yesterday"
        case _:
            year = "" if day.year == today.year else f" {day.year}"
            return f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]}{year}"
