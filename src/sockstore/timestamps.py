"""Times as they travel in chat messages."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["utc_now"]


def utc_now() -> str:
    """Return the present time as JavaScript's ``toISOString`` writes it.

    Returns:
        ISO 8601 in UTC with milliseconds, for example ``2026-05-01T10:00:00.000Z``.

    Source:
        The guide's chat messages: ``new Date().toISOString()``.
    """
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
