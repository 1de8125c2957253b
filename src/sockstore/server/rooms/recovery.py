"""Decide whether a client that comes back can be given everything that it missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sockstore.server.history.base import Page

__all__ = ["LastSeen", "Recovery", "decide_recovery"]

Recovery: TypeAlias = Literal["recovered", "trimmed", "epoch", "forked"]
"""``recovered``: the page begins with the first missed message. ``trimmed``: older messages were
deleted. ``epoch``: the log has another epoch. ``forked``: the log has the same epoch, but another
message where the client saw its last one."""


@dataclass(frozen=True, slots=True)
class LastSeen:
    """The last message that a client was sent.

    Args:
        epoch: The log; empty if the client does not say, which Centrifugo reads as any log.
        offset: The message's offset; 0 is before the first one.
        id: The message's id, if it is known.
    """

    epoch: str
    offset: int
    id: str | None = None

    @classmethod
    def newest(cls, page: Page) -> LastSeen:
        """Return the position at the end of a log, from a page of its newest messages."""
        return cls(page.epoch, page.top, page.messages[-1].id if page.messages else None)


def decide_recovery(last_seen: LastSeen, page: Page) -> Recovery:
    """Decide whether a page continues after the last message of a client (P25 to P27).

    Args:
        last_seen: The last message of the client.
        page: The page that was read after `last_seen.offset`.
    """
    if last_seen.epoch and last_seen.epoch != page.epoch:
        return "epoch"
    if last_seen.offset > page.top:
        return "forked"
    if last_seen.id is not None and page.id_before not in {None, last_seen.id}:
        return "forked"
    # Without the message that the client saw, the server cannot tell whether the log is the same.
    is_comparable = last_seen.id is None or page.id_before is not None
    following = page.messages[0].offset if page.messages else page.top + 1
    return "recovered" if is_comparable and following == last_seen.offset + 1 else "trimmed"
