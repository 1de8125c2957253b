"""The rooms that one session is in: subscribing, coming back, leaving."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sockstore.server.admission import Refused, check_room
from sockstore.server.client import Client
from sockstore.server.history.base import StoredMessage, continuous
from sockstore.server.rooms.presence import Member
from sockstore.server.rooms.recovery import Recovery, Seen, decide_recovery
from sockstore.server.rooms.room import Room, Rooms
from sockstore.server.rooms.subscriber import Subscriber
from sockstore.server.session import replies
from sockstore.server.session.commands import Subscribe
from sockstore.server.session.replies import ErrorReply

__all__ = ["Membership", "SessionDialect"]

INSUFFICIENT_STATE = (2500, "the server lost sight of the room; subscribe again")

Answer: TypeAlias = Callable[[int, str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class SessionDialect:
    """Section 6 of PROTOCOL.md.

    Args:
        channel: The room, as this client writes it: names are compared in one form only.
    """

    channel: str

    def message(self, message: StoredMessage) -> str:
        """Build the push of a message."""
        return replies.encode_publication(self.channel, message)

    def page(self, messages: Sequence[StoredMessage]) -> list[str]:
        """Build the pushes of many messages, as one frame."""
        return ["\n".join(map(self.message, messages))]

    def join(self, member: Member, now: str, count: int) -> str:
        """Build the push that tells who came."""
        del now, count
        return replies.encode_join(self.channel, member)

    def leave(self, member: Member, now: str, count: int) -> str:
        """Build the push that tells who left."""
        del now, count
        return replies.encode_leave(self.channel, member)

    def presence(self, members: Sequence[Member], count: int) -> str | None:
        """Nothing: who wants to know asks."""
        del members, count
        return None


@dataclass(frozen=True, slots=True)
class _Answered:
    """What a subscriber is told at first.

    Args:
        place: The offset of the reply, and the message there: where it asked from if all is
            recovered, otherwise the newest.
        messages: The publications of the reply.
        recovery: What became of its coming back; None if it did not come back.
    """

    place: Seen
    messages: tuple[StoredMessage, ...] = ()
    recovery: Recovery | None = None

    @property
    def seen(self) -> Seen:
        """The position of the subscriber behind the reply (P24)."""
        if not self.messages:
            return self.place
        return Seen.message(self.place.epoch, self.messages[-1])


class Membership:
    """The rooms that one session is in.

    Args:
        rooms: The rooms of the server.
        client: The client.
        only: The one room that it may be in; None lets it be in any.
        answer: Sends a reply before anything else is pushed.
    """

    def __init__(self, rooms: Rooms, client: Client, only: str | None, answer: Answer) -> None:
        self._rooms = rooms
        self._client = client
        self._only = only
        self._answer = answer
        self._member = Member(client.id, client.name)
        self._subscribed: dict[str, tuple[Room, Subscriber]] = {}

    def check(self, channel: str) -> str:
        """Return the name of the room that a channel names.

        Raises:
            ErrorReply: 102, if there can be no such room, or this connection has another one.
        """
        try:
            name = check_room(channel)
        except Refused as refused:
            raise ErrorReply(102, refused.message) from None
        if self._only not in {None, name}:
            raise ErrorReply(
                102, f"This connection has its own room only; connect elsewhere for {name}."
            )
        return name

    def members(self, channel: str) -> list[Member]:
        """Return who is in a room that this session is in.

        Raises:
            ErrorReply: 102 as `check`, and 103 if it is not in the room.
        """
        name = self.check(channel)
        if name not in self._subscribed:
            raise ErrorReply(103, f"Subscribe to {name} first: its members are told to members.")
        return list(self._rooms.presence.members(name))

    async def subscribe(self, number: int, command: Subscribe) -> None:
        """Enter a room, reply, and from then on be told everything that is said there.

        Raises:
            ErrorReply: If it cannot be.
            HistoryUnavailable: If the history cannot be read.
        """
        name = self.check(command.channel)
        if name in self._subscribed:
            raise ErrorReply(105, f"This connection is subscribed to {name} already.")
        most = self._rooms.limits.subscriptions
        if len(self._subscribed) >= most:
            raise ErrorReply(106, f"A connection has at most {most} subscriptions.")
        room = self._rooms.take(name)
        try:
            answered = await self._read(room, command)
            await self._rooms.presence.enter(name, self._member)
        except BaseException:
            self._rooms.presence.leave(name, self._member)
            self._rooms.give_back(room)
            raise
        subscriber = Subscriber(
            self._client,
            self._member,
            SessionDialect(command.channel),
            answered.seen,
            lambda: self._lose(command.channel, name),
            hears_members=command.join_leave,
        )
        self._subscribed[name] = room, subscriber
        # In one step: whatever is published from now on comes behind the reply.
        self._answer(number, "subscribe", _to_result(answered))
        room.add(subscriber)

    def unsubscribe(self, channel: str) -> None:
        """Leave a room; nothing happens if it is not in it.

        Raises:
            ErrorReply: 102, if there can be no such room.
        """
        self._leave(self.check(channel))

    def leave_all(self) -> None:
        """Leave every room."""
        for name in list(self._subscribed):
            self._leave(name)

    def _leave(self, name: str) -> None:
        room, subscriber = self._subscribed.pop(name, (None, None))
        if room is not None and subscriber is not None:
            room.remove(subscriber)
            self._rooms.presence.leave(name, self._member)
            self._rooms.give_back(room)

    def _lose(self, channel: str, name: str) -> None:
        self._leave(name)
        self._client.offer(replies.encode_unsubscribe(channel, *INSUFFICIENT_STATE))

    async def _read(self, room: Room, command: Subscribe) -> _Answered:
        if not command.recover:
            page = await room.read_newest(1, 1)
            return _Answered(Seen.newest(page))
        limits = self._rooms.limits
        count, size = limits.page_messages, limits.page_bytes
        seen = Seen(command.epoch, command.offset, command.last)
        page = await room.read(seen.offset, count, size)
        recovery = decide_recovery(seen, page)
        if recovery == "epoch":
            page = await room.read(0, count, size)
        if recovery == "forked":
            page = await room.read_newest(1, 1)
            return _Answered(Seen.newest(page), recovery=recovery)
        first = page.messages[0].offset if page.messages else page.top + 1
        messages = tuple(continuous(first - 1, page.messages))
        if recovery == "recovered":
            return _Answered(Seen(page.epoch, seen.offset, page.id_before), messages, recovery)
        newest = page.id_before if page.top == seen.offset else None
        return _Answered(Seen(page.epoch, page.top, newest), messages, recovery)


def _to_result(answered: _Answered) -> dict[str, Any]:
    place, recovery = answered.place, answered.recovery
    has_last = place.last is not None and not answered.messages
    data = {"last": place.last} if has_last else {}
    result: dict[str, Any] = {
        "epoch": place.epoch,
        "offset": place.offset,
        "recoverable": True,
        "positioned": True,
        "publications": replies.to_publications(answered.messages),
        "data": data,
    }
    if recovery is not None:
        result["was_recovering"], result["recovered"] = True, recovery == "recovered"
        if recovery != "recovered":
            data["reason"] = str(recovery)
    return result
