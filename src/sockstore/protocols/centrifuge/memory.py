"""What is remembered of one room, over all connections: how far it has been read."""

from __future__ import annotations

from typing import Any

from sockstore.base.positions import Position
from sockstore.base.records import Publication
from sockstore.protocols.centrifuge.frames import Published
from sockstore.protocols.outputs import WireSubscription

__all__ = ["RoomMemory", "memory_of"]


class RoomMemory:
    """How far a room has been read; it is `WireSubscription.memory`.

    Args:
        since: What the program has read already; None for nothing.

    Attributes:
        before_gap: Where it had been read to before the last gap; None for nowhere. Set by `Rooms`.
        has_begun: Whether a reader may miss something: it has a position, or the server has let it
            in once. Set by `Rooms.granted`.
        troubled_at: When the server last broke its promise for this room; None for never. Set by
            `Rooms`.
    """

    # The place is in three fields, and not in a `Position`, because each message moves it.
    __slots__ = (
        "_is_before_gap", "before_gap", "epoch", "has_begun", "last", "offset", "troubled_at",
    )  # fmt: skip

    def __init__(self, since: Position | None) -> None:
        self.has_begun: bool = since is not None
        self.troubled_at: float | None = None
        self.before_gap: Position | None = None
        self.move_to(since)

    @property
    def position(self) -> Position | None:
        """The place of the last message; None in a room whose messages have no places."""
        if self.offset is None:
            return None
        last = self.last
        is_id = last is None or isinstance(last, str)
        return Position(self.offset, self.epoch, last if is_id else id_of(last))

    def move_to(self, position: Position | None) -> None:
        """Go on from another position."""
        self.offset: int | None = None if position is None else position.offset
        self.epoch: str = "" if position is None else position.epoch
        self.last: Any = None if position is None else position.id
        # Whether a gap was taken back, and so all behind it: set by `forget_gap`.
        self._is_before_gap = False

    def forget_gap(self) -> None:
        """Forget that the last gap was told, and all that follows it."""
        self.move_to(self.before_gap)
        self._is_before_gap = True

    def accept(self, said: Published) -> bool | None:
        """Return whether a message is new, and note it; None if it cannot follow the last one."""
        if said.offset is None or self.offset is None:
            return True
        if said.epoch and said.epoch != self.epoch:
            if self.epoch:
                return None
            self.epoch = said.epoch  # the room had no log before its first message
        if said.offset == self.offset + 1:
            self.offset, self.last = said.offset, said.id
            return True
        return False if said.offset <= self.offset else None

    def go_back(self, place: Publication) -> None:
        """Forget that this message was noted, and all that follow it."""
        if self.offset is None or place.offset is None or place.epoch != self.epoch:
            return
        if self._is_before_gap:
            return  # its offset may be below the gap's, in a log that was restored
        if place.offset <= self.offset:
            self.offset, self.last = place.offset - 1, None

    def what_is_wrong_with(self, said: Published) -> str:
        """Return why a message cannot follow the last one."""
        if said.epoch and said.epoch != self.epoch:
            return "the room's log is another one now"
        return f"the server left out messages before offset {said.offset}"


def id_of(pub: Any) -> str | None:
    """Return the id of a publication that was read in one step; None if it has none."""
    return None if pub.tags is None else pub.tags.id or None


def memory_of(subscription: WireSubscription) -> RoomMemory:
    """Return what is remembered of a room; it begins where the program says."""
    memory = subscription.memory
    if not isinstance(memory, RoomMemory):
        memory = subscription.memory = RoomMemory(subscription.since)
    return memory
