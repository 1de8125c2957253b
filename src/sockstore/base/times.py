"""Write times and durations as text."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["say_duration", "utc_time"]


SHORTEST = 0.001

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def say_duration(seconds: float) -> str:
    """Write a duration in words, with its two largest units; a negative one counts as 0.

    Example:
        >>> [say_duration(seconds) for seconds in (0.0, 0.0123, 3.21, 75, 7_260, 180_000)]
        ['less than 1 ms', '12 ms', '3.2 s', '1 min 15 s', '2 h 1 min', '2 d 2 h']
    """
    if seconds < SHORTEST:
        return "less than 1 ms"
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    for (size, name), (smaller, smaller_name) in zip(_UNITS, (*_UNITS[1:], (1, "s")), strict=True):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            return f"{whole} {name} {rest // smaller} {smaller_name}"
    raise AssertionError  # pragma: no cover - a minute is the smallest unit


def utc_time(seconds: float) -> str:
    """Return a time, in seconds since 1970, as JavaScript's ``toISOString`` writes it.

    That is ISO 8601 in UTC with milliseconds, for example ``2026-05-01T10:00:00.000Z``.

    Source:
        The guide's chat messages: ``new Date().toISOString()``.
    """
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
