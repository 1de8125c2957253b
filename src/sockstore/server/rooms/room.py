"""Room of the server: delivers each message to each subscriber once, in order, without a gap."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import islice
from time import time
from typing import Final

from sockstore.base.tasks import start_task
from sockstore.base.times import utc_time
from sockstore.server.asgi import Outgoing, SharedMessage
from sockstore.server.history.base import (
    History,
    HistoryError,
    Page,
    StoredMessage,
    continuous,
)
from sockstore.server.limits import Limits
from sockstore.server.rooms.presence import Change, Member, Presence
from sockstore.server.rooms.recovery import LastSeen, decide_recovery
from sockstore.server.rooms.subscriber import Dialect, SharedFrames, Subscriber

__all__ = ["Room", "Rooms"]

PRESENCE_FRAMES_A_SECOND = 1000
"""Presence frames that a crowded room sends in a second, to all of its clients together."""

logger: Final = logging.getLogger("sockstore.server")


class Room:
    """An ordered list of messages, and its subscribers.

    Each subscriber has a position. It is sent the message right after it at once. A subscriber that
    is further behind *catches up*: its own task reads the history, as fast as the client reads,
    until the client was sent the newest message that the room knows. So no message is lost that was
    published while the history was read, or that was not published here at all.

    Args:
        name: The room's name.
        history: Keeps its messages.
        presence: Knows its members.
        limits: The limits of the server.
    """

    def __init__(self, name: str, history: History, presence: Presence, limits: Limits) -> None:
        self.name = name
        # How many clients use the room; counted by `Rooms.take` and `Rooms.give_back`.
        self.users = 0
        self._history = history
        self._presence = presence
        self._limits = limits
        # In the order in which they came; `add` and `remove` change it.
        self._subscribers: dict[Subscriber, None] = {}
        # The log, and the newest message that the room knows; None before the first page is read.
        self._epoch: str | None = None
        self._newest: LastSeen | None = None
        # How often another log began; `_start_over` counts.
        self._restarts = 0
        # Reads messages that were not published here, and whether it has to (again);
        # `fetch_missed` sets both.
        self._fetching: asyncio.Task[None] | None = None
        self._must_fetch = False
        # Sends the next presence frame of a crowded room; set by `_announce_later`.
        self._announcing: asyncio.TimerHandle | None = None
        # From the first change in a crowded room to a presence frame in one that is not crowded.
        self._is_crowded = False

    @property
    def members(self) -> Sequence[Member]:
        """The members, in the order in which they came."""
        return self._presence.members(self.name)

    def close(self) -> None:
        """Stop the tasks and timers of the room, which is empty."""
        if self._fetching is not None:
            self._fetching.cancel()
        if self._announcing is not None:
            self._announcing.cancel()
            self._announcing = None

    async def read(self, after: int, count: int, max_bytes: int) -> Page:
        """Read as `History.read`, and note the state of the log.

        Raises:
            HistoryUnavailable: If it cannot be read.
        """
        return await self._noted(self._history.read(self.name, after, count, max_bytes))

    async def read_newest(self, count: int, max_bytes: int, before: int | None = None) -> Page:
        """Read as `History.newest`, and note the state of the log.

        Raises:
            HistoryUnavailable: If it cannot be read.
        """
        return await self._noted(self._history.newest(self.name, count, max_bytes, before))

    def add(self, subscriber: Subscriber) -> None:
        """Send a client everything after its position from now on."""
        self._subscribers[subscriber] = None
        last_seen = subscriber.last_seen
        if last_seen is not None and self._epoch not in {None, last_seen.epoch}:
            self._drop(subscriber)  # another log began since its position was read
        else:
            self._catch_up_if_behind(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Remove a client; a second call changes nothing."""
        self._subscribers.pop(subscriber, None)
        task, subscriber.catching_up = subscriber.catching_up, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def publish(self, messages: Sequence[StoredMessage], epoch: str) -> None:
        """Send all subscribers messages that are stored.

        Args:
            messages: The messages, at least one, by rising offset.
            epoch: The log that they belong to.
        """
        if self._epoch not in {None, epoch}:
            self.fetch_missed()
            return
        self._deliver_following(messages)
        if self._newest is not None and messages[-1].offset > self._newest.offset:
            self.fetch_missed()

    def fetch_missed(self) -> None:
        """Read the messages that were not published here."""
        self._must_fetch = True
        if self._fetching is None and self._newest is not None:
            self._fetching = start_task(self._fetch())

    def announce(self, change: Change, member: Member | None) -> None:
        """Send the others a frame that a member came or left.

        In a crowded room presence frames do it: a thousand clients that come back at once would
        cause a million frames.
        """
        count = len(self.members)
        if member is None or self._is_crowded or count > self._limits.announced_members:
            self._is_crowded = self._is_crowded or count > self._limits.announced_members
            self._announce_later()
            return
        now = utc_time(time())
        if change == "join":
            self._tell_members(lambda dialect: dialect.join(member, now, count), member.client)
        else:
            self._tell_members(lambda dialect: dialect.leave(member, now, count), member.client)

    def presence_frame(self, dialect: Dialect) -> str | None:
        """Build the frame that lists the members, if the dialect has one."""
        members = self.members
        shown = list(islice(members, self._limits.announced_members))
        return dialect.presence(shown, len(members))

    def _deliver_following(self, messages: Sequence[StoredMessage]) -> None:
        """Deliver those of the messages that follow the newest one without a hole."""
        newest = messages[0].offset - 1 if self._newest is None else self._newest.offset
        following = continuous(newest, (each for each in messages if each.offset > newest))
        if following:
            self._deliver(following)

    def _deliver(self, messages: Sequence[StoredMessage]) -> None:
        """Send the newest messages to all that wait for them; each frame is built once."""
        first, last = messages[0], messages[-1]
        self._newest = newest = LastSeen(self._epoch or "", last.offset, last.id)
        shared = SharedFrames(messages)
        # Most neighbours have the same dialect, and comparing is faster than hashing.
        dialect: Dialect | None = None
        frames: tuple[Outgoing, ...] = ()
        for subscriber in self._subscribers:
            if subscriber.catching_up is not None:
                continue
            last_seen = subscriber.last_seen
            if last_seen is not None and last_seen.offset + 1 != first.offset:
                self._catch_up_if_behind(subscriber)
                continue
            if subscriber.dialect is not dialect:
                dialect = subscriber.dialect
                frames = shared.of(dialect)
            for outgoing in frames:
                subscriber.client.offer(outgoing)
            subscriber.last_seen = newest

    async def _noted(self, reading: Awaitable[Page]) -> Page:
        """Read a page, and note the state of the log.

        The page's log must have the newest message that the room knew before; otherwise it is
        another log.
        """
        newest = self._newest
        page = await reading
        is_same = newest is None or newest.offset <= page.top
        if self._epoch is not None and (page.epoch != self._epoch or not is_same):
            self._start_over(page)
        self._epoch = page.epoch
        if self._newest is None:
            self._newest = LastSeen(page.epoch, page.top)
            if self._must_fetch:
                self.fetch_missed()
        return page

    def _start_over(self, page: Page) -> None:
        """Unsubscribe every client: the room's log was replaced."""
        logger.warning("the history of the room %r was replaced by another one", self.name)
        self._restarts += 1
        self._epoch = page.epoch
        self._newest = LastSeen(page.epoch, page.top)
        self._drop_all()

    def _drop_all(self) -> None:
        for subscriber in list(self._subscribers):
            self._drop(subscriber)

    def _drop(self, subscriber: Subscriber) -> None:
        if subscriber in self._subscribers:
            self.remove(subscriber)
            subscriber.dropped()

    async def _fetch(self) -> None:
        """Read what was stored since the newest message that the room knows."""
        try:
            while self._must_fetch:
                self._must_fetch = False
                await self._fetch_once()
        except HistoryError:
            # A client that comes back is sent what it missed once the history can be read.
            self._drop_all()
        except Exception:
            logger.exception("the room %r cannot read the messages that it missed", self.name)
            self._drop_all()
        finally:
            self._fetching = None

    async def _fetch_once(self) -> None:
        newest, restarts = self._newest, self._restarts
        assert newest is not None  # noqa: S101 - `fetch_missed` waits for the first page
        page = await self.read(newest.offset, self._limits.page_messages, self._limits.page_bytes)
        if self._restarts != restarts:
            return
        # Messages that were sent before any page was read have no epoch yet.
        if decide_recovery(replace(newest, epoch=page.epoch), page) == "forked":
            self._start_over(page)
            return
        if page.messages:
            self._deliver_following(page.messages)
        if self._newest is not None and self._newest.offset < page.top:
            # There is more than one page: each subscriber reads on at its own pace.
            self._newest = LastSeen(page.epoch, page.top)
            for subscriber in list(self._subscribers):
                self._catch_up_if_behind(subscriber)

    def _catch_up_if_behind(self, subscriber: Subscriber) -> None:
        if subscriber.catching_up is None and self._is_behind(subscriber):
            subscriber.catching_up = start_task(self._catch_up(subscriber))

    def _is_behind(self, subscriber: Subscriber) -> bool:
        last_seen, newest = subscriber.last_seen, self._newest
        return last_seen is not None and newest is not None and last_seen.offset < newest.offset

    async def _catch_up(self, subscriber: Subscriber) -> None:
        """Send a subscriber what it missed, up to the newest message."""
        try:
            is_kept = True
            while is_kept and self._must_go_on(subscriber):
                async with subscriber.client.paging:
                    if not await subscriber.client.drained():
                        return
                    is_kept = await self._catch_up_once(subscriber)
            if not is_kept:
                self._drop(subscriber)
        except HistoryError:
            self._drop(subscriber)
        except Exception:
            logger.exception("a client of the room %r cannot be told what it missed", self.name)
            self._drop(subscriber)
        finally:
            subscriber.catching_up = None

    def _must_go_on(self, subscriber: Subscriber) -> bool:
        # It may have left during an await whose cancellation was swallowed.
        return subscriber in self._subscribers and self._is_behind(subscriber)

    async def _catch_up_once(self, subscriber: Subscriber) -> bool:
        """Send a subscriber one page of what it missed; return False if that is not kept."""
        last_seen = subscriber.last_seen
        assert last_seen is not None  # noqa: S101 - a subscriber that is behind has a position
        page = await self.read(
            last_seen.offset, self._limits.page_messages, self._limits.page_bytes
        )
        if subscriber not in self._subscribers:
            return True
        messages = continuous(last_seen.offset, page.messages)
        if decide_recovery(last_seen, page) != "recovered" or not messages:
            return False
        for frame in subscriber.dialect.page(messages):
            subscriber.client.offer(frame)
        subscriber.last_seen = LastSeen(page.epoch, messages[-1].offset, messages[-1].id)
        return True

    def _announce_later(self) -> None:
        if self._announcing is None and self._subscribers:
            delay = max(1.0, len(self._subscribers) / PRESENCE_FRAMES_A_SECOND)
            loop = asyncio.get_running_loop()
            self._announcing = loop.call_later(delay, self._announce_presence)

    def _announce_presence(self) -> None:
        self._announcing = None
        self._is_crowded = len(self.members) > self._limits.announced_members
        self._tell_members(self.presence_frame)

    def _tell_members(
        self, build: Callable[[Dialect], str | None], without: str | None = None
    ) -> None:
        """Send a frame about the members; each dialect builds its frame once.

        Args:
            build: Returns the frame of a dialect, if the dialect has one.
            without: The id of a client that is not sent it.
        """
        frames: dict[Dialect, SharedMessage | None] = {}
        for subscriber in self._subscribers:
            if not subscriber.hears_members or subscriber.member.client == without:
                continue
            dialect = subscriber.dialect
            if dialect not in frames:
                frame = build(dialect)
                frames[dialect] = None if frame is None else SharedMessage(frame)
            if (outgoing := frames[dialect]) is not None:
                subscriber.client.offer(outgoing)


class Rooms:
    """The rooms that clients are in; an empty room is removed, and its history stays.

    Args:
        history: Keeps the messages; the caller opens and closes it.
        presence: Knows the members; the caller opens and closes it.
        limits: The limits of the server.
    """

    def __init__(self, history: History, presence: Presence, limits: Limits) -> None:
        self.history = history
        self.presence = presence
        self.limits = limits
        # By name; `take` and `give_back` change it.
        self._rooms: dict[str, Room] = {}
        history.start(self._published, self._lost_sight)
        presence.start(self._changed)

    @property
    def members(self) -> dict[str, list[str | None]]:
        """The names of the members of each room, in the order in which they came."""
        return {
            name: [member.name for member in room.members] for name, room in self._rooms.items()
        }

    def take(self, name: str) -> Room:
        """Return a room, which stays here until `give_back`.

        Args:
            name: The room's name, checked.
        """
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name, self.history, self.presence, self.limits)
        room.users += 1
        return room

    def give_back(self, room: Room) -> None:
        """Remove a room if no other client uses it."""
        room.users -= 1
        if not room.users:
            room.close()
            del self._rooms[room.name]

    def _published(self, name: str, messages: Sequence[StoredMessage], epoch: str) -> None:
        room = self._rooms.get(name)
        if room is not None:
            room.publish(messages, epoch)

    def _lost_sight(self) -> None:
        for room in self._rooms.values():
            room.fetch_missed()

    def _changed(self, name: str, change: Change, member: Member | None) -> None:
        room = self._rooms.get(name)
        if room is not None:
            room.announce(change, member)
