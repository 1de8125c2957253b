"""The observer: sees what a driver tells its machine and what comes of it, and remembers.

It decides nothing. From what it sees come the timeline, the counts, the latency and the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sockstore.base.errors import InvalidOption
from sockstore.base.frozen import frozen
from sockstore.base.state import ConnectionState, Phase
from sockstore.base.times import say_duration
from sockstore.connection.inspection.explain import explain_ruling, where_to
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
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.machine.effects import Effect
from sockstore.machine.events import Event
from sockstore.machine.machine import Machine
from sockstore.machine.outbox import Offer
from sockstore.machine.reconnect import GiveUp, Goodbye, RefreshNow, RetryAfter, Ruling
from sockstore.stores import Readable, Writable, writable

__all__ = ["Observer", "Outage", "Stats"]

logger = logging.getLogger("sockstore.connection")

Report = Callable[[Exception, str], None]


class Observer:
    """Take note of what happens to one connection.

    Args:
        machine: What decides.
        report: Told what a subscriber raised.

    Attributes:
        timeline: The last events.
        latency: Seconds that the last ping took; None before the first.
        wall_clock: Returns Unix seconds.
        attempts: Attempts that began.
        connections: Attempts that opened a connection.
        losses: Connections that ended without this program's doing.
        messages_sent: Messages that were handed over.
    """

    def __init__(self, machine: Machine, report: Report) -> None:
        self.timeline = Timeline()
        self.latency: float | None = None
        self._latency_store: Writable[float | None] | None = None
        self.wall_clock: Callable[[], float] = time.time
        self.attempts = self.connections = self.losses = self.messages_sent = 0
        self._machine = machine
        self._report = report
        self._outage = Outage()
        self._ruling: Ruling | None = None
        self._attempt_began_at = 0.0
        self._opened_at: float | None = None
        self._open_before = 0.0
        self._pinged: tuple[bytes, float] | None = None

    @property
    def latency_store(self) -> Readable[float | None]:
        """The latency; made for the first who asks."""
        if self._latency_store is None:
            self._latency_store = writable(self.latency)
        return self._latency_store

    @property
    def stores(self) -> Iterator[Readable[Any]]:
        """The stores that were asked for."""
        return (one for one in (self.timeline.asked_for, self._latency_store) if one is not None)

    def open_seconds(self, now: float) -> float:
        """Return for how long the connection has been open in all."""
        return self._open_before + (0.0 if self._opened_at is None else now - self._opened_at)

    def saw(
        self, event: Event, before: ConnectionState, effects: Iterable[Effect], now: float
    ) -> None:
        """The machine was told an event; see what came of it.

        Args:
            event: What it was told.
            before: Its state before that.
            effects: What it ordered.
            now: The machine's clock.
        """
        after = self._machine.state
        if isinstance(event, fact.PongReceived):
            self._answered(event, now)
        if after.phase != before.phase:
            self._count_time(before, after, now)
        if not isinstance(event, fact.DeadlineReached | fact.PongReceived):
            self._asked(event, before, after)
        if self._machine.ruling is not self._ruling:
            self._ruled()
        for effect in effects:
            self._ordered(effect, now)
        if after is not before and after.phase != before.phase:
            self._changed(after, now)

    def refused(self, offer: Offer) -> None:
        """A message found no room in the outbox, or took the room of others."""
        if offer.dropped:
            self._note(Overflowed(self._now, len(offer.dropped), "drop_oldest"))
        elif self._machine.outbox:
            self._note(Overflowed(self._now, 1, "refuse"))

    def _answered(self, event: fact.PongReceived, now: float) -> None:
        if self._pinged is not None and self._pinged[0] == event.payload:
            pinged_at, self._pinged = self._pinged[1], None
            self.latency = now - pinged_at
            if self._latency_store is not None:
                self._set(self._latency_store, self.latency, "a subscriber of the latency")

    def _count_time(self, before: ConnectionState, after: ConnectionState, now: float) -> None:
        if after.phase == "open":
            self._opened_at = now
        elif before.phase == "open" and self._opened_at is not None:
            self._open_before += now - self._opened_at
            self._opened_at = self._pinged = None

    def _asked(self, event: Event, before: ConnectionState, after: ConnectionState) -> None:
        match event:
            case fact.CloseRequested(code=code, reason=reason) if after.phase != before.phase:
                self._note(CloseAsked(self._now, code, reason))
            case fact.ReconnectRequested():
                self._note(ReconnectAsked(self._now))
            case fact.Hinted(hint=hint):
                self._note(Hinted(self._now, hint))
            case fact.Slept(seconds=seconds):
                self._note(Slept(self._now, seconds))
            case _:
                pass

    def _ruled(self) -> None:
        """An attempt or a connection ended, and it was decided what follows."""
        before, ruling = self._ruling, self._machine.ruling
        self._ruling = ruling
        if ruling is None:
            return
        if before is None or before.outcome is not ruling.outcome:
            self._note(_end_of(ruling, self._now))
            if ruling.outcome.uptime is not None:
                self.losses += 1
        if (decided := _decided(ruling, self._now)) is not None:
            self._note(decided)

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
            case _:
                pass

    def _changed(self, state: ConnectionState, now: float) -> None:
        match state.phase:
            case "open":
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


def _end_of(ruling: Ruling, at: float) -> TimelineEvent:
    outcome = ruling.outcome
    exception = outcome.exception
    # What is wrong with an option says little without the option's name.
    why = None if isinstance(exception, InvalidOption) else getattr(exception, "why", None)
    error = why or str(exception or outcome.close)
    if outcome.uptime is None:
        return AttemptFailed(at, error)
    return Lost(at, error, outcome.uptime, outcome.close)


def _decided(ruling: Ruling, at: float) -> Decided | None:
    classification, why = ruling.classification, explain_ruling(ruling)
    match ruling.decision:
        case RetryAfter():
            return Decided(at, "retry", why, classification)
        case RefreshNow():
            return Decided(at, "refresh", why, classification)
        case Goodbye():
            return Decided(at, "goodbye", why, classification)
        case GiveUp():
            return Decided(at, "give up", why, classification)
        case None:
            return None


logger = logging.getLogger("sockstore.connection")


class Outage:
    """Follow a connection's state, and log what an operator wants to know."""

    def __init__(self) -> None:
        self._began_at: float | None = None
        self._attempts = 0

    def changed(self, state: ConnectionState, where: str, now: float) -> None:
        """The connection is in another phase.

        Args:
            state: Its state.
            where: Where it leads, without secrets.
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
        # A server that accepts and drops is one outage, too: then the retries are counted on.
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
    """What a connection has done so far.

    Args:
        phase: What it is at now.
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
