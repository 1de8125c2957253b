"""Queue messages that wait for an open connection, within the limits of the user's `Outbox`."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from itertools import chain, islice
from math import inf
from typing import Final, TypeAlias

from sockstore.base.frozen import frozen
from sockstore.base.sending import Outbox
from sockstore.machine.delivery import FullId, Outgoing

__all__ = ["Expiries", "HandOver", "Offer", "OutboxQueue", "Queued", "Refused"]


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
    """The message waits.

    Args:
        dropped: Older messages that made room for it.
        replaced: Older messages with the same key, whose place it took.
        is_in_line: Whether it waits for room in the outbox.
    """

    dropped: tuple[Outgoing, ...] = ()
    replaced: tuple[Outgoing, ...] = ()
    is_in_line: bool = False


@frozen
class Refused:
    """The message is not sent.

    Args:
        entry: The message.
        why: The reason, as the end of a sentence.
        is_overflow: Whether other messages fill the outbox.
        may_wait: Whether it could be sent, or queued, later.
    """

    entry: Outgoing
    why: str
    is_overflow: bool = False
    may_wait: bool = False


Offer: TypeAlias = HandOver | Queued | Refused
"""The outcome for a message that was offered."""

QUEUED = Queued()
"""The common answer, shared by all calls."""


_NOTHING: deque[Outgoing] = deque(maxlen=0)
"""Shared by all queues that were never used: even an empty deque takes 0.7 KiB."""

FEW = 64
"""A heap is not cleared up before it has so many entries."""


class Expiries:
    """The times at which waiting messages expire."""

    __slots__ = ("_heap", "_most", "_number")

    def __init__(self) -> None:
        # `add` makes it and adds; `next` and `due` remove. Those that do not wait any more stay
        # for a while.
        self._heap: list[tuple[float, int, Outgoing]] | None = None
        self._number = 0  # the number of the last one, which keeps the order of equal times
        self._most = FEW  # how many may be there before the heap is cleared up; set by `add`

    def __len__(self) -> int:
        """How many are kept; some of them are of messages that left."""
        return len(self._heap or ())

    def add(self, entry: Outgoing) -> None:
        """Note when an entry that waits now will expire."""
        if entry.expires_at == inf:
            return
        self._number += 1
        heap = self._heap = self._heap or []
        heappush(heap, (entry.expires_at, self._number, entry))
        if len(heap) > self._most:
            heap = self._heap = [each for each in heap if each[2].waits]
            heapify(heap)
            self._most = max(FEW, 2 * len(heap))

    @property
    def next(self) -> float:
        """When the next entry expires; infinite if none will."""
        heap = self._heap
        while heap and not heap[0][2].waits:
            heappop(heap)
        return heap[0][0] if heap else inf

    def due(self, now: float) -> Iterator[Outgoing]:
        """Remove and return the entries that have expired; the caller takes them away."""
        while (heap := self._heap) and self.next <= now:
            yield heappop(heap)[2]


class OutboxQueue:
    """A queue with the limits of the user's `Outbox`; without one nothing may wait.

    Args:
        options: The limits, or None.
        expiries: Knows when entries expire.

    Attributes:
        entries: The messages, the next to leave first; each call that adds or removes one
            changes it.
        bytes: The size of all entries, changed with them.
    """

    __slots__ = (
        "_again",
        "_expiries",
        "_keyed",
        "_options",
        "_urgent",
        "_with_id",
        "bytes",
        "entries",
    )

    def __init__(self, options: Outbox | None, expiries: Expiries | None = None) -> None:
        self._options = options
        self._expiries: Final = Expiries() if expiries is None else expiries
        self.entries: deque[Outgoing] = _NOTHING
        self.bytes: int = 0
        # The entries with an id, by the full one, and those with a key, by it: made by the first
        # one, and changed with them.
        self._with_id: dict[FullId, Outgoing] | None = None
        self._keyed: dict[Hashable, Outgoing] | None = None
        # How many are sent again, and how many are urgent: they come first, in this order.
        self._again = self._urgent = 0

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def next_expiry(self) -> float:
        """When the next entry expires; infinite if none will."""
        return self._expiries.next

    def has(self, full_id: FullId) -> bool:
        """Whether an entry with this id waits."""
        return self._with_id is not None and full_id in self._with_id

    def offer(self, entry: Outgoing, now: float) -> Offer:
        """Queue an entry, or say why not; one that is sent again was accepted before."""
        if entry.again:
            self._add(entry, None)
            return QUEUED
        options = self._options
        if options is None:
            why = "it cannot be sent now, and outbox=None lets nothing wait"
            return Refused(entry, why, may_wait=True)
        if entry.size > options.max_bytes:
            return Refused(entry, "it is larger than the outbox", is_overflow=bool(self.entries))
        older = None if entry.key is None else (self._keyed or {}).get(entry.key)
        dropped: list[Outgoing] = []
        while not self._has_room(entry, older, options):
            if options.overflow == "refuse":
                return Refused(entry, "the outbox is full", is_overflow=True, may_wait=True)
            dropped.append(self._drop_oldest(older))
        self.limit_time(entry, now)
        self._add(entry, older)
        if older is None:
            return Queued(tuple(dropped)) if dropped else QUEUED
        return Queued(tuple(dropped), (older,))

    def limit_time(self, entry: Outgoing, now: float) -> None:
        """Let a message expire after the usual time, if it has none of its own."""
        ttl = None if self._options is None else self._options.ttl
        if ttl is not None and entry.expires_at == inf:
            entry.expires_at = now + ttl

    def take(self) -> Outgoing:
        """Remove and return the next entry."""
        entry = self.entries.popleft()
        self._removed(entry)
        return entry

    def remove(self, entry: Outgoing) -> None:
        """Remove an entry, wherever it is."""
        self.entries.remove(entry)
        self._removed(entry)

    def take_all(self) -> tuple[Outgoing, ...]:
        """Remove and return everything."""
        entries = tuple(self.entries)
        self.entries.clear()
        for entry in entries:
            self._removed(entry)
        return entries

    def _has_room(self, entry: Outgoing, older: Outgoing | None, options: Outbox) -> bool:
        messages, size = len(self.entries), self.bytes
        if older is not None:
            messages, size = messages - 1, size - older.size
        return messages < options.limit and size + entry.size <= options.max_bytes

    def _drop_oldest(self, kept: Outgoing | None) -> Outgoing:
        """Remove and return the oldest entry, those that are not urgent first; never `kept`."""
        usual = islice(self.entries, self._again + self._urgent, None)
        oldest = next(each for each in chain(usual, self.entries) if each is not kept)
        self.remove(oldest)
        return oldest

    def _add(self, entry: Outgoing, older: Outgoing | None) -> None:
        if self.entries is _NOTHING:
            self.entries = deque()
        place = len(self.entries)
        if older is not None:
            place = self.entries.index(older)
            entry.urgent = entry.urgent or older.urgent
            self.remove(older)
        if entry.again:
            place = self._again
            self._again += 1
        elif entry.urgent:
            place = min(place, self._again + self._urgent)
            self._urgent += 1
        self.entries.insert(place, entry)
        self.bytes += entry.size
        entry.waits = True
        if entry.key is not None:
            self._keyed = self._keyed or {}
            self._keyed[entry.key] = entry
        if entry.id:
            self._with_id = self._with_id or {}
            self._with_id[entry.full_id] = entry
        self._expiries.add(entry)

    def _removed(self, entry: Outgoing) -> None:
        entry.waits = False
        self.bytes -= entry.size
        self._again -= entry.again
        self._urgent -= entry.urgent
        if entry.key is not None and self._keyed is not None:
            del self._keyed[entry.key]
        if entry.id and self._with_id is not None:
            del self._with_id[entry.full_id]
