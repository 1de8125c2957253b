"""Count tokens in a bucket: a server limits its clients, and a client stays below that limit."""

from __future__ import annotations

import math
from typing import Self

__all__ = ["TokenBucket"]

SHARE_OF_RATE = 0.9
SHARE_OF_BURST = 0.5
"""Messages that were sent at an even pace can arrive in a bunch; the server counts arrivals."""

ONE = 1 - 1e-9
"""One token, less floating-point error."""


class TokenBucket:
    """A rate with a burst allowance: `burst` tokens at first, `rate` more every second.

    Args:
        rate: Tokens that come back every second.
        burst: Tokens that the bucket holds.
        now: The present time in seconds, on the clock that all methods are given.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        # The tokens that there were at the time `_at`; every method brings both up to date.
        self._tokens = float(burst)
        self._at = now

    @classmethod
    def unlimited(cls) -> Self:
        """Return a bucket that is always full."""
        return cls(0.0, math.inf, 0.0)

    @classmethod
    def below(cls, rate: float | None, burst: int | None, now: float) -> Self:
        """Return a bucket that keeps a sender below what a server allows.

        Args:
            rate: Messages a second that the server allows; None if it does not say.
            burst: Messages that it allows at once; None if it does not say.
            now: The present time in seconds.
        """
        if rate is None or burst is None:
            return cls.unlimited()
        return cls(rate * SHARE_OF_RATE, max(1.0, burst * SHARE_OF_BURST), now)

    @property
    def next_token(self) -> float | None:
        """When there will be a token; None if there is one."""
        return None if self._tokens >= ONE else self._at + (1 - self._tokens) / self._rate

    def has_token(self, now: float) -> bool:
        """Whether there is a token."""
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
            self._at = now
        return self._tokens >= ONE

    def take(self, now: float) -> bool:
        """Take one token; return False if there is none."""
        if not self.has_token(now):
            return False
        self._tokens -= 1
        return True
