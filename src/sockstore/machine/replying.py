"""Tell a conversation what the program answers: to a call, to a question, or that it gives up."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.machine.asking import frames_of, outputs_of
from sockstore.machine.effects import Effect
from sockstore.machine.memory import Memory
from sockstore.machine.opening import let_in
from sockstore.machine.phases import LIVE

if TYPE_CHECKING:
    from sockstore.protocols.base import CallFailure, Frame, Output

__all__ = ["pass_on"]


def pass_on(
    memory: Memory,
    event: fact.RequestGivenUp | fact.CallAnswered | fact.ProgramAnswered,
    now: float,
) -> list[Effect]:
    """Tell the live conversation what the program answers, and return the effects."""
    match event:
        case fact.RequestGivenUp(request=request):
            return _request_given_up(memory, request, now)
        case fact.CallAnswered():
            return _call_answered(memory, event)
        case fact.ProgramAnswered():
            return _program_answered(memory, event, now)


def _request_given_up(memory: Memory, request: object, now: float) -> list[Effect]:
    """The program waits for the answer to a request no longer."""
    phase = memory.phase
    talk = phase.conversation if isinstance(phase, LIVE) else None
    if talk is None:
        return []

    def forget() -> Iterable[Output]:
        talk.forget(request)
        return ()

    return let_in(memory, outputs_of(memory, "forget", forget), now)


def _call_answered(memory: Memory, event: fact.CallAnswered) -> list[Effect]:
    """Reply on the connection that the call came on, or not at all (OB7)."""
    live = memory.live(event.transport)
    if live is None or (talk := live.conversation) is None:
        return []
    effects: list[Effect] = []

    def reply(result: object, failure: CallFailure | None) -> Iterable[Frame]:
        return tuple(talk.reply(event.call, result, failure))

    def reply_somehow() -> Iterable[Frame]:
        try:
            return reply(event.result, event.failure)
        except TypeError as error:
            effects.append(order.ReportError(error, "the result of a handler"))
            return reply(None, "raised")

    frames = frames_of(memory, "reply", reply_somehow)
    if isinstance(frames, str):
        return effects
    return effects + [order.SendFrame(event.transport, frame) for frame in frames]


def _program_answered(memory: Memory, event: fact.ProgramAnswered, now: float) -> list[Effect]:
    """The program answered what a conversation asked."""
    live = memory.live(event.transport)
    if live is None or (talk := live.conversation) is None:
        return []
    if event.failure is not None:
        excuse = partial(talk.not_told, event.question, event.failure, now)
        return let_in(memory, outputs_of(memory, "not_told", excuse, now), now)
    tell = partial(talk.told, event.question, event.value, now)
    return let_in(memory, outputs_of(memory, "told", tell), now)
