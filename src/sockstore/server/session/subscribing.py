"""Subscribe one session to rooms: read what it missed, of several rooms at once, and reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sockstore.base.tasks import start_task
from sockstore.server.asgi import size_of
from sockstore.server.client import Client
from sockstore.server.history.base import HistoryError, StoredMessage, continuous
from sockstore.server.limits import Limits
from sockstore.server.rooms.recovery import LastSeen, Recovery, decide_recovery
from sockstore.server.rooms.room import Room
from sockstore.server.session import replies
from sockstore.server.session.commands import Subscribe
from sockstore.server.session.membership import Membership
from sockstore.server.session.replies import NOT_NOW, ErrorReply

__all__ = ["Subscribing"]

MOST_AT_ONCE = 64
"""Rooms that are read together."""

MOST_REPLIES = 64 * 1024
"""Bytes; after more replies than this the client reads before it is sent the next ones."""

Put: TypeAlias = Callable[[str], None]
Flush: TypeAlias = Callable[[], None]


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


@dataclass(slots=True)
class _Opening:
    """A subscription that has no reply yet.

    Args:
        number: The number of its command.
        command: The command.
        room: The room, which was taken for it.
        result: What its reply says; `Subscribing._open` sets it.
    """

    number: int
    command: Subscribe
    room: Room
    result: _Reply | ErrorReply = NOT_NOW


class Subscribing:
    """Does the commands `subscribe` of one session.

    A client that comes back subscribes to all of its rooms at once. They are read together, because
    one after the other each would wait for the history.

    Args:
        client: The client.
        limits: The limits of the server.
        membership: The subscriptions of the session.
        put: Adds a reply to those that will be sent.
        flush: Sends these replies.
    """

    def __init__(
        self, client: Client, limits: Limits, membership: Membership, put: Put, flush: Flush
    ) -> None:
        self._client = client
        self._limits = limits
        self._membership = membership
        self._put = put
        self._flush = flush
        # Commands that `finish` will do, with their numbers, by the room's name; `collect` adds.
        self._collected: dict[str, tuple[int, Subscribe]] = {}

    async def collect(self, number: int, command: Subscribe) -> None:
        """Keep a command, to do it together with the next ones.

        Args:
            number: The command's number.
            command: The command.
        """
        try:
            name = self._membership.check(command.channel)
            if self._must_wait(name):
                await self.finish()
            self._membership.check_free(name)
        except ErrorReply as error:
            await self.finish()
            self._put(replies.encode_error(number, error))
        else:
            self._collected[name] = number, command

    def _must_wait(self, name: str) -> bool:
        """Whether the collected commands have to be done before the next one can be checked."""
        count = len(self._collected)
        return name in self._collected or count >= min(MOST_AT_ONCE, self._membership.free)

    async def finish(self) -> None:
        """Do the collected commands; each room tells the client all messages after its reply."""
        collected, self._collected = self._collected, {}
        if not collected or self._client.is_ending:
            return
        openings = [
            _Opening(number, command, self._membership.take(name))
            for name, (number, command) in collected.items()
        ]
        try:
            async with self._client.paging:
                await self._client.drained()
                await self._open_all(openings)
                await self._answer_all(openings)
        finally:
            for opening in openings:  # those that were not answered
                self._membership.give_back(opening.room)

    async def _open_all(self, openings: Sequence[_Opening]) -> None:
        size = self._limits.page_bytes // len(openings)
        if len(openings) == 1:
            await self._open(openings[0], size)
            return
        tasks = [start_task(self._open(opening, size)) for opening in openings]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)  # none may enter a room after it was given back
            raise

    async def _open(self, opening: _Opening, size: int) -> None:
        try:
            opening.result = await self._read(opening.room, opening.command, size)
            await self._membership.enter(opening.room)
        except HistoryError:
            opening.result = NOT_NOW

    async def _answer_all(self, openings: list[_Opening]) -> None:
        """Reply in the order of the commands; the client's buffer never gets all replies at once.

        Args:
            openings: Those that are answered are removed.
        """
        openings.reverse()  # the next one is the last one, which a list removes at once
        while openings and not self._client.is_ending:
            size = 0
            answered: list[tuple[_Opening, _Reply]] = []
            while openings and size <= MOST_REPLIES:
                opening = openings[-1]
                if isinstance(opening.result, ErrorReply):
                    text = replies.encode_error(opening.number, opening.result)
                    self._membership.give_back(opening.room)
                else:
                    text = replies.encode_reply(
                        opening.number, "subscribe", _to_result(opening.result)
                    )
                    answered.append((opening, opening.result))
                openings.pop()
                self._put(text)
                size += size_of(text)
            # In one step of the loop: whatever is published from now on comes after the replies.
            self._flush()
            for opening, reply in answered:
                self._membership.subscribe(opening.room, opening.command, reply.last_seen)
            await self._client.drained()

    async def _read(self, room: Room, command: Subscribe, size: int) -> _Reply:
        if not command.recover:
            page = await room.read_newest(1, 1)
            return _Reply(LastSeen.newest(page))
        count = self._limits.page_messages
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
