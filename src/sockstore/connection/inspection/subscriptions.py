"""Inspect the subscriptions of a connection: how many do what, and which need attention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar, Final, Self, TypeAlias

from sockstore.base.characters import one_line
from sockstore.base.frozen import frozen
from sockstore.connection.inspection.timeline import TimelineEvent, count_messages
from sockstore.machine import effects as order
from sockstore.machine.effects import Effect
from sockstore.machine.snapshots import SNAPSHOT_FAILED
from sockstore.machine.subscriptions import SubscriptionPhase, SubscriptionState
from sockstore.protocols.base import WireSubscription

__all__ = [
    "SnapshotFailure",
    "Subscribed",
    "SubscriptionEnd",
    "SubscriptionEvent",
    "SubscriptionGap",
    "SubscriptionRefusal",
    "SubscriptionStates",
    "count_phases",
    "explain_repeats",
    "explain_subscriptions",
    "subscription_events",
]

SubscriptionStates: TypeAlias = Sequence[tuple[Hashable, SubscriptionState]]
"""The key and the state of each subscription."""

PHASES: Final[tuple[SubscriptionPhase, ...]] = (
    "subscribed",
    "subscribing",
    "waiting",
    "refused",
    "ended",
)

NAMED = 3
"""Keys that a sentence names; it counts the others."""

KEY_SHOWN = 40
WORDS_SHOWN = 100
"""Characters of a key, and of a server's words."""

BURST = 1.0
"""Seconds between two events of one kind that are told as one: a server answers key by key."""


# Events


@frozen
class SubscriptionEvent(TimelineEvent):
    """Something that happened to subscriptions, several of them if it was in one burst.

    Args:
        keys: The first keys, at most three.
        number: How many subscriptions; one that is counted twice had it happen twice.
        until: When it happened to the last one, in Unix seconds.
    """

    keys: tuple[Hashable, ...]
    number: int
    until: float

    def joined(self, later: TimelineEvent) -> Self | None:
        """Return both as one event; None if they are no burst."""
        if not isinstance(later, type(self)) or later.at - self.until > BURST:
            return None
        if not self._is_like(later):
            return None
        keys = tuple(dict.fromkeys((*self.keys, *later.keys)))[:NAMED]
        return replace(self, keys=keys, number=self.number + later.number, until=later.until)

    @property
    def is_passed_by_bursts(self) -> bool:
        """True: a server that accepts one key and refuses the next has two bursts at once."""
        return True

    def _is_like(self, later: SubscriptionEvent) -> bool:
        del later
        return True

    @property
    def _names(self) -> str:
        return _say_names(self.keys, self.number)

    def _say_why(self, words: str) -> str:
        return _say_words(self.keys[0], words, len(self.keys))


@frozen
class Subscribed(SubscriptionEvent):
    """The server accepted subscriptions."""

    recovered: bool | None = None  # whether all that was missed comes; None if that is not known
    kind: ClassVar[str] = "subscribe"

    def _sentence(self) -> str:
        recovery = {
            None: "",
            True: "; all that was missed comes",
            False: "; not all that was missed can be had",
        }[self.recovered]
        return f"Subscribed to {self._names}{recovery}."

    def _is_like(self, later: SubscriptionEvent) -> bool:
        return isinstance(later, Subscribed) and later.recovered is self.recovered


@frozen
class SubscriptionRefusal(SubscriptionEvent):
    """The server refused subscriptions."""

    why: str = ""  # the server's words about the first of them
    is_temporary: bool = False  # whether that one is asked for again
    kind: ClassVar[str] = "refusal"

    def _sentence(self) -> str:
        again = " for now" if self.is_temporary else ""
        return f"The server refused {self._names}{again}{self._say_why(self.why)}."

    def _is_like(self, later: SubscriptionEvent) -> bool:
        return isinstance(later, SubscriptionRefusal) and later.is_temporary is self.is_temporary


@frozen
class SubscriptionEnd(SubscriptionEvent):
    """The server ended subscriptions."""

    why: str = ""  # the server's words about the first of them, if it was a failure
    kind: ClassVar[str] = "ended"

    def _sentence(self) -> str:
        return f"The server ended {self._names}{self._say_why(self.why)}."


@frozen
class SubscriptionGap(SubscriptionEvent):
    """Messages of subscriptions are missing, or may be."""

    reason: str = ""  # why, as `Gap` says it
    missed: int | None = None  # how many messages in all; None if that is not known
    kind: ClassVar[str] = "gap"

    def joined(self, later: TimelineEvent) -> Self | None:
        """Return both as one event; None if they are no burst."""
        both = SubscriptionEvent.joined(self, later)
        if both is None or not isinstance(later, SubscriptionGap):
            return None
        known = self.missed is not None and later.missed is not None
        return replace(both, missed=(self.missed or 0) + (later.missed or 0) if known else None)

    def _sentence(self) -> str:
        if self.missed is None:
            return f"Messages of {self._names} may be missing ({self.reason})."
        return f"{count_messages(self.missed)} of {self._names} will not come ({self.reason})."

    def _is_like(self, later: SubscriptionEvent) -> bool:
        return isinstance(later, SubscriptionGap) and later.reason == self.reason


@frozen
class SnapshotFailure(SubscriptionEvent):
    """The snapshots of subscriptions could not be loaded; each is tried again."""

    why: str = ""  # the error of the first
    kind: ClassVar[str] = "snapshot"

    def _sentence(self) -> str:
        return _say_snapshot(self._names, self._say_why(self.why))


def subscription_events(effects: Sequence[Effect], at: float) -> Iterator[SubscriptionEvent]:
    """Return what orders of the machine mean for subscriptions."""
    for effect in effects:
        match effect:
            case order.DeliverGapTo(subscription=wire, gap=gap):
                yield SubscriptionGap(at, (wire.key,), 1, at, gap.reason, gap.missed)
            case order.ShowSubscription(subscription=wire, state=state):
                if (event := _event(wire, state, at)) is not None:
                    yield event
            case _:
                pass


def _event(wire: WireSubscription, state: SubscriptionState, at: float) -> SubscriptionEvent | None:
    about = at, (wire.key,), 1, at
    match state.phase:
        case "subscribed":
            return Subscribed(*about, state.recovered)
        case "refused":
            return SubscriptionRefusal(*about, state.error or "")
        case "waiting" if state.error is not None:
            return SubscriptionRefusal(*about, state.error, is_temporary=True)
        case "ended":
            return SubscriptionEnd(*about, state.error or "")
        case _:
            return None


# The present


def count_phases(states: SubscriptionStates) -> Mapping[SubscriptionPhase, int]:
    """Count the subscriptions in each phase.

    Args:
        states: The key and the state of each.

    Example:
        >>> dict(count_phases([("a", SubscriptionState("subscribed"))]))
        {'subscribed': 1, 'subscribing': 0, 'waiting': 0, 'refused': 0, 'ended': 0}
    """
    counts = Counter(state.phase for _, state in states)
    return MappingProxyType({phase: counts[phase] for phase in PHASES})


def explain_subscriptions(states: SubscriptionStates, *, is_open: bool) -> Iterator[str]:
    """Say in sentences how many subscriptions do what, and name those that get no messages.

    Args:
        states: The key and the state of each, at least one.
        is_open: Whether the connection is open; otherwise all of them wait for it.
    """
    counts = [f"{number:,} {phase}" for phase, number in count_phases(states).items() if number]
    yield f"Subscriptions: {', '.join(counts)}."
    yield from _say_recovery(states)
    about: dict[SubscriptionPhase, list[tuple[Hashable, SubscriptionState]]] = {}
    for key, state in states:
        if state.phase not in {"waiting", "subscribed"} or state.error is not None:
            about.setdefault(state.phase, []).append((key, state))
    if is_open and "subscribing" in about:
        yield f"The server has not answered for {_names_of(about['subscribing'])} yet."
    if "subscribed" in about:
        yield _say_snapshot(_names_of(about["subscribed"]), _why(about["subscribed"]))
    if "waiting" in about:
        yield f"The server refused {_names_of(about['waiting'])} for now{_why(about['waiting'])}."
    if "refused" in about:
        yield f"The server refused {_names_of(about['refused'])}{_why(about['refused'])}."
    if "ended" in about:
        yield f"The server ended {_names_of(about['ended'])}{_why(about['ended'])}."


def explain_repeats(keys: Sequence[Hashable]) -> Iterator[str]:
    """Say which subscriptions have messages that wait to be sent again.

    Args:
        keys: The key of the subscription of each message, at least one.
    """
    wait = "1 of them waits" if len(keys) == 1 else f"{len(keys):,} of them wait"
    names = list(dict.fromkeys(keys))
    yield f"{wait} to be sent again, to {_say_names(names[:NAMED], len(names))}."


def _say_recovery(states: SubscriptionStates) -> Iterator[str]:
    lost = [(key, state) for key, state in states if state.recovered is False]
    if lost:
        yield f"The server could not give all that was missed in {_names_of(lost)}."
    elif any(state.recovered for _, state in states):
        yield "All that was missed before has come."


def _names_of(states: SubscriptionStates) -> str:
    return _say_names([key for key, _ in states[:NAMED]], len(states))


def _why(states: SubscriptionStates) -> str:
    key, state = states[0]
    return _say_words(key, (state.error or "").removeprefix(SNAPSHOT_FAILED), len(states))


def _say_snapshot(names: str, why: str) -> str:
    return f"The snapshot of {names} could not be loaded{why}; it is tried again."


def _say_words(key: Hashable, words: str, number: int) -> str:
    """Return the server's words about the first of so many subscriptions."""
    if not words:
        return ""
    about = f"{_name(key)}: " if number > 1 else ""
    return f" ({about}{_shorten(words, WORDS_SHOWN)})"


def _say_names(keys: Sequence[Hashable], number: int) -> str:
    names = [_name(key) for key in keys]
    if number > len(names) >= NAMED:
        return f"{', '.join(names)} and {number - len(names):,} more"
    *others, last = names
    text = f"{', '.join(others)} and {last}" if others else last
    return text if number == len(names) else f"{text} ({number:,} times)"


def _name(key: Hashable) -> str:
    return _shorten(repr(key), KEY_SHOWN)


def _shorten(text: str, most: int) -> str:
    text = one_line(text[: most + 1])
    return text if len(text) <= most else f"{text[: most - 1]}…"
