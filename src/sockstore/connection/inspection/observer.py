"""Record the timeline, the counts, the latency and the log of a connection; decide nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

from sockstore.base.errors import InvalidOption
from sockstore.base.frozen import frozen
from sockstore.base.outcomes import Outcome
from sockstore.base.state import ConnectionState, Phase
from sockstore.base.times import say_duration
from sockstore.connection.inspection.explain import explain_decision, where_to
from sockstore.connection.inspection.timeline import (
    AttemptBegan,
    AttemptFailed,
    CloseAsked,
    Decided,
    Ended,
    Flushed,
    GapFound,
    Hinted,
    Lost,
    Opened,
    Overflowed,
    ReconnectAsked,
    Settled,
    Slept,
    Timeline,
    TimelineEvent,
    WaitBegan,
    Warned,
)
from sockstore.machine import Machine
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.machine.effects import Effect
from sockstore.machine.events import Event
from sockstore.machine.reconnect import (
    Decision,
    GiveUp,
    Goodbye,
    NextStep,
    RefreshNow,
    RetryAfter,
    was_open,
)
from sockstore.stores import Readable, Writable, writable

__all__ = ["Observer", "Outage", "Stats"]

logger = logging.getLogger("sockstore.connection")

Report = Callable[[Exception, str], None]


class Observer:
    """Record what happens to one connection.

    Args:
        machine: The machine of the connection, which is only read.
        report: Called with the error of a subscriber.

    Attributes:
        timeline: The last events.
        latency: Seconds that the last ping took, set by its pong; None before the first.
        wall_clock: Returns Unix seconds; the driver sets the clock of a virtual loop.
        attempts: Attempts that began.
        connections: Attempts that opened a connection.
        losses: Connections that ended without this program's doing.
        messages_sent: Messages that were handed over; the sender counts them.
    """

    def __init__(self, machine: Machine, report: Report) -> None:
        self.timeline = Timeline()
        self.latency: float | None = None
        # Made when it is first asked for.
        self._latency_store: Writable[float | None] | None = None
        self.wall_clock: Callable[[], float] = time.time
        self.attempts = self.connections = self.losses = self.messages_sent = 0
        self._machine = machine
        self._report = report
        self._outage = Outage()
        # The last end, set by the first decision about it: an end is told once.
        self._outcome: Outcome | None = None
        # When the newest attempt began, in the machine's clock; set by `OpenTransport`.
        self._attempt_began_at = 0.0
        # When the connection that is open opened; None while none is. Both are set by
        # `RecordState`.
        self._opened_at: float | None = None
        # Seconds that earlier connections were open.
        self._open_before = 0.0
        # The ping that is measured and when it was sent; None when it was answered or lost.
        self._pinged: tuple[bytes, float] | None = None

    @property
    def latency_store(self) -> Readable[float | None]:
        """The latency as a store, made when it is first asked for."""
        if self._latency_store is None:
            self._latency_store = writable(self.latency)
        return self._latency_store

    @property
    def stores(self) -> Iterator[Readable[Any]]:
        """The stores that were asked for."""
        stores = (self.timeline.asked_for, self._latency_store)
        return (store for store in stores if store is not None)

    def open_seconds(self, now: float) -> float:
        """Return for how long the connection has been open in all."""
        return self._open_before + (0.0 if self._opened_at is None else now - self._opened_at)

    def saw(self, event: Event, effects: Sequence[Effect], now: float) -> None:
        """Record an event that the machine handled, and its effects.

        Args:
            event: The event.
            effects: The orders of the machine.
            now: The machine's clock.
        """
        match event:
            case fact.PongReceived():
                self._answered(event, now)
            case fact.DeadlineReached():
                pass
            case fact.CloseRequested(code=code, reason=reason) if effects:
                self._note(CloseAsked(self._now, code, reason))
            case fact.ReconnectRequested():
                self._note(ReconnectAsked(self._now))
            case fact.Hinted(hint=hint):
                self._note(Hinted(self._now, hint))
            case fact.Slept(seconds=seconds):
                self._note(Slept(self._now, seconds))
            case fact.MessageWithdrawn():
                return
            case _:
                pass
        for effect in effects:
            self._ordered(effect, now)

    def overflowed(self, messages: int, policy: Literal["refuse", "drop_oldest"]) -> None:
        """Record messages that found no room in the outbox, or made room for newer ones."""
        self._note(Overflowed(self._now, messages, policy))

    def _answered(self, event: fact.PongReceived, now: float) -> None:
        if self._pinged is not None and self._pinged[0] == event.payload:
            pinged_at, self._pinged = self._pinged[1], None
            self.latency = now - pinged_at
            if self._latency_store is not None:
                self._set(self._latency_store, self.latency, "a subscriber of the latency")

    def _decided(self, decision: Decision) -> None:
        """Record an end once, and the decision about it."""
        outcome = decision.outcome
        if outcome is not self._outcome:
            self._outcome = outcome
            self._note(_end_of(outcome, self._now))
            if was_open(outcome):
                self.losses += 1
        if decision.next_step is not None:
            step, why = _STEPS[type(decision.next_step)], explain_decision(decision)
            self._note(Decided(self._now, step, why, decision.classification))

    def _ordered(self, effect: Effect, now: float) -> None:
        match effect:
            case order.OpenTransport(attempt=attempt):
                self.attempts += 1
                self._attempt_began_at = now
                self._note(AttemptBegan(self._now, attempt.number, attempt.refresh))
            case order.SendPing(payload=payload):
                if self._pinged is None:
                    self._pinged = (payload, now)
            case order.DeliverGap(gap=gap):
                self._note(GapFound(self._now, gap))
            case order.SettleReceipts(entries=entries, state=state, why=why):
                if state != "acknowledged":
                    self._note(Settled(self._now, len(entries), state, why))
            case order.Warn(text=text):
                self._note(Warned(self._now, text))
            case order.RecordDecision(decision=decision):
                self._decided(decision)
            case order.RecordState(left=left, state=state):
                self._changed(left, state, now)
            case _:
                pass

    def _changed(self, left: ConnectionState, state: ConnectionState, now: float) -> None:
        if left.phase == "open" and self._opened_at is not None:
            self._open_before += now - self._opened_at
            self._opened_at = self._pinged = None
        match state.phase:
            case "open":
                self._opened_at = now
                self.connections += 1
                subprotocol = None if state.socket is None else state.socket.subprotocol
                took = now - self._attempt_began_at
                self._note(Opened(self._now, took, subprotocol, state.recovered))
                if waiting := len(self._machine.outbox):
                    self._note(Flushed(self._now, waiting))
            case "waiting" if state.retry_at is not None:
                self._note(WaitBegan(self._now, state.retry_at - now, state.attempt))
            case "closed" | "failed":
                why = state.error or "" if state.phase == "failed" else ""
                self._note(Ended(self._now, "failed" if why else "closed", why))
            case _:
                pass
        self._outage.changed(state, where_to(self._machine), now)

    @property
    def _now(self) -> float:
        return self.wall_clock()

    def _note(self, event: TimelineEvent) -> None:
        try:
            self.timeline.add(event)
        except Exception as error:  # noqa: BLE001 - a user's bug never drops the link (ST9)
            self._report(error, "a subscriber of the timeline")

    def _set(self, store: Writable[Any], value: object, who: str) -> None:
        try:
            store.set(value)
        except Exception as error:  # noqa: BLE001 - a user's bug never drops the link (ST9)
            self._report(error, who)


def _end_of(outcome: Outcome, at: float) -> TimelineEvent:
    exception = outcome.exception
    # Why an option is invalid says little without the option's name.
    why = None if isinstance(exception, InvalidOption) else getattr(exception, "why", None)
    error = why or str(exception or outcome.close)
    if outcome.uptime is None:
        return AttemptFailed(at, error)
    return Lost(at, error, outcome.uptime, outcome.close)


_STEPS: dict[type[NextStep], Literal["retry", "refresh", "goodbye", "give up"]] = {
    RetryAfter: "retry",
    RefreshNow: "refresh",
    Goodbye: "goodbye",
    GiveUp: "give up",
}


logger = logging.getLogger("sockstore.connection")


class Outage:
    """Log the phases of a connection that concern an operator."""

    def __init__(self) -> None:
        # When the outage began; None while the connection is open or has ended.
        self._began_at: float | None = None
        # The retry that was waited for last; set whenever a wait begins.
        self._attempts = 0

    def changed(self, state: ConnectionState, where: str, now: float) -> None:
        """Log that another phase began.

        Args:
            state: Its state.
            where: Its address, without secrets.
            now: Seconds, in any clock that only goes forward.
        """
        match state.phase:
            case "waiting":
                self._waits(state, where, now)
            case "open":
                self._is_open(where, now)
            case "failed":
                logger.error("%s: gave up: %s", where, state.error)
                self._began_at = None
            case "closed":
                logger.info("%s: closed", where)
                self._began_at = None
            case phase:
                logger.debug("%s: %s, retry %d", where, phase, state.attempt)

    def _waits(self, state: ConnectionState, where: str, now: float) -> None:
        self._attempts = state.attempt
        if self._began_at is None:
            self._began_at = now
        # A server that accepts and drops at once causes one outage: the retries count on.
        if state.attempt <= 1:
            logger.warning("%s: %s; it will be tried again", where, state.error)
        else:
            logger.info("%s: %s; retry %d follows", where, state.error, state.attempt)

    def _is_open(self, where: str, now: float) -> None:
        if self._began_at is None:
            logger.info("%s: connected", where)
            return
        lasted = say_duration(now - self._began_at)
        logger.info("%s: connected again after %s, retry %d", where, lasted, self._attempts)
        self._began_at = None


@frozen(kw_only=True)
class Stats:
    """The figures of a connection so far.

    Args:
        phase: The present phase.
        attempts: Attempts to connect that began.
        connections: Attempts that opened a connection.
        losses: Connections that ended without this program's doing.
        open_seconds: For how long it has been open in all.
        messages_received: Messages that came, answers to requests and heartbeats not counted.
        messages_sent: Messages that were handed over to the network.
        messages_waiting: Messages in the outbox.
        messages_unanswered: Messages of a session that are not acknowledged yet.
        bytes_waiting: Bytes that were sent and not yet given to the network.
        latency: Seconds that the last ping took; None before the first.
    """

    phase: Phase
    attempts: int
    connections: int
    losses: int
    open_seconds: float
    messages_received: int
    messages_sent: int
    messages_waiting: int
    messages_unanswered: int
    bytes_waiting: int
    latency: float | None
