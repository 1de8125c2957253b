"""Follow what the conversation of a protocol says: opening, subscriptions, answers and calls."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import assert_never

from sockstore.base.outcomes import Classification
from sockstore.base.positions import Gap
from sockstore.machine import effects as order
from sockstore.machine.asking import broken, outputs_of
from sockstore.machine.delivery import Outgoing
from sockstore.machine.effects import Effect
from sockstore.machine.endings import conversation_failed
from sockstore.machine.memory import Memory
from sockstore.machine.phases import LIVE, Live, Open
from sockstore.machine.subscriptions import SubscriptionState
from sockstore.protocols.base import (
    Answered,
    Ask,
    Called,
    Ended,
    Failed,
    Members,
    Missed,
    Opened,
    Output,
    Raised,
    Received,
    Refused,
    Settled,
    Subscribed,
    WireSubscription,
    Write,
)

__all__ = ["follow", "say_what_is_due"]


def follow(memory: Memory, outputs: Iterable[Output], now: float) -> list[Effect]:
    """Return the orders that follow from what the live conversation said; not from `Opened`."""
    effects: list[Effect] = []
    for output in outputs:
        if not isinstance(memory.phase, LIVE):
            break  # an output before this one ended the conversation
        if (error := _why_not(output)) is not None:
            return effects + follow(memory, broken(memory, "following its outputs", error), now)
        effects += _follow(memory, memory.phase, output, now)
    return effects


def say_what_is_due(memory: Memory, now: float) -> list[Effect]:
    """A turn of the loop is over, or a connection is open: ask for what became wanted."""
    if memory.book is None:
        return []
    phase = memory.phase
    conversation = phase.conversation if isinstance(phase, Open) else None
    turn = memory.book.turn(now, is_open=conversation is not None)
    effects: list[Effect] = [order.ForgetSubscription(each) for each in turn.forgotten]
    effects += [_shown(memory, each) for each in turn.subscribe]
    for method, subscriptions in (("unsubscribe", turn.unsubscribe), ("subscribe", turn.subscribe)):
        if conversation is None or not subscriptions or memory.phase is not phase:
            continue
        ask = partial(getattr(conversation, method), subscriptions, now)
        effects += follow(memory, outputs_of(memory, method, ask), now)
    return effects


def _follow(  # noqa: C901, PLR0911, PLR0912 - a table
    memory: Memory, live: Live, output: Output, now: float
) -> list[Effect]:
    transport = live.transport
    match output:
        case Write(frame=frame):
            return [order.SendFrame(transport, frame)]
        case Received():
            return [order.Deliver(transport, output)]
        case Opened():
            return []
        case Subscribed() | Refused() | Ended() | Missed():
            return _follow_subscription(memory, transport, output, now)
        case Answered(request=request, data=data, error=error):
            return [order.AnswerRequest(request, data, error)]
        case Called():
            return [order.TakeCall(transport, output)]
        case Ask():
            return [order.AskProgram(transport, output)]
        case Members(subscription=subscription, members=members):
            return [order.ShowMembers(subscription, members)]
        case Settled(entry=entry, state=state, why=why, offset=offset):
            assert isinstance(entry, Outgoing)  # noqa: S101 - it was given to `send`
            if memory.sending.sent is not None and not memory.sending.sent.remove(entry):
                return []  # it was given up meanwhile
            entry.offset = offset
            return [order.SettleReceipts((entry,), state, why)]
        case Raised(error=error, name=name):
            return [order.ReportError(error, name)]
        case Failed():
            return conversation_failed(memory, live, output, now)
        case _:
            assert_never(output)


def _follow_subscription(
    memory: Memory, transport: int, output: Subscribed | Refused | Ended | Missed, now: float
) -> list[Effect]:
    book, subscription = memory.book, output.subscription
    if book is None or book.state_of(subscription) is None:
        return []  # it was released meanwhile
    match output:
        case Subscribed(answer=answer, missed=missed):
            gap = book.subscribed(output)
            shown = _shown(memory, subscription, answer, missed)
            return [shown] if gap is None else [order.DeliverGapTo(subscription, gap), shown]
        case Refused(why=why):
            if not book.refused(output, now):
                return [_shown(memory, subscription)]
            refused = SubscriptionState("refused", error=why)
            return [order.ShowSubscription(subscription, refused)]
        case Ended(error=error):
            book.ended(output)
            return [order.ShowSubscription(subscription, SubscriptionState("ended", error=error))]
        case Missed(reason=reason, since=since, until=until):
            return [order.DeliverGapTo(subscription, Gap(since, until, reason), transport)]
        case _:
            assert_never(output)


def _why_not(output: object) -> Exception | None:
    """Return what is wrong with an output; None if it can be followed."""
    match output:
        case Write(frame=frame) if not isinstance(frame, str | bytes):
            return TypeError(f"{frame!r} is not a frame: it is neither text nor bytes")
        case Settled(entry=entry) if not isinstance(entry, Outgoing):
            return TypeError("the entry of a Settled is not one that send() was given")
        case Failed(kind=kind) if kind not in set(Classification):
            return ValueError(f"Failed(kind={kind!r}) is not a word of Classification")
        case _ if not isinstance(output, Output):
            return TypeError(f"{output!r} is not an output")
        case _:
            return None


def _shown(
    memory: Memory, subscription: WireSubscription, answer: object = None, missed: int = 0
) -> Effect:
    state = None if memory.book is None else memory.book.state_of(subscription)
    assert state is not None  # noqa: S101 - the caller found it in the book
    return order.ShowSubscription(subscription, state, answer, missed)
