"""What a chat needs of its source, which is a connection or a room of one."""

from __future__ import annotations

from typing import Any, Protocol

from sockstore.connection.connection import Connection
from sockstore.connection.subscription import Subscription, talks_of
from sockstore.machine.subscriptions import SubscriptionState
from sockstore.messages.log import MessageLog
from sockstore.protocols.outputs import Member
from sockstore.scope.subscription_provider import Source
from sockstore.stores import Readable, derived
from sockstore.ui.chat.backlog import Backlog, backlog_of
from sockstore.ui.chat.own_messages import signed_room
from sockstore.ui.chat.room_backlog import RoomBacklog

__all__ = ["ChatSource", "chat_of"]


class ChatSource(Protocol):
    """What the components of a chat need, whatever they were given.

    Attributes:
        source: The connection or the subscription itself.
        messages: Its messages.
        is_open: Whether a message that is sent now would leave at once.
        changes: Stores that change when a delivery mark, or what the source says, may have changed.
        members: The names of those who are in the room, None for one without a name; None where
            the messages say who is there.
        signed_room: What the ids of the user's messages are signed with, beside the message; None
            for messages without ids.
    """

    source: Source
    messages: MessageLog
    is_open: Readable[bool]
    changes: tuple[Readable[Any], ...]
    members: Readable[tuple[str | None, ...]] | None
    signed_room: str | None

    def backlog(self) -> Backlog:
        """Return what loads older messages, for one reader."""

    def problem(self) -> str | None:
        """Say why no messages come, if the server has said so; None otherwise."""


class _ConnectionChat:
    """A room that is a whole connection, in plain JSON."""

    def __init__(self, connection: Connection) -> None:
        self.source: Source = connection
        self.messages: MessageLog = connection.messages
        self.is_open: Readable[bool] = connection.connected
        self.changes: tuple[Readable[Any], ...] = (connection.state,)
        self.members: Readable[tuple[str | None, ...]] | None = None
        self.signed_room: str | None = None
        self._connection = connection

    def backlog(self) -> Backlog:
        return backlog_of(self._connection)

    def problem(self) -> str | None:
        return None


class _RoomChat:
    """A room that is one subscription of a connection."""

    def __init__(self, subscription: Subscription[Any]) -> None:
        protocol = talks_of(subscription).protocol
        self.source: Source = subscription
        self.messages: MessageLog = subscription.messages
        self.is_open: Readable[bool] = derived(subscription.state, _is_subscribed)
        self.changes: tuple[Readable[Any], ...] = (subscription.state,)
        self.members: Readable[tuple[str | None, ...]] | None = None
        if protocol.has_members:
            self.members = derived(subscription.members, _names)
        self.signed_room: str | None = signed_room(subscription)
        self._has_history = protocol.has_history
        self._subscription = subscription

    def backlog(self) -> Backlog:
        return RoomBacklog(self._subscription, can_load=self._has_history)

    def problem(self) -> str | None:
        state = self._subscription.state.value
        return state.error if state.phase in {"refused", "ended"} else None


def chat_of(source: Source) -> ChatSource:
    """Return a connection or a subscription as the components of a chat see it.

    Args:
        source: Either of them.

    Example:
        >>> from sockstore import WebSocketStore
        >>> chat_of(WebSocketStore("ws://localhost/chat/lobby")).is_open.value
        False
    """
    if isinstance(source, Connection):
        return _ConnectionChat(source)
    return _RoomChat(source)


def _is_subscribed(state: SubscriptionState) -> bool:
    return state.phase == "subscribed"


def _names(members: tuple[Member, ...]) -> tuple[str | None, ...]:
    return tuple(member.user for member in members)
