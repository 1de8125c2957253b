"""Define the options `Reconnect` (with the wait before a retry) and `Heartbeat`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from sockstore.base.checks import (
    is_finite,
    is_number,
    require_at_least,
    require_callable,
    require_count,
    require_flag,
    require_instance,
    require_seconds,
)
from sockstore.base.codecs import decode_json, encode
from sockstore.base.errors import InvalidOption
from sockstore.base.frozen import frozen
from sockstore.base.outcomes import (
    MIN_UPTIME,
    Classified,
    Classifier,
    Outcome,
    classified,
    make_classifier,
)
from sockstore.base.plain_calls import PLAIN, refuse_async

if TYPE_CHECKING:
    from random import Random

__all__ = ["Heartbeat", "Reconnect", "Schedule"]

Schedule: TypeAlias = Callable[[int, Outcome], float]
"""``(attempt, outcome) -> seconds`` to wait before the nth retry in a row, n from 1."""

LARGEST_RETRY_AFTER = 300.0
SMALLEST_RETRY_AFTER = 1.0
"""Seconds; a server's Retry-After is limited to this range, so that no retry is immediate (RC8)."""


@cache
def _system() -> Random:
    """Return what all policies share: without a state of 2.5 KiB, which a fork would duplicate."""
    from random import SystemRandom  # noqa: PLC0415 - the first retry loads it, with five others

    return SystemRandom()


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
        attempts: Retries in a row before giving up; 0 means none, None no limit.
        jitter: The share of each wait that is drawn at random, from 0 to 1.
        spread_first: Seconds over which the first retry is drawn uniformly, so that clients that
            were dropped together do not return together; 0 waits as scheduled.
        min_uptime: Seconds; a connection that lived shorter counts as a failed attempt.
        after_goodbye: Whether to return after the server closed with 1000 or 1005. With None
            a `WebSocketStore` returns (if it may retry at all), and a `WebSocketProvider` and the
            commands do not.
        classify: Your own classification, which overrides the table of `classify`:
            ``{4406: "fatal", 1008: "retry", 404: "retry"}`` by close code and HTTP status, or
            ``(outcome) -> word``. The words are those of `Classification`; codes not listed, and
            None, are left to the table. An end that you classify as a goodbye is final.
        rng: The source of randomness, a `random.Random`; None for the operating system's.

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
    rng: Random | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not callable(self.schedule):
            raise InvalidOption("schedule", self.schedule, "give a callable (attempt, outcome)")
        require_count("attempts", self.attempts, optional=True)
        refuse_async(self.schedule, "Reconnect(schedule=)", PLAIN)
        require_flag("after_goodbye", self.after_goodbye, optional=True)
        require_at_least("spread_first", self.spread_first, 0)
        require_at_least("min_uptime", self.min_uptime, 0)
        if self.rng is not None:
            from random import Random  # noqa: PLC0415 - see `_system`

            require_instance("rng", self.rng, Random, "a random.Random")
        if not is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise InvalidOption("jitter", self.jitter, "give a number from 0 to 1")
        # A copy, as the user could change the mapping.
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
        rng: Random | None = None,
    ) -> Self:
        """Wait once, twice, three times ... the interval: the guide's schedule.

        Args:
            interval: Seconds before the first retry; each wait is longer by as much.
            attempts: Retries in a row before giving up; None means no limit.
            jitter: As for `Reconnect`.
            min_uptime: The same.
            after_goodbye: The same.
            classify: The same.
            rng: The same; None for the operating system's source.

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
            rng=rng,
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
        rng: Random | None = None,
    ) -> Self:
        """Wait `base`, then `factor` times as long each time, up to `max`; half of it at random.

        The first retry is drawn uniformly from 0 to `base`.

        Args:
            base: Seconds of the first step.
            factor: The factor between two steps, at least 1.
            max: Seconds; the longest wait.
            attempts: Retries in a row before giving up; None means no limit.
            jitter: The share of each wait that is drawn at random; 0 also fixes the first.
            min_uptime: As for `Reconnect`.
            after_goodbye: The same.
            classify: The same.
            rng: The same; None for the operating system's source.

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
            rng=rng,
        )

    def classified(self, outcome: Outcome) -> Classified:
        """Classify an outcome: by your own classification, then by the table of `classify`.

        Args:
            outcome: How an attempt or a connection ended.

        Returns:
            The classification, and whether it is your own.

        Raises:
            ValueError: If your function did not return a classification or None.

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
            outcome: How the attempt before it ended.

        Returns:
            Seconds, at least 0.

        Raises:
            TypeError: If the schedule did not return a number.
            ValueError: If the schedule returned a negative or infinite number.
        """
        seconds = self.schedule(attempt, outcome)
        if not is_number(seconds):
            raise TypeError(f"the reconnect schedule returned {seconds!r}, not seconds")
        if not is_finite(seconds) or seconds < 0:
            raise ValueError(f"the reconnect schedule returned {seconds!r} seconds")
        if attempt == 1 and self.spread_first:
            return (self.rng or _system()).uniform(0, self.spread_first)
        return seconds * (1 - self.jitter * (self.rng or _system()).random())


@cache
def _default_policy() -> Reconnect:
    return Reconnect.exponential()


def reconnect_policy(reconnect: object) -> Reconnect | None:
    """Turn the value of ``reconnect=`` into a policy, or None for off."""
    match reconnect:
        case Reconnect():
            return reconnect
        case True:
            return _default_policy()
        case False | None:
            return None
        case _:
            raise InvalidOption("reconnect", reconnect, "give True, False or a Reconnect")


@frozen
class Heartbeat:
    """A message that is sent at intervals while the connection is open, and its reply.

    The pings of the WebSocket protocol are sent as well. Only use it for a server that asks for it,
    or behind a proxy that answers pings although the server behind it has died.

    Args:
        message: The message: `str` as text, bytes as binary, everything else as JSON; or a
            callable that returns it, called each time.
        reply: The reply, which is not put in `messages`: text or bytes are compared with the
            received frame, any other value with the decoded JSON; a callable is called with the
            decoded JSON or the text, and returns whether it is one. None expects no reply.
        interval: Seconds between two heartbeats.
        timeout: Seconds within which the reply, or any other message, must come; otherwise the
            connection is lost with "no answer to heartbeat".

    Raises:
        InvalidOption: If a value cannot work.

    Example:
        >>> Heartbeat({"op": "ping"}, reply={"op": "pong"}, interval=15.0)
        Heartbeat(message={'op': 'ping'}, reply={'op': 'pong'}, interval=15.0, timeout=10.0)
    """

    message: Any
    reply: Any = None
    interval: float = 25.0
    timeout: float = 10.0

    def __post_init__(self) -> None:
        require_seconds("interval", self.interval)
        require_seconds("timeout", self.timeout)
        for option, value in (("message", self.message), ("reply", self.reply)):
            if callable(value):
                require_callable(option, value)
        _require_encodable("message", self.message)
        _require_encodable("reply", self.reply)

    def encode(self) -> str | bytes:
        """Return the frame to send.

        Raises:
            TypeError: If the message cannot be encoded.
            Exception: Any error that the callable raises.
        """
        message = self.message() if callable(self.message) else self.message
        return encode(message)

    def recognises(self, frame: str | bytes) -> bool:
        """Return whether a frame is the reply.

        Raises:
            Exception: Any error that the callable raises.
        """
        reply = self.reply
        if reply is None or isinstance(reply, (str, bytes)):
            return frame == reply and reply is not None
        if isinstance(frame, bytes) or (not callable(reply) and len(frame) > _longest(reply)):
            return False
        try:
            data = decode_json(frame)
        except (ValueError, RecursionError):
            data = frame
        return bool(reply(data)) if callable(reply) else bool(data == reply)


def _require_encodable(option: str, value: Any) -> None:
    try:
        _ = callable(value) or encode(value)
    except TypeError as error:
        raise InvalidOption(option, value, str(error)) from None


def _longest(reply: Any) -> int:
    """Return the longest length of the reply, blanks included; longer frames are not decoded."""
    return 64 + 2 * len(encode(reply))
