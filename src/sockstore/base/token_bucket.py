"""The pace of sending: as fast as the server has said that it takes messages, and no faster."""

from __future__ import annotations

from typing import Self

__all__ = ["Pace"]

SHARE_OF_RATE = 0.9
SHARE_OF_BURST = 0.5
"""Messages that were sent at an even pace can arrive in a bunch; the server counts arrivals."""

ONE = 1 - 1e-9
"""A token, as exactly as sums of fractions are."""


class Pace:
    """A bucket of tokens, one for each message; without a rate it is always full.

    Args:
        rate: Tokens that come back each second; None for no bound.
        size: Tokens that it holds.
        tokens: Tokens that are in it.
        at: When that was, in the clock of `now`.
    """

    __slots__ = ("at", "rate", "size", "tokens")

    def __init__(
        self,
        rate: float | None = None,
        size: float = 1.0,
        tokens: float = 1.0,
        at: float = 0.0,
    ) -> None:
        self.rate = rate
        self.size = size
        self.tokens = tokens
        self.at = at

    @classmethod
    def below(cls, rate: float | None, burst: int | None, now: float) -> Self:
        """Return a pace that stays below what a server allows."""
        if rate is None or burst is None:
            return cls()
        size = max(1.0, burst * SHARE_OF_BURST)
        return cls(rate * SHARE_OF_RATE, size, size, now)

    @property
    def next_token(self) -> float | None:
        """When there will be a token; None if there is one."""
        if self.rate is None or self.tokens >= ONE:
            return None
        return self.at + (1 - self.tokens) / self.rate

    def has_token(self, now: float) -> bool:
        """Whether a message may be sent now."""
        self._fill(now)
        return self.rate is None or self.tokens >= ONE

    def take(self, now: float) -> None:
        """A message is sent."""
        self._fill(now)
        self.tokens -= 1

    def _fill(self, now: float) -> None:
        if self.rate is not None and now > self.at:
            self.tokens = min(self.size, self.tokens + (now - self.at) * self.rate)
            self.at = now
