"""Who is in each room, over all servers that share a Redis."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from secrets import token_hex
from typing import Any

from sockstore.options import require_seconds
from sockstore.server.presence import Change, Changed, Member
from sockstore.server.redis.connecting import explain
from sockstore.server.redis.history import FEED_LENGTH, RedisHistory
from sockstore.server.redis.scripts import ENTER, LEAVE, MEMBERS

__all__ = ["RedisPresence"]

DEFAULT_LEASE = 15.0
LEASES_UNTIL_FORGOTTEN = 20

logger = logging.getLogger("sockstore.server")


class RedisPresence:
    """Keeps the members of the rooms in Redis, and a replica of the rooms that are used here.

    A server says every third of its lease that it is alive; the members of one that does not are
    not shown any more. Cut off from Redis a server shows its own members.

    Args:
        history: What leads to Redis, and brings the news of other servers.
        lease: Seconds after which a server that is silent counts as gone.

    Raises:
        InvalidOption: If the lease cannot work.
    """

    def __init__(self, history: RedisHistory, *, lease: float = DEFAULT_LEASE) -> None:
        require_seconds("lease", lease)
        self._history = history
        self._lease = lease
        self._server = token_hex(8)
        self._changed: Changed = _tell_nobody
        self._own: dict[str, dict[str, Member]] = {}
        self._shown: dict[str, dict[str, Member]] = {}
        self._leases: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._was_failing = False
        history.follow(self._heard, self._out_of_sight)

    def start(self, changed: Changed) -> None:
        """Say who is told when somebody comes or leaves, here or elsewhere; does no I/O."""
        self._changed = changed

    async def open(self) -> None:
        """Say that this server is alive, from now on."""
        await self._tell_alive()
        if self._leases is None:
            self._leases = asyncio.create_task(self._renew(), name="sockstore: presence")

    async def enter(self, room: str, member: Member) -> None:
        """Note that a client of this server is in a room; return when `members` is right."""
        if self._leases is None:
            await self.open()
        is_new = room not in self._shown
        self._own.setdefault(room, {})[member.client] = member
        self._shown.setdefault(room, {})[member.client] = member
        await self._try(self._register(room, member))
        if is_new:
            await self._try(self._load(room))
        if member.client in self._own.get(room, {}):
            self._changed(room, "join", member)

    def leave(self, room: str, member: Member) -> None:
        """Note that a client of this server is not there any more; never waits."""
        own = self._own.get(room, {})
        if own.pop(member.client, None) is None:
            return
        self._shown[room].pop(member.client, None)
        if not own:
            del self._own[room], self._shown[room]
        self._changed(room, "leave", member)
        self._start(
            self._history.call(
                LEAVE, room, FEED_LENGTH, self._server, member.client, member.name or ""
            )
        )

    def members(self, room: str) -> Sequence[Member]:
        """Return who is in a room that a client of this server is in, in order of arrival."""
        return tuple(self._shown.get(room, {}).values())

    async def aclose(self) -> None:
        """Forget the clients of this server."""
        leases, self._leases = self._leases, None
        if leases is not None:
            leases.cancel()
            await asyncio.wait([leases])
        for room, own in list(self._own.items()):
            for member in list(own.values()):
                self.leave(room, member)
        while self._tasks:
            await asyncio.wait(self._tasks)
        if leases is not None:
            await self._try(self._history.delete(f"alive:{self._server}"))

    async def _register(self, room: str, member: Member) -> None:
        await self._history.call(
            ENTER, room, FEED_LENGTH, self._server, member.client, member.name or ""
        )

    async def _tell_alive(self) -> None:
        await self._try(self._history.set(f"alive:{self._server}", self._lease))
        seconds = self._lease * LEASES_UNTIL_FORGOTTEN
        await self._try(self._history.set(f"known:{self._server}", seconds))

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            await self._tell_alive()
            for room in list(self._shown):
                await self._try(self._load(room))

    async def _load(self, room: str) -> None:
        """Read who is in a room, and tell if that is not what is shown."""
        flat = await self._history.call(MEMBERS, room)
        if room not in self._shown:
            return
        arrivals = []
        for client, kept in zip(flat[::2], flat[1::2], strict=True):
            order, _, name = kept.partition(" ")
            arrivals.append((int(order), Member(client, name or None)))
        found = {member.client: member for _, member in sorted(arrivals, key=lambda a: a[0])}
        missing = {c: m for c, m in self._own[room].items() if c not in found}
        for member in missing.values():  # Redis has forgotten them
            await self._register(room, member)
        if room in self._shown and {**found, **missing}.keys() != self._shown[room].keys():
            self._shown[room] = {**found, **missing, **self._own[room]}
            self._changed(room, "unknown", None)

    def _heard(self, fields: Mapping[str, str]) -> None:
        """Take the news of other servers."""
        shown = self._shown.get(fields["room"])
        if shown is None or fields.get("server") in {None, self._server}:
            return
        member = Member(fields["client"], fields["name"] or None)
        change: Change = "leave" if fields["kind"] == "leave" else "join"
        if (change == "join") == (member.client in shown):
            return
        if change == "join":
            shown[member.client] = member
        else:
            del shown[member.client]
        self._changed(fields["room"], change, member)

    def _out_of_sight(self) -> None:
        self._start(self._tell_alive())
        for room in list(self._shown):
            self._start(self._load(room))

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(self._try(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _try(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
            self._was_failing = False
        except Exception as error:  # noqa: BLE001 - who is here is known all the same
            if not self._was_failing:
                self._was_failing = True
                logger.warning("who is in the rooms cannot be shared: %s", explain(error))


def _tell_nobody(room: str, change: Change, member: Member | None) -> None:
    del room, change, member
