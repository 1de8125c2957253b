"""Subscriber of a room: one client, its position, and the protocol of its messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sockstore.server.client import Client
from sockstore.server.history.base import StoredMessage
from sockstore.server.rooms.presence import Member
from sockstore.server.rooms.recovery import LastSeen

__all__ = ["Dialect", "Subscriber"]


class Dialect(Protocol):
    """Builds the frames of one protocol for what happens in a room."""

    def message(self, message: StoredMessage) -> str:
        """Build the frame of a message."""

    def page(self, messages: Sequence[StoredMessage]) -> list[str]:
        """Build the frames of many messages."""

    def join(self, member: Member, now: str, count: int) -> str:
        """Build the frame that says who came, and how many are there now."""

    def leave(self, member: Member, now: str, count: int) -> str:
        """Build the frame that says who left, and how many are there now."""

    def presence(self, members: Sequence[Member], count: int) -> str | None:
        """Build the frame that lists the members; None if the protocol has none."""


@dataclass(eq=False, slots=True)
class Subscriber:
    """One client in one room.

    Args:
        client: The client.
        member: The member that the others see.
        dialect: The protocol of the client.
        last_seen: The last message that it was sent; the room advances it. None if the history
            could not be read, so that its position is unknown.
        dropped: Called when the client cannot be sent the next message; the room has removed it.
        hears_members: Whether it is sent a frame when members come and leave.
        catching_up: Sends the client what it missed, from the history; the room starts it, and
            clears it when it ends.
    """

    client: Client
    member: Member
    dialect: Dialect
    last_seen: LastSeen | None
    dropped: Callable[[], None]
    hears_members: bool = True
    catching_up: asyncio.Task[None] | None = field(default=None)
