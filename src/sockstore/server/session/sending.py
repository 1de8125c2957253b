"""Store the messages of one session: some at a time, once, and in the order they were sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from sockstore.server.client import Client
from sockstore.server.history.base import Entry, NotStored
from sockstore.server.rooms.room import Rooms
from sockstore.server.session import replies
from sockstore.server.session.commands import Send
from sockstore.server.session.order import SendOrder
from sockstore.server.session.replies import ErrorReply

__all__ = ["Sending"]

MOST_STORED_AT_ONCE = 64
"""Messages; bounds how long sending them to the subscribers keeps the event loop busy."""

NOT_STORED = ErrorReply(
    100, "The message was not stored; send it again, before later ones.", is_temporary=True
)
TOO_EARLY = ErrorReply(
    100,
    "An earlier message of this room was not stored; send that one again first.",
    is_temporary=True,
)
TOO_MANY_ROOMS = (3004, "messages of too many rooms could not be stored")

Put: TypeAlias = Callable[[str], None]
End: TypeAlias = Callable[[int, str], None]


class Sending:
    """Stores the messages of one session.

    Args:
        rooms: The rooms of the server.
        client: The client.
        put: Adds a reply to those that will be sent.
        end: Sends these replies, and closes the connection.
    """

    def __init__(self, rooms: Rooms, client: Client, put: Put, end: End) -> None:
        self._rooms = rooms
        self._client = client
        self._put = put
        self._end = end
        self._order = SendOrder(rooms.limits.subscriptions)
        # Messages of one room that `store` will store, with the numbers of their commands.
        self._unstored: list[tuple[int, Send]] = []

    async def collect(self, number: int, send: Send, now: float) -> None:
        """Keep a message, to store it together with the next ones for the same room.

        Args:
            number: The number of its command.
            send: The message; its channel is the checked name of a room.
            now: The time, as for `SendOrder.judge`.
        """
        unstored = self._unstored
        if unstored and (unstored[0][1].channel != send.channel or _is_full(unstored)):
            await self.store(now)
        turn = self._order.judge(send.channel, send.id, now)
        if turn == "early":
            self._put(replies.encode_error(number, TOO_EARLY))
        elif not self._client.is_ending:
            self._unstored.append((number, send))
            if turn == "again":
                await self.store(now)

    async def store(self, now: float) -> None:
        """Store the collected messages, all or none, and reply where they are.

        Args:
            now: The time, as for `SendOrder.judge`.
        """
        unstored, self._unstored = self._unstored, []
        if not unstored:
            return
        room = unstored[0][1].channel
        sender = self._client.name
        entries = [Entry(sender, bytes(send.data).decode(), send.id) for _, send in unstored]
        try:
            stored = await self._rooms.history.append(room, entries)
        except NotStored:
            self._refuse(room, unstored, now)
            return
        self._order.succeed(room)
        for (number, _), each in zip(unstored, stored, strict=True):
            data = {"offset": each.offset, "epoch": each.epoch, "duplicate": each.is_duplicate}
            self._put(replies.encode_reply(number, "rpc", {"data": data}))

    def _refuse(self, room: str, unstored: list[tuple[int, Send]], now: float) -> None:
        if not self._order.fail(room, unstored[0][1].id, now):
            self._end(*TOO_MANY_ROOMS)
            return
        for place, (number, _) in enumerate(unstored):
            self._put(replies.encode_error(number, TOO_EARLY if place else NOT_STORED))


def _is_full(unstored: list[tuple[int, Send]]) -> bool:
    return len(unstored) >= MOST_STORED_AT_ONCE
