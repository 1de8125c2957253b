"""Describe how far a reader of a room has read, and the gaps in what it got."""

from __future__ import annotations

from typing import Literal, TypeAlias

from sockstore.base.checks import require_count, require_instance
from sockstore.base.frozen import frozen

__all__ = ["RECONNECTED", "Gap", "GapReason", "Position"]

GapReason: TypeAlias = Literal[
    "trimmed", "epoch", "forked", "unavailable", "reconnected", "overflow"
]
"""``trimmed``: the server has deleted that part of the history; ``epoch``: the room's log was
replaced; ``forked``: the log differs from the one that was read, as after the restore of a backup;
``unavailable``: the server does not say why; ``reconnected``: messages are not counted here;
``overflow``: more came than is held back while a snapshot is loaded."""


@frozen
class Position:
    """How far a reader of a room has read.

    Args:
        offset: The offset of the last message; 0 is before the first one.
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
class Gap:
    """Messages that a reader will not get.

    Args:
        since: The offset of the last message before the gap; None if unknown.
        until: The offset of the last missing message; None if unknown. In another epoch than
            `since` if the reason is ``"epoch"``.
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
        """How many messages are missing; None if unknown."""
        if self.since is None or self.until is None or self.reason in {"epoch", "forked"}:
            return None
        return max(0, self.until - self.since)


RECONNECTED = Gap(None, None, "reconnected")
"""The gap after a reconnection where messages have no numbers."""
