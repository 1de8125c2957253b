"""Lead from the opening handshake to the open connection: protocol, callables, gap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from sockstore.base.positions import RECONNECTED
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.machine.asking import conversation_of, outputs_of
from sockstore.machine.delivery import Flights
from sockstore.machine.effects import Effect
from sockstore.machine.endings import (
    attempt_failed,
)
from sockstore.machine.liveness import started, started_pulse
from sockstore.machine.memory import Memory
from sockstore.machine.phases import Connecting, Joining, Open, Preparing

if TYPE_CHECKING:
    from sockstore.protocols.base import Output

__all__ = [
    "heartbeat_given",
    "let_in",
    "on_open_finished",
    "say_due",
    "transport_opened",
    "wishes_changed",
]


def transport_opened(memory: Memory, event: fact.TransportOpened, now: float) -> list[Effect]:
    """An opening handshake succeeded: begin the protocol's conversation, or prepare at once."""
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


def _prepare(memory: Memory, joining: Joining, now: float) -> list[Effect]:
    """Run the user's ``on_open``, if there is one, then be open."""
    preparing = Preparing(
        joining.transport,
        joining.socket,
        joining.deadline,
        joining.opened_at,
        joining.flights,
        joining.streak,
        joining.writable,
        joining.conversation,
    )
    if not memory.settings.has_on_open:
        return _open(memory, preparing, now)
    memory.phase = preparing
    return [order.RunOnOpen(joining.transport, memory.has_begun)]


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
        pulse,
        preparing.conversation,
        heartbeat,
    )
    effects = _begun(memory)
    if memory.book is not None:
        memory.book.opened()
        effects += say_due(memory, now)
    effects += memory.flush(now)
    if settings.has_on_open or not settings.is_plain:
        effects.append(order.DeliverLeft(preparing.transport))
    return effects


def _begun(memory: Memory) -> list[Effect]:
    """A message comes, or a connection is open: tell the gap before it, if there is one."""
    memory.has_begun = True
    gap, memory.gap = memory.gap, None
    return [] if gap is None else [order.DeliverGap(gap)]
