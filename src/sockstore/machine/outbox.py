"""The outbox: messages that wait for an open connection, bounded and in order.

Nothing here knows what a receipt is; it travels with its message.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from sockstore.frozen import frozen
from sockstore.options import Outbox

__all__ = ["HAND_OVER", "Disposition", "Flight", "Flights", "Offer", "OutboxQueue", "Outgoing"]


class Outgoing:
    """One encoded message on its way out.

    Args:
        data: Text or binary, as it goes on the wire.
        size: UTF-8 bytes.
        receipt: What the user holds; opaque here.

    Attributes:
        expires_at: When it is no longer worth sending, or None.
        id: What a session tells it by; empty until it was handed over.
        first_sent_at: When a session handed it over for the first time, or None.
        offset: Where in the room it was stored, or None.
    """

    __slots__ = ("data", "expires_at", "first_sent_at", "id", "offset", "receipt", "size")

    def __init__(self, data: str | bytes, size: int, receipt: object) -> None:
        self.data = data
        self.size = size
        self.receipt = receipt
        self.expires_at: float | None = None
        self.id = ""
        self.first_sent_at: float | None = None
        self.offset: int | None = None


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


class Flight:
    """The messages handed over between two pings; they share one fate, so it is kept once.

    A pong proves that everything written before its ping arrived (TCP keeps the order), and so
    does the peer's answer to our close frame. What nothing proved when the connection broke is
    unknown.
    """

    __slots__ = ("lost", "proven")

    def __init__(self) -> None:
        self.proven = False
        self.lost = False


MOST_UNPROVEN_FLIGHTS = 1000
"""Pings without a pong to remember, from a peer that talks but never answers them: hours."""


class Flights:
    """The flights of one transport: the current one, and those that a ping has sealed."""

    __slots__ = ("_sealed", "current")

    def __init__(self) -> None:
        self.current = Flight()
        # No deque, which takes 0.7 KiB: there are seldom more than one.
        self._sealed: list[tuple[bytes, Flight]] = []

    def seal(self, ping: bytes) -> None:
        """A ping was written: what went before it is proven by its pong."""
        self._sealed.append((ping, self.current))
        del self._sealed[:-MOST_UNPROVEN_FLIGHTS]
        self.current = Flight()

    def prove(self, pong: bytes) -> None:
        """The peer answered a ping; RFC 6455 section 5.5.3 lets it skip older ones."""
        if all(ping != pong for ping, _ in self._sealed):
            return
        while True:
            ping, flight = self._sealed.pop(0)
            flight.proven = True
            if ping == pong:
                return

    def lose(self) -> None:
        """The connection broke: what is not proven is unknown."""
        self.end(proven=False)

    def end(self, *, proven: bool) -> None:
        """The transport ended; `proven` if the peer answered our close frame."""
        for flight in (*(flight for _, flight in self._sealed), self.current):
            flight.proven = flight.proven or (proven and not flight.lost)
            flight.lost = not flight.proven
