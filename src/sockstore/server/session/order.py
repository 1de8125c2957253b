"""Order of the messages of one session: which of them wait for one that was not stored (P31)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["SECONDS_TO_TRY_AGAIN", "SendOrder", "Turn"]

SECONDS_TO_TRY_AGAIN = 20.0
"""How long a room waits for the message that was not stored; its sender may have given it up."""

Turn: TypeAlias = Literal["free", "again", "early"]
"""``free``: the message is stored with its neighbours. ``again``: it is the one that was not
stored, and is tried alone, so that a neighbour cannot make it fail. ``early``: it is refused."""


@dataclass(frozen=True, slots=True)
class _Failed:
    """A message that was not stored.

    Args:
        id: Its id.
        at: When it was tried last.
    """

    id: str
    at: float


class SendOrder:
    """The rooms in which a message of this session was not stored.

    A client may have sent more before it learns that a message was not stored. These are refused,
    because the message comes again, and belongs before them. A client that gave the message up
    never sends it again, so the room waits for some seconds only.

    Args:
        most: Rooms that may wait at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # By room, in the order of the last tries; `fail` adds to it, `succeed` removes from it.
        self._failed: dict[str, _Failed] = {}

    def judge(self, room: str, message_id: str, now: float) -> Turn:
        """Decide what happens to a message.

        Args:
            room: The room's name.
            message_id: The message's id.
            now: The time, in seconds; it stands still while the server is doing other commands of
                the client, behind which the message may have waited.
        """
        failed = self._failed.get(room)
        if failed is None or now - failed.at > SECONDS_TO_TRY_AGAIN:
            return "free"
        return "again" if failed.id == message_id else "early"

    def fail(self, room: str, message_id: str, now: float) -> bool:
        """Let later messages of a room wait; return False if too many rooms wait already.

        Args:
            room: The room's name.
            message_id: The id of the first message that was not stored.
            now: As for `judge`.
        """
        self._failed.pop(room, None)
        for name, failed in list(self._failed.items()):
            if now - failed.at <= SECONDS_TO_TRY_AGAIN:
                break
            del self._failed[name]
        if len(self._failed) >= self._most:
            return False
        self._failed[room] = _Failed(message_id, now)
        return True

    def succeed(self, room: str) -> None:
        """Take all messages of a room again."""
        self._failed.pop(room, None)
