"""What went wrong, as the values that decisions are made of."""

from __future__ import annotations

from sockstore.base.close import Close, FailureReason
from sockstore.base.errors import (
    ConnectionEnded,
    ConnectionLost,
    HandshakeFailed,
    HandshakeFailureKind,
    SockstoreError,
    said,
)
from sockstore.base.outcomes import Outcome
from sockstore.base.urls import redact_url
from sockstore.machine.phases import Joining, Open, Preparing
from sockstore.machine.session_frames import ErrorReply

__all__ = [
    "attempt_raised",
    "connection_lost",
    "handshake_failed",
    "outcome_of",
    "policy_error",
    "refused_by_room",
]


def handshake_failed(
    destination: object, why: str, kind: HandshakeFailureKind, code: int | None = None
) -> HandshakeFailed:
    """Return the error of an attempt to get somewhere."""
    where = redact_url(destination) if isinstance(destination, str) else "the server"
    return HandshakeFailed(where, why, kind=kind, code=code)


def attempt_raised(who: str, error: BaseException, kind: HandshakeFailureKind) -> HandshakeFailed:
    """Return the error of an attempt in which code raised what is not an error of an attempt."""
    failed = HandshakeFailed("the server", f"{who} raised {said(error)}", kind=kind)
    failed.__cause__ = error
    return failed


def refused_by_room(destination: object, error: ErrorReply) -> HandshakeFailed:
    """Return the error for a room that does not let us in."""
    why = f"the server refused the room: {error.message or 'no reason given'} ({error.code})"
    code = None if error.temporary and error.code not in {100, 111} else error.code
    return handshake_failed(destination, why, "session", code)


def connection_lost(why: str, close: Close, cause: Exception | None = None) -> ConnectionLost:
    """Return the error of an open connection that ended."""
    error = ConnectionLost(why, close)
    error.__cause__ = cause
    return error


def policy_error(who: str, exception: Exception) -> ConnectionEnded:
    """Return the error for a decision that the user's code could not make."""
    error = ConnectionEnded(
        f"policy error: {who} raised {exception!r}", reason=FailureReason.POLICY_ERROR
    )
    error.__cause__ = exception
    return error


def outcome_of(
    phase: Joining | Preparing | Open, error: SockstoreError, now: float, *, in_session: bool
) -> Outcome:
    """Return how a connection that was open ended."""
    return Outcome(
        phase.streak.failures,
        error,
        error.close if isinstance(error, ConnectionLost) else None,
        now - phase.opened_at,
        opened_before=True,
        in_session=in_session,
    )
