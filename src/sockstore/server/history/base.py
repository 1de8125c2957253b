"""What a server asks of a history, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from sockstore.errors import SockstoreError
from sockstore.server.frames import ChatMessage

__all__ = [
    "Entry",
    "History",
    "HistoryError",
    "HistoryUnavailable",
    "NotStored",
    "Published",
]

Published: TypeAlias = Callable[[str, ChatMessage], None]
"""``(room, message)``: is told every message that was stored, in the order of the offsets."""


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
    """A message that has no offset yet."""

    sender: str | None
    content: str
    timestamp: str
    id: str

    def at(self, offset: int) -> ChatMessage:
        """Return the message that is stored at this offset."""
        return ChatMessage(self.sender, self.content, self.timestamp, self.id, offset)


class History(Protocol):
    """An ordered, bounded list of messages for each room, which survives the server.

    Offsets of a room are contiguous from 1 and never come back, also after trimming and after a
    restart. `append` returns when the message is safe, and everybody is told it afterwards, in
    the order of the offsets, by the callable that `start` was given.
    """

    def start(self, published: Published) -> None:
        """Say who is told the stored messages; does no I/O."""

    async def open(self) -> None:
        """Open what must be open; every other method does so by itself.

        Raises:
            HistoryUnavailable: If that does not work.
        """

    async def append(self, room: str, entry: Entry) -> int:
        """Store a message, and return its offset once it is safe.

        Raises:
            NotStored: If it could not be stored; then nobody is told it.
        """

    async def newest(self, room: str, count: int, max_bytes: int) -> list[ChatMessage]:
        """Return the last messages of a room, oldest first.

        Args:
            room: The room's name.
            count: How many at most.
            max_bytes: Bytes that they may have together; the newest is returned in any case.

        Raises:
            HistoryUnavailable: If they cannot be read.
        """

    async def aclose(self) -> None:
        """Write what is waiting, and close; a later use opens it again."""
