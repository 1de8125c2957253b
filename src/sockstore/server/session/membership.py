"""Subscriptions of one session: which rooms it is in, and its pushes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sockstore.server.admission import Denied, check_room
from sockstore.server.client import Client
from sockstore.server.history.base import StoredMessage
from sockstore.server.rooms.presence import Member
from sockstore.server.rooms.recovery import LastSeen
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


_dialect_of = lru_cache(maxsize=1024)(SessionDialect)
"""Equal dialects are one object, which makes finding the frames of a subscriber faster."""


class Membership:
    """The subscriptions of one session.

    Args:
        rooms: The rooms of the server.
        client: The client.
        only: The one room that it may subscribe to; None allows all.
    """

    def __init__(self, rooms: Rooms, client: Client, only: str | None) -> None:
        self._rooms = rooms
        self._client = client
        self._only = only
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

    def check_free(self, channel: str) -> str:
        """Return the name of the room that a channel names, if this session may subscribe to it.

        Raises:
            ErrorReply: 102 as `check`; 105 if it is subscribed; 106 if it has too many rooms.
        """
        name = self.check(channel)
        if name in self._subscribed:
            raise ErrorReply(105, f"This connection is already subscribed to {name}.")
        if not self.free:
            most = self._rooms.limits.subscriptions
            raise ErrorReply(
                106,
                f"A connection has at most {most} subscriptions; unsubscribe from a room first.",
            )
        return name

    @property
    def free(self) -> int:
        """How many more rooms this session may subscribe to."""
        return self._rooms.limits.subscriptions - len(self._subscribed)

    def take(self, name: str) -> Room:
        """Return a room that is not subscribed yet, which stays until `give_back` or `leave_all`.

        Args:
            name: The room's name, of `check_free`.
        """
        return self._rooms.take(name)

    def give_back(self, room: Room) -> None:
        """Leave a room of `take` that cannot be subscribed."""
        self._rooms.presence.leave(room.name, self._member)
        self._rooms.give_back(room)

    async def enter(self, room: Room) -> None:
        """Become a member of a room of `take`."""
        await self._rooms.presence.enter(room.name, self._member)

    def subscribe(self, room: Room, command: Subscribe, last_seen: LastSeen) -> None:
        """Have the room send this client everything after a position.

        Args:
            room: A room of `take`, which this session has entered.
            command: The command that asks for it; it was answered.
            last_seen: The position.
        """
        name, channel = room.name, command.channel
        subscriber = Subscriber(
            self._client,
            self._member,
            _dialect_of(channel),
            last_seen,
            lambda: self._be_dropped(channel, name),
            hears_members=command.join_leave,
        )
        self._subscribed[name] = room, subscriber
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
