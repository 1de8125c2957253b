"""Queue messages that wait for an open connection, and choose what is sent next."""

from __future__ import annotations

import math
from collections import deque
from typing import Final, TypeAlias

from sockstore.base.frozen import frozen
from sockstore.base.options import Outbox
from sockstore.machine import effects as order
from sockstore.machine.delivery import Outgoing
from sockstore.machine.effects import Effect
from sockstore.machine.session import SessionMachine

__all__ = [
    "HandOver",
    "Offer",
    "OutboxQueue",
    "Queued",
    "Refused",
    "Sending",
]

TOO_LARGE = "it is larger than the server takes"


class HandOver:
    """Give `data`, the frame of the entry, and `rest`, further ones, to the live transport now."""

    # Not frozen: one is made for each message, and a frozen one takes twice as long to make.
    __slots__ = ("data", "entry", "rest")

    def __init__(self, entry: Outgoing, data: str | bytes) -> None:
        self.entry: Outgoing = entry
        self.data: str | bytes = data
        self.rest: list[str | bytes] = []  # set by `Machine`: a protocol may make several


@frozen
class Queued:
    """The message waits in the outbox; `dropped` are older messages that made room for it."""

    dropped: tuple[Outgoing, ...] = ()


@frozen
class Refused:
    """The message is not sent.

    Args:
        entry: The message.
        why: The reason, as the end of a sentence.
        is_overflow: Whether other messages fill the outbox.
    """

    entry: Outgoing
    why: str
    is_overflow: bool = False


Offer: TypeAlias = HandOver | Queued | Refused
"""The outcome for a message that was offered."""

QUEUED = Queued()
"""The common answer, shared by all calls."""


_NOTHING: deque[Outgoing] = deque(maxlen=0)
"""Shared by all queues that were never used: even an empty deque takes 0.7 KiB."""


class OutboxQueue:
    """A queue with the limits of the user's `Outbox`; without one nothing may wait.

    Attributes:
        entries: The messages, the oldest first; each call that adds or removes one changes it.
        bytes: The size of all entries, changed with them.
    """

    __slots__ = ("_options", "bytes", "entries")

    def __init__(self, options: Outbox | None) -> None:
        self._options = options
        self.entries = _NOTHING
        self.bytes: int = 0

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def next_expiry(self) -> float:
        """When the oldest entry expires, the first one: all have the same time to live."""
        return self.entries[0].expires_at if self.entries else math.inf

    def offer(self, entry: Outgoing, now: float) -> Offer:
        """Queue an entry at the tail, or say why not."""
        options = self._options
        if options is None:
            return Refused(entry, "it cannot be sent now, and outbox=None lets nothing wait")
        if entry.size > options.max_bytes:
            return Refused(entry, "it is larger than the outbox", is_overflow=bool(self.entries))
        dropped: list[Outgoing] = []
        while not self._has_room(entry, options):
            if options.overflow == "refuse":
                return Refused(entry, "the outbox is full", is_overflow=True)
            dropped.append(self.take())
        if options.ttl is not None:
            entry.expires_at = now + options.ttl
        if self.entries is _NOTHING:
            self.entries = deque()
        self.entries.append(entry)
        self.bytes += entry.size
        return Queued(tuple(dropped)) if dropped else QUEUED

    def _has_room(self, entry: Outgoing, options: Outbox) -> bool:
        return len(self.entries) < options.limit and self.bytes + entry.size <= options.max_bytes

    def take(self) -> Outgoing:
        """Remove and return the oldest entry."""
        entry = self.entries.popleft()
        self.bytes -= entry.size
        return entry

    def withdraw(self, receipt: object) -> tuple[Outgoing, ...]:
        """Remove and return the entry with this receipt, if it waits."""
        withdrawn = tuple(entry for entry in self.entries if entry.receipt is receipt)
        for entry in withdrawn:
            self.entries.remove(entry)
            self.bytes -= entry.size
        return withdrawn

    def take_expired(self, now: float) -> tuple[Outgoing, ...]:
        """Remove and return the entries that have expired."""
        expired: list[Outgoing] = []
        while self.next_expiry <= now:
            expired.append(self.take())
        return tuple(expired)

    def take_all(self) -> tuple[Outgoing, ...]:
        """Remove and return everything."""
        entries = tuple(self.entries)
        self.entries.clear()
        self.bytes = 0
        return entries


class Sending:
    """Choose what is sent next: what a session must send again first, then the outbox.

    Attributes:
        outbox: The messages that wait to be sent for the first time.
        session: The session, or None.
    """

    __slots__ = ("outbox", "session")

    def __init__(self, options: Outbox | None, session: SessionMachine | None) -> None:
        self.outbox: Final = OutboxQueue(options)
        self.session: SessionMachine | None = session

    @property
    def deadline(self) -> float:
        """When the next message expires or may be sent; infinite if none waits for a time."""
        expiry, session = self.outbox.next_expiry, self.session
        if session is None:
            return expiry
        return min(expiry, session.deadline(is_waited_for=bool(self.outbox)))

    @property
    def has_something(self) -> bool:
        """Whether anything waits to be sent, or to be sent again."""
        return bool(self.outbox.entries) or (self.session is not None and self.session.has_resends)

    def is_free(self, now: float) -> bool:
        """Whether a new message may be handed over now: nothing waits, and a session has room."""
        if self.session is None:
            return not self.outbox
        return not self.has_something and self.session.may_send(now)

    def next_to_send(self, now: float, *, only_again: bool = False) -> HandOver | Refused | None:
        """Remove the next message that may go, and return its outcome; None if none may go.

        With `only_again` new messages have to wait.
        """
        session = self.session
        if session is not None:
            if not session.may_send(now):
                return None
            if session.has_resends:
                return self.hand_over(session.next_resend(), now)
        return self.hand_over(self.outbox.take(), now) if self.outbox and not only_again else None

    def hand_over(self, entry: Outgoing, now: float) -> HandOver | Refused:
        """Return the frame of a message to hand over; a session records the message."""
        data = entry.data if self.session is None else self.session.write(entry, now)
        return Refused(entry, TOO_LARGE) if data is None else HandOver(entry, data)

    def withdraw(self, receipt: object) -> list[Effect]:
        """Give up the message with this receipt, if it waits."""
        taken = self.outbox.withdraw(receipt)
        return [order.SettleReceipts(taken, "dropped", "it was taken back")] if taken else []

    def expire(self, now: float) -> list[Effect]:
        """Give up messages that have expired, and those that must not be sent again."""
        effects: list[Effect] = []
        if expired := self.outbox.take_expired(now):
            effects.append(order.SettleReceipts(expired, "expired", "it waited too long"))
        if self.session is not None and (unknown := self.session.take_expired(now)):
            why = "no answer came in time, so it is unknown whether it is stored"
            effects.append(order.SettleReceipts(unknown, "unknown", why))
        return effects

    def drop(self, why: str) -> list[Effect]:
        """Give up everything."""
        effects: list[Effect] = []
        if self.session is not None and (unknown := self.session.take_all()):
            before = f"{why} before the server answered"
            effects.append(order.SettleReceipts(unknown, "unknown", before))
        if dropped := self.outbox.take_all():
            effects.append(order.SettleReceipts(dropped, "dropped", why))
        return effects
