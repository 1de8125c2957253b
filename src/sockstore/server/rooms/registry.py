"""The rooms that somebody is in, and what a history and a presence tell them."""

from __future__ import annotations

from sockstore.server.history.base import History, StoredMessage
from sockstore.server.limits import Limits
from sockstore.server.rooms.presence import Change, Member, Presence
from sockstore.server.rooms.room import Room

__all__ = ["Rooms"]


class Rooms:
    """The rooms that somebody is in; an empty one is forgotten, its history stays.

    Args:
        history: Where messages are kept; the caller opens and closes it.
        presence: Who is in the rooms; the caller opens and closes it.
        limits: What clients may do and cost.
    """

    def __init__(self, history: History, presence: Presence, limits: Limits) -> None:
        self.history = history
        self.presence = presence
        self.limits = limits
        self._rooms: dict[str, Room] = {}
        history.start(self._published, self._lost_sight)
        presence.start(self._changed)

    @property
    def members(self) -> dict[str, list[str | None]]:
        """The names of those who are in each room, in the order in which they came."""
        return {
            name: [member.name for member in room.members] for name, room in self._rooms.items()
        }

    def take(self, name: str) -> Room:
        """Return a room, which stays until it is given back.

        Args:
            name: The room's name, checked.
        """
        room = self._rooms.get(name)
        if room is None:
            room = self._rooms[name] = Room(name, self.history, self.presence, self.limits)
        room.takers += 1
        return room

    def give_back(self, room: Room) -> None:
        """Forget a room if nobody else needs it."""
        room.takers -= 1
        if not room.takers:
            room.close()
            del self._rooms[room.name]

    def _published(self, name: str, message: StoredMessage, epoch: str) -> None:
        room = self._rooms.get(name)
        if room is not None:
            room.publish(message, epoch)

    def _lost_sight(self) -> None:
        for room in self._rooms.values():
            room.look()

    def _changed(self, name: str, change: Change, member: Member | None) -> None:
        room = self._rooms.get(name)
        if room is not None:
            room.announce(change, member)
