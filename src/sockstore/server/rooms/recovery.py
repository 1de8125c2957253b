"""Whether a client that comes back can be given all that it missed: decided, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sockstore.server.history.base import Page, StoredMessage

__all__ = ["Recovery", "Seen", "decide_recovery"]

Recovery: TypeAlias = Literal["recovered", "trimmed", "epoch", "forked"]
"""``recovered``: the page begins with what was missed. ``trimmed``: older messages were deleted.
``epoch``: the log is another one. ``forked``: the log is not the one that the client saw."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw last.

    Args:
        epoch: The log; empty if it does not say, as Centrifugo reads it.
        offset: The offset of the last message that it saw; 0 is before the first one.
        last: The id of that message, if the client says it.
    """

    epoch: str
    offset: int
    last: str | None = None

    @classmethod
    def message(cls, epoch: str, message: StoredMessage) -> Seen:
        """Return the position of a client that was told a message last."""
        return cls(epoch, message.offset, message.id)

    @classmethod
    def newest(cls, page: Page) -> Seen:
        """Return the position at the end of a log, from a page of its newest messages."""
        return cls(page.epoch, page.top, page.messages[-1].id if page.messages else None)


def decide_recovery(seen: Seen, page: Page) -> Recovery:
    """Decide whether a page continues what a client saw (P25 to P27).

    Args:
        seen: What the client saw last.
        page: What was read behind `seen.offset`.
    """
    if seen.epoch and seen.epoch != page.epoch:
        return "epoch"
    if seen.offset > page.top:
        return "forked"
    if seen.last is not None and page.id_before not in {None, seen.last}:
        return "forked"
    # Without the message that the client saw nobody can tell whether this is the log it saw.
    is_known = seen.last is None or page.id_before is not None
    following = page.messages[0].offset if page.messages else page.top + 1
    return "recovered" if is_known and following == seen.offset + 1 else "trimmed"
