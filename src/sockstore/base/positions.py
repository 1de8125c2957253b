"""Places in a room's log: where a message is, where a reader is, and what is missing between."""

from __future__ import annotations

from typing import Literal, TypeAlias

from sockstore.base.checks import require_count, require_instance
from sockstore.base.frozen import frozen

__all__ = ["Gap", "GapReason", "Position", "Publication"]

GapReason: TypeAlias = Literal["trimmed", "epoch", "forked", "unavailable", "reconnected"]
"""``trimmed``: the server keeps no more of the history; ``epoch``: the room's log is another one;
``forked``: the log went another way than the one that was seen, as after the restore of a backup;
``unavailable``: the server does not say why; ``reconnected``: nobody counts messages here."""


@frozen
class Position:
    """What a reader of a room has seen last.

    Args:
        offset: The offset of that message; 0 is before the first one.
        epoch: The log that the offset belongs to; empty if it does not matter.
        id: The id of that message; None if it is not known.

    Raises:
        InvalidOption: If a value cannot work.

    Example:
        >>> Position(41, "5f0c9a1b")
        Position(offset=41, epoch='5f0c9a1b', id=None)
    """

    offset: int
    epoch: str = ""
    id: str | None = None

    def __post_init__(self) -> None:
        require_count("offset", self.offset)
        require_instance("epoch", self.epoch, str, "text")


@frozen
class Publication:
    """What a session knows of a message beside its data.

    Args:
        offset: Its place in the room; None in a room that keeps no history.
        epoch: The log that the offset belongs to.
        id: What makes it one of a kind; None if the server does not say.
        sender: The name of the one who said it; None if it has none.
    """

    offset: int | None
    epoch: str = ""
    id: str | None = None
    sender: str | None = None

    @property
    def position(self) -> Position | None:
        """Where a reader is who has seen this message and no later one."""
        return None if self.offset is None else Position(self.offset, self.epoch, self.id)


@frozen
class Gap:
    """Messages that a reader will not get.

    Args:
        since: The offset of the last message before the hole; None if nobody knows.
        until: The offset of the last message in the hole; None if nobody knows. In another
            epoch than `since` if the reason is ``"epoch"``.
        reason: Why they are missing.

    Example:
        >>> Gap(5, 99, "trimmed").missed
        94
    """

    since: int | None
    until: int | None
    reason: GapReason

    @property
    def missed(self) -> int | None:
        """How many messages are missing; None if nobody knows."""
        if self.since is None or self.until is None or self.reason in {"epoch", "forked"}:
            return None
        return max(0, self.until - self.since)
