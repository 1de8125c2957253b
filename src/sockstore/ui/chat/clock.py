"""Write the times and days of a chat's lines, in its reader's time zone.

The words are English, like all other texts, in every locale of the machine.
"""

from __future__ import annotations

from datetime import date, datetime, tzinfo

__all__ = ["day_of", "local_time", "time_of_day"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def local_time(time: str | None, zone: tzinfo | None = None) -> datetime | None:
    """Return the moment of a line in the reader's time zone; None if it has none.

    Args:
        time: ISO 8601 with its offset, as `Line.time` is.
        zone: The reader's time zone; None for this machine's.

    Example:
        >>> from datetime import timedelta, timezone
        >>> local_time("2026-03-03T12:05:00+00:00", timezone(timedelta(hours=2))).hour
        14
    """
    if time is None:
        return None
    try:
        return datetime.fromisoformat(time).astimezone(zone)
    except (ValueError, OverflowError, OSError):
        return None


def time_of_day(time: str | None, zone: tzinfo | None = None) -> str:
    """Return the time of a line, to the minute; empty if it has none.

    Args:
        time: ISO 8601 with its offset, as `Line.time` is.
        zone: The reader's time zone; None for this machine's.

    Example:
        >>> from datetime import timedelta, timezone
        >>> time_of_day("2026-03-03T12:05:00+00:00", timezone(timedelta(hours=2)))
        '14:05'
    """
    moment = local_time(time, zone)
    return "" if moment is None else f"{moment:%H:%M}"


def day_of(time: str | None, now: datetime, zone: tzinfo | None = None) -> str:
    """Return the day of a line; a separator is shown where the day changes.

    Args:
        time: ISO 8601 with its offset, as `Line.time` is.
        now: The present moment, with a time zone.
        zone: The reader's time zone; None for this machine's.

    Returns:
        ``"Today"``, ``"Yesterday"``, ``"Tue 3 March"`` or, in another year, ``"Tue 3 March 2026"``;
        empty if the line has no time.

    Example:
        >>> from datetime import UTC
        >>> now = datetime(2026, 3, 5, 12, tzinfo=UTC)
        >>> day_of("2026-03-04T23:59:00+00:00", now, UTC)
        'Yesterday'
        >>> day_of("2026-03-03T12:05:00+00:00", now, UTC)
        'Tue 3 March'
    """
    moment = local_time(time, zone)
    if moment is None:
        return ""
    day, today = moment.date(), now.astimezone(zone).date()
    match (today - day).days:
        case 0:
            return "Today"
        case 1:
            return "Yesterday"
        case _:
            return _written(day, today)


def _written(day: date, today: date) -> str:
    year = "" if day.year == today.year else f" {day.year}"
    return f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]}{year}"
