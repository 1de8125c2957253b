"""What the machine does about facts: one method for each decision.

With `machine.py`, which says which fact leads to which decision, it is the only place where a
phase changes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import assert_never

from sockstore.base.close import Close, FailureReason
from sockstore.base.errors import HandshakeFailed, SockstoreError
from sockstore.base.outcomes import Outcome
from sockstore.base.positions import Gap
from sockstore.base.state import Attempt, ConnectionState, Failure, Hint
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.machine.delivery import Flights, RetiredTransports
from sockstore.machine.effects import Effect
from sockstore.machine.events import AttemptError
from sockstore.machine.failures import (
    connection_lost,
    outcome_of,
    policy_error,
    refused_by_room,
)
from sockstore.machine.joining import RECONNECTED
from sockstore.machine.liveness import (
    Pulse,
    beat_at_once,
    check,
    check_pulse,
    probe,
    started,
    started_pulse,
    tolerance,
)
from sockstore.machine.outbox import Sending
from sockstore.machine.phases import (
    AnyPhase,
    Closed,
    Connecting,
    Deciding,
    Failed,
    Idle,
    Joining,
    Open,
    Preparing,
    Waiting,
    opened,
    prepared,
    project,
)
from sockstore.machine.reconnect import (
    GiveUp,
    Goodbye,
    RefreshNow,
    RetryAfter,
    Ruling,
    Streak,
    classified_by,
    decide,
)
from sockstore.machine.session import Heard, SessionMachine, orders_of
from sockstore.machine.settings import Settings

__all__ = ["Decisions"]

_BLOCKED = (
    "the event loop was blocked for at least {:.1f} s, so that no ping could be answered; "
    "the server gets one more ping"
)


OFFLINE_SECONDS = 30.0
"""A platform that says it is offline is believed for so long: some are wrong (LV5)."""


class Decisions:
    """The knowledge of a machine, and how it changes.

    Args:
        settings: The user's options.
        destination: The url, or the callable that makes one; None if it is not known yet.

    Attributes:
        state: The public snapshot of the phase.
        session: What a session remembers; None without one.
        ruling: What was decided when the last attempt or connection ended; None before.
        offline_until: Until when retries wait for the platform to be online; it may be over.
    """

    def __init__(self, settings: Settings, destination: object = None) -> None:
        self.settings = settings
        self.destination = destination
        asked = settings.session
        self.session = None if asked is None else SessionMachine(asked.channel, asked.since)
        self.state = ConnectionState()
        self._sending = Sending(settings.outbox, self.session)
        self._phase: AnyPhase = Idle()
        self._retired = RetiredTransports()
        self._transports = 0
        self._questions = 0
        # Set by the first opening handshake.
        self._opened_before = False
        # Set by the first message and by the first open connection: there is something to miss.
        self._has_begun = False
        # A gap of unknown size that streams must be told before the next message, or once a
        # connection is open; set when a connection begins, cleared when it is told.
        self._gap: Gap | None = None
        self.ruling: Ruling | None = None
        self.offline_until = -math.inf

    def _follow_session(
        self, phase: Joining | Preparing | Open, heard: Heard, now: float
    ) -> list[Effect]:
        if heard.error is not None:
            return self._session_failed(phase, refused_by_room(self.destination, heard.error), now)
        if heard.lost is not None:
            return [*self._retire(now), *self._lost(phase, Close(1006), heard.lost, None, now)]
        effects = [*self._gap_before(heard), *orders_of(phase.transport, heard)]
        if heard.joined and isinstance(phase, Joining):
            return [*effects, *self._prepare(phase, now)]
        return [*effects, *self._flush(now)]

    def _gap_before(self, heard: Heard) -> list[Effect]:
        """Tell a gap at once if something follows it; one of unknown size is owed otherwise."""
        if heard.gap is not None:
            self._gap = heard.gap
        is_due = heard.publications or (self._gap is not None and self._gap != RECONNECTED)
        return self._begun() if is_due else []

    def _session_failed(
        self, phase: Joining | Preparing | Open, error: HandshakeFailed, now: float
    ) -> list[Effect]:
        retiring = self._retire(now)
        if isinstance(phase, Open):
            return [*retiring, *self._ended(phase, error, now)]
        return [*retiring, *self._failed_attempt(error, now)]

    def _prepare(self, joining: Joining, now: float) -> list[Effect]:
        """Let the user's ``on_open`` have its turn, if there is one, then be open."""
        settings, session = self.settings, self.session
        needs_state = settings.has_fetch_state and (session is None or session.owed.snapshot)
        deadline = now + settings.connect_timeout
        preparing = prepared(joining, deadline, needs_state=needs_state)
        if not settings.has_on_open:
            return self._open(preparing, now)
        self._phase = preparing
        again = [] if session is None else self._flush(now)
        transport = joining.transport
        return [*again, order.AwaitMessage(transport), order.RunOnOpen(transport, needs_state)]

    def _begun(self) -> list[Effect]:
        """A message comes, or a connection is open: tell the gap before it, if there is one."""
        self._has_begun = True
        if self.session is not None:
            self.session.begun()
        gap, self._gap = self._gap, None
        return [] if gap is None else [order.DeliverGap(gap)]

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
        recovered = None if self.session is None else self.session.opened()
        self._phase = opened(preparing, liveness, self._pulse(now), recovered=recovered)
        return [*self._begun(), *self._flush(now)]

    def _pulse(self, now: float) -> Pulse | None:
        heartbeat = self.settings.heartbeat
        if heartbeat is None:
            return None
        timeout = None if heartbeat.reply is None else heartbeat.timeout
        return started_pulse(now, interval=heartbeat.interval, timeout=timeout)

    def _check_liveness(
        self, phase: Open, observed: fact.DeadlineReached, now: float
    ) -> list[Effect]:
        verdict = check(phase.liveness, observed, now)
        beat = None
        if phase.pulse is not None:
            late = tolerance(phase.pulse.timeout or phase.pulse.interval)
            beat = check_pulse(phase.pulse, observed, now, tolerance=late)
        lost = verdict.lost or (beat and beat.lost)
        if lost:
            retiring = self._retire(now, abort=True)
            return [*retiring, *self._lost(phase, Close(1006), lost, None, now)]
        pulse = None if beat is None else beat.pulse
        phase = self._phase = replace(phase, liveness=verdict.liveness, pulse=pulse)
        effects: list[Effect] = []
        if verdict.blocked_for is not None:
            effects.append(order.Warn(_BLOCKED.format(verdict.blocked_for)))
        if verdict.ping:
            effects.append(_ping(phase))
        if beat is not None and beat.send:
            effects.append(order.SendHeartbeat(phase.transport))
        return effects

    def _look_again(self, heard: int, now: float) -> list[Effect]:
        """Time or the network may have gone on without us: probe what is open, wait no longer."""
        match self._phase:
            case Open(liveness=liveness, pulse=pulse) as phase:
                pulse = None if pulse is None else beat_at_once(pulse, now)
                liveness = probe(liveness, heard, now) if self.settings.can_ping else liveness
                probed = self._phase = replace(phase, liveness=liveness, pulse=pulse)
                ping = [_ping(probed)] if self.settings.can_ping else []
                beat = [] if pulse is None else [order.SendHeartbeat(phase.transport)]
                return [*ping, *beat]
            case Waiting(until=until, streak=streak) if math.isfinite(until):
                return self._attempt(streak, now)
            case _:
                return []

    def _hinted(self, hint: Hint, heard: int, now: float) -> list[Effect]:
        if hint != "offline":
            self.offline_until = -math.inf
            return self._look_again(heard, now)
        self.offline_until = now + OFFLINE_SECONDS
        match self._phase:
            case Waiting(until=until, streak=streak, close=close) if math.isfinite(until):
                self._wait(until, streak, close)
        return []

    def _wait(self, until: float, streak: Streak, close: Close | None) -> None:
        self._phase = Waiting(max(until, self.offline_until), streak, close)

    def _failed_attempt(self, exception: AttemptError, now: float) -> list[Effect]:
        match self._phase:
            case Connecting(streak=streak) | Joining(streak=streak) | Preparing(streak=streak):
                outcome = Outcome(streak.failures, exception, opened_before=self._opened_before)
                return self._follow(outcome, streak, now)
            case _:
                return []

    def _lost(
        self,
        phase: Joining | Preparing | Open,
        close: Close,
        why: str,
        cause: Exception | None,
        now: float,
    ) -> list[Effect]:
        error = connection_lost(why, close, cause)
        return self._ended(phase, error, now)

    def _ended(
        self, phase: Joining | Preparing | Open, error: SockstoreError, now: float
    ) -> list[Effect]:
        outcome = outcome_of(phase, error, now, in_session=self.session is not None)
        return self._follow(outcome, phase.streak, now)

    def _follow(self, outcome: Outcome, streak: Streak, now: float) -> list[Effect]:
        settings = self.settings
        can_refresh = settings.can_refresh or callable(self.destination)
        # Both are the user's code: what it does to its own connection counts, not its answer.
        undecided = self._phase = Waiting(math.inf, streak, outcome.close)
        self.ruling = Ruling(outcome)
        asked = "Reconnect(classify=)"
        try:
            means = classified_by(settings.reconnect, outcome)
            asked = "the reconnect schedule"
            decision = decide(
                settings.reconnect, outcome, streak, means=means, can_refresh=can_refresh
            )
        except Exception as exception:  # noqa: BLE001 - the user's code may raise anything
            if self._phase is not undecided:
                return []
            return self._policy_error(asked, exception, outcome.close)
        if self._phase is not undecided:
            return []
        self.ruling = Ruling(outcome, decision, means)
        match decision:
            case Goodbye():
                self._phase = Closed(outcome.close)
                return self._sending.drop("the server said goodbye")
            case GiveUp(reason=reason, error=error):
                return self._fail(reason, error, outcome.close, outcome.exception)
            case RefreshNow(streak=streak):
                return self._attempt(streak, now)
            case RetryAfter() if settings.has_predicate:
                self._questions += 1
                self._phase = Deciding(self._questions, decision, outcome.close)
                return [order.AskPredicate(self._questions, outcome)]
            case RetryAfter(seconds=seconds, streak=streak):
                self._wait(now + seconds, streak, outcome.close)
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
        if self.ruling is not None:
            self.ruling = replace(self.ruling, decision=GiveUp(reason, error))
        self._phase = Failed(Failure(reason, beneath), error, close)
        return self._sending.drop(f"the connection failed: {error}")

    def _policy_error(self, who: str, exception: Exception, close: Close | None) -> list[Effect]:
        error = policy_error(who, exception)
        return self._fail(FailureReason.POLICY_ERROR, error, close, exception)

    def _retire(
        self, now: float, code: int = 1000, reason: str = "", *, abort: bool = False
    ) -> list[Effect]:
        """Take the current transport's voice away, and order its end."""
        match self._phase:
            case Connecting(transport=transport):
                self._retired.add(transport, self._last_moment(now), Flights())
                return [order.AbortTransport(transport)]
            case Joining() | Preparing() | Open() as phase:
                transport = phase.transport
                if self.session is not None:
                    self.session.lose()
                self._retired.add(transport, self._last_moment(now), phase.flights, code)
                if not abort:
                    return [order.CloseTransport(transport, code, reason)]
                phase.flights.lose()
                return [order.AbortTransport(transport)]
            case _:
                return []

    def _last_moment(self, now: float) -> float:
        return now + self.settings.close_timeout

    def _lose(self, flights: Flights) -> None:
        flights.lose()
        if self.session is not None:
            self.session.lose()

    def _flush(self, now: float) -> list[Effect]:
        expired = self._sending.expire(now)
        return [*expired, order.FlushOutbox()] if self._sending.has_something else expired

    def _project(self, now: float) -> None:
        shown = project(self._phase, now)
        if shown.phase == self.state.phase:
            shown = replace(shown, since=self.state.since)
        if shown != self.state:
            self.state = shown


def _ping(phase: Open) -> Effect:
    """Order the ping that the liveness of a phase counts on."""
    payload = phase.liveness.payload
    phase.flights.seal(payload)
    return order.SendPing(phase.transport, payload)
