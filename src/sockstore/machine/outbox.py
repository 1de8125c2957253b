"""The outbox: messages that wait for an open connection, bounded and in order.

Nothing here knows what a receipt is; it travels with its message.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from sockstore.base.frozen import frozen
from sockstore.base.options import Outbox
from sockstore.machine import effects as order
from sockstore.machine.delivery import Outgoing
from sockstore.machine.effects import Effect
from sockstore.machine.session import SessionMachine

__all__ = [
    "HAND_OVER",
    "Disposition",
    "Offer",
    "OutboxQueue",
    "Sending",
]


class Disposition(Enum):
    """What became of a message that was offered: exactly one of these."""

    HAND_OVER = "hand over"
    QUEUED = "queued"
    REFUSED = "refused"


@frozen
class Offer:
    """The answer to an offered message, and what was dropped to make room for it."""

    disposition: Disposition
    dropped: tuple[Outgoing, ...] = ()
    why: str = ""


HAND_OVER = Offer(Disposition.HAND_OVER)
"""The usual answer, which there is one of."""


_NOTHING: deque[Outgoing] = deque(maxlen=0)
"""Shared by all queues in which nothing ever waited: even an empty deque takes 0.7 KiB."""


class OutboxQueue:
    """A queue with the limits of an `Outbox` option; with None for it, nothing may wait.

    Attributes:
        entries: What waits, the oldest first.
        bytes: The size of that.
    """

    __slots__ = ("_options", "bytes", "entries")

    def __init__(self, options: Outbox | None) -> None:
        self._options = options
        self.entries = _NOTHING
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def next_expiry(self) -> float | None:
        """When the oldest entry expires; all have the same time to live, so it is the first."""
        return self.entries[0].expires_at if self.entries else None

    def offer(self, entry: Outgoing, now: float) -> Offer:
        """Queue an entry at the tail, or say why not."""
        options = self._options
        if options is None:
            return Offer(Disposition.REFUSED, why="it cannot be sent now, and there is no outbox")
        if entry.size > options.max_bytes:
            return Offer(Disposition.REFUSED, why="it is larger than the outbox")
        dropped: list[Outgoing] = []
        while not self._has_room(entry, options):
            if options.overflow == "refuse":
                return Offer(Disposition.REFUSED, why="the outbox is full")
            dropped.append(self.take())
        if options.ttl is not None:
            entry.expires_at = now + options.ttl
        if self.entries is _NOTHING:
            self.entries = deque()
        self.entries.append(entry)
        self.bytes += entry.size
        return Offer(Disposition.QUEUED, tuple(dropped))

    def _has_room(self, entry: Outgoing, options: Outbox) -> bool:
        return len(self.entries) < options.limit and self.bytes + entry.size <= options.max_bytes

    def take(self) -> Outgoing:
        """Remove and return the oldest entry."""
        entry = self.entries.popleft()
        self.bytes -= entry.size
        return entry

    def withdraw(self, receipt: object) -> tuple[Outgoing, ...]:
        """Remove and return the entry with this receipt, if it waits."""
        found = tuple(entry for entry in self.entries if entry.receipt is receipt)
        for entry in found:
            self.entries.remove(entry)
            self.bytes -= entry.size
        return found

    def take_expired(self, now: float) -> tuple[Outgoing, ...]:
        """Remove and return what is no longer worth sending."""
        expired: list[Outgoing] = []
        while (expiry := self.next_expiry) is not None and expiry <= now:
            expired.append(self.take())
        return tuple(expired)

    def take_all(self) -> tuple[Outgoing, ...]:
        """Remove and return everything."""
        entries = tuple(self.entries)
        self.entries.clear()
        self.bytes = 0
        return entries


class Sending:
    """The outbox, and behind it the session, if there is one.

    Args:
        options: The limits of the outbox; None if nothing may wait.
        session: The session, or None.

    Attributes:
        outbox: What waits to be sent for the first time.
        session: The session, or None.
    """

    __slots__ = ("outbox", "session")

    def __init__(self, options: Outbox | None, session: SessionMachine | None) -> None:
        self.outbox = OutboxQueue(options)
        self.session = session

    @property
    def deadline(self) -> float | None:
        """When to look again."""
        waiting, session = self.outbox.next_expiry, self.session
        if session is None:
            return waiting
        times = (waiting, session.deadline(is_waited_for=bool(self.outbox)))
        return min((time for time in times if time is not None), default=None)

    @property
    def has_something(self) -> bool:
        """Whether anything waits to be sent, or to be sent again."""
        return bool(self.outbox) or (self.session is not None and self.session.has_resends)

    def is_free(self, now: float) -> bool:
        """Whether a new message need not wait for anything here."""
        if self.session is None:
            return not self.outbox
        return not self.has_something and self.session.may_send(now)

    def offer(self, entry: Outgoing, now: float) -> Offer:
        """Queue a message, or say why not."""
        return self.outbox.offer(entry, now)

    def next_to_send(self, now: float, *, only_again: bool = False) -> Outgoing | None:
        """Remove and return what goes next, if anything may.

        Args:
            now: Seconds, in the machine's clock.
            only_again: Whether new messages have to wait.
        """
        session = self.session
        if session is None:
            return self.outbox.take() if self.outbox and not only_again else None
        if not session.may_send(now):
            return None
        if session.has_resends:
            return session.next_resend()
        return self.outbox.take() if self.outbox and not only_again else None

    def write(self, entry: Outgoing, now: float) -> str | bytes | None:
        """Return what goes on the wire for a message; None if the server would not take it."""
        return entry.data if self.session is None else self.session.write(entry, now)

    def expire(self, now: float) -> list[Effect]:
        """Give up what is no longer worth sending, and what must not be sent again."""
        effects: list[Effect] = []
        if expired := self.outbox.take_expired(now):
            effects.append(order.SettleReceipts(expired, "expired", "it waited too long"))
        if self.session is not None and (unknown := self.session.take_expired(now)):
            why = "no answer came in time, so nobody knows whether it is stored"
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
