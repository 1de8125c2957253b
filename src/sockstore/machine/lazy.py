"""Note who uses a lazy connection (CN20)."""

from __future__ import annotations

import math

__all__ = ["LazyUse"]


class LazyUse:
    """Who uses a lazy connection.

    Args:
        linger: Seconds that it stays open after its last use.

    Attributes:
        linger: The same.
        has_users: Whether anybody reads its messages, or waits for an answer; set by
            `UsersChanged`.
        was_used: Whether anybody has used it since it began; set by `end_if_unused` and `sent`.
        until: When it closes; infinite while it is used. Set by `end_if_unused` and `sent`.
    """

    __slots__ = ("has_users", "linger", "until", "was_used")

    def __init__(self, linger: float) -> None:
        self.linger = linger
        self.has_users = False
        self.was_used = False
        self.until = math.inf

    def began(self) -> None:
        """It was asked to connect, by the program or by its use."""
        self.was_used, self.until = False, math.inf

    def sent(self, now: float) -> None:
        """A message was handed over at once."""
        self.was_used = True
        self.until = math.inf if self.has_users else now + self.linger
