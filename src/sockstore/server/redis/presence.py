"""Presence in Redis: the members of each room, over all servers that share it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from itertools import islice
from secrets import token_hex
from typing import Any, Final, TypeAlias

from sockstore.base.checks import require_seconds
from sockstore.base.tasks import start_task
from sockstore.server.history.base import no_listener
from sockstore.server.redis.connecting import end, explain
from sockstore.server.redis.history import FEED_LENGTH, RedisHistory
from sockstore.server.redis.scripts import MEMBERS, SETTLE
from sockstore.server.rooms.presence import Change, Changed, Member

__all__ = ["RedisPresence"]

DEFAULT_LEASE = 15.0
LEASES_UNTIL_FORGOTTEN = 20
MOST_SETTLED_AT_ONCE = 100
MOST_RETIRED_NAMES = 64

_News: TypeAlias = tuple[int, Change, Member]
"""Number in the feed, what happened, and to whom."""

logger: Final = logging.getLogger("sockstore.server")


class _LocalRoom:
    """A room with clients of this server, or with changes that Redis may not know yet."""

    def __init__(self) -> None:
        # The clients of this server; `enter` and `leave` change it.
        self.own: dict[str, Member] = {}
        # All members, on all servers, in the order of arrival.
        self.shown: dict[str, Member] = {}
        # Clients of this server whose arrival or leaving Redis may not know yet.
        self.unsettled: dict[str, Member] = {}
        # Whether `shown` was read from Redis since the first client of this server came.
        self.is_loaded = False
        # The entries of the feed since each pending call of `_load`.
        self.news: dict[object, list[_News]] = {}
        # Held during a call of Redis, to keep the order.
        self.calling = asyncio.Lock()
        # How often such a call failed.
        self.failures = 0


class RedisPresence:
    """Keeps the members of the rooms in Redis, and a copy of the rooms that are used here.

    A server renews its lease every third of it; the members of a server whose lease has expired are
    not shown any more. A server that cannot reach Redis shows its own members.

    Redis is sent the present state of a room, one call after the other, until it has acknowledged
    it. After a loss of the connection it may be another Redis that has old members. So the server
    takes another name then, and entries under the old name are ignored.

    Args:
        history: Calls Redis, and follows its feed.
        lease: The seconds after which a silent server counts as gone.

    Raises:
        InvalidOption: If the lease cannot work.
    """

    def __init__(self, history: RedisHistory, *, lease: float = DEFAULT_LEASE) -> None:
        require_seconds("lease", lease)
        self._history = history
        self._lease = lease
        # The name of this server, and its names before the connection to Redis was lost.
        self._server = token_hex(8)
        self._retired: deque[str] = deque(maxlen=MOST_RETIRED_NAMES)
        # Set by `start`.
        self._changed: Changed = no_listener
        # By name; `enter` adds to it, `_settle` removes from it.
        self._rooms: dict[str, _LocalRoom] = {}
        # Renews the lease, from `open` to `aclose`.
        self._leases: asyncio.Task[None] | None = None
        # Those that `_start` began and that have not ended.
        self._tasks: set[asyncio.Task[None]] = set()
        # Whether a failure was logged; the next call that works clears it.
        self._was_failing = False
        history.follow(self._take_entry, self._out_of_sight)

    def start(self, changed: Changed) -> None:
        """Set the callable that receives each change, on this server or another; does no I/O."""
        self._changed = changed

    async def open(self) -> None:
        """Renew the lease of this server from now on."""
        if self._leases is None:
            self._leases = start_task(self._renew(), name="sockstore: presence")
        await self._tell_alive()

    async def enter(self, room: str, member: Member) -> None:
        """Add a client of this server to a room; return when `members` is right."""
        if self._leases is None:
            await self.open()
        local = self._rooms.setdefault(room, _LocalRoom())
        local.own[member.client] = local.shown[member.client] = member
        local.unsettled[member.client] = member
        await self._try(self._settle(room, local))
        if not local.is_loaded:
            await self._try(self._load(room, local))
        if local.own.get(member.client) is member:  # it may have left meanwhile
            self._changed(room, "join", member)

    def leave(self, room: str, member: Member) -> None:
        """Remove a client of this server from a room; never waits."""
        local = self._rooms.get(room)
        if local is None or local.own.pop(member.client, None) is None:
            return
        local.shown.pop(member.client, None)
        local.unsettled[member.client] = member
        if not local.own:  # the next client that comes reads it again
            local.shown.clear()
            local.is_loaded = False
        self._changed(room, "leave", member)
        self._start(self._settle(room, local))

    def members(self, room: str) -> Sequence[Member]:
        """Return the members of a room with a client of this server, in order of arrival."""
        local = self._rooms.get(room)
        return () if local is None else tuple(local.shown.values())

    async def aclose(self) -> None:
        """Remove the clients of this server, and stop renewing the lease."""
        leases, self._leases = self._leases, None
        if leases is not None:
            await end(leases)
        for room, local in list(self._rooms.items()):
            for member in list(local.own.values()):
                self.leave(room, member)
        while self._tasks:
            await asyncio.wait(self._tasks)
        if leases is not None:
            await self._try(self._history.delete(f"alive:{self._server}"))

    async def _settle(self, room: str, local: _LocalRoom) -> None:
        """Send Redis which clients of this server are there now, until it has acknowledged it."""
        failures = local.failures
        async with local.calling:
            # After a failure of another caller it is tried again later: a Redis that does not
            # answer must cost its timeout once, not once for each client.
            while local.unsettled and local.failures == failures:
                batch = dict(islice(local.unsettled.items(), MOST_SETTLED_AT_ONCE))
                words = [
                    word
                    for client, member in batch.items()
                    for word in (client, member.name or "", "1" if client in local.own else "0")
                ]
                for client in batch:
                    del local.unsettled[client]
                try:
                    await self._history.call(SETTLE, room, FEED_LENGTH, self._server, *words)
                except BaseException:
                    # Redis may have done it or not, so it is sent the state again later.
                    local.unsettled = {**batch, **local.unsettled}
                    local.failures += 1
                    raise
        if not local.own and not local.unsettled and self._rooms.get(room) is local:
            del self._rooms[room]

    async def _tell_alive(self) -> None:
        await self._try(self._history.set(f"alive:{self._server}", self._lease))
        seconds = self._lease * LEASES_UNTIL_FORGOTTEN
        await self._try(self._history.set(f"known:{self._server}", seconds))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            await self._tell_alive()
            await self._compare_all()

    async def _compare_all(self) -> None:
        for room, local in list(self._rooms.items()):
            await self._try(self._settle(room, local))
            if local.own:
                await self._try(self._load(room, local))

    async def _load(self, room: str, local: _LocalRoom) -> None:
        """Read the members of a room, report a difference, and correct what Redis has of ours."""
        waiting = object()
        local.news[waiting] = []
        try:
            number, *flat = await self._history.call(MEMBERS, room)
        finally:
            news = local.news.pop(waiting)
        if not local.own:
            return
        members, own_in_redis = self._read_members(local, flat)
        # Later entries of the feed have been taken already.
        for when, change, member in news:
            if when > number and change == "join":
                members[member.client] = member
            elif when > number:
                members.pop(member.client, None)
        members.update(local.own)
        for client in own_in_redis.keys() ^ local.own.keys():  # Redis lost it, or it left
            member = local.own.get(client) or own_in_redis[client]
            local.unsettled.setdefault(client, member)
        local.is_loaded = True
        has_changed = members.keys() != local.shown.keys()
        local.shown = members
        if has_changed:
            self._changed(room, "unknown", None)
        await self._settle(room, local)

    def _read_members(
        self, local: _LocalRoom, flat: Sequence[str]
    ) -> tuple[dict[str, Member], dict[str, Member]]:
        """Return the members in the order of arrival, and those of this server that Redis has."""
        arrivals, own = [], {}
        for server, client, kept in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
            order, _, name = kept.partition(" ")
            member = Member(client, name or None)
            if server == self._server:
                own[client] = member
            if client in local.own or server not in {self._server, *self._retired}:
                arrivals.append((int(order), member))
        arrivals.sort(key=lambda arrival: arrival[0])
        return {member.client: member for _, member in arrivals}, own

    def _take_entry(self, fields: Mapping[str, str]) -> None:
        """Apply an entry of the feed that another server made."""
        local = self._rooms.get(fields["room"])
        server = fields.get("server")
        if local is None or server in {None, self._server} or server in self._retired:
            return
        member = Member(fields["client"], fields["name"] or None)
        change: Change = "leave" if fields["kind"] == "leave" else "join"
        for news in local.news.values():
            news.append((int(fields["number"]), change, member))
        if not local.own or (change == "join") == (member.client in local.shown):
            return
        if change == "join":
            local.shown[member.client] = member
        else:
            del local.shown[member.client]
        self._changed(fields["room"], change, member)

    def _out_of_sight(self) -> None:
        if self._leases is not None:
            self._start(self._take_another_name())

    async def _take_another_name(self) -> None:
        """Register all members under a new name, and let the old name expire."""
        retired, self._server = self._server, token_hex(8)
        self._retired.append(retired)
        for local in self._rooms.values():
            local.unsettled = {**local.own, **local.unsettled}
        await self._tell_alive()
        for room, local in list(self._rooms.items()):
            await self._try(self._settle(room, local))
        # If a call fails, the key expires by itself.
        for kind in ("alive", "known"):
            await self._try(self._history.delete(f"{kind}:{retired}"))
        await self._compare_all()

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        task = start_task(self._try(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _try(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
            self._was_failing = False
        except Exception as error:  # noqa: BLE001 - our own members are still shown
            if not self._was_failing:
                self._was_failing = True
                logger.warning("the members of the rooms cannot be shared: %s", explain(error))
