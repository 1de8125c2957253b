"""One room on one connection, and what its commands ask for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from sockstore.base.codecs import Unreadable
from sockstore.base.frozen import frozen
from sockstore.base.records import Publication
from sockstore.protocols.centrifuge.frames import JoinedOrLeft, Published, Unsubscribed
from sockstore.protocols.centrifuge.memory import RoomMemory, memory_of
from sockstore.protocols.centrifuge.pushes import Grant
from sockstore.protocols.outputs import Member, Received, WireSubscription

__all__ = [
    "Early",
    "Joining",
    "Leaving",
    "Listing",
    "Presence",
    "Renewing",
    "Room",
    "readable",
    "received_of",
]

Early: TypeAlias = Published | JoinedOrLeft | Unsubscribed
"""What may come before the answer to the subscription that it belongs to."""


class Presence:
    """Who is in one room.

    News may come before the list that was asked for: they wait, and are taken behind it. Whether
    the list knew of them already makes no difference, as the last word about a client decides.
    """

    __slots__ = ("_by_client", "_early")

    def __init__(self) -> None:
        # By the names of their connections, in the order in which they came.
        self._by_client: dict[str, Member] = {}
        # What came before the list, the last word about each client; None once it is there.
        self._early: dict[str, JoinedOrLeft] | None = {}

    def begin(self, members: Iterable[Member]) -> tuple[Member, ...]:
        """The list has come; return who is in the room."""
        self._by_client = {each.client: each for each in members}
        early, self._early = self._early or {}, None
        for news in early.values():
            self._note(news)
        return tuple(self._by_client.values())

    def hear(self, news: JoinedOrLeft) -> tuple[Member, ...] | None:
        """Somebody came or left; return who is in the room, or None if that changes nothing."""
        if self._early is not None:
            self._early[news.member.client] = news
            return None
        return tuple(self._by_client.values()) if self._note(news) else None

    def _note(self, news: JoinedOrLeft) -> bool:
        """Return whether this changes anything."""
        client = news.member.client
        if not news.has_joined:
            return self._by_client.pop(client, None) is not None
        is_known = self._by_client.get(client) == news.member
        self._by_client[client] = news.member
        return not is_known


class Room:
    """One room on one connection.

    Args:
        subscription: The subscription.
        channel: The name of the room.

    Attributes:
        phase: What is waited for: the program's token, the server's answer, or messages. All set by
            `Rooms`, as is the rest.
        grant: That the server has let us in: another one each time; None while we are not in.
        joining: What the answer to the subscription is for; an answer for another one is too late.
        token: The token for this room, as the program gave it last; None for none.
        is_second_token: Whether that one was asked for because the server refused the one before.
        has_left: Whether the room was left because the server said that we are in it.
        is_renewing: Whether the program was asked for a token to renew the subscription with.
        early: What came before the answer to the subscription.
        presence: Who is in the room; None if that was not asked for.
    """

    __slots__ = (
        "channel",
        "early",
        "grant",
        "has_left",
        "is_renewing",
        "is_second_token",
        "joining",
        "memory",
        "phase",
        "presence",
        "subscription",
        "token",
    )

    def __init__(self, subscription: WireSubscription, channel: str) -> None:
        self.subscription: WireSubscription = subscription
        self.channel: str = channel
        self.memory: RoomMemory = memory_of(subscription)
        self.phase: Literal["asking", "joining", "joined"] = "asking"
        self.grant: Grant | None = None
        self.joining: Joining | None = None
        self.token: str | None = None
        self.is_second_token: bool = False
        self.has_left: bool = False
        self.is_renewing: bool = False
        self.early: list[Early] = []
        self.presence: Presence | None = None


# What replies are for; each is equal only to itself.


class _Asked:
    """A command of a room.

    Args:
        room: The room.
    """

    __slots__ = ("room",)

    def __init__(self, room: Room) -> None:
        self.room: Room = room


class Joining(_Asked):
    """A command that asks for a room."""


class Listing(_Asked):
    """A command that asks who is in a room.

    Args:
        room: The room.
        presence: What takes the answer.
    """

    __slots__ = ("presence",)

    def __init__(self, room: Room, presence: Presence) -> None:
        super().__init__(room)
        self.presence: Presence = presence


class Renewing(_Asked):
    """A command that renews the token of a room."""

    __slots__ = ("grant",)

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self.grant: Grant | None = (
            room.grant
        )  # the answer counts only while we are in by the same one


@frozen
class Leaving:
    """A command that leaves a room."""

    channel: str


def readable(data: Any) -> Any:
    """Return data of the server's; its text if it cannot be decoded."""
    return data.text if isinstance(data, Unreadable) else data


def received_of(subscription: WireSubscription, said: Published, epoch: str) -> Received:
    """Return a message as readers get it; a payload that cannot be decoded is left to them."""
    place = Publication(said.offset, epoch, said.id, said.sender)
    return Received(said.data, subscription, place)
