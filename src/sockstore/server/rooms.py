"""Rooms: who is there, and who is told what."""

from __future__ import annotations

import asyncio
from itertools import islice
from uuid import uuid4

from sockstore.server import frames
from sockstore.server.client import Client, size_of
from sockstore.server.frames import ChatMessage, FrameError
from sockstore.server.history.base import Entry, History, HistoryError, NotStored
from sockstore.server.limits import Limits
from sockstore.timestamps import utc_now

__all__ = ["Room", "Rooms"]

PRESENCE_FRAMES_A_SECOND = 1000
"""How many clients of one crowded room may be told who is there, each second."""


class Rooms:
    """The rooms that somebody is in; an empty one is forgotten, its history stays.

    Args:
        history: Where messages are kept; the caller opens and closes it.
        limits: What clients may do and cost.
    """

    def __init__(self, history: History, limits: Limits) -> None:
        self._history = history
        self._limits = limits
        self._rooms: dict[str, Room] = {}
        history.start(self._published)

    @property
    def members(self) -> dict[str, list[str | None]]:
        """The names of those who are in each room, in the order in which they came."""
        return {name: room.members for name, room in self._rooms.items()}

    async def visit(self, name: str, client: Client) -> None:
        """Let a client be in a room until its connection has ended.

        Args:
            name: The room's name, checked.
            client: The client; it was accepted.
        """
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name, self._history, self._limits)
        try:
            await room.enter(client)
            await client.run(lambda message: room.hear(client, message))
        finally:
            room.leave(client)
            if room.is_empty:
                del self._rooms[name]

    def _published(self, name: str, message: ChatMessage) -> None:
        room = self._rooms.get(name)
        if room is not None:
            room.publish(message)


class Room:
    """An ordered list of messages, and the clients that watch it.

    A client is *entering* while its history is read; what is published meanwhile is held back
    for it, so nothing is missed and nothing told twice. Then it is a *member*.

    Args:
        name: The room's name.
        history: Where its messages are kept.
        limits: What clients may do and cost.
    """

    def __init__(self, name: str, history: History, limits: Limits) -> None:
        self._name = name
        self._history = history
        self._limits = limits
        self._members: dict[Client, None] = {}
        self._entering: dict[Client, list[ChatMessage]] = {}
        self._announcing: asyncio.TimerHandle | None = None
        self._is_crowded = False

    @property
    def members(self) -> list[str | None]:
        """The names of those who are there, in the order in which they came."""
        return [member.name for member in self._members]

    @property
    def is_empty(self) -> bool:
        """Whether nobody is there or on the way."""
        return not self._members and not self._entering

    async def enter(self, client: Client) -> None:
        """Tell a client what was said before and who is there, and the others that it came."""
        held = self._entering[client] = []
        messages: list[ChatMessage] = []
        problem: HistoryError | None = None
        try:
            if self._limits.history_messages:
                messages = await self._history.newest(
                    self._name, self._limits.history_messages, self._limits.history_bytes
                )
        except HistoryError as error:
            problem = error
        del self._entering[client]
        self._members[client] = None
        client.offer(frames.encode_history(messages))
        client.offer(self._presence())
        if problem is not None:
            client.offer(
                frames.encode_error(
                    "history_unavailable",
                    "What was said before cannot be shown, because the server cannot read it.",
                )
            )
        newest = messages[-1].offset if messages else 0
        for message in held:
            if message.offset > newest:
                client.offer(frames.encode_message(message))
        self._announce(frames.encode_join(client.name, utc_now(), len(self._members)), client)

    def leave(self, client: Client) -> None:
        """Forget a client, and tell the others."""
        self._entering.pop(client, None)
        if client not in self._members:
            return
        del self._members[client]
        self._announce(frames.encode_leave(client.name, utc_now(), len(self._members)))
        if not self._members and self._announcing is not None:
            self._announcing.cancel()
            self._announcing = None

    async def hear(self, client: Client, message: str | bytes) -> None:
        """Store what a client says; whoever is there is told it once it is stored."""
        try:
            draft = frames.parse(message)
            entry = Entry(client.name, draft.content, draft.timestamp or utc_now(), uuid4().hex)
            await self._history.append(self._name, entry)
        except FrameError as error:
            client.offer(frames.encode_error(error.code, error.message))
        except NotStored:
            client.offer(
                frames.encode_error(
                    "not_stored",
                    "The message was not delivered, because the server cannot store it; try later.",
                )
            )

    def publish(self, message: ChatMessage) -> None:
        """Tell everybody a message that is stored."""
        self._tell(frames.encode_message(message))
        for client, held in self._entering.items():
            held.append(message)
            if len(held) > self._limits.buffer_messages:
                held.clear()
                client.end(1013, "the history takes too long; come back later")

    def _tell(self, frame: str, *, but: Client | None = None) -> None:
        size = size_of(frame)  # once for all of them
        for member in self._members:
            if member is not but:
                member.offer(frame, size)

    def _announce(self, frame: str, newcomer: Client | None = None) -> None:
        """Tell the others who came or left.

        Where a thousand clients come back at once, a frame for each to each would be a million.
        """
        if self._is_crowded or len(self._members) > self._limits.announced_members:
            self._is_crowded = True
            self._announce_later()
        else:
            self._tell(frame, but=newcomer)

    def _announce_later(self) -> None:
        if self._announcing is None:
            delay = max(1.0, len(self._members) / PRESENCE_FRAMES_A_SECOND)
            loop = asyncio.get_running_loop()
            self._announcing = loop.call_later(delay, self._announce_presence)

    def _announce_presence(self) -> None:
        self._announcing = None
        self._is_crowded = len(self._members) > self._limits.announced_members
        self._tell(self._presence())

    def _presence(self) -> str:
        shown = islice(self._members, self._limits.announced_members)
        return frames.encode_presence([member.name for member in shown], len(self._members))
