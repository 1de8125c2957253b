"""Who is in each room: what a server asks of it, and the answer for one server by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from sockstore.server.history.base import no_listener

__all__ = ["Change", "Changed", "LocalPresence", "Member", "Presence"]


@dataclass(frozen=True, slots=True)
class Member:
    """One client that is in a room.

    Args:
        client: The name of its connection, unique.
        name: What it calls itself; None if it has not said.
    """

    client: str
    name: str | None


Change: TypeAlias = Literal["join", "leave", "unknown"]

Changed: TypeAlias = Callable[[str, Change, Member | None], None]
"""``(room, change, member)``: is told after `Presence.members` shows it. ``"unknown"`` comes with
None: other members than before may be there, and nobody can tell which came and which left."""


class Presence(Protocol):
    """Who is in each room, over all servers that share the rooms."""

    def start(self, changed: Changed) -> None:
        """Say who is told when somebody comes or leaves, here or elsewhere; does no I/O."""

    async def enter(self, room: str, member: Member) -> None:
        """Note that a client of this server is in a room; return when `members` is right.

        It never fails: a server that is cut off from the others knows its own members.
        """

    def leave(self, room: str, member: Member) -> None:
        """Note that a client of this server is not there any more; never waits."""

    def members(self, room: str) -> Sequence[Member]:
        """Return who is in a room that a client of this server is in, in order of arrival."""

    async def open(self) -> None:
        """Open what must be open; `enter` does so by itself."""

    async def aclose(self) -> None:
        """Forget the clients of this server, and close."""


class LocalPresence:
    """The members of the rooms of one server."""

    def __init__(self) -> None:
        self._rooms: dict[str, dict[str, Member]] = {}
        self._changed: Changed = no_listener

    def start(self, changed: Changed) -> None:
        """Say who is told when somebody comes or leaves; does no I/O."""
        self._changed = changed

    async def enter(self, room: str, member: Member) -> None:
        """Note that a client is in a room."""
        self._rooms.setdefault(room, {})[member.client] = member
        self._changed(room, "join", member)

    def leave(self, room: str, member: Member) -> None:
        """Note that a client is not there any more."""
        members = self._rooms.get(room, {})
        if members.pop(member.client, None) is None:
            return
        if not members:
            del self._rooms[room]
        self._changed(room, "leave", member)

    def members(self, room: str) -> Sequence[Member]:
        """Return who is in a room, in order of arrival."""
        return tuple(self._rooms.get(room, {}).values())

    async def open(self) -> None:
        """Nothing has to be opened."""

    async def aclose(self) -> None:
        """Nothing has to be closed."""
