"""Define the phases: a closed union, in which each phase holds only what is valid in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias, assert_never

from sockstore.base.close import Close
from sockstore.base.errors import SockstoreError
from sockstore.base.frozen import frozen
from sockstore.base.options import Heartbeat
from sockstore.base.state import ConnectionState, Failure, SocketInfo
from sockstore.machine.delivery import Flights
from sockstore.machine.liveness import Liveness, Pulse, next_beat, next_check
from sockstore.machine.reconnect import RetryAfter, Streak

if TYPE_CHECKING:
    from sockstore.protocols.base import Conversation

__all__ = [
    "LIVE",
    "AnyPhase",
    "Closed",
    "Closing",
    "Connecting",
    "Deciding",
    "Failed",
    "Idle",
    "Joining",
    "Live",
    "Open",
    "Preparing",
    "Waiting",
    "deadline_of",
    "project",
]


@frozen
class Idle:
    """``connect()`` was not called yet."""


@frozen
class Connecting:
    """An opening handshake is under way, or the callables that prepare it are."""

    transport: int
    deadline: float
    streak: Streak


@frozen
class Joining:
    """The socket is open, and the server has not let us in yet."""

    transport: int
    socket: SocketInfo
    deadline: float
    opened_at: float
    flights: Flights
    streak: Streak
    writable: bool = True
    conversation: Conversation | None = None


@frozen
class Preparing:
    """The server has let us in, and ``on_open`` runs: not yet open for everyone."""

    transport: int
    socket: SocketInfo
    deadline: float
    opened_at: float
    flights: Flights
    streak: Streak
    writable: bool = True
    conversation: Conversation | None = None
    heartbeat: Heartbeat | None = None


@frozen
class Open:
    """Messages flow."""

    transport: int
    socket: SocketInfo
    opened_at: float
    liveness: Liveness
    flights: Flights
    streak: Streak
    writable: bool = True
    pulse: Pulse | None = None
    conversation: Conversation | None = None
    heartbeat: Heartbeat | None = None


@frozen
class Deciding:
    """The user's ``should_reconnect`` is asked about a retry."""

    question: int
    retry: RetryAfter
    close: Close | None


@frozen
class Waiting:
    """The next attempt starts at `until`."""

    until: float
    streak: Streak
    close: Close | None


@frozen
class Closing:
    """The user closed; the transport is not released yet."""

    transport: int
    close: Close | None = None


@frozen
class Closed:
    """Closed by the user, or by a goodbye of the server."""

    close: Close | None = None


@frozen
class Failed:
    """There will be no further attempt."""

    failure: Failure
    error: SockstoreError
    close: Close | None = None


AnyPhase: TypeAlias = (
    Idle | Connecting | Joining | Preparing | Open | Deciding | Waiting | Closing | Closed | Failed
)

Live: TypeAlias = Joining | Preparing | Open
"""A phase with a transport whose messages count."""

LIVE = (Joining, Preparing, Open)
"""The same as a tuple: `isinstance` with a union is slower, and this is asked for each message."""


def deadline_of(phase: AnyPhase) -> float:
    """Return when a phase needs `DeadlineReached`; infinite for never."""
    match phase:
        case Connecting(deadline=deadline):
            return deadline
        case Joining(deadline=due) | Preparing(deadline=due):
            pass
        case Waiting(until=until):
            return until
        case Open(liveness=liveness, pulse=pulse):
            due = next_check(liveness)
            due = due if pulse is None else min(due, next_beat(pulse))
        case _:
            return math.inf
    talk = phase.conversation
    return due if talk is None or talk.deadline is None else min(due, talk.deadline)


def project(phase: AnyPhase, since: float) -> ConnectionState:
    """Show a phase as the snapshot that users see (CN2)."""
    match phase:
        case Idle():
            return ConnectionState("idle", since=since)
        case Connecting(streak=streak) | Joining(streak=streak) | Preparing(streak=streak):
            return ConnectionState(
                "connecting",
                attempt=streak.failures,
                exception=streak.error,
                close=None if streak.previous is None else streak.previous.close,
                since=since,
            )
        case Open(socket=socket):
            return ConnectionState("open", socket=socket, since=since)
        case Deciding(retry=retry, close=close):
            return _waiting(retry.streak, close, None, since)
        case Waiting(until=until, streak=streak, close=close):
            return _waiting(streak, close, until, since)
        case Closing():
            # Its close is shown in closed: one transition is promised after close() (CN5).
            return ConnectionState("closing", since=since)
        case Closed(close=close):
            return ConnectionState("closed", close=close, since=since)
        case Failed(failure=failure, error=error, close=close):
            return ConnectionState(
                "failed", exception=error, close=close, failure=failure, since=since
            )
        case _:
            assert_never(phase)


def _waiting(
    streak: Streak, close: Close | None, until: float | None, since: float
) -> ConnectionState:
    return ConnectionState(
        "waiting",
        attempt=streak.failures,
        retry_at=until,
        exception=streak.error,
        close=close,
        since=since,
    )
