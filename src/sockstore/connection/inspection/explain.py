"""Explain a connection in sentences: what was decided and why, and what it is doing now."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from sockstore.base.close import FailureReason
from sockstore.base.errors import HandshakeFailed, InvalidOption, InvalidURI
from sockstore.base.frozen import frozen
from sockstore.base.outcomes import Classification, Outcome
from sockstore.base.state import ConnectionState
from sockstore.base.times import say_duration
from sockstore.base.urls import redact_url
from sockstore.connection.inspection.timeline import count_messages
from sockstore.machine import Machine
from sockstore.machine.phases import Deciding, Joining, Open, Preparing
from sockstore.machine.reconnect import Decision, GiveUp, Goodbye, RefreshNow, RetryAfter, was_open

if TYPE_CHECKING:
    from sockstore.connection.inspection.subscriptions import SubscriptionStates
    from sockstore.machine.delivery import Outgoing

__all__ = [
    "Circumstances",
    "Step",
    "circumstances",
    "error_of",
    "explain",
    "explain_decision",
    "where_to",
]

Step: TypeAlias = Literal["handshake", "protocol", "on_open"]
"""The step that a connection in the phase ``connecting`` waits for."""

ABNORMAL = 1006
"""The close code if there was no close frame (RFC 6455 section 7.1.5)."""

_MEANS = {
    Classification.RETRY: "which is worth another try",
    Classification.THROTTLE: "which asks to slow down",
    Classification.UNAUTHORISED: "which asks for other credentials",
    Classification.GOODBYE: "which is a goodbye",
    Classification.FATAL: "which another try would not change",
}

_OWN_WORD = {
    Classification.RETRY: "worth another try",
    Classification.THROTTLE: "a request to slow down",
    Classification.UNAUTHORISED: "a request for other credentials",
    Classification.GOODBYE: "a goodbye",
    Classification.FATAL: "fatal",
}

_GAVE_UP = {
    FailureReason.ATTEMPTS_EXHAUSTED: "all retries that were allowed have failed",
    FailureReason.RECONNECTING_IS_OFF: "reconnecting is off",
    FailureReason.REFUSED_BY_PREDICATE: "should_reconnect refused to go on",
    FailureReason.STOPPED_BY_CALLABLE: "a callable of this program stopped it",
    FailureReason.POLICY_ERROR: "the schedule, should_reconnect or classify raised an error",
    FailureReason.UNAUTHORISED: "there are no other credentials to try",
}


_BY_CLASSIFICATION = set(FailureReason) - set(_GAVE_UP) | {FailureReason.UNAUTHORISED}
"""Reasons that follow from the classification of an end alone."""


@frozen
class Circumstances:
    """The facts that an explanation of a connection is made of."""

    state: ConnectionState  # its state
    now: float  # the time, in the clock of ``loop.time()``
    where: str = "the server"  # the address, without secrets
    step: Step = "handshake"  # the step it waits for while it is connecting
    decision: Decision | None = None  # the decision about the last end of an attempt or connection
    is_deciding: bool = False  # whether ``should_reconnect`` is asked now
    offline_until: float = 0.0  # until when retries wait for the platform to be online
    is_writable: bool = True  # whether the send buffer has room
    messages_waiting: int = 0  # messages in the outbox
    messages_unanswered: int = 0  # messages that were sent and that are not acknowledged
    repeats: Sequence[Hashable] = ()  # where those of them go that are sent again: a key for each
    latency: float | None = None  # seconds that the last ping took, or None
    has_outbox: bool = True  # whether messages may wait
    is_lazy: bool = False  # whether it connects only while somebody uses it
    close_timeout: float = 5.0  # seconds that the closing handshake may take
    subscriptions: SubscriptionStates = ()  # the key and the state of each subscription


def circumstances(
    machine: Machine, latency: float | None, now: float, subscriptions: SubscriptionStates
) -> Circumstances:
    """Return the facts about a connection now."""
    phase, sent = machine.phase, machine.sent
    return Circumstances(
        machine.state,
        now,
        where=where_to(machine),
        step=_step(machine),
        decision=machine.decision,
        is_deciding=isinstance(phase, Deciding),
        offline_until=machine.offline_until,
        is_writable=not isinstance(phase, Open) or phase.writable,
        messages_waiting=len(machine.outbox),
        messages_unanswered=0 if sent is None else len(sent),
        repeats=() if sent is None else tuple(map(_key_of, sent.to_repeat)),
        latency=latency,
        has_outbox=machine.settings.outbox is not None,
        is_lazy=machine.settings.linger is not None,
        close_timeout=machine.settings.close_timeout,
        subscriptions=subscriptions,
    )


def _key_of(entry: Outgoing) -> Hashable:
    return None if entry.subscription is None else entry.subscription.key


def where_to(machine: Machine) -> str:
    """Return the address of a connection, without secrets."""
    destination = machine.destination
    return redact_url(destination) if isinstance(destination, str) else "the server"


def _step(machine: Machine) -> Step:
    match machine.phase:
        case Joining():
            return "protocol"
        case Preparing():
            return "on_open"
        case _:
            return "handshake"


def explain_decision(decision: Decision) -> str:
    """Say what was decided when an attempt or a connection ended, and why.

    Example:
        >>> from sockstore.machine.reconnect import Streak
        >>> from sockstore.base.close import Close
        >>> explain_decision(Decision(Outcome(close=Close(1012)), RetryAfter(4.2, Streak(2))))
        'Close code 1012 (service restart), which is worth another try: retry 2 in 4.2 s.'
    """
    cause = _cause(decision.outcome)
    cause = cause[:1].upper() + cause[1:]
    return f"{cause}, {_meaning(decision)}: {_consequence(decision)}."


def explain(facts: Circumstances) -> str:
    """Say in one paragraph what a connection is doing, and why.

    Args:
        facts: The facts about it.

    Returns:
        A few sentences, for people; without secrets.
    """
    return " ".join((*_doing(facts), *_subscriptions(facts), *_sending(facts)))


def _doing(facts: Circumstances) -> Iterator[str]:
    state = facts.state
    match state.phase:
        case "idle" if facts.is_lazy:
            yield "Nobody uses this connection, so it is not open."
            yield f"It connects to {facts.where} as soon as somebody does."
        case "idle":
            yield f"Nothing has been asked for yet: connect() opens a connection to {facts.where}."
        case "connecting":
            yield from _connecting(facts)
        case "open":
            yield from _open(facts)
        case "waiting":
            yield from _waiting(facts)
        case "closing":
            left = say_duration(state.since + facts.close_timeout - facts.now)
            yield f"This program closed the connection; the server has {left} to answer."
        case "closed":
            yield from _closed(facts)
        case "failed":
            yield from _failed(facts)


def _connecting(facts: Circumstances) -> Iterator[str]:
    state = facts.state
    which = f"Retry {state.attempt}" if state.attempt else "The first attempt"
    at = {
        "handshake": f"is connecting to {facts.where}",
        "protocol": f"has reached {facts.where} and waits until the server lets it in",
        "on_open": f"has reached {facts.where} and waits for on_open to finish",
    }[facts.step]
    yield f"{which} {at}, for {say_duration(facts.now - state.since)} now."
    if state.error:
        yield f"Before that: {state.error}."


def _open(facts: Circumstances) -> Iterator[str]:
    state = facts.state
    yield f"Connected to {facts.where} for {say_duration(facts.now - state.since)}."
    if facts.latency is not None:
        yield f"The last ping was answered after {say_duration(facts.latency)}."
    if not facts.is_writable:
        yield "The network takes no more for now, so what is sent waits."


def _waiting(facts: Circumstances) -> Iterator[str]:
    state, decision = facts.state, facts.decision
    if facts.is_deciding or state.retry_at is None:
        yield f"should_reconnect is asked whether to begin retry {state.attempt}."
    else:
        left = say_duration(state.retry_at - facts.now)
        is_offline = facts.offline_until > facts.now and state.retry_at >= facts.offline_until
        until = ", or as soon as the platform is online again" if is_offline else ""
        yield f"Waiting: retry {state.attempt} begins in {left}{until}."
    if decision is not None:
        yield f"The reason: {_cause(decision.outcome)}, {_meaning(decision)}."
        if decision.outcome.retry_after is not None:
            yield f"The server asked to wait {say_duration(decision.outcome.retry_after)}."


def _closed(facts: Circumstances) -> Iterator[str]:
    decision = facts.decision
    if decision is not None and isinstance(decision.next_step, Goodbye) and facts.state.close:
        own = _own_word(decision)
        said = f"closed with {facts.state.close}, {own}" if own else None
        said = said or f"said goodbye with close code {facts.state.close}"
        yield f"The server {said}, so it stays closed."
    else:
        yield "This program closed the connection."
    yield "connect() opens it again."


def _failed(facts: Circumstances) -> Iterator[str]:
    failure = facts.state.failure
    why = None if failure is None else _GAVE_UP.get(failure.reason, str(failure.reason))
    own = None if facts.decision is None else _own_word(facts.decision)
    if own and failure is not None and failure.reason in _BY_CLASSIFICATION:
        why = f"{why}, {own}"
    yield f"Given up: {why}." if why else "Given up."
    yield f"The error: {facts.state.error}."
    yield "connect() or reconnect() begins anew."


def _subscriptions(facts: Circumstances) -> Iterator[str]:
    if not facts.subscriptions:
        return
    from sockstore.connection.inspection.subscriptions import (  # noqa: PLC0415 - as `Engine`
        explain_subscriptions,
    )

    is_open = facts.state.phase == "open"
    yield from explain_subscriptions(facts.subscriptions, is_open=is_open)


def _sending(facts: Circumstances) -> Iterator[str]:
    if facts.messages_waiting:
        wait, leave = ("waits", "leaves") if facts.messages_waiting == 1 else ("wait", "leave")
        then = "" if facts.state.phase == "open" else f" and {leave} as soon as it is open"
        yield f"{count_messages(facts.messages_waiting)} {wait} to be sent{then}."
    elif not facts.has_outbox and facts.state.phase in {"idle", "connecting", "waiting"}:
        yield "What is sent now is refused, because there is no outbox."
    if facts.messages_unanswered:
        verb = "has" if facts.messages_unanswered == 1 else "have"
        yield f"{count_messages(facts.messages_unanswered)} {verb} not been acknowledged yet."
    if facts.repeats:
        from sockstore.connection.inspection.subscriptions import (  # noqa: PLC0415 - as `Engine`
            explain_repeats,
        )

        yield from explain_repeats(facts.repeats)


def error_of(outcome: Outcome) -> str:
    """Return why an attempt or a connection ended, as the end of a sentence."""
    error = outcome.exception
    # The reason why a url or an option is invalid says little without its name.
    why = None if isinstance(error, InvalidURI | InvalidOption) else getattr(error, "why", None)
    return why or str(error or outcome.close)


def _cause(outcome: Outcome) -> str:
    """Say what ended an attempt or a connection."""
    if was_open(outcome):
        lasted = f" after {say_duration(outcome.uptime or 0.0)}"
        if outcome.close is not None and outcome.close.code != ABNORMAL:
            return f"the connection ended{lasted} with close code {outcome.close}"
        return f"the connection was lost{lasted} ({error_of(outcome)})"
    if outcome.close is not None and not isinstance(outcome.exception, HandshakeFailed):
        return f"close code {outcome.close}"
    return f"the attempt failed ({error_of(outcome)})"


def _meaning(decision: Decision) -> str:
    if own := _own_word(decision):
        return own
    if decision.classification is Classification.GOODBYE and isinstance(
        decision.next_step, RetryAfter
    ):
        return "after which this connection returns"
    return _MEANS[decision.classification]


def _own_word(decision: Decision) -> str | None:
    """Return the clause about the user's own classification; None if the table classified."""
    if decision.classified is None or not decision.classified.is_own:
        return None
    return f"which Reconnect(classify=) calls {_OWN_WORD[decision.classification]}"


def _consequence(decision: Decision) -> str:
    match decision.next_step:
        case RetryAfter(seconds=seconds, streak=streak):
            asked = ", as the server asked" if decision.outcome.retry_after is not None else ""
            return f"retry {streak.failures} in {say_duration(seconds)}{asked}"
        case RefreshNow():
            return "fresh credentials are tried at once"
        case Goodbye():
            return "it stays closed"
        case GiveUp(reason=reason):
            return f"no further attempt ({reason})"
        case None:
            return "nothing is decided yet"
