"""The machine: decides what a managed connection does next, and does none of it.

The laws to stand on:

1. Every decision about the connection is made here; no other file changes a phase.
2. No clock is read and no timer is set: `now` comes in, `deadline` goes out. Asynchronous
   callables are effects, their results come back as events.
3. A phase holds only what is valid in it; there are no flags.
4. An event of another transport is stale and changes nothing.
5. A message that is offered is handed over, refused aloud, or in the outbox: exactly one of these.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from sockstore.base.close import FailureReason
from sockstore.base.errors import ConnectionEnded
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.machine.delivery import Flight, Flights, Outgoing
from sockstore.machine.effects import Effect
from sockstore.machine.events import AttemptError, Event
from sockstore.machine.failures import (
    handshake_failed,
)
from sockstore.machine.joining import RECONNECTED
from sockstore.machine.outbox import HAND_OVER, Disposition, Offer, OutboxQueue
from sockstore.machine.phases import (
    AnyPhase,
    Closed,
    Closing,
    Connecting,
    Deciding,
    Failed,
    Idle,
    Joining,
    Open,
    Preparing,
    Waiting,
    deadline_of,
    live_phase,
)
from sockstore.machine.reconnect import Streak
from sockstore.machine.session_frames import FrameError, Said
from sockstore.machine.transitions import Decisions

__all__ = ["Machine"]

PROTOCOL_BROKEN = 107
"""Centrifugo's code for a request that makes no sense, for a server that makes none."""


class Machine(Decisions):
    """Decide what a managed connection does next; do none of it.

    Args:
        settings: The user's options.
        destination: The url, or the callable that makes one; None if it is not known yet.

    Attributes:
        state: The public snapshot of the phase.
        session: What a session remembers; None without one.
    """

    @property
    def phase(self) -> AnyPhase:
        """The phase, with all that is valid in it."""
        return self._phase

    @property
    def outbox(self) -> OutboxQueue:
        """What waits to be sent."""
        return self._sending.outbox

    @property
    def deadline(self) -> float | None:
        """When to tell the machine `DeadlineReached`; None if nothing is waited for."""
        times = (deadline_of(self._phase), self._sending.deadline, self._retired.deadline)
        return min((time for time in times if time is not None), default=None)

    @property
    def live_transport(self) -> int | None:
        """The transport whose messages count; None while there is none."""
        live = live_phase(self._phase)
        return None if live is None else live.transport

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way and nothing is left of what was."""
        return isinstance(self._phase, Idle | Closed | Failed) and not self._retired

    @property
    def flight(self) -> Flight | None:
        """What a message that is handed over now belongs to."""
        live = live_phase(self._phase)
        return None if live is None else live.flights.current

    @property
    def open_way(self) -> Open | None:
        """The phase, if what is sent now may go at once: open, nothing waits, and no session."""
        phase = self._phase
        if not isinstance(phase, Open) or not phase.writable or self.session is not None:
            return None
        return None if self._sending.outbox.entries else phase

    def prepares(self, transport: int) -> bool:
        """Whether the end of this transport's ``on_open`` is still waited for."""
        return isinstance(self._phase, Preparing) and self._phase.transport == transport

    def asks(self, question: int) -> bool:
        """Whether the answer to this question is still waited for."""
        return isinstance(self._phase, Deciding) and self._phase.question == question

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take note of a fact, and return the orders that follow from it.

        Args:
            event: What happened.
            now: Seconds, in any clock that only goes forward; always the same one.

        Returns:
            The effects to carry out, in order.
        """
        effects = self._react(event, now)
        self._project(now)
        return effects

    def offer(self, entry: Outgoing, now: float, *, from_on_open: bool = False) -> Offer:
        """Say what becomes of a message that the user sends.

        Args:
            entry: The encoded message.
            now: Seconds, in the machine's clock.
            from_on_open: Whether the user's ``on_open`` sends it, which goes before all others.

        Returns:
            Hand it over, queued, or refused and why.
        """
        match self._phase:
            case Open(writable=True) if self._sending.is_free(now):
                return HAND_OVER
            case Preparing() if from_on_open and (
                self.session is None or self._sending.is_free(now)
            ):
                return HAND_OVER
            case Closing() | Closed() | Failed():
                return Offer(Disposition.REFUSED, why=f"the connection is {self.state.phase}")
            case _:
                return self.outbox.offer(entry, now)

    def next_to_send(self, now: float) -> Outgoing | None:
        """Remove and return the next message to hand over, if one may be."""
        match self._phase:
            case Open(writable=True):
                return self._sending.next_to_send(now)
            case Preparing(writable=True):
                return self._sending.next_to_send(now, only_again=True)
            case _:
                return None

    def write(self, entry: Outgoing, now: float) -> str | bytes | None:
        """Return what goes on the wire for a message; None if the server would not take it."""
        return self._sending.write(entry, now)

    # Facts

    def _react(self, event: Event, now: float) -> list[Effect]:  # noqa: C901, PLR0911, PLR0912 - a table
        match event:
            case fact.ConnectRequested(destination=destination):
                return self._connect_requested(destination, now)
            case fact.CloseRequested(code=code, reason=reason):
                return self._close_requested(code, reason, now)
            case fact.ReconnectRequested(destination=destination):
                return self._reconnect_requested(destination, now)
            case fact.TransportOpened():
                return self._transport_opened(event, now)
            case fact.SessionHeard(transport=transport, said=said):
                return self._session_heard(transport, said, now)
            case fact.SessionBroken(transport=transport, why=why):
                return self._session_broken(transport, why, now)
            case fact.AttemptFailed(transport=transport, exception=exception):
                return self._attempt_failed(transport, exception, now)
            case fact.MessageComing(transport=transport):
                return self._message_coming(transport)
            case fact.SnapshotLoaded(transport=transport):
                return self._snapshot_loaded(transport)
            case fact.OnOpenFinished():
                return self._on_open_finished(event, now)
            case fact.TransportClosed():
                return self._transport_closed(event, now)
            case fact.TransportReleased(transport=transport):
                return self._transport_released(transport)
            case fact.PongReceived(transport=transport, payload=payload):
                return self._pong_received(transport, payload)
            case fact.WritingPaused(transport=transport):
                return self._writable_changed(transport, now, writable=False)
            case fact.WritingResumed(transport=transport):
                return self._writable_changed(transport, now, writable=True)
            case fact.PredicateAnswered():
                return self._predicate_answered(event, now)
            case fact.DeadlineReached():
                return self._deadline_reached(event, now)
            case fact.Hinted(hint=hint, heard=heard):
                return self._hinted(hint, heard, now)
            case fact.Slept(heard=heard):
                return self._look_again(heard, now)
            case _:
                assert_never(event)

    def _connect_requested(self, destination: object, now: float) -> list[Effect]:
        live = not isinstance(self._phase, Idle | Closing | Closed | Failed)
        if live and destination == self.destination:
            return []
        return [*self._retire(now), *self._head_for(destination), *self._attempt(Streak(), now)]

    def _close_requested(self, code: int, reason: str, now: float) -> list[Effect]:
        if isinstance(self._phase, Closing | Closed):
            return []
        retiring = self._retire(now, code, reason)
        dropped = self._sending.drop("the connection was closed")
        match self._phase:
            case Connecting() | Joining() | Preparing() | Open() as phase:
                self._phase = Closing(phase.transport)
            case _:
                self._phase = Closed()
        return [*retiring, *dropped]

    def _reconnect_requested(self, destination: object, now: float) -> list[Effect]:
        streak = Streak(error=self.state.exception)
        return [*self._retire(now), *self._head_for(destination), *self._attempt(streak, now)]

    def _head_for(self, destination: object) -> list[Effect]:
        """Take note of where to; what was meant for another place never gets there (OB2)."""
        changed = self.destination is not None and destination != self.destination
        self.destination = destination
        return self._sending.drop("the connection goes to another url now") if changed else []

    def _transport_opened(self, event: fact.TransportOpened, now: float) -> list[Effect]:
        match self._phase:
            case Connecting(transport=transport, streak=streak) if transport == event.transport:
                self._opened_before = True
                deadline = now + self.settings.connect_timeout
                joining = Joining(transport, event.socket, deadline, now, Flights(), streak)
                if self.session is not None:
                    self._phase = joining
                    return [order.SendText(transport, self.session.begin(event.token))]
                self._gap = RECONNECTED if self._has_begun else None
                return self._prepare(joining, now)
            case _:
                return [order.AbortTransport(event.transport)]

    def _attempt_failed(self, transport: int, exception: AttemptError, now: float) -> list[Effect]:
        match self._phase:
            case Connecting(transport=current) if current == transport:
                return self._failed_attempt(exception, now)
            case _:
                return self._transport_released(transport)

    def _message_coming(self, transport: int) -> list[Effect]:
        match self._phase:
            case Preparing(transport=current) if current == transport:
                return self._begun()
            case _:
                return []

    def _snapshot_loaded(self, transport: int) -> list[Effect]:
        match self._phase:
            case Preparing(transport=current) as preparing if current == transport:
                self._phase = replace(preparing, needs_state=False)
        return []

    def _on_open_finished(self, event: fact.OnOpenFinished, now: float) -> list[Effect]:
        match self._phase:
            case Preparing(transport=transport) as preparing if transport == event.transport:
                if event.exception is None:
                    return self._open(preparing, now)
                return [*self._retire(now), *self._failed_attempt(event.exception, now)]
            case _:
                return []

    def _transport_closed(self, event: fact.TransportClosed, now: float) -> list[Effect]:
        match self._phase:
            case Joining() | Preparing() | Open() as phase if phase.transport == event.transport:
                # The end of the WebSocket is known; the TCP connection may linger a little.
                transport = phase.transport
                self._lose(phase.flights)
                self._retired.add(transport, self._last_moment(now), phase.flights)
                return self._lost(phase, event.close, event.why, event.cause, now)
            case Closing(transport=transport) if transport == event.transport:
                self._phase = Closing(transport, event.close)
        self._retired.ended(event.transport, event.close)
        return []

    def _transport_released(self, transport: int) -> list[Effect]:
        self._retired.released(transport)
        match self._phase:
            case Closing(transport=current, close=close) if current == transport:
                self._phase = Closed(close)
        return []

    def _pong_received(self, transport: int, payload: bytes) -> list[Effect]:
        match self._phase:
            case Open(transport=current, flights=flights) if current == transport:
                flights.prove(payload)
        return []

    def _writable_changed(self, transport: int, now: float, *, writable: bool) -> list[Effect]:
        match self._phase:
            case Open(transport=current) as phase if current == transport:
                self._phase = replace(phase, writable=writable)
                return self._flush(now) if writable else []
            case Joining(transport=current) | Preparing(transport=current) as opening if (
                current == transport
            ):
                self._phase = replace(opening, writable=writable)
                return []
            case _:
                return []

    def _predicate_answered(self, event: fact.PredicateAnswered, now: float) -> list[Effect]:
        match self._phase:
            case Deciding(question=question) as deciding if question == event.question:
                streak = deciding.retry.streak
                if event.exception is not None:
                    return self._policy_error("should_reconnect", event.exception, deciding.close)
                if not event.allowed:
                    error = streak.error or ConnectionEnded("should_reconnect refused to go on")
                    return self._fail(
                        FailureReason.REFUSED_BY_PREDICATE, error, deciding.close, streak.error
                    )
                self._wait(now + deciding.retry.seconds, streak, deciding.close)
        return []

    def _deadline_reached(self, event: fact.DeadlineReached, now: float) -> list[Effect]:
        effects = self._sending.expire(now)
        effects += map(order.AbortTransport, self._retired.take_overdue(now))
        return effects + self._phase_deadline_reached(event, now)

    def _phase_deadline_reached(self, event: fact.DeadlineReached, now: float) -> list[Effect]:
        timeout = self.settings.connect_timeout
        match self._phase:
            case Connecting(deadline=deadline) if deadline <= now:
                error = handshake_failed(
                    self.destination, f"no answer within {timeout:g} s", "timeout"
                )
                return [*self._retire(now), *self._failed_attempt(error, now)]
            case Joining(deadline=deadline) if deadline <= now:
                error = handshake_failed(
                    self.destination, f"no room within {timeout:g} s", "session"
                )
                return [*self._retire(now), *self._failed_attempt(error, now)]
            case Preparing(deadline=deadline, needs_state=needs_state) if deadline <= now:
                slow = "fetch_state" if needs_state else "on_open"
                error = handshake_failed(
                    self.destination, f"{slow} took over {timeout:g} s", "on_open"
                )
                return [*self._retire(now), *self._failed_attempt(error, now)]
            case Waiting(until=until, streak=streak) if until <= now:
                return self._attempt(streak, now)
            case Open() as phase:
                effects = self._check_liveness(phase, event, now)
                return effects if self.session is None else [*effects, *self._flush(now)]
            case _:
                return []

    def _session_heard(self, transport: int, said: Said, now: float) -> list[Effect]:
        match self._phase:
            case Joining() | Preparing() | Open() as phase if phase.transport == transport:
                assert self.session is not None  # noqa: S101 - it is what the driver asks
                try:
                    heard = self.session.hear(said, now)
                except FrameError as error:
                    return self._session_broken(transport, str(error), now)
                return self._follow_session(phase, heard, now)
            case _:
                return []

    def _session_broken(self, transport: int, why: str, now: float) -> list[Effect]:
        match self._phase:
            case Joining() | Preparing() | Open() as phase if phase.transport == transport:
                why = f"the server does not speak the session's protocol: it said {why}"
                error = handshake_failed(self.destination, why, "session", PROTOCOL_BROKEN)
                return self._session_failed(phase, error, now)
            case _:
                return []
