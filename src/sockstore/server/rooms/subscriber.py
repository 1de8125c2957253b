"""One client in one room: what it was told last, and in which words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sockstore.server.client import Client
from sockstore.server.history.base import StoredMessage
from sockstore.server.rooms.presence import Member
from sockstore.server.rooms.recovery import Seen

__all__ = ["Dialect", "Subscriber"]


class Dialect(Protocol):
    """How the clients of one protocol are told what happens in a room."""

    def message(self, message: StoredMessage) -> str:
        """Build the frame of a message."""

    def page(self, messages: Sequence[StoredMessage]) -> list[str]:
        """Build the frames of many messages."""

    def join(self, member: Member, now: str, count: int) -> str:
        """Build the frame that tells who came, and how many are there now."""

    def leave(self, member: Member, now: str, count: int) -> str:
        """Build the frame that tells who left, and how many are there now."""

    def presence(self, members: Sequence[Member], count: int) -> str | None:
        """Build the frame that tells who is there, if there is one."""


@dataclass(eq=False, slots=True)
class Subscriber:
    """One client in one room.

    Args:
        client: The client.
        member: What the others see of it.
        dialect: How it is told what happens.
        seen: What it was told last; None if nobody knows, because the history could not be read.
        lost: Called when it cannot be told what comes next; the room has forgotten it.
        hears_members: Whether it is told who comes and leaves.
        catching_up: Runs while it is told what it missed, from the history.
    """

    client: Client
    member: Member
    dialect: Dialect
    seen: Seen | None
    lost: Callable[[], None]
    hears_members: bool = True
    catching_up: asyncio.Task[None] | None = field(default=None)

    def is_next(self, offset: int) -> bool:
        """Whether the message at this offset is the one to tell it next."""
        return self.seen is None or self.seen.offset + 1 == offset

    def advance(self, epoch: str, message: StoredMessage) -> None:
        """Note that it was told a message."""
        self.seen = Seen.message(epoch, message)
