"""Options: frozen values that are checked when they are made, before any I/O."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import field, replace
from functools import cache
from typing import Literal, Self, TypeAlias, TypeGuard

from sockstore.classifying import Classified, Classifier, classified, make_classifier
from sockstore.errors import InvalidOption
from sockstore.frozen import frozen
from sockstore.outcomes import MIN_UPTIME, Outcome
from sockstore.plain_calls import PLAIN, refuse_async, refuse_generator

__all__ = ["Outbox", "Reconnect", "Schedule"]

Schedule: TypeAlias = Callable[[int, Outcome], float]
"""``(attempt, outcome) -> seconds`` to wait before the nth retry in a row, n from 1."""

LARGEST_RETRY_AFTER = 300.0
SMALLEST_RETRY_AFTER = 1.0
"""Seconds; a server's Retry-After is kept within them (RC8): nobody is retried without a wait."""


_SYSTEM = random.SystemRandom()
"""One for all policies: it has no state, which takes 2.5 KiB and is the same after a fork."""


def require_seconds(option: str, value: float | None, *, optional: bool = False) -> None:
    """Refuse what is no positive, finite number of seconds."""
    if value is None and optional:
        return
    if not _is_finite(value) or value <= 0:
        also = " or None" if optional else ""
        raise InvalidOption(option, value, f"give a positive number of seconds{also}")


def require_at_least(option: str, value: float | None, least: float) -> None:
    """Refuse what is no finite number from `least` upwards."""
    if not _is_finite(value) or value < least:
        raise InvalidOption(option, value, f"give a number of at least {least}")


def require_count(
    option: str, value: int | None, *, least: int = 0, optional: bool = False
) -> None:
    """Refuse what is no whole number from `least` upwards."""
    if value is None and optional:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        also = " or None" if optional else ""
        raise InvalidOption(option, value, f"give a whole number of at least {least}{also}")


def require_instance(option: str, value: object, kind: type, what: str) -> None:
    """Refuse what is neither None nor of that kind."""
    if value is not None and not isinstance(value, kind):
        raise InvalidOption(option, value, f"give {what}")


def require_text(option: str, value: object, what: str) -> None:
    """Refuse what is no text, or empty."""
    if not isinstance(value, str) or not value:
        raise InvalidOption(option, value, f"give {what}")


def require_flag(option: str, value: object, *, optional: bool = False) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool) and not (optional and value is None):
        words = "True, False or None" if optional else "True or False"
        raise InvalidOption(option, value, f"give {words}")


def require_callable(option: str, value: object, *, may_await: bool = False) -> None:
    """Refuse what is neither None nor a callable, and a function that would never run."""
    if value is not None and not callable(value):
        raise InvalidOption(option, value, "give a callable")
    if value is None:
        return
    if may_await:
        refuse_generator(value, f"{option}=")
    else:
        refuse_async(value, f"{option}=", PLAIN)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_finite(value: object) -> TypeGuard[float]:
    try:
        return _is_number(value) and math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


@frozen
class Linear:
    """Wait ``interval * attempt`` seconds: the guide's schedule."""

    interval: float

    def __call__(self, attempt: int, outcome: Outcome) -> float:
        """Return the seconds to wait before the nth retry."""
        del outcome
        return self.interval * attempt


@frozen
class Exponential:
    """Wait ``base * factor ** (attempt - 1)`` seconds, at most `longest`."""

    base: float
    factor: float
    longest: float

    def __call__(self, attempt: int, outcome: Outcome) -> float:
        """Return the seconds to wait before the nth retry."""
        del outcome
        exponent = attempt - 1
        # Compared as logarithms: factor ** 1_000_000 would overflow.
        if exponent * math.log(self.factor) >= math.log(self.longest / self.base):
            return self.longest
        return self.base * self.factor**exponent


@frozen(kw_only=True)
class Reconnect:
    """When to try again, how often, and when to stop.

    Use `Reconnect.linear` or `Reconnect.exponential`, or give any callable as `schedule`.

    Args:
        schedule: ``(attempt, outcome) -> seconds`` before the nth retry in a row, n from 1.
        attempts: Retries in a row before giving up; 0 means none, None means for ever.
        jitter: The share of each wait that is drawn at random, from 0 to 1.
        spread_first: Seconds over which the very first retry is drawn uniformly, so that clients
            that were dropped together do not return together; 0 waits as scheduled.
        min_uptime: Seconds; a connection that lived shorter counts as a failed attempt.
        after_goodbye: Whether to return after the server closed with 1000 or 1005. With None
            a `WebSocketStore` returns (if it may retry at all), and a `WebSocketProvider` and the
            commands do not.
        classify: A classification of your own, which stands over the table of `classify`:
            ``{4406: "fatal", 1008: "retry", 404: "retry"}`` by close code and HTTP status, or
            ``(outcome) -> word``. The words are those of `Classification`; what is not listed, and
            None, falls through to the table. An end that you call a goodbye is final.
        rng: The source of randomness, a `random.Random`.

    Raises:
        InvalidOption: If a value cannot work.

    Source:
        RFC 6455 section 7.2.3 (recovering from abnormal closure).

    Example:
        >>> policy = Reconnect.linear(interval=3.0, attempts=5)
        >>> [policy.wait(n, Outcome()) for n in range(1, 6)]
        [3.0, 6.0, 9.0, 12.0, 15.0]
    """

    schedule: Schedule
    attempts: int | None = None
    jitter: float = 0.0
    spread_first: float = 0.0
    min_uptime: float = MIN_UPTIME
    after_goodbye: bool | None = None
    classify: Classifier | None = None
    rng: random.Random = field(default=_SYSTEM, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            raise InvalidOption("schedule", self.schedule, "give a callable (attempt, outcome)")
        require_count("attempts", self.attempts, optional=True)
        refuse_async(self.schedule, "Reconnect(schedule=)", PLAIN)
        require_flag("after_goodbye", self.after_goodbye, optional=True)
        require_at_least("spread_first", self.spread_first, 0)
        require_at_least("min_uptime", self.min_uptime, 0)
        require_instance("rng", self.rng, random.Random, "a random.Random")
        if not _is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise InvalidOption("jitter", self.jitter, "give a number from 0 to 1")
        # A mapping of the user's could still be changed.
        object.__setattr__(self, "classify", make_classifier("classify", self.classify))

    @classmethod
    def linear(
        cls,
        interval: float = 3.0,
        attempts: int | None = 5,
        *,
        jitter: float = 0.0,
        min_uptime: float = MIN_UPTIME,
        after_goodbye: bool | None = None,
        classify: Classifier | None = None,
        rng: random.Random | None = None,
    ) -> Self:
        """Wait `interval`, twice, three times ... that long: the guide's schedule.

        Args:
            interval: Seconds before the first retry, and what each wait grows by.
            attempts: Retries in a row before giving up; None means for ever.
            jitter: The share of each wait that is drawn at random, from 0 to 1.
            min_uptime: Seconds; a connection that lived shorter counts as a failed attempt.
            after_goodbye: Whether to return after a goodbye of the server (1000 or 1005); with
                None a store returns and a provider does not.
            classify: A classification of your own, which stands over the table of `classify`.
            rng: The source of randomness, a `random.Random`; the operating system's by default.

        Returns:
            The policy.

        Raises:
            InvalidOption: If a value cannot work.

        Source:
            The guide, ``attemptReconnect``: 3 s and 5 attempts.
        """
        require_seconds("interval", interval)
        return cls(
            schedule=Linear(interval),
            attempts=attempts,
            jitter=jitter,
            min_uptime=min_uptime,
            after_goodbye=after_goodbye,
            classify=classify,
            rng=rng or _SYSTEM,
        )

    @classmethod
    def exponential(
        cls,
        base: float = 1.0,
        factor: float = 2.0,
        max: float = 30.0,  # noqa: A002 - the word users expect, keyword or not
        attempts: int | None = None,
        *,
        jitter: float = 0.5,
        min_uptime: float = MIN_UPTIME,
        after_goodbye: bool | None = None,
        classify: Classifier | None = None,
        rng: random.Random | None = None,
    ) -> Self:
        """Wait `base`, then `factor` times as long each time, up to `max`; half of it at random.

        The very first retry is drawn uniformly from 0 to `base`.

        Args:
            base: Seconds of the first step.
            factor: What each step is multiplied by, at least 1.
            max: Seconds; the longest wait.
            attempts: Retries in a row before giving up; None means for ever.
            jitter: The share of each wait that is drawn at random; 0 also fixes the first.
            min_uptime: Seconds; a connection that lived shorter counts as a failed attempt.
            after_goodbye: Whether to return after a goodbye of the server (1000 or 1005); with
                None a store returns and a provider does not.
            classify: A classification of your own, which stands over the table of `classify`.
            rng: The source of randomness, a `random.Random`; the operating system's by default.

        Returns:
            The policy.

        Raises:
            InvalidOption: If a value cannot work.
        """
        require_seconds("base", base)
        require_at_least("factor", factor, 1)
        require_at_least("max", max, base)
        return cls(
            schedule=Exponential(base, factor, max),
            attempts=attempts,
            jitter=jitter,
            spread_first=base if jitter else 0.0,
            min_uptime=min_uptime,
            after_goodbye=after_goodbye,
            classify=classify,
            rng=rng or _SYSTEM,
        )

    def classified(self, outcome: Outcome) -> Classified:
        """Return what an outcome means: by your own classification, then by the table.

        Args:
            outcome: How an attempt or a connection ended.

        Returns:
            The classification, and whether it is your own.

        Raises:
            ValueError: If your own function returned what is not a classification.

        Example:
            >>> from sockstore import Close
            >>> policy = Reconnect.exponential(classify={4406: "fatal"})
            >>> policy.classified(Outcome(close=Close(4406))).classification.value
            'fatal'
        """
        own = self.classify if callable(self.classify) else None
        return classified(own, outcome, self.min_uptime)

    def held_by_provider(self) -> Self:
        """Return the policy of a provider or command, which stays closed after a goodbye."""
        return self if self.after_goodbye is not None else replace(self, after_goodbye=False)

    def wait(self, attempt: int, outcome: Outcome) -> float:
        """Return the seconds to wait before the nth retry in a row, jitter included.

        Args:
            attempt: Which retry in a row, from 1.
            outcome: What ended the attempt before it.

        Returns:
            Seconds, at least 0.

        Raises:
            TypeError: If the schedule returned no number.
            ValueError: If the schedule returned a negative or infinite number.
        """
        seconds = self.schedule(attempt, outcome)
        if not _is_number(seconds):
            raise TypeError(f"the reconnect schedule returned {seconds!r}, not seconds")
        if not _is_finite(seconds) or seconds < 0:
            raise ValueError(f"the reconnect schedule returned {seconds!r} seconds")
        if attempt == 1 and self.spread_first:
            return self.rng.uniform(0, self.spread_first)
        return seconds * (1 - self.jitter * self.rng.random())


@cache
def _default_policy() -> Reconnect:
    return Reconnect.exponential()


def reconnect_policy(reconnect: object) -> Reconnect | None:
    """Turn what users give for ``reconnect=`` into a policy, or None for off."""
    match reconnect:
        case Reconnect():
            return reconnect
        case True:
            return _default_policy()
        case False | None:
            return None
        case _:
            raise InvalidOption("reconnect", reconnect, "give True, False or a Reconnect")


@frozen(kw_only=True)
class Outbox:
    """How much may wait while there is no open connection, and what happens above that.

    Args:
        limit: Messages that may wait.
        max_bytes: UTF-8 bytes that may wait in all.
        ttl: Seconds after which a waiting message expires; None never.
        overflow: ``"refuse"`` the new message, or ``"drop_oldest"`` to make room for it.

    Raises:
        InvalidOption: If a value cannot work.

    Example:
        >>> Outbox(limit=100, ttl=60.0)
        Outbox(limit=100, max_bytes=8388608, ttl=60.0, overflow='refuse')
    """

    limit: int = 1000
    max_bytes: int = 8 * 2**20
    ttl: float | None = None
    overflow: Literal["refuse", "drop_oldest"] = "refuse"

    def __post_init__(self) -> None:
        require_count("limit", self.limit, least=1)
        require_count("max_bytes", self.max_bytes, least=1)
        require_seconds("ttl", self.ttl, optional=True)
        if self.overflow not in ("refuse", "drop_oldest"):
            raise InvalidOption("overflow", self.overflow, "give 'refuse' or 'drop_oldest'")
