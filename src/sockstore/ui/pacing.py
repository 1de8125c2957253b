"""How often a page is updated, so that a flood leaves the program and its readers time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from sockstore.streams import Message

__all__ = ["PAUSE", "after", "in_slices", "pause"]

PAUSE = 0.05
"""Seconds between two updates of a page, so that a burst is one update."""
SHARE = 0.25
"""How much of the event loop's time the updates of one component may take."""
CHARACTERS_A_SECOND = 1_000_000
"""What a visitor's browser can take and lay out, and still answer its user."""
AT_ONCE = 20
"""Messages that are made ready to be shown without a look at what else there is to do."""


def pause(spent: float, characters: int) -> float:
    """Return the seconds until the next update.

    Args:
        spent: How long this one took, in seconds.
        characters: How much text it sent.
    """
    return max(PAUSE, spent / SHARE, characters / CHARACTERS_A_SECOND)


async def in_slices(messages: Sequence[Message]) -> AsyncIterator[Sequence[Message]]:
    """Yield the messages a few at a time, and let the event loop do other things between."""
    for start in range(0, len(messages), AT_ONCE):
        yield messages[start : start + AT_ONCE]
        await asyncio.sleep(0)


def after(number: int, messages: Sequence[Message]) -> Sequence[Message]:
    """Return the messages that came after the one with this number."""
    return [message for message in messages if message.number > number]
