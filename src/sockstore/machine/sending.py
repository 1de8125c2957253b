"""Choose what is sent next: what must be sent again, the outbox, those in line for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import TYPE_CHECKING, Final, TypeAlias

from sockstore.base.sending import Outbox
from sockstore.machine import effects as order
from sockstore.machine.delivery import Outgoing
from sockstore.machine.effects import Effect
from sockstore.machine.outbox import (
    Expiries,
    HandOver,
    Offer,
    OutboxQueue,
    Queued,
    Refused,
)

if TYPE_CHECKING:
    from sockstore.protocols.base import SentMessages, WireSubscription

__all__ = ["ASKER_GONE", "REPLACED", "TAKEN_BACK", "TOO_LARGE", "MaySend", "Sending", "allows"]

MaySend: TypeAlias = "Callable[[WireSubscription | None], bool]"
"""Says whether the conversation lets a message to this subscription leave now."""

ASKER_GONE = "the connection that the message came on is gone"

TAKEN_BACK = "it was taken back"

REPLACED = "a newer message with its key took its place"

TOO_LARGE = "it is larger than the server takes"

UNANSWERED = "the connection was lost before the server answered"

_NOBODY: deque[Outgoing] = deque(maxlen=0)
"""Shared by all connections without a line: even an empty deque takes 0.7 KiB."""


class Sending:
    """Choose what is sent next.

    Args:
        options: The limits of the outbox; None if nothing may wait.
        sent: Remembers the messages that a protocol's server acknowledges; None if it does not.

    Attributes:
        limit: UTF-8 bytes that a message may have; None sets no limit.
        outbox: The messages that wait to be sent for the first time.
        line: Those that wait for room in the outbox, because their senders wait; the next one
            first. `offer` adds, `admit` and all that gives messages up remove.
        sent: Those that were handed over and not acknowledged, or None.
    """

    __slots__ = ("_expiries", "limit", "line", "outbox", "sent")

    def __init__(self, options: Outbox | None, sent: SentMessages | None = None) -> None:
        self._expiries: Final = Expiries()
        self.limit: Final = None if options is None else options.max_message_bytes
        self.outbox: Final = OutboxQueue(options, self._expiries)
        self.line: deque[Outgoing] = _NOBODY
        self.sent: Final[SentMessages | None] = sent

    @property
    def deadline(self) -> float:
        """When the next message expires or may be sent; infinite if none waits for a time."""
        expiry = self._expiries.next
        return expiry if self.sent is None else min(expiry, self.sent.next_expiry)

    @property
    def has_something(self) -> bool:
        """Whether anything waits to be sent, or to be sent again."""
        if self.sent is not None and self.sent.has_repeats:
            return True
        return bool(self.outbox.entries)

    def why_never(self, entry: Outgoing) -> str | None:
        """Return why a message cannot be sent at all, as the end of a sentence."""
        limit = self.limit
        if limit is not None and entry.size > limit:
            return f"it has {entry.size} bytes; Outbox(max_message_bytes={limit}) allows no more"
        if self.sent is not None and entry.id and self._is_under_way(entry):
            return "a message with this id is on its way already"
        return None

    def offer(self, entry: Outgoing, now: float, *, may_wait: bool = False) -> Offer:
        """Queue a message, or say why not; with `may_wait` it waits in line until it has room."""
        if may_wait and self.line:
            return self._line_up(entry)
        offer = self.outbox.offer(entry, now)
        if isinstance(offer, Refused):
            return self._line_up(entry) if may_wait and offer.may_wait else offer
        return self._newest(entry, offer)

    def admit(self, now: float, *, is_open: bool, may: MaySend | None = None) -> Offer | None:
        """Take the first message out of the line, and return its outcome; None if it has to wait.

        Args:
            now: The present time.
            is_open: Whether a message may be handed over.
            may: Asks the conversation; None if all may leave.
        """
        if not self.line:
            return None
        entry = self.line[0]
        if entry.expires_at <= now:
            return None  # it expires first
        offer: Offer
        if is_open and not self.has_something and allows(may, entry):
            entry.waits = False
            offer = self.hand_over(entry, now)
        else:
            offer = self.outbox.offer(entry, now)
            if isinstance(offer, Refused):
                if offer.may_wait:
                    return None
                entry.waits = False
        self.line.popleft()
        return offer

    def next_to_send(self, now: float, *, may: MaySend | None = None) -> HandOver | None:
        """Remove the next message that may go, and return its outcome; None if none may go.

        Args:
            now: The present time.
            may: Asks the conversation; None if all may leave.
        """
        if may is not None:
            return self._next_allowed(now, may)
        return self.hand_over(self.outbox.take(), now) if self.outbox else None

    def hand_over(self, entry: Outgoing, now: float) -> HandOver:
        """Return a message to hand over; it is remembered until the server acknowledges it."""
        if self.sent is not None and not entry.is_request:
            self.outbox.limit_time(entry, now)  # one that never waited may be sent again, too
            self.sent.add(entry, now)
        return HandOver(entry, entry.data)

    def _next_allowed(self, now: float, may: MaySend) -> HandOver | None:
        """Return the first message whose subscription may be sent to; each keeps its order."""
        if not self.has_something or not may(None):
            return None
        held: set[WireSubscription | None] = set()
        repeated = () if self.sent is None else self.sent.to_repeat
        for entry in (*repeated, *self.outbox.entries):
            subscription = entry.subscription
            if subscription in held:
                continue
            if subscription is None or may(subscription):
                if entry.waits:
                    self.outbox.remove(entry)
                return self.hand_over(entry, now)
            held.add(subscription)
        return None

    def withdraw(self, receipts: Iterable[object]) -> list[Effect]:
        """Give up the messages with these receipts, those of them that wait."""
        wanted = {id(receipt) for receipt in receipts}
        taken = tuple(entry for entry in self._waiting() if id(entry.receipt) in wanted)
        for entry in taken:
            self._forget(entry)
        return [order.SettleReceipts(taken, "dropped", TAKEN_BACK)] if taken else []

    def lost(self, *, repeats: bool) -> list[Effect]:
        """The connection is lost: give up what belongs to it only.

        Those are the answers that wait (OB7), and the messages that the server has not acknowledged
        unless the protocol repeats them.
        """
        effects: list[Effect] = []
        if self.sent is not None and repeats:
            self.sent.lost()
        elif self.sent is not None and (unknown := self.sent.take_all()):
            effects.append(order.SettleReceipts(unknown, "unknown", UNANSWERED))
        taken = tuple(entry for entry in self._waiting() if entry.transport is not None)
        for entry in taken:
            self._forget(entry)
        if taken:
            effects.append(order.SettleReceipts(taken, "dropped", ASKER_GONE))
        return effects

    def expire(self, now: float) -> list[Effect]:
        """Give up messages that have expired, and those that must not be sent again."""
        effects: list[Effect] = []
        expired: list[Outgoing] = []
        for entry in self._expiries.due(now):
            self._forget(entry)
            expired.append(entry)
        if expired:
            effects.append(order.SettleReceipts(tuple(expired), "expired", "it waited too long"))
        if self.sent is not None and (unknown := self.sent.take_expired(now)):
            why = "no answer came in time, so it is unknown whether it is stored"
            effects.append(order.SettleReceipts(unknown, "unknown", why))
        return effects

    def drop(self, why: str) -> list[Effect]:
        """Give up everything."""
        effects: list[Effect] = []
        if self.sent is not None and (unknown := self.sent.take_all()):
            before = f"{why} before the server answered"
            effects.append(order.SettleReceipts(unknown, "unknown", before))
        dropped = self.outbox.take_all() + tuple(self.line)
        for entry in self.line:
            entry.waits = False
        self.line.clear()
        if dropped:
            effects.append(order.SettleReceipts(dropped, "dropped", why))
        return effects

    def _is_under_way(self, entry: Outgoing) -> bool:
        """Whether another message with its id is on its way to the same place."""
        name = entry.full_id
        if self.outbox.has(name):
            return True
        return any(each.full_id == name for each in (*(self.sent or ()), *self.line))

    def _waiting(self) -> Iterable[Outgoing]:
        return (*self.outbox.entries, *self.line)

    def _forget(self, entry: Outgoing) -> None:
        """Remove a message that waits, from wherever it does."""
        if entry in self.line:
            self.line.remove(entry)
            entry.waits = False
        else:
            self.outbox.remove(entry)

    def _line_up(self, entry: Outgoing) -> Queued:
        """Put a message in line, urgent ones before the others."""
        if self.line is _NOBODY:
            self.line = deque()
        entry.waits = True
        older = self._older_in_line(entry)
        if older is not None:
            entry.urgent = entry.urgent or older.urgent
        place = len(self.line) if older is None else self.line.index(older)
        if entry.urgent:
            urgent = sum(1 for _ in takewhile(lambda each: each.urgent, self.line))
            place = min(place, urgent)
        if older is not None:
            self._forget(older)
        self.line.insert(place, entry)
        self._expiries.add(entry)
        return Queued(replaced=() if older is None else (older,), is_in_line=True)

    def _newest(self, entry: Outgoing, queued: Offer) -> Offer:
        """Give up an older message in line whose key is that of a queued one."""
        older = self._older_in_line(entry)
        if older is None or not isinstance(queued, Queued):
            return queued
        self._forget(older)
        return Queued(queued.dropped, (*queued.replaced, older))

    def _older_in_line(self, entry: Outgoing) -> Outgoing | None:
        if entry.key is None:
            return None
        return next((each for each in self.line if each.key == entry.key), None)


def allows(may: MaySend | None, entry: Outgoing) -> bool:
    """Whether the conversation lets a message leave now."""
    if may is None:
        return True
    return may(None) and (entry.subscription is None or may(entry.subscription))
