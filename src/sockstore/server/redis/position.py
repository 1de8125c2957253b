"""How far the feed had come, as one server knows it: a Redis that is behind has lost something."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BEYOND", "FeedPosition"]

BEYOND = 2**53 - 1
"""A number that no feed reaches: Redis is behind what this server knows, whatever it says."""


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """The highest number of an entry of the feed that a server was told, and in which log.

    Every message, of whichever room, has a number. So a Redis whose last number is lower has lost
    messages that somebody was told: it was restarted from an older file, or a replica that was
    behind became the master.

    Args:
        log: The epoch of the log; empty before anything is known.
        number: The highest number that an answer of Redis or the feed brought.
        last_heard: The number that the feed brought last.
    """

    log: str = ""
    number: int = 0
    last_heard: int = 0

    def told(self, log: str, number: int) -> FeedPosition:
        """Return the position after an answer of Redis."""
        if log != self.log:
            return FeedPosition(log, number)
        return FeedPosition(log, max(number, self.number), self.last_heard)

    def heard(self, log: str, number: int) -> FeedPosition:
        """Return the position after an entry of the feed, which brings each number once."""
        if log != self.log:
            return FeedPosition(log, number, number)
        highest = BEYOND if number <= self.last_heard else max(number, self.number)
        return FeedPosition(log, highest, number)
