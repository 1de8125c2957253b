"""Presence: who is in each room; its interface, and the implementation for a single server."""

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
        client: The unique id of its connection.
        name: The name that it gave; None without one.
    """

    client: str
    name: str | None


Change: TypeAlias = Literal["join", "leave", "unknown"]

Changed: TypeAlias = Callable[[str, Change, Member | None], None]
"""``(room, change, member)``: called after `Presence.members` has changed. ``"unknown"`` comes with
None: the list is another one, and it is not known which members came and which left."""


class Presence(Protocol):
    """The members of each room, over all servers that share the rooms."""

    def start(self, changed: Changed) -> None:
        """Set the callable that receives each change, on this server or another; does no I/O."""

    async def enter(self, room: str, member: Member) -> None:
        """Add a client of this server to a room; return when `members` is right.

        It never fails: a server that cannot reach the others shows its own members.
        """

    def leave(self, room: str, member: Member) -> None:
        """Remove a client of this server from a room; never waits."""

    def members(self, room: str) -> Sequence[Member]:
        """Return the members of a room with a client of this server, in order of arrival."""

    async def open(self) -> None:
        """Open what has to be open; `enter` opens it too."""

    async def aclose(self) -> None:
        """Remove the clients of this server, and close."""


class LocalPresence:
    """The members of the rooms of a single server."""

    def __init__(self) -> None:
        # By room and by the client's id; `enter` and `leave` change it.
        self._rooms: dict[str, dict[str, Member]] = {}
        # Set by `start`.
        self._changed: Changed = no_listener

    def start(self, changed: Changed) -> None:
        """Set the callable that receives each change; does no I/O."""
        self._changed = changed

    async def enter(self, room: str, member: Member) -> None:
        """Add a client to a room."""
        self._rooms.setdefault(room, {})[member.client] = member
        self._changed(room, "join", member)

    def leave(self, room: str, member: Member) -> None:
        """Remove a client from a room."""
        members = self._rooms.get(room, {})
        if members.pop(member.client, None) is None:
            return
        if not members:
            del self._rooms[room]
        self._changed(room, "leave", member)

    def members(self, room: str) -> Sequence[Member]:
        """Return the members of a room, in order of arrival."""
        return tuple(self._rooms.get(room, {}).values())

    async def open(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""
