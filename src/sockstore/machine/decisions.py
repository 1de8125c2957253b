"""What the machine does about facts: one method for each decision.

With `machine.py`, which says which fact leads to which decision, it is the only place where a
phase changes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import assert_never

from sockstore.errors import HandshakeFailed, SockstoreError
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.machine.effects import Effect
from sockstore.machine.events import AttemptError
from sockstore.machine.failures import (
    connection_lost,
    outcome_of,
    policy_error,
    refused_by_room,
)
from sockstore.machine.liveness import check, started
from sockstore.machine.outbox import Flights
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
from sockstore.machine.reconnect import GiveUp, Goodbye, RefreshNow, RetryAfter, Streak, decide
from sockstore.machine.retired import RetiredTransports
from sockstore.machine.sending import Sending
from sockstore.machine.session import Heard, SessionMachine, orders_of
from sockstore.machine.settings import Settings
from sockstore.machine.state import Attempt, ConnectionState, Failure
from sockstore.outcomes import Close, FailureReason, Outcome

__all__ = ["Decisions"]

_BLOCKED = (
    "the event loop was blocked for at least {:.1f} s, so that no ping could be answered; "
    "the server gets one more ping"
)


class Decisions:
    """The knowledge of a machine, and how it changes.

    Args:
        settings: The user's options.
        destination: The url, or the callable that makes one; None if it is not known yet.

    Attributes:
        state: The public snapshot of the phase.
        session: What a session remembers; None without one.
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
        self._opened_before = False

    def _follow_session(
        self, phase: Joining | Preparing | Open, heard: Heard, now: float
    ) -> list[Effect]:
        if heard.error is not None:
            return self._session_failed(phase, refused_by_room(self.destination, heard.error), now)
        if heard.lost is not None:
            return [*self._retire(now), *self._lost(phase, Close(1006), heard.lost, None, now)]
        effects = orders_of(phase.transport, heard)
        if heard.joined and isinstance(phase, Joining):
            return [*effects, *self._prepare(phase, now)]
        return [*effects, *self._flush(now)]

    def _session_failed(
        self, phase: Joining | Preparing | Open, error: HandshakeFailed, now: float
    ) -> list[Effect]:
        retiring = self._retire(now)
        if isinstance(phase, Open):
            return [*retiring, *self._ended(phase, error, now)]
        return [*retiring, *self._failed_attempt(error, now)]

    def _prepare(self, joining: Joining, now: float) -> list[Effect]:
        """Let the user's ``on_open`` have its turn, if there is one, then be open."""
        preparing = prepared(joining, now + self.settings.connect_timeout)
        if not self.settings.has_on_open:
            return self._open(preparing, now)
        self._phase = preparing
        again = [] if self.session is None else self._flush(now)
        return [*again, order.RunOnOpen(joining.transport)]

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
        recovered = None if self.session is None else self.session.recovered
        self._phase = opened(preparing, liveness, recovered)
        return self._flush(now)

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
