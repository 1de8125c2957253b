"""Keep the book of subscriptions: what is wanted, what was asked, and what is to be asked next.

All that the program wants and releases in one turn of the event loop is looked at once, at its
end (SU2): what came and went within it leaves no trace on the wire.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from sockstore.base.frozen import frozen
from sockstore.base.positions import RECONNECTED, Gap

if TYPE_CHECKING:
    from sockstore.protocols.base import Ended, Refused, Subscribed, WireSubscription

__all__ = [
    "FINAL",
    "WAITING",
    "SubscriptionBook",
    "SubscriptionPhase",
    "SubscriptionState",
    "Turn",
]

SubscriptionPhase: TypeAlias = Literal["waiting", "subscribing", "subscribed", "refused", "ended"]
"""``waiting``: for a connection, or to be asked again; ``subscribing``: the server was asked;
``refused``, ``ended``: by the server, for good."""


@frozen
class SubscriptionState:
    """What a subscription does, as users see it.

    Args:
        phase: ``"waiting"``, ``"subscribing"``, ``"subscribed"``, ``"refused"`` or ``"ended"``.
        error: The server's words, if it refused or ended it; also while it will be asked again.
            While it is subscribed: why its snapshot could not be loaded, until one was.
        recovered: Whether everything since the last connection came; None if that is not known.
    """

    phase: SubscriptionPhase = "waiting"
    error: str | None = None
    recovered: bool | None = None


WAITING = SubscriptionState()

FINAL = frozenset({"refused", "ended"})
"""The phases in which a subscription is in the book no more."""


@frozen
class Turn:
    """What one turn of the loop leaves to say to the server.

    Args:
        subscribe: Ask for these.
        unsubscribe: Take these back.
        forgotten: Those that were released for good, taken back or never asked for.
    """

    subscribe: Sequence[WireSubscription]
    unsubscribe: Sequence[WireSubscription]
    forgotten: Sequence[WireSubscription] = ()


class _Entry:
    """One subscription that is wanted, or was until this turn.

    Args:
        subscription: The subscription.
    """

    __slots__ = ("failures", "has_begun", "is_wanted", "state", "subscription")

    def __init__(self, subscription: WireSubscription) -> None:
        self.subscription = subscription
        self.state = WAITING  # set by each method that changes it
        self.is_wanted = True  # cleared by `release`, set by `want`
        self.has_begun = False  # set by the first answer: from then on messages can be missed
        self.failures = 0  # temporary refusals in a row; cleared by an answer


class SubscriptionBook:
    """The subscriptions of one connection, over all its transports.

    Args:
        wait: ``wait(failures)`` is how many seconds to wait after so many temporary refusals in a
            row, or None to give up.
    """

    def __init__(self, wait: Callable[[int], float | None]) -> None:
        self._wait = wait
        self._entries: dict[WireSubscription, _Entry] = {}
        # Those that `turn` has to look at: wanted and not asked, or asked and not wanted.
        self._due: dict[WireSubscription, None] = {}
        # When those that were refused for a while are asked for again.
        self._retries: dict[WireSubscription, float] = {}
        # When those that were released are taken back.
        self._lingering: dict[WireSubscription, float] = {}
        # The earliest of both, or earlier: set by each addition, and anew by `look_at_clock`.
        self._next_retry = self._next_leave = math.inf

    def __len__(self) -> int:
        return len(self._entries)

    def state_of(self, subscription: WireSubscription) -> SubscriptionState | None:
        """Return what a subscription does; None if it is not in the book."""
        entry = self._entries.get(subscription)
        return None if entry is None else entry.state

    def is_due(self, subscription: WireSubscription) -> bool:
        """Whether the end of this turn will say something about it."""
        return subscription in self._due

    def deadline(self, *, is_open: bool) -> float:
        """Return when `look_at_clock` has to be called; infinite for never.

        Those that were refused for a while are asked for again on an open connection only.
        """
        return min(self._next_retry, self._next_leave) if is_open else self._next_leave

    # The program

    def want(self, subscription: WireSubscription) -> None:
        """The program wants this from now on."""
        entry = self._entries.setdefault(subscription, _Entry(subscription))
        entry.is_wanted = True
        self._lingering.pop(subscription, None)
        if entry.state.phase == "waiting":
            self._due[subscription] = None

    def release(self, subscription: WireSubscription, until: float = -math.inf) -> None:
        """The program does not want this any more; it is taken back at that time, or now."""
        entry = self._entries.get(subscription)
        if entry is None:
            return
        if until > -math.inf:
            self._lingering[subscription] = until
            self._next_leave = min(self._next_leave, until)
            return
        entry.is_wanted = False
        self._lingering.pop(subscription, None)
        self._due[subscription] = None

    def turn(self, now: float, *, is_open: bool) -> Turn:
        """The turn is over: say what has to be said, and take it as said.

        Args:
            now: The present time in seconds.
            is_open: Whether anything may be said: the connection is open.
        """
        due, self._due = self._due, {}
        subscribe, unsubscribe, forgotten = [], [], []
        for subscription in due:
            entry = self._entries.get(subscription)
            if entry is None:
                continue
            if not entry.is_wanted:
                self._remove(subscription)
                forgotten.append(subscription)
                if is_open and entry.state.phase != "waiting":
                    unsubscribe.append(subscription)
            elif is_open and entry.state.phase == "waiting" and self._may_ask(subscription, now):
                entry.state = SubscriptionState("subscribing")
                subscribe.append(subscription)
        return Turn(subscribe, unsubscribe, tuple(forgotten))

    def look_at_clock(self, now: float, *, is_open: bool) -> bool:
        """Return whether anything is due now: to be asked for again, or to be taken back."""
        for subscription in [each for each, at in self._lingering.items() if at <= now]:
            self.release(subscription)
        if is_open:
            self._due |= {each: None for each, at in self._retries.items() if at <= now}
        waiting = (at for at in self._retries.values() if at > now)
        self._next_retry = min(waiting, default=math.inf)
        self._next_leave = min(self._lingering.values(), default=math.inf)
        return bool(self._due)

    # The connection

    def opened(self) -> None:
        """A connection is open: everything wanted is due, also what was refused for a while."""
        self._retries.clear()
        self._next_retry = math.inf
        self._due = dict.fromkeys(self._entries)

    def lost(self) -> Iterable[WireSubscription]:
        """The connection is lost: everything waits; return what is shown differently now."""
        changed = []
        for entry in self._entries.values():
            if entry.state.phase != "waiting":
                entry.state = WAITING
                changed.append(entry.subscription)
        return changed

    # The server

    def subscribed(self, fact: Subscribed) -> Gap | None:
        """The server accepted a subscription; return the gap that follows, if there is one.

        A protocol that knows what is missing says `Missed` itself, and `recovered` is false.
        """
        entry = self._entries.get(fact.subscription)
        if entry is None:
            return None
        is_again, entry.has_begun = entry.has_begun, True
        entry.failures = 0
        entry.state = SubscriptionState("subscribed", recovered=fact.recovered)
        return RECONNECTED if is_again and fact.recovered is None else None

    def refused(self, fact: Refused, now: float) -> bool:
        """The server refused a subscription; return whether that is final."""
        entry = self._entries.get(fact.subscription)
        if entry is None:
            return False
        entry.failures += 1
        seconds = self._wait(entry.failures) if fact.is_temporary else None
        if seconds is None:
            self._remove(fact.subscription)
            return True
        self._retries[fact.subscription] = now + seconds
        self._next_retry = min(self._next_retry, now + seconds)
        entry.state = SubscriptionState(error=fact.why)
        return False

    def ended(self, fact: Ended) -> bool:
        """The server ended a subscription; return whether it was in the book."""
        return self._remove(fact.subscription) is not None

    def _may_ask(self, subscription: WireSubscription, now: float) -> bool:
        if self._retries.get(subscription, now) > now:
            return False
        self._retries.pop(subscription, None)
        return True

    def _remove(self, subscription: WireSubscription) -> _Entry | None:
        self._retries.pop(subscription, None)
        self._lingering.pop(subscription, None)
        return self._entries.pop(subscription, None)
