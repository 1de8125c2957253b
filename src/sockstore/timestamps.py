"""Times as they travel in chat messages."""

from __future__ import annotations

from datetime import UTC, datetime
from time import time

__all__ = ["utc_now", "utc_time"]


def utc_now() -> str:
    """Return the present time as JavaScript's ``toISOString`` writes it.

    Returns:
        ISO 8601 in UTC with milliseconds, for example ``2026-05-01T10:00:00.000Z``.

    Source:
        The guide's chat messages: ``new Date().toISOString()``.
    """
    return utc_time(time())


def utc_time(seconds: float) -> str:
    """Return a time in the form of `utc_now`.

    Args:
        seconds: Since 1970, as `time.time` counts them.
    """
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
