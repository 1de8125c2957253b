"""Remember the messages that a server has not acknowledged, over all connections.

Whoever may repeat a message under the same id loses none and stores none twice: what is not
acknowledged when a connection is lost is sent again by the next one, in its order, before all that
is new.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from os import urandom
from typing import Any, Protocol

__all__ = ["SentMessage", "SentMessages"]


class SentMessage(Protocol):
    """What is needed of a message; it is the ``entry`` that `Conversation.send` is given."""

    id: str
    """Its id; empty until it has one."""

    expires_at: float
    """When the program does not want it to be sent any more; infinite: never."""

    first_sent_at: float | None
    """When it was handed over first; set here."""


class SentMessages:
    """The messages that were handed over and are not acknowledged; a part of a protocol's memory.

    Args:
        new_id: Makes the id of a message.

    Attributes:
        new_id: Makes the id of a message.
        remembers: Seconds for which the server knows an id again; None if it knows none. Set by
            conversations.
    """

    __slots__ = ("_again", "_under_way", "new_id", "remembers")

    def __init__(self, new_id: Callable[[], str] = lambda: urandom(16).hex()) -> None:
        self.new_id: Callable[[], str] = new_id
        self.remembers: float | None = None
        # All of them, in the order in which they were handed over first: `add` adds.
        self._under_way: dict[Any, None] = {}
        # Those of them that no connection will answer, so that they are sent again: `lost` and
        # `send_again` add, `add` and `remove` take away.
        self._again: set[Any] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._under_way)

    # For conversations

    def send_again(self, entry: SentMessage) -> None:
        """The server could not take a message now; it leaves again when `may_send` allows it."""
        if entry in self._under_way:
            self._again.add(entry)

    # For the machine

    def add(self, entry: SentMessage, now: float) -> None:
        """Note that a message is handed over, for the first time or again."""
        if entry.first_sent_at is None:
            entry.first_sent_at = now
        self._under_way[entry] = None
        self._again.discard(entry)

    def remove(self, entry: SentMessage) -> bool:
        """The server acknowledged or refused a message; return whether it was one of them."""
        self._again.discard(entry)
        return self._under_way.pop(entry, self) is None

    def lost(self) -> None:
        """The connection is lost: it answers none of them any more."""
        self._again = set(self._under_way)

    @property
    def to_repeat(self) -> Iterator[Any]:
        """Those that have to be sent again, in their first order."""
        again = self._again
        return (each for each in self._under_way if each in again)

    @property
    def has_repeats(self) -> bool:
        """Whether anything has to be sent again."""
        return bool(self._again)

    @property
    def next_expiry(self) -> float:
        """When the first of those must not be sent again; infinite for never."""
        return min(map(self._expiry, self._again), default=math.inf)

    def take_expired(self, now: float) -> tuple[Any, ...]:
        """Remove and return those that must not be sent again: the server forgets ids (P36)."""
        if not self._again:
            return ()
        expired = tuple(each for each in self.to_repeat if self._expiry(each) <= now)
        for entry in expired:
            self.remove(entry)
        return expired

    def take_all(self) -> tuple[Any, ...]:
        """Remove and return all."""
        entries = tuple(self._under_way)
        self._under_way.clear()
        self._again.clear()
        return entries

    def _expiry(self, entry: SentMessage) -> float:
        remembers, sent_at = self.remembers, entry.first_sent_at
        if remembers is None or sent_at is None:
            return entry.expires_at
        return min(sent_at + remembers - min(600.0, remembers / 6), entry.expires_at)
