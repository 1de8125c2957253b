"""Interface of histories, which keep the messages of rooms, and the values that it passes."""

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
    """A history cannot be used.

    Args:
        where: The path or the address of the history.
        why: The error, as the end of a sentence.
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
    """A message was not stored, and was not sent to any client."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message that has no offset yet.

    Args:
        sender: The name of its sender; None without one.
        data: Its data, as JSON text.
        id: Unique among the messages of its sender in its room.
    """

    sender: str | None
    data: str
    id: str


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of a room's log.

    Args:
        sender: The name of its sender; None without one.
        data: Its data, as JSON text.
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
    """The place of a message that was stored.

    Args:
        offset: Its place in the room.
        epoch: The log that the offset belongs to.
        is_duplicate: Whether it was stored before; then it was not stored again.
    """

    offset: int
    epoch: str
    is_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a room's log at one moment.

    Args:
        epoch: The log.
        top: The offset of the newest message; 0 if the room never had one.
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
"""About the bytes of a frame besides the data and the sender of its message."""


def bounded(messages: Iterable[StoredMessage], max_bytes: int) -> list[StoredMessage]:
    """Return the first messages up to a number of bytes, and at least one.

    Args:
        messages: In the order of the result.
        max_bytes: About the bytes of their frames together.
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
    """Return the first messages whose offsets have no hole.

    An operator may have deleted some messages in the middle.

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


Published: TypeAlias = Callable[[str, Sequence[StoredMessage], str], None]
"""``(room, messages, epoch)``: called with all stored messages, in the order of the offsets, and
with the log that the offsets belong to. Messages that were stored together come together, at least
one, so that each subscriber is sent them at once."""


def no_listener(*_: object) -> None:
    """Do nothing: the callable that a history or a presence calls until `start` gives it one."""


class History(Protocol):
    """An ordered, bounded list of messages for each room, which survives the server.

    Offsets of a room are contiguous from 1 and are never used again, also after trimming and after
    a restart. `append` returns when the messages are safe. On every server that shares the history,
    the callable that `start` was given is called with every message of the rooms: after it is safe,
    once, and in the order of the offsets. A history that was disconnected from its storage may
    leave some out. Then the next offset is not the expected one, or `lost_sight` is called, and the
    server reads what it missed.
    """

    def start(self, published: Published, lost_sight: Callable[[], None]) -> None:
        """Set the callables that receive stored messages; does no I/O.

        Args:
            published: Called with every stored message.
            lost_sight: Called as soon as the history is reachable again after messages may have
                been stored without a call of `published`; each room then reads what it missed.
        """

    async def open(self) -> None:
        """Open what has to be open; every other method opens it too.

        Raises:
            HistoryUnavailable: If that does not work.
        """

    async def append(self, room: str, entries: Sequence[Entry]) -> list[Stored]:
        """Store messages in their order, all or none, and return once they are safe.

        A message whose room, sender and id were stored before, at least in the last
        `remember_seconds`, is not stored again.

        Args:
            room: The room's name.
            entries: The messages to store, at least one.

        Raises:
            NotStored: If they were not stored, or if that is unknown; in both cases the caller may
                send them again with the same ids.
        """

    async def read(self, room: str, after: int, count: int, max_bytes: int) -> Page:
        """Return the oldest messages that are kept and have a higher offset than `after`.

        Args:
            room: The room's name.
            after: An offset, 0 or more.
            count: The most messages; 0 asks for the position only.
            max_bytes: The most bytes of them together; one message may have more.

        Raises:
            HistoryUnavailable: If they cannot be read.
        """

    async def newest(
        self, room: str, count: int, max_bytes: int, before: int | None = None
    ) -> Page:
        """Return the last messages of a room, or the last ones before an offset, by rising offset.

        Args:
            room: The room's name.
            count: The most messages.
            max_bytes: The most bytes of them together; one message may have more.
            before: The offset that they are below; None for the end of the log.

        Raises:
            HistoryUnavailable: If they cannot be read.
        """

    @property
    def remember_seconds(self) -> float:
        """Seconds for which the id of a stored message is remembered, at least."""

    async def aclose(self) -> None:
        """Write what is waiting, and close; a later call opens it again."""
