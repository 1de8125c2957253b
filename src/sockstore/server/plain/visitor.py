"""Serve a client of plain JSON in its room, and build the frames that it receives."""

from __future__ import annotations

from collections.abc import Sequence
from time import time
from uuid import uuid4

from msgspec import UNSET

from sockstore.base.times import utc_time
from sockstore.server.client import Client
from sockstore.server.history.base import Entry, HistoryError, NotStored, Page, StoredMessage
from sockstore.server.plain import frames
from sockstore.server.plain.frames import Draft, ErrorCode, FrameError, HistoryRequest
from sockstore.server.rooms.presence import Member
from sockstore.server.rooms.recovery import LastSeen
from sockstore.server.rooms.room import Rooms
from sockstore.server.rooms.subscriber import Dialect, Subscriber

__all__ = ["PlainVisitor"]

RESUMING = (1012, "the server cannot continue the room; connect again for its history")


class _Plain:
    """Builds the frames of section 3 of PROTOCOL.md."""

    def message(self, message: StoredMessage) -> str:
        return frames.encode(frames.to_chat_message(message))

    def page(self, messages: Sequence[StoredMessage]) -> list[str]:
        return [self.message(message) for message in messages]

    def join(self, member: Member, now: str, count: int) -> str:
        return frames.encode(frames.Join(member.name, now, count))

    def leave(self, member: Member, now: str, count: int) -> str:
        return frames.encode(frames.Leave(member.name, now, count))

    def presence(self, members: Sequence[Member], count: int) -> str | None:
        return frames.encode(frames.Presence([member.name for member in members], count))


PLAIN: Dialect = _Plain()


class PlainVisitor:
    """One client of plain JSON in one room.

    Args:
        rooms: The rooms of the server.
        name: The room's name, checked.
        client: The client; it was accepted.
    """

    def __init__(self, rooms: Rooms, name: str, client: Client) -> None:
        self._rooms = rooms
        # Used until `leave`.
        self._room = rooms.take(name)
        self._client = client
        self._member = Member(client.id, client.name)
        self._subscriber = Subscriber(
            client, self._member, PLAIN, None, lambda: client.end(*RESUMING)
        )

    async def run(self) -> None:
        """Serve the client until its connection has ended."""
        try:
            await self.enter()
            await self._client.run(self.hear)
        finally:
            self.leave()

    async def enter(self) -> None:
        """Tell the client the history and the members, and the others that it came."""
        client, room = self._client, self._room
        page = await self._read_on_entry()
        await self._rooms.presence.enter(room.name, self._member)
        shown = page.messages if page and self._rooms.limits.history_messages else []
        client.offer(_history(page, shown))
        client.offer(room.presence_frame(PLAIN) or "")
        if page is None:
            self._fail(
                "history_unavailable",
                "Older messages cannot be shown, because the server cannot read them.",
            )
        else:
            self._subscriber.last_seen = LastSeen.newest(page)
        room.add(self._subscriber)

    def leave(self) -> None:
        """Take the client out of the room, and tell the others."""
        self._room.remove(self._subscriber)
        self._rooms.presence.leave(self._room.name, self._member)
        self._rooms.give_back(self._room)

    async def hear(self, message: str | bytes) -> None:
        """Store the message of the client, or answer its request."""
        try:
            match frames.parse(message):
                case Draft() as draft:
                    await self._store(draft)
                case HistoryRequest() as request:
                    await self._give_history(request)
        except FrameError as error:
            self._fail(error.code, error.message)

    async def _store(self, draft: Draft) -> None:
        """Store a message; the room tells its subscribers once it is stored."""
        entry = Entry(self._client.name, frames.to_data(draft, utc_time(time())), uuid4().hex)
        try:
            await self._rooms.history.append(self._room.name, [entry])
        except NotStored:
            self._fail(
                "not_stored",
                "The message was not delivered, because the server cannot store it; try later.",
            )

    async def _give_history(self, request: HistoryRequest) -> None:
        """Send the client one page, which is read when its buffer has room for it."""
        client, limits = self._client, self._rooms.limits
        if not await client.drained():
            return
        try:
            page = await self._room.read_newest(request.limit, limits.page_bytes, request.before)
        except HistoryError:
            self._fail(
                "history_unavailable",
                "Older messages cannot be shown now, because the server cannot read them.",
            )
            return
        # Messages of others may have filled the buffer meanwhile; only this client waits.
        if await client.drained():
            client.offer(_history(page, page.messages, request.before))

    def _fail(self, code: ErrorCode, message: str) -> None:
        self._client.offer(frames.encode(frames.Error(code, message)))

    async def _read_on_entry(self) -> Page | None:
        limits = self._rooms.limits
        # At least one is read, because its id later tells whether the log is still the same.
        count = max(1, limits.history_messages)
        try:
            return await self._room.read_newest(count, limits.history_bytes)
        except HistoryError:
            return None


def _history(page: Page | None, shown: Sequence[StoredMessage], before: int | None = None) -> str:
    """Build a history frame; its `more` is true if the history could not be read.

    Args:
        page: The page that was read; None if it could not be.
        shown: The messages to show of it.
        before: The offset that was asked for; None on entry.
    """
    if page is None:
        more = True
    else:
        end = page.top + 1 if before is None else min(before, page.top + 1)
        more = page.first < (shown[0].offset if shown else end)
    messages = list(map(frames.to_chat_message, shown))
    return frames.encode(frames.History(UNSET if before is None else before, messages, more))
