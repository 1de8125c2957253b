"""Do the commands of a session that need neither its token nor the order of its messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never
from uuid import uuid4

from sockstore.server.client import Client
from sockstore.server.history.base import Entry, Page
from sockstore.server.rooms.room import Rooms
from sockstore.server.session import replies
from sockstore.server.session.commands import (
    Command,
    Connect,
    Disregarded,
    History,
    Ping,
    PresenceCommand,
    PresenceStats,
    Publish,
    Refresh,
    Send,
    SubRefresh,
    Subscribe,
    Unsubscribe,
)
from sockstore.server.session.membership import Membership
from sockstore.server.session.replies import ErrorReply

__all__ = ["Requests"]

MOST_MESSAGES = 100
MOST_MEMBERS = 100


class Requests:
    """Does the commands of one session.

    Args:
        rooms: The rooms of the server.
        client: The client.
        membership: The subscriptions of the session.
    """

    def __init__(self, rooms: Rooms, client: Client, membership: Membership) -> None:
        self._rooms = rooms
        self._client = client
        self._membership = membership

    async def do(self, command: Command) -> tuple[str, Mapping[str, Any]]:
        """Do a command.

        Args:
            command: Any command but `Connect`, `Refresh`, `Send` and `Subscribe`.

        Returns:
            The name of the command, and the result for its reply.

        Raises:
            ErrorReply: If the command cannot be done.
            HistoryError: If the history fails.
        """
        match command:
            case Unsubscribe(channel=channel):
                self._membership.unsubscribe(channel)
                return "unsubscribe", {}
            case Publish():
                await self._publish(command)
                return "publish", {}
            case History():
                await self._client.drained()
                return "history", await self._history(command)
            case PresenceCommand(channel=channel):
                shown = self._membership.members(channel)[:MOST_MEMBERS]
                members = {member.client: replies.to_client(member) for member in shown}
                return "presence", {"presence": members}
            case PresenceStats(channel=channel):
                present = self._membership.members(channel)
                users = {member.name for member in present}
                return "presence_stats", {"num_clients": len(present), "num_users": len(users)}
            case Ping():
                return "ping", {}
            case SubRefresh(channel=channel):
                self._membership.check_subscribed(channel)
                return "sub_refresh", {}
            case (
                Connect() | Refresh() | Send() | Subscribe() | Disregarded()
            ):  # pragma: no cover - the visitor does these
                raise AssertionError
            case _ as never:
                assert_never(never)

    async def _publish(self, command: Publish) -> None:
        room = self._membership.check(command.channel)
        entry = Entry(self._client.name, bytes(command.data).decode(), uuid4().hex)
        await self._rooms.history.append(room, [entry])

    async def _history(self, command: History) -> Mapping[str, Any]:
        room = self._membership.check(command.channel)
        limit = MOST_MESSAGES if command.limit < 0 else min(command.limit, MOST_MESSAGES)
        since = command.since
        page = await self._read(room, command, limit)
        if since is not None and (since.epoch not in {"", page.epoch} or since.offset > page.top):
            raise ErrorReply(112, "The position belongs to another log; ask without `since`.")
        messages = page.messages[::-1] if command.reverse else page.messages
        return {
            "publications": list(map(replies.to_publication, messages)),
            "epoch": page.epoch,
            "offset": page.top,
        }

    async def _read(self, room: str, command: History, limit: int) -> Page:
        history, size, since = self._rooms.history, self._rooms.limits.page_bytes, command.since
        if not limit:
            return await history.read(room, 0, 0, 0)
        if command.reverse:
            return await history.newest(room, limit, size, since.offset if since else None)
        return await history.read(room, since.offset if since else 0, limit, size)
