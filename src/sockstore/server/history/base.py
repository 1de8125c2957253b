"""What a server asks of a history, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from sockstore.base.errors import SockstoreError

__all__ = [
    "BYTES_AROUND",
    "Entry",
    "History",
    "HistoryError",
    "HistoryUnavailable",
    "NotStored",
    "Page",
    "Published",
    "Stored",
    "StoredMessage",
    "bounded",
    "continuous",
    "no_listener",
]


class HistoryError(SockstoreError):
    """A history cannot do what it was asked.

    Args:
        where: The history, as a user knows it: a path or an address.
        why: What is wrong, as the end of a sentence.
    """

    def __init__(self, where: str, why: str) -> None:
        super().__init__(where, why)
        self.where = where
        self.why = why

    def __str__(self) -> str:
        return f"the history {self.where} cannot be used: {self.why}"


class HistoryUnavailable(HistoryError):
    """A history cannot be opened or read."""


class NotStored(HistoryError):
    """A message was not stored, so nobody has seen it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message that has no offset yet.

    Args:
        sender: The name of the one who said it, or None.
        data: What was said, as JSON text.
        id: Makes it one of a kind among the messages of its sender in its room.
    """

    sender: str | None
    data: str
    id: str


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of a room's log.

    Args:
        sender: The name of the one who said it, or None.
        data: What was said, as JSON text.
        id: Its id.
        offset: Its place in the room: 1, 2, 3 and so on.
        stored_at: When it was stored, ISO 8601 in UTC.
    """

    sender: str | None
    data: str
    id: str
    offset: int
    stored_at: str


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a message is now.

    Args:
        offset: Its place in the room.
        epoch: The log that the offset belongs to.
        is_duplicate: Whether it had been stored before; then it was not stored again.
    """

    offset: int
    epoch: str
    is_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a room's log, as it was in one moment.

    Args:
        epoch: The log.
        top: The offset of the newest message; 0 if there was none ever.
        first: The offset of the oldest message that is kept; `top` + 1 if there is none.
        messages: The messages that were asked for, by rising offset.
        id_before: The id of the message right before the ones asked for (the one at `after`);
            None if it is not kept.
    """

    epoch: str
    top: int
    first: int
    messages: Sequence[StoredMessage] = field(default=())
    id_before: str | None = None


BYTES_AROUND = 160
"""About what a frame has around what was said."""


def bounded(messages: Iterable[StoredMessage], max_bytes: int) -> list[StoredMessage]:
    """Return the first messages that have so many bytes together, and one in any case.

    Args:
        messages: In the order in which they are wanted.
        max_bytes: Bytes of the frames that they will be, about.
    """
    chosen: list[StoredMessage] = []
    for message in messages:
        text = message.data.encode(), (message.sender or "").encode()
        max_bytes -= BYTES_AROUND + sum(map(len, text))
        if max_bytes < 0 and chosen:
            break
        chosen.append(message)
    return chosen


def continuous(after: int, messages: Iterable[StoredMessage]) -> list[StoredMessage]:
    """Return the first messages that follow each other without a hole.

    An operator may have deleted some in the middle.

    Args:
        after: The offset that the first of them must follow.
        messages: By rising offset.
    """
    chosen: list[StoredMessage] = []
    for message in messages:
        if message.offset != after + 1:
            break
        chosen.append(message)
        after = message.offset
    return chosen


Published: TypeAlias = Callable[[str, StoredMessage, str], None]
"""``(room, message, epoch)``: is told every message that was stored, in the order of the offsets,
and the log that its offset belongs to."""


def no_listener(*_: object) -> None:
    """Do nothing: the callable that a history or a presence calls until `start` gives it one."""


class History(Protocol):
    """An ordered, bounded list of messages for each room, which survives the server.

    Offsets of a room are contiguous from 1 and never come back, also after trimming and after a
    restart. `append` returns when the messages are safe. Every server that shares the history is
    told every message of the rooms by the callable that `start` was given: after it is safe, once
    and in the order of the offsets. It may leave some out when it was cut off from where messages
    are kept: then `Published` is called with an offset that is not the next one, or `lost_sight`
    is called, and who wants the missing ones reads them.
    """

    def start(self, published: Published, lost_sight: Callable[[], None]) -> None:
        """Say who is told the stored messages; does no I/O.

        Args:
            published: Is told every stored message.
            lost_sight: Is called when messages may have been stored that `published` will not be
                told, at once after that is over: every room should look for what it missed.
        """

    async def open(self) -> None:
        """Open what must be open; every other method does so by itself.

        Raises:
            HistoryUnavailable: If that does not work.
        """

    async def append(self, room: str, entries: Sequence[Entry]) -> list[Stored]:
        """Store messages in their order, all of them or none, and return once they are safe.

        One whose room, sender and id were stored before (in the last `remember_seconds` at
        least) is not stored again.

        Args:
            room: The room's name.
            entries: What to store, at least one.

        Raises:
            NotStored: If they could not be stored, or nobody can tell; sending them again under
                the same ids is right in both cases.
        """

    async def read(self, room: str, after: int, count: int, max_bytes: int) -> Page:
        """Return the oldest messages that are kept and have a higher offset than `after`.

        Args:
            room: The room's name.
            after: An offset, 0 or more.
            count: How many at most; 0 asks for the position only.
            max_bytes: Bytes that they may have together; one is returned in any case.

        Raises:
            HistoryUnavailable: If they cannot be read.
        """

    async def newest(
        self, room: str, count: int, max_bytes: int, before: int | None = None
    ) -> Page:
        """Return the last messages of a room, or the last ones before an offset, by rising offset.

        Args:
            room: The room's name.
            count: How many at most.
            max_bytes: Bytes that they may have together; the newest is returned in any case.
            before: An offset that they are below; None for the end of the log.

        Raises:
            HistoryUnavailable: If they cannot be read.
        """

    @property
    def remember_seconds(self) -> float:
        """Seconds for which the id of a stored message is remembered, at least."""

    async def aclose(self) -> None:
        """Write what is waiting, and close; a later use opens it again."""
