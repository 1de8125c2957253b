"""Decide what follows an outcome, and how long to wait: retry, refresh, goodbye or give up."""

from __future__ import annotations

import math
from typing import TypeAlias

from sockstore.base.close import FailureReason
from sockstore.base.errors import ConnectionEnded, SockstoreError, StopReconnecting
from sockstore.base.frozen import frozen
from sockstore.base.options import LARGEST_RETRY_AFTER, SMALLEST_RETRY_AFTER, Reconnect
from sockstore.base.outcomes import Classification, Classified, Outcome, classified, reason_of_fatal

__all__ = [
    "Decision",
    "GiveUp",
    "Goodbye",
    "NextStep",
    "RefreshNow",
    "RetryAfter",
    "Streak",
    "classified_by",
    "decide",
    "was_open",
]

THROTTLE_STEP = 5
"""A server that asks for less is not retried before the schedule's fifth step (RC6)."""

PROVES_CREDENTIALS = 1.0
"""Seconds open after which credentials count as accepted: some servers open, then send 4401."""


@frozen
class Streak:
    """The failed attempts in a row; a connection open for `min_uptime` ends the streak.

    Args:
        failures: How many failed; the number of the attempt that is under way or waited for.
        refreshing: Whether the last attempt asked the callables for fresh values (RC7).
        previous: How the last attempt or connection ended.
        error: The error that the user sees until a connection opens.
    """

    failures: int = 0
    refreshing: bool = False
    previous: Outcome | None = None
    error: SockstoreError | None = None


@frozen
class RetryAfter:
    """Wait, then try again."""

    seconds: float
    streak: Streak


@frozen
class RefreshNow:
    """Try again at once, and ask the callables for fresh values: `Attempt.refresh` (RC7)."""

    streak: Streak


@frozen
class Goodbye:
    """The connection stays closed after a goodbye, with no error and no further attempt (RC5)."""


@frozen
class GiveUp:
    """There will be no further attempt."""

    reason: FailureReason
    error: SockstoreError


NextStep: TypeAlias = RetryAfter | RefreshNow | Goodbye | GiveUp


@frozen
class Decision:
    """The decision that follows from an outcome.

    Args:
        outcome: How the last attempt or connection ended.
        next_step: The step that follows; None while it is not known.
        classified: Its meaning, and whether the user's own classification said so; None while
            that is not known.
    """

    outcome: Outcome
    next_step: NextStep | None = None
    classified: Classified | None = None

    @property
    def classification(self) -> Classification:
        """The meaning of the end; by our table until the user's own classification was asked."""
        means = classified(None, self.outcome) if self.classified is None else self.classified
        return means.classification


def was_open(outcome: Outcome) -> bool:
    """Return whether an open connection ended, and not an attempt to open one."""
    return outcome.uptime is not None


def classified_by(policy: Reconnect | None, outcome: Outcome) -> Classified:
    """Classify an outcome for a connection with this policy.

    Raises:
        Exception: Any error that the user's own classification raises.
    """
    if policy is None or isinstance(outcome.exception, StopReconnecting):
        return classified(None, outcome)
    return policy.classified(outcome)


def decide(
    policy: Reconnect | None,
    outcome: Outcome,
    streak: Streak,
    *,
    means: Classified,
    can_refresh: bool,
) -> NextStep:
    """Return the step that follows an outcome, after the attempts of a streak.

    `means` is the classification of the outcome, from `classified_by`.

    Raises:
        Exception: Any error that the user's schedule raises.
    """
    if isinstance(outcome.exception, StopReconnecting):
        ended = ConnectionEnded(outcome.exception.why, reason=FailureReason.STOPPED_BY_CALLABLE)
        return GiveUp(FailureReason.STOPPED_BY_CALLABLE, ended)
    streak = _streak_after(policy, outcome, streak)
    match means.classification:
        case Classification.GOODBYE if means.is_own or not _returns_after_goodbye(policy):
            return Goodbye()
        case Classification.FATAL:
            return GiveUp(reason_of_fatal(outcome), _error_of(outcome))
        case Classification.UNAUTHORISED:
            return _refresh_or_give_up(policy, outcome, streak, can_refresh=can_refresh)
        case classification:
            throttled = classification is Classification.THROTTLE
            return _retry_or_give_up(policy, outcome, streak, throttled=throttled)


def _streak_after(policy: Reconnect | None, outcome: Outcome, streak: Streak) -> Streak:
    uptime = 0.0 if outcome.uptime is None else outcome.uptime
    least = 0.0 if policy is None else policy.min_uptime
    lived = policy is not None and was_open(outcome) and uptime >= least
    return Streak(
        failures=0 if lived else streak.failures,
        refreshing=streak.refreshing and uptime < max(least, PROVES_CREDENTIALS),
        previous=outcome,
        error=_error_of(outcome),
    )


def _returns_after_goodbye(policy: Reconnect | None) -> bool:
    """Return whether to reconnect after a goodbye of the server (RC5)."""
    if policy is None:
        return False
    # Where no retry is allowed, the end that the server chose is not an error.
    return policy.attempts != 0 if policy.after_goodbye is None else policy.after_goodbye


def _error_of(outcome: Outcome) -> SockstoreError:
    if isinstance(outcome.exception, SockstoreError):
        return outcome.exception
    return ConnectionEnded(f"the connection ended: {outcome.close}", close=outcome.close)


def _refresh_or_give_up(
    policy: Reconnect | None, outcome: Outcome, streak: Streak, *, can_refresh: bool
) -> NextStep:
    # A refused handshake is repeated even with reconnect=False: it is part of the same attempt.
    may_try = policy is not None or not was_open(outcome)
    if can_refresh and may_try and not streak.refreshing:
        return RefreshNow(
            Streak(streak.failures, refreshing=True, previous=outcome, error=streak.error)
        )
    return GiveUp(FailureReason.UNAUTHORISED, _error_of(outcome))


def _retry_or_give_up(
    policy: Reconnect | None, outcome: Outcome, streak: Streak, *, throttled: bool
) -> NextStep:
    if policy is None or policy.attempts == 0:
        return GiveUp(FailureReason.RECONNECTING_IS_OFF, _error_of(outcome))
    number = streak.failures + 1
    if policy.attempts is not None and number > policy.attempts:
        return GiveUp(FailureReason.ATTEMPTS_EXHAUSTED, _exhausted(policy.attempts, outcome))
    seconds = _wait(policy, outcome, number, throttled=throttled)
    return RetryAfter(seconds, Streak(number, previous=outcome, error=streak.error))


def _wait(policy: Reconnect, outcome: Outcome, number: int, *, throttled: bool) -> float:
    """Return the seconds before a retry: the server's Retry-After, or else by the schedule."""
    retry_after = outcome.retry_after
    if retry_after is not None and math.isfinite(retry_after):
        return min(max(retry_after, SMALLEST_RETRY_AFTER), LARGEST_RETRY_AFTER)
    return policy.wait(max(number, THROTTLE_STEP) if throttled else number, outcome)


def _exhausted(attempts: int, outcome: Outcome) -> ConnectionEnded:
    error = ConnectionEnded(
        f"Failed to reconnect after {attempts} attempts",
        reason=FailureReason.ATTEMPTS_EXHAUSTED,
        close=outcome.close,
    )
    error.__cause__ = outcome.exception
    return error
