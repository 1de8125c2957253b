"""What tests cannot see by public names: each look into the inside is here once."""

from __future__ import annotations

import asyncio

from sockstore.scope.scope import scopes_here
from sockstore.scope.sharing import _all_shared
from sockstore.stores.binding import count_watchers, is_watched

__all__ = ["count_watchers", "is_watched", "scopes_here", "shared_connections", "timers_of"]


def shared_connections() -> int:
    """How many connections are shared now, on all event loops."""
    return len(_all_shared)


def timers_of(loop: asyncio.AbstractEventLoop) -> list[asyncio.TimerHandle]:
    """The timers of asyncio's own loop that were not cancelled; a loop of a test notes its own."""
    scheduled = loop.noted_timers if hasattr(loop, "noted_timers") else loop._scheduled
    return [timer for timer in scheduled if not timer.cancelled()]
