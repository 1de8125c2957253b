"""Ask a protocol and its conversations, which users may write: what they raise ends no loop.

What a broken conversation knows is not known any more, so its connection is lost, or its attempt
fails; the error is reported with the name of the method.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sockstore.base.checks import is_number
from sockstore.base.close import Close
from sockstore.base.errors import said
from sockstore.base.outcomes import Classification, Word
from sockstore.machine import effects as order
from sockstore.machine.memory import Memory
from sockstore.machine.phases import LIVE

if TYPE_CHECKING:
    from sockstore.base.state import Attempt
    from sockstore.protocols.base import Conversation, Frame, Output, WireSubscription

__all__ = [
    "broken",
    "conversation_of",
    "frames_of",
    "may_send",
    "meaning_of",
    "not_delivered",
    "outputs_of",
]


def conversation_of(memory: Memory, attempt: Attempt) -> Conversation | tuple[Output, ...]:
    """Begin a conversation; return what one would say that cannot begin."""
    from sockstore.protocols import base  # noqa: PLC0415 - not with the package

    protocol = memory.settings.protocol
    assert protocol is not None  # noqa: S101 - its caller has looked
    try:
        conversation: object = protocol.converse(memory.protocol_memory, attempt)
    except Exception as error:  # noqa: BLE001 - a protocol may be the user's, and raise anything
        return broken(memory, "converse()", error)
    if not isinstance(conversation, base.Conversation):
        none = TypeError(f"{conversation!r} is not a Conversation")
        return broken(memory, "converse()", none)
    # It will not have the method at the next attempt either.
    missing = base.missing_method(protocol, conversation)
    return conversation if missing is None else (base.Failed(missing, "fatal"),)


def outputs_of(
    memory: Memory,
    method: str,
    ask: Callable[[], Iterable[Output]],
    now: float = -math.inf,
) -> tuple[Output, ...]:
    """Return what a conversation says; that it has failed, if it raises.

    Args:
        memory: What the machine remembers.
        method: What is called.
        ask: Calls it.
        now: The time that its deadline has to be later than.
    """
    try:
        outputs = tuple(ask())
        _check_deadline(memory, now)
    except Exception as error:  # noqa: BLE001 - a protocol may be the user's, and raise anything
        return broken(memory, f"{method}()", error)
    return outputs


def broken(memory: Memory, what: str, error: Exception) -> tuple[Output, ...]:
    """Return what a conversation would say that knows that it is broken."""
    from sockstore.protocols.base import Failed, Raised  # noqa: PLC0415 - not with the package

    name = _name(memory, what)
    return (Raised(error, name), Failed(f"{name} raised {said(error)}"))


def frames_of(
    memory: Memory, method: str, make: Callable[[], Iterable[Frame]]
) -> tuple[Frame, ...] | str:
    """Return the frames that a conversation makes, or why there are none; that is reported."""
    name = _name(memory, f"{method}()")
    try:
        frames = tuple(make())
        _check_frames(frames)
    except Exception as error:  # noqa: BLE001 - a protocol may be the user's, and raise anything
        memory.unreported.append(order.ReportError(error, name))
        return f"{name} raised {said(error)}"
    return frames


def may_send(memory: Memory, talk: Conversation, to: WireSubscription | None, now: float) -> bool:
    """Return whether a conversation lets a message leave now; if it raises, it does."""
    try:
        return bool(talk.may_send(to, now))
    except Exception as error:  # noqa: BLE001 - a protocol may be the user's, and raise anything
        memory.unreported.append(order.ReportError(error, _name(memory, "may_send()")))
        return True


def not_delivered(memory: Memory, outputs: Iterable[object]) -> None:
    """Tell the protocol of the messages and gaps among these: they reach nobody."""
    from sockstore.protocols.base import Missed, Received  # noqa: PLC0415 - not with the package

    protocol = memory.settings.protocol
    for each in outputs:
        output = each
        if isinstance(each, order.DeliverGapTo):
            gap = each.gap
            output = Missed(each.subscription, gap.reason, gap.since, gap.until)
        if protocol is None or not isinstance(output, Received | Missed):
            continue
        try:
            protocol.not_delivered(output)
        except Exception as error:  # noqa: BLE001 - a protocol may be the user's, and raise anything
            name = _name(memory, "not_delivered()")
            memory.unreported.append(order.ReportError(error, name))


def meaning_of(memory: Memory, close: Close | None) -> Word | None:
    """Return what the protocol says that a close means."""
    protocol = memory.settings.protocol
    if protocol is None or close is None:
        return None
    try:
        word = protocol.classify(close.code)
        return None if word is None else Classification(word)
    except Exception as error:  # noqa: BLE001 - a protocol may be the user's, and raise anything
        memory.unreported.append(order.ReportError(error, _name(memory, "classify()")))
        return None


def _check_deadline(memory: Memory, now: float) -> None:
    phase = memory.phase
    talk = phase.conversation if isinstance(phase, LIVE) else None
    deadline = None if talk is None else talk.deadline
    if deadline is not None and not (is_number(deadline) and deadline > now):
        what = "is not in the future" if is_number(deadline) else "is not a number"
        raise ValueError(f"the deadline {deadline!r} {what}")


def _check_frames(frames: Iterable[object]) -> None:
    for frame in frames:
        if not isinstance(frame, str | bytes):
            raise TypeError(f"{frame!r} is not a frame: it is neither text nor bytes")


def _name(memory: Memory, what: str) -> str:
    return f"{type(memory.settings.protocol).__name__}: {what}"
