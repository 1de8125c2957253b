"""Lead from the opening handshake to the open connection: room, callables, gap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sockstore.base.close import Close
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.machine.asking import conversation_of, outputs_of
from sockstore.machine.delivery import Flights
from sockstore.machine.effects import Effect
from sockstore.machine.endings import (
    attempt_failed,
    connection_lost,
    handshake_failed,
    room_refused,
    session_failed,
)
from sockstore.machine.liveness import started, started_pulse
from sockstore.machine.memory import Memory
from sockstore.machine.phases import Connecting, Joining, Live, Open, Preparing
from sockstore.machine.session import Heard, effects_of
from sockstore.machine.session_frames import RECONNECTED, FrameError, Said

if TYPE_CHECKING:
    from sockstore.protocols.base import Output

__all__ = [
    "heartbeat_given",
    "let_in",
    "message_coming",
    "on_open_finished",
    "say_due",
    "session_broken",
    "session_heard",
    "snapshot_loaded",
    "transport_opened",
    "wishes_changed",
]

PROTOCOL_BROKEN = 107
"""Centrifugo's code for a bad request, used for a server that breaks the protocol."""


def transport_opened(memory: Memory, event: fact.TransportOpened, now: float) -> list[Effect]:
    """An opening handshake succeeded: join the session's room, or prepare at once."""
    match memory.phase:
        case Connecting(transport=transport, streak=streak) if transport == event.transport:
            memory.opened_before = True
            deadline = now + memory.settings.connect_timeout
            joining = Joining(transport, event.socket, deadline, now, Flights(), streak)
            if memory.settings.protocol is not None:
                memory.phase = joining
                talk = conversation_of(memory, event.attempt)
                if isinstance(talk, tuple):
                    return let_in(memory, talk, now)
                memory.phase = replace(joining, conversation=talk)
                opens = partial(talk.open, event.given, now)
                return let_in(memory, outputs_of(memory, "open", opens), now)
            if memory.session is not None:
                memory.phase = joining
                return [order.SendFrame(transport, memory.session.begin(event.token))]
            memory.gap = RECONNECTED if memory.has_begun else None
            return _prepare(memory, joining, now)
        case _:
            return [order.AbortTransport(event.transport)]


def let_in(memory: Memory, outputs: Sequence[Output], now: float) -> list[Effect]:
    """Follow what a conversation said; once it says `Opened`, prepare to be open."""
    from sockstore.machine.conversing import follow  # noqa: PLC0415 - see `say_due`
    from sockstore.protocols.base import Opened  # noqa: PLC0415 - see `say_due`

    opens = next((n for n, output in enumerate(outputs) if isinstance(output, Opened)), None)
    if opens is None or not isinstance(memory.phase, Joining):
        return follow(memory, outputs, now)
    effects = follow(memory, outputs[:opens], now)
    if isinstance(memory.phase, Joining):
        memory.gap = RECONNECTED if memory.has_begun else None
        effects += _prepare(memory, memory.phase, now)
    return effects + follow(memory, outputs[opens + 1 :], now)


def wishes_changed(
    memory: Memory, event: fact.SubscriptionWanted | fact.SubscriptionReleased, now: float
) -> list[Effect]:
    """The program wants a subscription, or does not any more: look at it when the turn is over."""
    book = memory.book
    assert book is not None  # noqa: S101 - the protocol has subscriptions, or nobody says so
    match event:
        case fact.SubscriptionWanted(subscription=subscription):
            book.want(subscription)
        case fact.SubscriptionReleased(subscription=subscription, linger=linger):
            book.release(subscription, now + linger if linger else -math.inf)
    return [order.AwaitTurn()]


def say_due(memory: Memory, now: float) -> list[Effect]:
    """A turn of the loop is over, or a connection is open: ask for what became wanted.

    Conversations and protocols are loaded with the first connection, not with the package (CN1).
    """
    from sockstore.machine.conversing import say_what_is_due  # noqa: PLC0415 - see above

    return say_what_is_due(memory, now)


def session_heard(memory: Memory, transport: int, said: Said, now: float) -> list[Effect]:
    """The server of a session said something other than the room's next message."""
    phase = memory.live(transport)
    if phase is None:
        return []
    assert memory.session is not None  # noqa: S101 - it is what the driver asks
    try:
        heard = memory.session.hear(said, now)
    except FrameError as error:
        return session_broken(memory, transport, str(error), now)
    return _follow_session(memory, phase, heard, now)


def session_broken(memory: Memory, transport: int, why: str, now: float) -> list[Effect]:
    """The server of a session said something that is not part of the protocol."""
    phase = memory.live(transport)
    if phase is None:
        return []
    why = f"the server does not speak the session's protocol: it said {why}"
    error = handshake_failed(memory.destination, why, "session", PROTOCOL_BROKEN)
    return session_failed(memory, phase, error, now)


def _follow_session(memory: Memory, phase: Live, heard: Heard, now: float) -> list[Effect]:
    if heard.error is not None:
        return session_failed(memory, phase, room_refused(memory.destination, heard.error), now)
    if heard.lost is not None:
        retiring = memory.retire(now)
        return [*retiring, *connection_lost(memory, phase, Close(1006), heard.lost, now)]
    effects = [*_gap_before(memory, heard), *effects_of(phase.transport, heard)]
    if heard.joined and isinstance(phase, Joining):
        return [*effects, *_prepare(memory, phase, now)]
    return [*effects, *memory.flush(now)]


def _gap_before(memory: Memory, heard: Heard) -> list[Effect]:
    """Report a gap at once if messages follow it; one of unknown size waits otherwise."""
    if heard.gap is not None:
        memory.gap = heard.gap
    is_due = heard.publications or (memory.gap is not None and memory.gap != RECONNECTED)
    return _begun(memory) if is_due else []


def _prepare(memory: Memory, joining: Joining, now: float) -> list[Effect]:
    """Run the user's ``on_open``, if there is one, then be open."""
    settings, session = memory.settings, memory.session
    needs_state = settings.has_fetch_state and (session is None or session.owed.snapshot)
    preparing = Preparing(
        joining.transport,
        joining.socket,
        joining.deadline,
        joining.opened_at,
        joining.flights,
        joining.streak,
        joining.writable,
        needs_state,
        joining.conversation,
    )
    if not settings.has_on_open:
        return _open(memory, preparing, now)
    memory.phase = preparing
    transport = joining.transport
    # The messages of a session are delivered while it opens: its position has moved past them.
    before = [] if session is None else [*memory.flush(now), order.AwaitMessage(transport)]
    return [*before, order.RunOnOpen(transport, needs_state, memory.has_begun)]


def message_coming(memory: Memory, transport: int) -> list[Effect]:
    """The first message of a session's connection is about to be delivered."""
    match memory.phase:
        case Preparing(transport=current) if current == transport:
            return _begun(memory)
        case _:
            return []


def snapshot_loaded(memory: Memory, transport: int) -> list[Effect]:
    """``fetch_state`` returned."""
    match memory.phase:
        case Preparing(transport=current) as preparing if current == transport:
            memory.phase = replace(preparing, needs_state=False)
    return []


def on_open_finished(memory: Memory, event: fact.OnOpenFinished, now: float) -> list[Effect]:
    """``on_open`` returned, or an opening callable raised."""
    match memory.phase:
        case Preparing(transport=transport) as preparing if transport == event.transport:
            if event.exception is None:
                return _open(memory, preparing, now)
            retiring, meaning = memory.retire(now), event.meaning
            return [*retiring, *attempt_failed(memory, event.exception, now, meaning=meaning)]
        case _:
            return []


def heartbeat_given(memory: Memory, event: fact.HeartbeatGiven) -> list[Effect]:
    """``on_open`` gave its connection a heartbeat, which begins when the connection is open."""
    match memory.phase:
        case Preparing(transport=transport) as preparing if transport == event.transport:
            memory.phase = replace(preparing, heartbeat=event.heartbeat)
            return [order.ExpectReplies(transport, event.heartbeat)]
        case _:
            return []


def _open(memory: Memory, preparing: Preparing, now: float) -> list[Effect]:
    settings = memory.settings
    liveness = started(
        now,
        ping_interval=settings.ping_interval,
        ping_timeout=settings.ping_timeout,
        idle_timeout=settings.idle_timeout,
    )
    pulse, heartbeat = None, preparing.heartbeat or settings.heartbeat
    if heartbeat is not None:
        timeout = None if heartbeat.reply is None else heartbeat.timeout
        pulse = started_pulse(now, interval=heartbeat.interval, timeout=timeout)
    memory.phase = Open(
        preparing.transport,
        preparing.socket,
        preparing.opened_at,
        liveness,
        preparing.flights,
        preparing.streak,
        preparing.writable,
        None if memory.session is None else memory.session.opened(),
        pulse,
        preparing.conversation,
        heartbeat,
    )
    effects = _begun(memory)
    if memory.book is not None:
        memory.book.opened()
        effects += say_due(memory, now)
    effects += memory.flush(now)
    if memory.session is None and (settings.has_on_open or not settings.is_plain):
        effects.append(order.DeliverLeft(preparing.transport))
    return effects


def _begun(memory: Memory) -> list[Effect]:
    """A message comes, or a connection is open: tell the gap before it, if there is one."""
    memory.has_begun = True
    if memory.session is not None:
        memory.session.begun()
    gap, memory.gap = memory.gap, None
    return [] if gap is None else [order.DeliverGap(gap)]
