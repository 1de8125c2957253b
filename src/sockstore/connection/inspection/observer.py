"""Record the timeline, the counts, the latency and the log of a connection; decide nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

from sockstore.base.errors import HandshakeFailed
from sockstore.base.frozen import frozen
from sockstore.base.outcomes import Outcome
from sockstore.base.state import ConnectionState, Phase
from sockstore.base.times import say_duration
from sockstore.connection.inspection import timeline as happened
from sockstore.connection.inspection.explain import (
    circumstances,
    error_of,
    explain,
    explain_decision,
    where_to,
)
from sockstore.connection.inspection.timeline import Timeline
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
from sockstore.machine.subscriptions import SubscriptionPhase
from sockstore.stores import Readable, Writable, writable

if TYPE_CHECKING:
    from sockstore.connection.inspection.subscriptions import SubscriptionStates

__all__ = ["Observer", "PhaseLog", "Stats"]

logger: Final = logging.getLogger("sockstore.connection")

Report = Callable[[Exception, str], None]

RECORDED = (
    fact.PongReceived,
    fact.CloseRequested,
    fact.ReconnectRequested,
    fact.Hinted,
    fact.Slept,
)
"""The events that are recorded; all others show in their effects."""


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
        self.timeline: Final = Timeline(report)
        self.latency: float | None = None
        # Made when it is first asked for.
        self._latency_store: Writable[float | None] | None = None
        self.wall_clock: Callable[[], float] = time.time
        self.attempts: int = 0
        self.connections: int = 0
        self.losses: int = 0
        self.messages_sent: int = 0
        self._machine = machine
        self._report = report
        self._phase_log = PhaseLog(machine)
        # The last end, set by the first decision about it: an end is recorded once.
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

    def explain(self, now: float, subscriptions: SubscriptionStates) -> str:
        """Say what the connection is doing, and why, as `WebSocketStore.explain`."""
        return explain(circumstances(self._machine, self.latency, now, subscriptions))

    def stats(
        self,
        phase: Phase,
        now: float,
        *,
        received: int,
        bytes_waiting: int,
        subscriptions: SubscriptionStates,
    ) -> Stats:
        """Return the figures so far, as `WebSocketStore.stats`; some are given, as `Stats` says."""
        sent, opened_at = self._machine.sent, self._opened_at
        return Stats(
            phase=phase,
            attempts=self.attempts,
            connections=self.connections,
            losses=self.losses,
            open_seconds=self._open_before + (0.0 if opened_at is None else now - opened_at),
            messages_received=received,
            messages_sent=self.messages_sent,
            messages_waiting=len(self._machine.outbox),
            messages_unanswered=0 if sent is None else len(sent),
            bytes_waiting=bytes_waiting,
            latency=self.latency,
            subscriptions=self._count(subscriptions),
        )

    def saw(  # noqa: C901, PLR0912 - a table
        self, event: Event, effects: Sequence[Effect], now: float
    ) -> None:
        """Record an event that the machine handled, and its effects."""
        if isinstance(event, RECORDED):
            self._record(event, effects, now)
        elif isinstance(event, fact.MessagesWithdrawn):
            return
        add, at = self.timeline.add, self.wall_clock()
        for effect in effects:
            match effect:
                case order.OpenTransport(attempt=attempt):
                    self.attempts += 1
                    self._attempt_began_at = now
                    add(happened.AttemptBegan(at, attempt.number, attempt.refresh))
                case order.SendPing(payload=payload):
                    self._pinged = self._pinged or (payload, now)
                case order.DeliverGap(gap=gap):
                    add(happened.GapFound(at, gap))
                case order.SettleReceipts(entries=entries, state=state, why=why):
                    if state != "acknowledged":
                        add(happened.Settled(at, len(entries), state, why))
                case order.Warn(text=text):
                    add(happened.Warned(at, text))
                case order.RecordDecision(decision=decision):
                    self._decided(decision, at)
                case order.RecordState(left=left, state=state):
                    self._changed(left, state, now, at)
                case _:
                    pass
        if not self._machine.settings.is_plain:
            self._saw_subscriptions(effects, at)

    def overflowed(self, messages: int, policy: Literal["refuse", "drop_oldest"]) -> None:
        """Record messages that found no room in the outbox, or made room for newer ones."""
        self.timeline.add(happened.Overflowed(self.wall_clock(), messages, policy))

    def snapshot_failed(self, key: Hashable, why: str) -> None:
        """Record that the snapshot of a subscription could not be loaded."""
        from sockstore.connection.inspection.subscriptions import (  # noqa: PLC0415 - as `Engine`
            SnapshotFailure,
        )

        at = self.wall_clock()
        self.timeline.add(SnapshotFailure(at, (key,), 1, at, why))

    def _saw_subscriptions(self, effects: Sequence[Effect], at: float) -> None:
        from sockstore.connection.inspection.subscriptions import (  # noqa: PLC0415 - as `Engine`
            subscription_events,
        )

        if events := tuple(subscription_events(effects, at)):
            self.timeline.add(*events)

    def _count(self, subscriptions: SubscriptionStates) -> Mapping[SubscriptionPhase, int]:
        if self._machine.settings.is_plain:
            return {}
        from sockstore.connection.inspection.subscriptions import (  # noqa: PLC0415 - as above
            count_phases,
        )

        return count_phases(subscriptions)

    def _record(self, event: Event, effects: Sequence[Effect], now: float) -> None:
        add, at = self.timeline.add, self.wall_clock()
        match event:
            case fact.PongReceived():
                self._answered(event, now)
            case fact.CloseRequested(code=code, reason=reason) if effects:
                add(happened.CloseAsked(at, code, reason))
            case fact.ReconnectRequested():
                add(happened.ReconnectAsked(at))
            case fact.Hinted(hint=hint):
                add(happened.Hinted(at, hint))
            case fact.Slept(seconds=seconds):
                add(happened.Slept(at, seconds))
            case _:
                pass

    def _answered(self, event: fact.PongReceived, now: float) -> None:
        if self._pinged is not None and self._pinged[0] == event.payload:
            pinged_at, self._pinged = self._pinged[1], None
            self.latency = now - pinged_at
            if self._latency_store is not None:
                try:
                    self._latency_store.set(self.latency)
                except Exception as error:  # noqa: BLE001 - a user's bug never drops the link (ST9)
                    self._report(error, "a subscriber of the latency")

    def _decided(self, decision: Decision, at: float) -> None:
        """Record an end once, and the decision about it."""
        outcome = decision.outcome
        if outcome is not self._outcome:
            self._outcome = outcome
            error = error_of(outcome)
            if outcome.uptime is None:
                self.timeline.add(happened.AttemptFailed(at, error))
            else:
                self.timeline.add(happened.Lost(at, error, outcome.uptime, outcome.close))
            if was_open(outcome):
                self.losses += 1
        if decision.next_step is not None:
            step, why = _STEPS[type(decision.next_step)], explain_decision(decision)
            self.timeline.add(happened.Decided(at, step, why, decision.classification))

    def _changed(
        self, left: ConnectionState, state: ConnectionState, now: float, at: float
    ) -> None:
        add = self.timeline.add
        if left.phase == "open" and self._opened_at is not None:
            self._open_before += now - self._opened_at
            self._opened_at = self._pinged = None
        match state.phase:
            case "open":
                self._opened_at = now
                self.connections += 1
                subprotocol = None if state.socket is None else state.socket.subprotocol
                took = now - self._attempt_began_at
                add(happened.Opened(at, took, subprotocol))
                if waiting := len(self._machine.outbox):
                    add(happened.Flushed(at, waiting))
            case "waiting" if state.retry_at is not None:
                add(happened.WaitBegan(at, state.retry_at - now, state.attempt))
            case "idle":
                add(happened.Ended(at, "idle"))
            case "closed" | "failed":
                why = state.error or "" if state.phase == "failed" else ""
                add(happened.Ended(at, "failed" if why else "closed", why))
            case _:
                pass
        self._phase_log.changed(state, now)


_STEPS: dict[type[NextStep], Literal["retry", "refresh", "goodbye", "give up"]] = {
    RetryAfter: "retry",
    RefreshNow: "refresh",
    Goodbye: "goodbye",
    GiveUp: "give up",
}


class PhaseLog:
    """Log the phases of a connection that concern an operator.

    Args:
        machine: The machine of the connection, which is only read.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        # When the outage began; None while the connection is open or has ended.
        self._began_at: float | None = None
        # The retry that was waited for last; set whenever a wait begins.
        self._attempts = 0

    def changed(self, state: ConnectionState, now: float) -> None:
        """Log that another phase began.

        Args:
            state: Its state.
            now: Seconds, in any clock that only goes forward.
        """
        began_at, self._began_at = self._began_at, None
        error = _error(state, where_to(self._machine))
        match state.phase:
            case "waiting":
                self._began_at = now if began_at is None else began_at
                self._attempts = state.attempt
                # A server that accepts and drops at once causes one outage: the retries count on.
                if state.attempt <= 1:
                    self._log(logging.WARNING, "%s; it will be tried again", error)
                else:
                    self._log(logging.INFO, "%s; retry %d follows", error, state.attempt)
            case "open":
                if began_at is None:
                    self._log(logging.INFO, "connected")
                else:
                    lasted = say_duration(now - began_at)
                    again = "connected again after %s, retry %d"
                    self._log(logging.INFO, again, lasted, self._attempts)
            case "failed":
                self._log(logging.ERROR, "gave up: %s", error)
            case "closed":
                self._log(logging.INFO, "closed")
            case "idle":
                self._log(logging.INFO, "closed, as nobody uses it")
            case phase:
                self._began_at = began_at
                self._log(logging.DEBUG, "%s, retry %d", phase, state.attempt)

    def _log(self, level: int, text: str, *arguments: object) -> None:
        if logger.isEnabledFor(level):
            logger.log(level, "%s: %s", where_to(self._machine), text % arguments)


def _error(state: ConnectionState, where: str) -> str | None:
    """Return the error for a line that begins with the address, so that it is named once."""
    failed = state.exception
    if isinstance(failed, HandshakeFailed) and failed.url in {where, "the server"}:
        return f"cannot connect: {failed.why}"
    return state.error


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
        messages_unanswered: Messages that were handed over and that the server has not acknowledged
            yet; 0 where it acknowledges none.
        bytes_waiting: Bytes that were sent and not yet given to the network.
        latency: Seconds that the last ping took; None before the first.
        subscriptions: How many subscriptions are in each phase of `SubscriptionState`; empty
            without a protocol. Those that the server refused or ended count until they are
            released.
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
    subscriptions: Mapping[SubscriptionPhase, int]
