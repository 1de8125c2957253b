"""Decide what follows the end of an attempt or connection: the error and the next phase."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, assert_never

from sockstore.base.close import Close, FailureReason
from sockstore.base.errors import (
    ConnectionEnded,
    ConnectionLost,
    HandshakeFailed,
    HandshakeFailureKind,
    SockstoreError,
    said,
)
from sockstore.base.outcomes import Outcome, Word
from sockstore.base.state import Failure
from sockstore.base.urls import redact_url
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.machine.asking import meaning_of
from sockstore.machine.effects import Effect
from sockstore.machine.events import AttemptError
from sockstore.machine.memory import Memory
from sockstore.machine.phases import (
    Closed,
    Connecting,
    Deciding,
    Failed,
    Joining,
    Live,
    Open,
    Preparing,
    Waiting,
)
from sockstore.machine.reconnect import (
    Decision,
    GiveUp,
    Goodbye,
    RefreshNow,
    RetryAfter,
    Streak,
    classified_by,
    decide,
)

if TYPE_CHECKING:
    from sockstore.protocols.base import Failed as ConversationFailed

__all__ = [
    "attempt_failed",
    "attempt_raised",
    "connection_lost",
    "conversation_failed",
    "handshake_failed",
    "predicate_answered",
]


def handshake_failed(destination: object, why: str, kind: HandshakeFailureKind) -> HandshakeFailed:
    """Return the error of an attempt to connect."""
    where = redact_url(destination) if isinstance(destination, str) else "the server"
    return HandshakeFailed(where, why, kind=kind)


def attempt_raised(who: str, error: BaseException, kind: HandshakeFailureKind) -> HandshakeFailed:
    """Return the error of an attempt in which code raised an error of another kind."""
    failed = HandshakeFailed("the server", f"{who} raised {said(error)}", kind=kind)
    failed.__cause__ = error
    return failed


def attempt_failed(
    memory: Memory,
    exception: AttemptError,
    now: float,
    *,
    close: Close | None = None,
    meaning: Word | None = None,
) -> list[Effect]:
    """The attempt that is under way failed.

    Args:
        memory: What the machine remembers.
        exception: The error of the attempt.
        now: The time.
        close: How the WebSocket was closed, if it ended before the connection was open.
        meaning: What the program or its protocol says that it means.
    """
    match memory.phase:
        case Connecting(streak=streak) | Joining(streak=streak) | Preparing(streak=streak):
            outcome = Outcome(
                streak.failures,
                exception,
                close,
                opened_before=memory.opened_before,
                meaning=meaning or meaning_of(memory, close),
            )
            return _follow(memory, outcome, streak, now)
        case _:
            return []


def connection_lost(
    memory: Memory,
    phase: Live,
    close: Close,
    why: str,
    now: float,
    *,
    cause: Exception | None = None,
    last_words: str = "",
) -> list[Effect]:
    """A connection was lost; before it was open, that is a failed attempt (OP3)."""
    if not isinstance(phase, Open):
        words = f"; it said last: {last_words}" if last_words else ""
        why = f"{why}, before the connection was open{words}"
        failed = handshake_failed(memory.destination, why, "network")
        failed.__cause__ = cause
        return attempt_failed(memory, failed, now, close=close)
    error = ConnectionLost(why, close)
    error.__cause__ = cause
    return _ended(memory, phase, error, now)


def conversation_failed(
    memory: Memory, phase: Live, failed: ConversationFailed, now: float
) -> list[Effect]:
    """A protocol's conversation cannot go on: an open connection is lost, an attempt fails."""
    retiring = memory.retire(now)
    if isinstance(phase, Open):
        lost = ConnectionLost(failed.why)
        return [*retiring, *_ended(memory, phase, lost, now, meaning=failed.kind)]
    refused = handshake_failed(memory.destination, failed.why, "refused")
    return [*retiring, *attempt_failed(memory, refused, now, meaning=failed.kind)]


def predicate_answered(memory: Memory, event: fact.PredicateAnswered, now: float) -> list[Effect]:
    """``should_reconnect`` answered, or raised."""
    match memory.phase:
        case Deciding(question=question) as deciding if question == event.question:
            streak = deciding.retry.streak
            if event.exception is not None:
                return _policy_error(memory, "should_reconnect", event.exception, deciding.close)
            if not event.allowed:
                error = streak.error or ConnectionEnded("should_reconnect refused to go on")
                refused = GiveUp(FailureReason.REFUSED_BY_PREDICATE, error)
                return _fail(memory, refused, deciding.close, streak.error)
            memory.wait(now + deciding.retry.seconds, streak, deciding.close)
    return []


def _ended(
    memory: Memory,
    phase: Live,
    error: SockstoreError,
    now: float,
    *,
    meaning: Word | None = None,
) -> list[Effect]:
    """Make the outcome of a connection that was open, and decide what follows."""
    close = error.close if isinstance(error, ConnectionLost) else None
    outcome = Outcome(
        phase.streak.failures,
        error,
        close,
        now - phase.opened_at,
        opened_before=True,
        meaning=meaning or meaning_of(memory, close),
    )
    return _follow(memory, outcome, phase.streak, now)


def _follow(memory: Memory, outcome: Outcome, streak: Streak, now: float) -> list[Effect]:
    """Decide what follows an outcome, record the decision, and enter the next phase."""
    settings = memory.settings
    can_refresh = settings.can_refresh or callable(memory.destination)
    # `classify=` and the schedule are user code: if it closed or reconnected this connection, the
    # phase is another one afterwards, and its answer is ignored.
    undecided = memory.phase = Waiting(math.inf, streak, outcome.close)
    memory.record(Decision(outcome))
    asked = "Reconnect(classify=)"
    try:
        means = classified_by(settings.reconnect, outcome)
        asked = "the reconnect schedule"
        next_step = decide(
            settings.reconnect, outcome, streak, means=means, can_refresh=can_refresh
        )
    except Exception as exception:  # noqa: BLE001 - the user's code may raise anything
        if memory.phase is not undecided:
            return []
        return _policy_error(memory, asked, exception, outcome.close)
    if memory.phase is not undecided:
        return []
    memory.record(Decision(outcome, next_step, means))
    match next_step:
        case Goodbye():
            memory.phase = Closed(outcome.close)
            return memory.sending.drop("the server said goodbye")
        case GiveUp():
            return _fail(memory, next_step, outcome.close, outcome.exception)
        case RefreshNow(streak=streak):
            return memory.begin_attempt(streak, now)
        case RetryAfter() if settings.has_predicate:
            memory.questions += 1
            memory.phase = Deciding(memory.questions, next_step, outcome.close)
            return [order.AskPredicate(memory.questions, outcome)]
        case RetryAfter(seconds=seconds, streak=streak):
            memory.wait(now + seconds, streak, outcome.close)
            return []
        case _:
            assert_never(next_step)


def _fail(
    memory: Memory, give_up: GiveUp, close: Close | None, cause: Exception | None
) -> list[Effect]:
    """Enter the phase `Failed`, and drop all messages; `cause` is the error behind it."""
    if memory.decision is not None and memory.decision.next_step != give_up:
        memory.record(replace(memory.decision, next_step=give_up))
    memory.phase = Failed(Failure(give_up.reason, cause), give_up.error, close)
    return memory.sending.drop(f"the connection failed: {give_up.error}")


def _policy_error(
    memory: Memory, who: str, exception: Exception, close: Close | None
) -> list[Effect]:
    error = ConnectionEnded(
        f"policy error: {who} raised {exception!r}", reason=FailureReason.POLICY_ERROR
    )
    error.__cause__ = exception
    return _fail(memory, GiveUp(FailureReason.POLICY_ERROR, error), close, exception)
