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

import math
from dataclasses import replace
from typing import assert_never

from sockstore.errors import (
    ConnectionEnded,
    ConnectionLost,
    HandshakeFailed,
    HandshakeFailureKind,
    SockstoreError,
)
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.machine.effects import Effect
from sockstore.machine.events import AttemptError, Event
from sockstore.machine.liveness import check, started
from sockstore.machine.outbox import Disposition, Flight, Flights, Offer, OutboxQueue, Outgoing
from sockstore.machine.phases import (
    AnyPhase,
    Closed,
    Closing,
    Connecting,
    Deciding,
    Failed,
    Idle,
    Open,
    Preparing,
    Waiting,
    deadline_of,
    live_phase,
    project,
)
from sockstore.machine.reconnect import GiveUp, Goodbye, RefreshNow, RetryAfter, Streak, decide
from sockstore.machine.retired import RetiredTransports
from sockstore.machine.settings import Settings
from sockstore.machine.state import Attempt, ConnectionState, Failure
from sockstore.outcomes import Close, FailureReason, Outcome
from sockstore.urls import redact_url

__all__ = ["Machine"]

_HAND_OVER = Offer(Disposition.HAND_OVER)
_BLOCKED = (
    "the event loop was blocked for at least {:.1f} s, so that no ping could be answered; "
    "the server gets one more ping"
)


class Machine:
    """Decide what a managed connection does next; do none of it.

    Args:
        settings: The user's options.
        destination: The url, or the callable that makes one; None if it is not known yet.

    Attributes:
        state: The public snapshot of the phase.
        outbox: What waits to be sent.
    """

    def __init__(self, settings: Settings, destination: object = None) -> None:
        self.settings = settings
        self.destination = destination
        self.outbox = OutboxQueue(settings.outbox)
        self.state = ConnectionState()
        self._phase: AnyPhase = Idle()
        self._retired = RetiredTransports()
        self._transports = 0
        self._questions = 0
        self._opened_before = False

    @property
    def deadline(self) -> float | None:
        """When to tell the machine `DeadlineReached`; None if nothing is waited for."""
        times = (deadline_of(self._phase), self.outbox.next_expiry, self._retired.deadline)
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
            case Open(writable=True) if not self.outbox:
                return _HAND_OVER
            case Preparing() if from_on_open:
                return _HAND_OVER
            case Closing() | Closed() | Failed():
                return Offer(Disposition.REFUSED, why=f"the connection is {self.state.phase}")
            case _:
                return self.outbox.offer(entry, now)

    def next_to_send(self) -> Outgoing | None:
        """Remove and return the next message to hand over, if one may be."""
        match self._phase:
            case Open(writable=True) if self.outbox:
                return self.outbox.take()
            case _:
                return None

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
            case fact.AttemptFailed(transport=transport, exception=exception):
                return self._attempt_failed(transport, exception, now)
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
        dropped = self._drop_outbox("the connection was closed")
        match self._phase:
            case Connecting() | Preparing() | Open() as phase:
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
        return self._drop_outbox("the connection goes to another url now") if changed else []

    def _transport_opened(self, event: fact.TransportOpened, now: float) -> list[Effect]:
        match self._phase:
            case Connecting(transport=transport, streak=streak) if transport == event.transport:
                self._opened_before = True
                deadline = now + self.settings.connect_timeout
                preparing = Preparing(transport, event.socket, deadline, now, Flights(), streak)
                if not self.settings.has_on_open:
                    return self._open(preparing, now)
                self._phase = preparing
                return [order.RunOnOpen(transport)]
            case _:
                return [order.AbortTransport(event.transport)]

    def _attempt_failed(self, transport: int, exception: AttemptError, now: float) -> list[Effect]:
        match self._phase:
            case Connecting(transport=current) if current == transport:
                return self._failed_attempt(exception, now)
            case _:
                return self._transport_released(transport)

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
            case Preparing(transport=transport) | Open(transport=transport) as phase if (
                transport == event.transport
            ):
                # The end of the WebSocket is known; the TCP connection may linger a little.
                phase.flights.lose()
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
                return self._flush(transport, now) if writable else []
            case Preparing(transport=current) as preparing if current == transport:
                self._phase = replace(preparing, writable=writable)
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
                self._phase = Waiting(now + deciding.retry.seconds, streak, deciding.close)
        return []

    def _deadline_reached(self, event: fact.DeadlineReached, now: float) -> list[Effect]:
        effects = self._expire_outbox(now)
        effects += map(order.AbortTransport, self._retired.take_overdue(now))
        return effects + self._phase_deadline_reached(event, now)

    def _phase_deadline_reached(self, event: fact.DeadlineReached, now: float) -> list[Effect]:
        timeout = self.settings.connect_timeout
        match self._phase:
            case Connecting(deadline=deadline) if deadline <= now:
                error = self._handshake_failed(f"no answer within {timeout:g} s", "timeout")
                return [*self._retire(now), *self._failed_attempt(error, now)]
            case Preparing(deadline=deadline) if deadline <= now:
                error = self._handshake_failed(f"on_open took over {timeout:g} s", "on_open")
                return [*self._retire(now), *self._failed_attempt(error, now)]
            case Waiting(until=until, streak=streak) if until <= now:
                return self._attempt(streak, now)
            case Open() as phase:
                return self._check_liveness(phase, event, now)
            case _:
                return []

    # Decisions

    def _attempt(self, streak: Streak, now: float) -> list[Effect]:
        self._transports += 1
        deadline = now + self.settings.connect_timeout
        self._phase = Connecting(self._transports, deadline, streak)
        attempt = Attempt(streak.failures, streak.refreshing, streak.previous)
        return [order.OpenTransport(self._transports, attempt)]

    def _open(self, preparing: Preparing, now: float) -> list[Effect]:
        settings = self.settings
        liveness = started(
            now,
            ping_interval=settings.ping_interval,
            ping_timeout=settings.ping_timeout,
            idle_timeout=settings.idle_timeout,
        )
        self._phase = Open(
            preparing.transport,
            preparing.socket,
            preparing.opened_at,
            liveness,
            preparing.flights,
            preparing.streak,
            preparing.writable,
        )
        return self._flush(preparing.transport, now)

    def _check_liveness(
        self, phase: Open, observed: fact.DeadlineReached, now: float
    ) -> list[Effect]:
        verdict = check(phase.liveness, observed, now)
        if verdict.lost is not None:
            retiring = self._retire(now, abort=True)
            return [*retiring, *self._lost(phase, Close(1006), verdict.lost, None, now)]
        self._phase = replace(phase, liveness=verdict.liveness)
        effects: list[Effect] = []
        if verdict.blocked_for is not None:
            effects.append(order.Warn(_BLOCKED.format(verdict.blocked_for)))
        if verdict.ping:
            payload = verdict.liveness.payload
            phase.flights.seal(payload)
            effects.append(order.SendPing(phase.transport, payload))
        return effects

    def _failed_attempt(self, exception: AttemptError, now: float) -> list[Effect]:
        match self._phase:
            case Connecting(streak=streak) | Preparing(streak=streak):
                outcome = Outcome(streak.failures, exception, opened_before=self._opened_before)
                return self._follow(outcome, streak, now)
            case _:
                return []

    def _lost(
        self, phase: Preparing | Open, close: Close, why: str, cause: Exception | None, now: float
    ) -> list[Effect]:
        error = ConnectionLost(why, close)
        error.__cause__ = cause
        outcome = Outcome(
            phase.streak.failures, error, close, now - phase.opened_at, opened_before=True
        )
        return self._follow(outcome, phase.streak, now)

    def _follow(self, outcome: Outcome, streak: Streak, now: float) -> list[Effect]:
        settings = self.settings
        can_refresh = settings.can_refresh or callable(self.destination)
        # A schedule is the user's code: what it does to its own connection counts, not its answer.
        undecided = self._phase = Waiting(math.inf, streak, outcome.close)
        try:
            decision = decide(settings.reconnect, outcome, streak, can_refresh=can_refresh)
        except Exception as exception:  # noqa: BLE001 - the user's schedule may raise anything
            if self._phase is not undecided:
                return []
            return self._policy_error("the reconnect schedule", exception, outcome.close)
        if self._phase is not undecided:
            return []
        match decision:
            case Goodbye():
                self._phase = Closed(outcome.close)
                return self._drop_outbox("the server said goodbye")
            case GiveUp(reason=reason, error=error):
                return self._fail(reason, error, outcome.close, outcome.exception)
            case RefreshNow(streak=streak):
                return self._attempt(streak, now)
            case RetryAfter() if settings.has_predicate:
                self._questions += 1
                self._phase = Deciding(self._questions, decision, outcome.close)
                return [order.AskPredicate(self._questions, outcome)]
            case RetryAfter(seconds=seconds, streak=streak):
                self._phase = Waiting(now + seconds, streak, outcome.close)
                return []
            case _:
                assert_never(decision)

    def _fail(
        self,
        reason: FailureReason,
        error: SockstoreError,
        close: Close | None,
        beneath: Exception | None,
    ) -> list[Effect]:
        self._phase = Failed(Failure(reason, beneath), error, close)
        return self._drop_outbox(f"the connection failed: {error}")

    def _policy_error(self, who: str, exception: Exception, close: Close | None) -> list[Effect]:
        error = ConnectionEnded(
            f"policy error: {who} raised {exception!r}", reason=FailureReason.POLICY_ERROR
        )
        error.__cause__ = exception
        return self._fail(FailureReason.POLICY_ERROR, error, close, exception)

    def _retire(
        self, now: float, code: int = 1000, reason: str = "", *, abort: bool = False
    ) -> list[Effect]:
        """Take the current transport's voice away, and order its end."""
        match self._phase:
            case Connecting(transport=transport):
                self._retired.add(transport, self._last_moment(now), Flights())
                return [order.AbortTransport(transport)]
            case Preparing(transport=transport) | Open(transport=transport) as phase:
                self._retired.add(transport, self._last_moment(now), phase.flights, code)
                if not abort:
                    return [order.CloseTransport(transport, code, reason)]
                phase.flights.lose()
                return [order.AbortTransport(transport)]
            case _:
                return []

    def _last_moment(self, now: float) -> float:
        return now + self.settings.close_timeout

    def _flush(self, transport: int, now: float) -> list[Effect]:
        expired = self._expire_outbox(now)
        return [*expired, order.FlushOutbox(transport)] if self.outbox else expired

    def _expire_outbox(self, now: float) -> list[Effect]:
        expired = self.outbox.take_expired(now)
        return [order.SettleReceipts(expired, "expired", "it waited too long")] if expired else []

    def _drop_outbox(self, why: str) -> list[Effect]:
        dropped = self.outbox.take_all()
        return [order.SettleReceipts(dropped, "dropped", why)] if dropped else []

    def _handshake_failed(self, why: str, kind: HandshakeFailureKind) -> HandshakeFailed:
        known = isinstance(self.destination, str)
        where = redact_url(str(self.destination)) if known else "the server"
        return HandshakeFailed(where, why, kind=kind)

    def _project(self, now: float) -> None:
        shown = project(self._phase, now)
        if shown.phase == self.state.phase:
            shown = replace(shown, since=self.state.since)
        if shown != self.state:
            self.state = shown
