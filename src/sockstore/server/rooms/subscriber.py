"""Subscriber of a room: one client, its position, and the frames that it shares with others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sockstore.server.asgi import Outgoing, SharedMessage, SharedMessages
from sockstore.server.client import Client
from sockstore.server.history.base import StoredMessage, bounded
from sockstore.server.rooms.presence import Member
from sockstore.server.rooms.recovery import LastSeen

__all__ = ["Dialect", "SharedFrames", "Subscriber"]

MOST_TOGETHER = 16 * 1024
"""Bytes that are written to a client together, if they are more than one message."""


class Dialect(Protocol):
    """Builds the frames of one protocol for what happens in a room."""

    def page(self, messages: Sequence[StoredMessage]) -> list[str]:
        """Build the frames of messages."""

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


class SharedFrames:
    """The frames of messages that were stored together.

    Messages are written together, because a write costs much more than the bytes of a message.

    Args:
        messages: The messages, at least one, in their order.
    """

    def __init__(self, messages: Sequence[StoredMessage]) -> None:
        self._messages = messages
        # The frames of each dialect, once a subscriber needed them; `of` adds to it.
        self._made: dict[Dialect, tuple[Outgoing, ...]] = {}

    def of(self, dialect: Dialect) -> tuple[Outgoing, ...]:
        """Return the frames for a subscriber, in their order.

        Args:
            dialect: The protocol of the subscriber.
        """
        frames = self._made.get(dialect)
        if frames is None:
            frames = self._made[dialect] = tuple(_make(dialect, self._messages))
        return frames


def _make(dialect: Dialect, messages: Sequence[StoredMessage]) -> Iterator[Outgoing]:
    while messages:
        together = bounded(messages, MOST_TOGETHER)
        messages = messages[len(together) :]
        frames = tuple(map(SharedMessage, dialect.page(together)))
        yield frames[0] if len(frames) == 1 else SharedMessages(frames)
