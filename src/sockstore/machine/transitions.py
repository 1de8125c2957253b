"""Apply each event to what a machine remembers, and return the effects that follow.

It does no I/O. Phases change here, in `opening.py` and in `endings.py` only.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import assert_never

from sockstore.base.close import Close
from sockstore.base.state import Hint
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.machine.asking import broken, not_delivered, outputs_of
from sockstore.machine.effects import Effect
from sockstore.machine.endings import (
    attempt_failed,
    connection_lost,
    handshake_failed,
    predicate_answered,
)
from sockstore.machine.events import AttemptError, Event
from sockstore.machine.idling import should_begin
from sockstore.machine.liveness import (
    beat_at_once,
    check,
    check_pulse,
    probe,
    tolerance,
)
from sockstore.machine.memory import Memory
from sockstore.machine.opening import (
    heartbeat_given,
    let_in,
    on_open_finished,
    say_due,
    transport_opened,
    wishes_changed,
)
from sockstore.machine.phases import (
    LIVE,
    Closed,
    Closing,
    Connecting,
    Failed,
    Idle,
    Joining,
    Open,
    Preparing,
    Waiting,
)
from sockstore.machine.reconnect import Streak

__all__ = ["react"]

OFFLINE_SECONDS = 30.0
"""A platform that says it is offline is believed for so long: some are wrong (LV5)."""

_BLOCKED = (
    "the event loop was blocked for at least {:.1f} s, so that no ping could be answered; "
    "the server gets one more ping"
)


def react(memory: Memory, event: Event, now: float) -> list[Effect]:  # noqa: C901, PLR0911, PLR0912 - a table
    """Apply an event to the memory, and return the effects that follow."""
    match event:
        case fact.ConnectRequested(destination=destination):
            return _connect_requested(memory, destination, now)
        case fact.UsersChanged():
            return _users_changed(memory, event, now)
        case fact.CloseRequested(code=code, reason=reason):
            return _close_requested(memory, code, reason, now)
        case fact.ReconnectRequested(destination=destination):
            return _reconnect_requested(memory, destination, now)
        case fact.MessagesWithdrawn(receipts=receipts):
            return memory.sending.withdraw(receipts)
        case fact.TransportOpened():
            return transport_opened(memory, event, now)
        case fact.ConversationSaid(transport=transport, outputs=outputs):
            if memory.live(transport) is None:
                not_delivered(memory, outputs)
                return []
            return [*let_in(memory, outputs, now), *memory.flush(now)]
        case fact.ConversationRaised(transport=transport, error=error):
            live = memory.live(transport)
            return [] if live is None else let_in(memory, broken(memory, "hear()", error), now)
        case fact.SubscriptionWanted() | fact.SubscriptionReleased():
            return wishes_changed(memory, event, now)
        case fact.TurnEnded():
            return [*say_due(memory, now), *memory.flush(now)]
        case fact.RequestGivenUp() | fact.CallAnswered() | fact.ProgramAnswered():
            return [*_answered(memory, event, now), *memory.flush(now)]
        case fact.LossDeclared(why=why):
            return _loss_declared(memory, why, now)
        case fact.AttemptFailed(transport=transport, exception=exception):
            return _attempt_failed(memory, transport, exception, now)
        case fact.OnOpenFinished():
            return on_open_finished(memory, event, now)
        case fact.HeartbeatGiven():
            return heartbeat_given(memory, event)
        case fact.TransportClosed():
            return _transport_closed(memory, event, now)
        case fact.TransportReleased(transport=transport):
            return _transport_released(memory, transport)
        case fact.PongReceived(transport=transport, payload=payload):
            return _pong_received(memory, transport, payload)
        case fact.WritingPaused(transport=transport):
            return _writable_changed(memory, transport, now, writable=False)
        case fact.WritingResumed(transport=transport):
            return _writable_changed(memory, transport, now, writable=True)
        case fact.PredicateAnswered():
            return predicate_answered(memory, event, now)
        case fact.DeadlineReached():
            return _deadline_reached(memory, event, now)
        case fact.Hinted(hint=hint, heard=heard):
            return _hinted(memory, hint, heard, now)
        case fact.Slept(heard=heard):
            return _look_again(memory, heard, now)
        case _:
            assert_never(event)


def _answered(
    memory: Memory,
    event: fact.RequestGivenUp | fact.CallAnswered | fact.ProgramAnswered,
    now: float,
) -> list[Effect]:
    from sockstore.machine.replying import pass_on  # noqa: PLC0415 - only protocols need it (CN1)

    return pass_on(memory, event, now)


# Events from the user


def _connect_requested(memory: Memory, destination: object, now: float) -> list[Effect]:
    live = not isinstance(memory.phase, Idle | Closing | Closed | Failed)
    if live and destination == memory.destination:
        return []
    return _begin(memory, destination, Streak(), now)


def _users_changed(memory: Memory, event: fact.UsersChanged, now: float) -> list[Effect]:
    assert memory.lazy is not None  # noqa: S101 - only a lazy connection is told
    memory.lazy.has_users = event.has_users
    if event.arms and isinstance(memory.phase, Closing | Closed | Failed):
        memory.phase = Idle()
    to = event.destination
    if to is None or not should_begin(memory, has_users=event.has_users):
        return []
    return _begin(memory, to, Streak(), now)


def _close_requested(memory: Memory, code: int, reason: str, now: float) -> list[Effect]:
    if isinstance(memory.phase, Closing | Closed):
        return []
    retiring = memory.retire(now, code, reason)
    dropped = memory.sending.drop("the connection was closed")
    match memory.phase:
        case Connecting() | Joining() | Preparing() | Open() as phase:
            memory.phase = Closing(phase.transport)
        case _:
            memory.phase = Closed()
    return [*retiring, *dropped]


def _reconnect_requested(memory: Memory, destination: object, now: float) -> list[Effect]:
    return _begin(memory, destination, Streak(error=memory.state.exception), now)


def _begin(memory: Memory, destination: object, streak: Streak, now: float) -> list[Effect]:
    if memory.lazy is not None:
        memory.lazy.began()
    retiring, dropped = memory.retire(now), _set_destination(memory, destination)
    return [*retiring, *dropped, *memory.begin_attempt(streak, now)]


def _set_destination(memory: Memory, destination: object) -> list[Effect]:
    """Set the destination; if it is another one, drop the messages that wait (OB2)."""
    changed = memory.destination is not None and destination != memory.destination
    memory.destination = destination
    return memory.sending.drop("the connection goes to another url now") if changed else []


def _loss_declared(memory: Memory, why: str, now: float) -> list[Effect]:
    match memory.phase:
        case Joining() | Preparing() | Open() as phase:
            retiring = memory.retire(now, abort=True)
            return [*retiring, *connection_lost(memory, phase, Close(1006), why, now)]
        case _:
            return []


# Events from transports


def _attempt_failed(
    memory: Memory, transport: int, exception: AttemptError, now: float
) -> list[Effect]:
    match memory.phase:
        case Connecting(transport=current) if current == transport:
            return attempt_failed(memory, exception, now)
        case _:
            return _transport_released(memory, transport)


def _transport_closed(memory: Memory, event: fact.TransportClosed, now: float) -> list[Effect]:
    if (phase := memory.live(event.transport)) is not None:
        phase.flights.lose()
        retiring, close, words = memory.lose(phase, now), event.close, event.last_words
        lost = connection_lost(
            memory, phase, close, event.why, now, cause=event.cause, last_words=words
        )
        return [*retiring, *lost]
    match memory.phase:
        case Closing(transport=transport) if transport == event.transport:
            memory.phase = Closing(transport, event.close)
    memory.retired.ended(event.transport, event.close)
    return []


def _transport_released(memory: Memory, transport: int) -> list[Effect]:
    memory.retired.released(transport)
    match memory.phase:
        case Closing(transport=current, close=close) if current == transport:
            memory.phase = Closed(close)
    return []


def _pong_received(memory: Memory, transport: int, payload: bytes) -> list[Effect]:
    match memory.phase:
        case Open(transport=current, flights=flights) if current == transport:
            flights.prove(payload)
    return []


def _writable_changed(
    memory: Memory, transport: int, now: float, *, writable: bool
) -> list[Effect]:
    phase = memory.live(transport)
    if phase is None:
        return []
    memory.phase = replace(phase, writable=writable)
    return memory.flush(now) if writable and isinstance(phase, Open) else []


# Time and the platform


def _deadline_reached(memory: Memory, event: fact.DeadlineReached, now: float) -> list[Effect]:
    effects = memory.sending.expire(now)
    effects += map(order.AbortTransport, memory.retired.take_overdue(now))
    effects += _conversation_deadline_reached(memory, now)
    return effects + _phase_deadline_reached(memory, event, now)


def _conversation_deadline_reached(memory: Memory, now: float) -> list[Effect]:
    effects: list[Effect] = []
    phase, book = memory.phase, memory.book
    if isinstance(phase, LIVE) and (talk := phase.conversation) is not None:
        due = talk.deadline
        if due is not None and due <= now:
            outputs = outputs_of(memory, "tick", lambda: talk.tick(now), now)
            effects += let_in(memory, outputs, now)
            effects += memory.flush(now)
    is_open = isinstance(memory.phase, Open)
    if (
        book is not None
        and memory.book_deadline <= now
        and book.look_at_clock(now, is_open=is_open)
    ):
        effects += say_due(memory, now)
    return effects


def _phase_deadline_reached(
    memory: Memory, event: fact.DeadlineReached, now: float
) -> list[Effect]:
    timeout, to = memory.settings.connect_timeout, memory.destination
    match memory.phase:
        case Connecting(deadline=deadline) if deadline <= now:
            error = handshake_failed(to, f"no answer within {timeout:g} s", "timeout")
        case Joining(deadline=deadline) if deadline <= now:
            late = f"the protocol's opening took over {timeout:g} s"
            error = handshake_failed(to, late, "timeout")
        case Preparing(deadline=deadline) if deadline <= now:
            awaited = f"; it waited for {event.awaits}" if event.awaits else ""
            error = handshake_failed(to, f"on_open took over {timeout:g} s{awaited}", "on_open")
        case Waiting(until=until, streak=streak) if until <= now:
            return memory.begin_attempt(streak, now)
        case Open() as phase:
            return _check_liveness(memory, phase, event, now)
        case _:
            return []
    return [*memory.retire(now), *attempt_failed(memory, error, now)]


def _check_liveness(
    memory: Memory, phase: Open, observed: fact.DeadlineReached, now: float
) -> list[Effect]:
    checked = check(phase.liveness, observed, now)
    beat = None
    if phase.pulse is not None:
        late = tolerance(phase.pulse.timeout or phase.pulse.interval)
        beat = check_pulse(phase.pulse, observed, now, tolerance=late)
    lost = checked.lost or (beat and beat.lost)
    if lost:
        retiring = memory.retire(now, abort=True)
        return [*retiring, *connection_lost(memory, phase, Close(1006), lost, now)]
    pulse = None if beat is None else beat.pulse
    phase = memory.phase = replace(phase, liveness=checked.liveness, pulse=pulse)
    effects: list[Effect] = []
    if checked.blocked_for is not None:
        effects.append(order.Warn(_BLOCKED.format(checked.blocked_for)))
    if checked.ping:
        effects.append(_ping(phase))
    if beat is not None and beat.send:
        effects.append(_beat(phase))
    return effects


def _look_again(memory: Memory, heard: int, now: float) -> list[Effect]:
    """The machine may have slept or lost its network: probe an open connection, end a wait."""
    can_ping = memory.settings.can_ping
    match memory.phase:
        case Open(liveness=liveness, pulse=pulse) as phase:
            pulse = None if pulse is None else beat_at_once(pulse, now)
            liveness = probe(liveness, heard, now) if can_ping else liveness
            probed = memory.phase = replace(phase, liveness=liveness, pulse=pulse)
            ping = [_ping(probed)] if can_ping else []
            beat = [] if pulse is None else [_beat(probed)]
            return [*ping, *beat]
        case Waiting(until=until, streak=streak) if math.isfinite(until):
            return memory.begin_attempt(streak, now)
        case _:
            return []


def _hinted(memory: Memory, hint: Hint, heard: int, now: float) -> list[Effect]:
    if hint != "offline":
        memory.offline_until = -math.inf
        return _look_again(memory, heard, now)
    memory.offline_until = now + OFFLINE_SECONDS
    match memory.phase:
        case Waiting(until=until, streak=streak, close=close) if math.isfinite(until):
            memory.wait(until, streak, close)
    return []


def _beat(phase: Open) -> Effect:
    assert phase.heartbeat is not None  # noqa: S101 - it set the pulse
    return order.SendHeartbeat(phase.transport, phase.heartbeat)


def _ping(phase: Open) -> Effect:
    """Seal the flight with the ping of the liveness, and return the effect that sends it."""
    payload = phase.liveness.payload
    phase.flights.seal(payload)
    return order.SendPing(phase.transport, payload)
