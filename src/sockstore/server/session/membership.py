"""Subscriptions of one session: subscribing, recovering, leaving; and its pushes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sockstore.server.admission import Denied, check_room
from sockstore.server.client import Client
from sockstore.server.history.base import StoredMessage, continuous
from sockstore.server.rooms.presence import Member
from sockstore.server.rooms.recovery import LastSeen, Recovery, decide_recovery
from sockstore.server.rooms.room import Room, Rooms
from sockstore.server.rooms.subscriber import Subscriber
from sockstore.server.session import replies
from sockstore.server.session.commands import Subscribe
from sockstore.server.session.replies import ErrorReply

__all__ = ["Membership", "SessionDialect"]

INSUFFICIENT_STATE = {
    "code": 2500,
    "reason": "the server cannot continue the room; subscribe again",
}

Answer: TypeAlias = Callable[[int, str, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class SessionDialect:
    """Builds the pushes of section 6 of PROTOCOL.md.

    Args:
        channel: The room's name as this client writes it, which may not be in Unicode's form NFC.
    """

    channel: str

    def message(self, message: StoredMessage) -> str:
        """Build the push of a message."""
        return replies.encode_push(self.channel, "pub", replies.to_publication(message))

    def page(self, messages: Sequence[StoredMessage]) -> list[str]:
        """Build the pushes of many messages, as one frame."""
        return ["\n".join(map(self.message, messages))]

    def join(self, member: Member, now: str, count: int) -> str:
        """Build the push that says who came."""
        del now, count
        return replies.encode_push(self.channel, "join", {"info": replies.to_client(member)})

    def leave(self, member: Member, now: str, count: int) -> str:
        """Build the push that says who left."""
        del now, count
        return replies.encode_push(self.channel, "leave", {"info": replies.to_client(member)})

    def presence(self, members: Sequence[Member], count: int) -> str | None:
        """Return None: session clients request presence with a command."""
        del members, count
        return None


@dataclass(frozen=True, slots=True)
class _Reply:
    """The reply to `subscribe`.

    Args:
        place: The offset of the reply, and the message there: the offset that the client asked from
            if all is recovered, otherwise the newest one.
        messages: The publications of the reply.
        recovery: The result of the recovery; None if the client did not ask for one.
    """

    place: LastSeen
    messages: tuple[StoredMessage, ...] = ()
    recovery: Recovery | None = None

    @property
    def last_seen(self) -> LastSeen:
        """The position of the subscriber after the reply (P24)."""
        if not self.messages:
            return self.place
        return LastSeen(self.place.epoch, self.messages[-1].offset, self.messages[-1].id)


class Membership:
    """The subscriptions of one session.

    Args:
        rooms: The rooms of the server.
        client: The client.
        only: The one room that it may subscribe to; None allows all.
        answer: Sends a reply before any later push.
    """

    def __init__(self, rooms: Rooms, client: Client, only: str | None, answer: Answer) -> None:
        self._rooms = rooms
        self._client = client
        self._only = only
        self._answer = answer
        self._member = Member(client.id, client.name)
        # By the room's name; `subscribe` adds to it, `_leave` removes from it.
        self._subscribed: dict[str, tuple[Room, Subscriber]] = {}

    def check(self, channel: str) -> str:
        """Return the name of the room that a channel names.

        Raises:
            ErrorReply: 102, if the name is not valid, or this connection has only another room.
        """
        try:
            name = check_room(channel)
        except Denied as refused:
            raise ErrorReply(102, refused.message) from None
        if self._only not in {None, name}:
            raise ErrorReply(
                102, f"This connection can use only its own room; connect elsewhere for {name}."
            )
        return name

    def check_subscribed(self, channel: str) -> str:
        """Return the name of the room that a channel names, if this session is subscribed to it.

        Raises:
            ErrorReply: 102 as `check`, and 103 if it is not subscribed.
        """
        name = self.check(channel)
        if name not in self._subscribed:
            raise ErrorReply(103, f"Subscribe to {name} first: only its subscribers may do this.")
        return name

    def members(self, channel: str) -> list[Member]:
        """Return the members of a room that this session is subscribed to.

        Raises:
            ErrorReply: As `check_subscribed`.
        """
        return list(self._rooms.presence.members(self.check_subscribed(channel)))

    async def subscribe(self, number: int, command: Subscribe) -> None:
        """Subscribe to a room, and reply; the room tells the client all later messages.

        Raises:
            ErrorReply: If the command cannot be done.
            HistoryUnavailable: If the history cannot be read.
        """
        name = self.check(command.channel)
        if name in self._subscribed:
            raise ErrorReply(105, f"This connection is already subscribed to {name}.")
        most = self._rooms.limits.subscriptions
        if len(self._subscribed) >= most:
            raise ErrorReply(106, f"A connection has at most {most} subscriptions.")
        room = self._rooms.take(name)
        try:
            reply = await self._read(room, command)
            await self._rooms.presence.enter(name, self._member)
        except BaseException:
            self._rooms.presence.leave(name, self._member)
            self._rooms.give_back(room)
            raise
        subscriber = Subscriber(
            self._client,
            self._member,
            SessionDialect(command.channel),
            reply.last_seen,
            lambda: self._be_dropped(command.channel, name),
            hears_members=command.join_leave,
        )
        self._subscribed[name] = room, subscriber
        # In one step of the loop: whatever is published from now on comes after the reply.
        self._answer(number, "subscribe", _to_result(reply))
        room.add(subscriber)

    def unsubscribe(self, channel: str) -> None:
        """Leave a room; if the session is not subscribed, nothing happens.

        Raises:
            ErrorReply: 102, as `check`.
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

    def _be_dropped(self, channel: str, name: str) -> None:
        """Leave a room that cannot continue for this client, and tell the client."""
        self._leave(name)
        self._client.offer(replies.encode_push(channel, "unsubscribe", INSUFFICIENT_STATE))

    async def _read(self, room: Room, command: Subscribe) -> _Reply:
        if not command.recover:
            page = await room.read_newest(1, 1)
            return _Reply(LastSeen.newest(page))
        limits = self._rooms.limits
        count, size = limits.page_messages, limits.page_bytes
        last_seen = LastSeen(command.epoch, command.offset, command.last)
        page = await room.read(last_seen.offset, count, size)
        recovery = decide_recovery(last_seen, page)
        if recovery == "epoch":
            page = await room.read(0, count, size)
        if recovery == "forked":
            page = await room.read_newest(1, 1)
            return _Reply(LastSeen.newest(page), recovery=recovery)
        first = page.messages[0].offset if page.messages else page.top + 1
        messages = tuple(continuous(first - 1, page.messages))
        if recovery == "recovered":
            return _Reply(
                LastSeen(page.epoch, last_seen.offset, page.id_before), messages, recovery
            )
        newest = page.id_before if page.top == last_seen.offset else None
        return _Reply(LastSeen(page.epoch, page.top, newest), messages, recovery)


def _to_result(reply: _Reply) -> dict[str, Any]:
    place, recovery = reply.place, reply.recovery
    has_last = place.id is not None and not reply.messages
    data = {"last": place.id} if has_last else {}
    result: dict[str, Any] = {
        "epoch": place.epoch,
        "offset": place.offset,
        "recoverable": True,
        "positioned": True,
        "publications": list(map(replies.to_publication, reply.messages)),
        "data": data,
    }
    if recovery is not None:
        result["was_recovering"], result["recovered"] = True, recovery == "recovered"
        if recovery != "recovered":
            data["reason"] = str(recovery)
    return result
