"""Keep the last events of a connection, each with a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar, Literal

from sockstore.base.close import Close
from sockstore.base.frozen import frozen
from sockstore.base.outcomes import Classification
from sockstore.base.positions import Gap
from sockstore.base.state import Hint
from sockstore.base.times import say_duration
from sockstore.stores import Readable, Writable, writable
from sockstore.stores.binding import is_watched

__all__ = [
    "AttemptBegan",
    "AttemptFailed",
    "CloseAsked",
    "Decided",
    "Ended",
    "Flushed",
    "GapFound",
    "Hinted",
    "Lost",
    "Opened",
    "Overflowed",
    "ReconnectAsked",
    "Settled",
    "Slept",
    "Timeline",
    "TimelineEvent",
    "WaitBegan",
    "Warned",
    "count_messages",
]

KEPT = 200
"""Events that are remembered: enough for some forty outages."""


@frozen
class TimelineEvent:
    """Something that happened to a connection.

    Args:
        at: When, in Unix seconds.
    """

    at: float
    kind: ClassVar[str] = ""
    """The event in one word."""

    @property
    def text(self) -> str:
        """The event in one sentence without secrets."""
        return self._sentence()

    def joined(self, later: TimelineEvent) -> TimelineEvent | None:
        """Return both as one event, if the later one goes on with this one; else None."""
        del later
        return None

    @property
    def is_passed_by_bursts(self) -> bool:
        """Whether events after this one may go on with one before it."""
        return False

    def _sentence(self) -> str:
        raise NotImplementedError


@frozen
class AttemptBegan(TimelineEvent):
    """An attempt to connect began."""

    number: int  # 0 for the first, n for the nth retry in a row
    refresh: bool = False  # whether the callables were asked to fetch fresh credentials
    kind: ClassVar[str] = "attempt"

    def _sentence(self) -> str:
        what = f"Retry {self.number} began" if self.number else "An attempt to connect began"
        return f"{what}, with fresh credentials." if self.refresh else f"{what}."


@frozen
class Opened(TimelineEvent):
    """The connection is open."""

    seconds: float  # how long the attempt took
    subprotocol: str | None = None  # the subprotocol that the server chose, or None
    kind: ClassVar[str] = "open"

    def _sentence(self) -> str:
        with_ = f", with subprotocol {self.subprotocol}" if self.subprotocol else ""
        return f"Open after {say_duration(self.seconds)}{with_}."


@frozen
class AttemptFailed(TimelineEvent):
    """An attempt to connect failed."""

    error: str  # the error's sentence
    kind: ClassVar[str] = "failure"

    def _sentence(self) -> str:
        return f"The attempt failed: {self.error}."


@frozen
class Lost(TimelineEvent):
    """An open connection ended, and not by this program."""

    error: str  # the error's sentence
    uptime: float  # seconds it was open
    close: Close | None = None  # code and reason, or None
    kind: ClassVar[str] = "loss"

    def _sentence(self) -> str:
        return f"The connection ended after {say_duration(self.uptime)}: {self.error}."


@frozen
class Decided(TimelineEvent):
    """The next step after an end was decided."""

    what: Literal["retry", "refresh", "goodbye", "give up"]  # the next step
    why: str  # the reason, as a sentence
    classification: Classification  # the end's meaning, by ``Reconnect(classify=)`` or the table
    kind: ClassVar[str] = "decision"

    def _sentence(self) -> str:
        return self.why


@frozen
class WaitBegan(TimelineEvent):
    """The wait for the next attempt began."""

    seconds: float  # how long it is
    attempt: int  # the number of that retry
    kind: ClassVar[str] = "wait"

    def _sentence(self) -> str:
        return f"Waiting {say_duration(self.seconds)} for retry {self.attempt}."


@frozen
class CloseAsked(TimelineEvent):
    """This program called ``close()``."""

    code: int  # the close code
    reason: str = ""  # the close reason
    kind: ClassVar[str] = "close"

    def _sentence(self) -> str:
        return f"This program closed the connection with {Close(self.code, self.reason)}."


@frozen
class ReconnectAsked(TimelineEvent):
    """This program called ``reconnect()``."""

    kind: ClassVar[str] = "reconnect"

    def _sentence(self) -> str:
        return "This program asked for a new connection now."


@frozen
class Ended(TimelineEvent):
    """There will be no further attempt."""

    phase: Literal["closed", "failed", "idle"]  # idle: a lazy connection that nobody uses
    why: str = ""  # the error; empty if the connection is closed
    kind: ClassVar[str] = "end"

    def _sentence(self) -> str:
        if self.phase == "idle":
            return "It is closed until somebody uses it."
        return f"The connection is {self.phase}: {self.why}." if self.why else "It is closed."


@frozen
class Flushed(TimelineEvent):
    """Messages that had waited for the connection were handed over."""

    messages: int  # how many
    kind: ClassVar[str] = "flush"

    def _sentence(self) -> str:
        return f"{count_messages(self.messages)} that had waited went out."


@frozen
class Overflowed(TimelineEvent):
    """The outbox had no room."""

    messages: int  # how many in a row
    policy: Literal[
        "refuse", "drop_oldest"
    ]  # whether the newest were refused, or the oldest dropped
    kind: ClassVar[str] = "overflow"

    def joined(self, later: TimelineEvent) -> TimelineEvent | None:
        """Return both as one event, if nothing else happened in between."""
        if not isinstance(later, Overflowed) or later.policy != self.policy:
            return None
        return replace(self, messages=self.messages + later.messages)

    def _sentence(self) -> str:
        what = "refused" if self.policy == "refuse" else "dropped to make room for newer ones"
        were = "was" if self.messages == 1 else "were"
        return f"The outbox is full: {count_messages(self.messages)} {were} {what}."


@frozen
class Settled(TimelineEvent):
    """Messages were not delivered, or it cannot be known whether they were."""

    messages: int  # how many
    state: str  # the state of their receipts
    why: str  # the reason
    kind: ClassVar[str] = "delivery"

    def _sentence(self) -> str:
        are = "is" if self.messages == 1 else "are"
        return f"{count_messages(self.messages)} {are} {self.state}: {self.why}."


@frozen
class GapFound(TimelineEvent):
    """Messages are missing."""

    gap: Gap  # which, and why
    kind: ClassVar[str] = "gap"

    def _sentence(self) -> str:
        if self.gap.reason == "reconnected":
            return "What was said while there was no connection may be missing."
        missed = self.gap.missed
        what = "Messages" if missed is None else count_messages(missed)
        return f"{what} will not come ({self.gap.reason})."


@frozen
class Hinted(TimelineEvent):
    """The platform said something about the network."""

    hint: Hint  # the hint
    kind: ClassVar[str] = "hint"

    def _sentence(self) -> str:
        said = {"online": "online", "offline": "offline", "resume": "awake again"}
        return f"The platform says it is {said[self.hint]}."


@frozen
class Slept(TimelineEvent):
    """The machine slept, or its clock jumped."""

    seconds: float  # for how long
    kind: ClassVar[str] = "sleep"

    def _sentence(self) -> str:
        return f"The machine slept for {say_duration(self.seconds)}, or its clock was set."


@frozen
class Warned(TimelineEvent):
    """A warning about this program was logged."""

    warning: str  # the sentence, as it is logged
    kind: ClassVar[str] = "warning"

    def _sentence(self) -> str:
        return f"{self.warning[:1].upper()}{self.warning[1:]}."


class Timeline:
    """The last events of a connection.

    Args:
        report: Called with the error of a subscriber.

    Attributes:
        asked_for: The store of the events; None until `store` is first read.
    """

    __slots__ = ("_events", "_report", "asked_for")

    def __init__(self, report: Callable[[Exception, str], None]) -> None:
        # The events, the oldest first; `add` adds them.
        self._events: list[TimelineEvent] = []
        self._report = report
        self.asked_for: Writable[tuple[TimelineEvent, ...]] | None = None

    @property
    def store(self) -> Readable[tuple[TimelineEvent, ...]]:
        """The events, oldest first, as a store that is made when it is first asked for."""
        if self.asked_for is None:
            self.asked_for = writable((), self._watch)
        return self.asked_for

    def add(self, *events: TimelineEvent) -> None:
        """Add events; a burst of overflows is one event, and so is one of subscriptions."""
        for event in events:
            if not self._join(event):
                self._events.append(event)
        del self._events[:-KEPT]
        if self.asked_for is not None and is_watched(self.asked_for):
            try:
                self.asked_for.set(tuple(self._events))
            except Exception as error:  # noqa: BLE001 - a user's bug never drops the link (ST9)
                self._report(error, "a subscriber of the timeline")

    def _join(self, event: TimelineEvent) -> bool:
        """Make the event a part of the last one that it goes on with; return whether it is."""
        for place in range(len(self._events) - 1, -1, -1):
            last = self._events[place]
            if (both := last.joined(event)) is not None:
                self._events[place] = both
                return True
            if not last.is_passed_by_bursts:
                break
        return False

    def _watch(self, set_: Callable[[tuple[TimelineEvent, ...]], None], _: object) -> None:
        set_(tuple(self._events))


def count_messages(number: int) -> str:
    """Say how many messages."""
    return "1 message" if number == 1 else f"{number:,} messages"
