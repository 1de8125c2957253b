"""Hold what a server says before its connection is open, for ``on_open`` and for the rest."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias, TypeVar, cast

from sockstore.machine import events as fact
from sockstore.machine.events import Event
from sockstore.transports.base import SLICE_SECONDS, Transport

if TYPE_CHECKING:
    from sockstore.connection.receiver import Held, Receiver
    from sockstore.protocols.base import Ended, Missed, Received, Refused, Subscribed

__all__ = ["Inbox", "size_of"]

SubscriptionNews: TypeAlias = "Subscribed | Refused | Ended | Missed"

Waiting: TypeAlias = "Held | SubscriptionNews"

T = TypeVar("T", str, bytes)

MOST_HELD: Final = 4 * 2**20
RESUME_BELOW: Final = 2**20
"""Bytes that wait, above which reading pauses, and below which it goes on (OP2)."""


class Source(Protocol):
    """The link that an inbox belongs to."""

    number: int

    @property
    def transport(self) -> Transport:
        """The transport."""

    def tell(self, event: Event) -> object:
        """Tell the machine."""

    def not_delivered(self, items: Iterable[object]) -> object:
        """Let the protocol forget the messages among these."""


class Inbox:
    """What one transport brought and that is not delivered yet.

    ``on_open`` takes the first messages; what it leaves is delivered once the connection is open.

    Args:
        link: The reading of its transport is paused while too much waits. It is told what the
            server said of subscriptions behind messages that wait.

    Attributes:
        waiting: What waits with its sizes, oldest first; `put` adds.
        last_frame: The last frame that came, taken or not; set by those who fill the inbox.
        stage: ``"held"`` at first; ``"read"`` while an ``on_open`` may take messages, set by
            `Opening`; ``"left"`` while the rest is delivered, set by `leave`.
        awaits: What ``on_open`` waits for, in words; set by `waiting_for`.
    """

    __slots__ = ("_bytes", "_is_paused", "_link", "_transport", "_waiter", "awaits", "last_frame",
                 "stage", "waiting")  # fmt: skip

    def __init__(self, link: Source) -> None:
        self.waiting: Final[deque[tuple[Waiting, int]]] = deque()
        self.last_frame: str | bytes = ""
        self.stage: Literal["held", "read", "left"] = "held"
        self.awaits: str = ""
        self._link = link
        self._transport = link.transport
        self._bytes = 0  # of those that wait; changed with them
        self._is_paused = False  # set by `put`, reset by `_taken` and `close`
        # The future of the reader that waits for a message; set and reset by `wait`.
        self._waiter: asyncio.Future[None] | None = None

    def put(self, item: Waiting, size: int) -> bool:
        """Hold one more; return whether the slice should end now, because too much waits."""
        self.waiting.append((item, size))
        self._bytes += size
        self._wake()
        if self._bytes > MOST_HELD and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()
        return self._is_paused

    def put_beside(self, item: Held) -> None:
        """Hold one more that the last frame brought, or that it led to."""
        self.put(item, size_of(self.last_frame))

    def take(self) -> Held | None:
        """Remove and return the first message that belongs to no subscription; None if none."""
        for number, (item, size) in enumerate(self.waiting):
            if isinstance(item, str | bytes) or item.subscription is None:
                del self.waiting[number]
                self._taken(size)
                return item
        return None

    @property
    def is_asking(self) -> bool:
        """Whether ``on_open`` waits for something else than a message of this inbox."""
        return bool(self.awaits) and self._waiter is None

    async def wait(self) -> None:
        """Wait until another message is put, or the inbox is closed.

        Raises:
            RuntimeError: If another task waits already.
        """
        if self._waiter is not None:
            raise RuntimeError("another task waits in opening.receive() already")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            with self.waiting_for("a message of the server (opening.receive())"):
                await self._waiter
        finally:
            self._waiter = None

    @contextmanager
    def waiting_for(self, what: str) -> Iterator[None]:
        """Note what ``on_open`` waits for."""
        self.awaits = what
        try:
            yield
        finally:
            self.awaits = ""

    def deliver(self, receiver: Receiver) -> None:
        """Deliver what waits, until a slice is full or its receiver ends it."""
        until, is_over = monotonic() + SLICE_SECONDS, False
        while self.waiting and not is_over and monotonic() < until:
            item, size = self.waiting[0]
            if isinstance(item, str):
                is_over = receiver.texts(self._next(str, until))
            elif isinstance(item, bytes):
                is_over = receiver.binaries(self._next(bytes, until))
            else:
                self.waiting.popleft()
                self._taken(size)
                is_over = self._deliver(item, receiver)

    def _deliver(self, item: Received | SubscriptionNews, receiver: Receiver) -> bool:
        from sockstore.protocols.base import Received  # noqa: PLC0415 - not for a plain connection

        if isinstance(item, Received):
            return receiver.receive(item)
        self._link.tell(fact.ConversationSaid(self._link.number, (item,)))
        return False

    def leave(self) -> None:
        """The opening is over: what waits is delivered from now on, and nobody takes more."""
        self.stage = "left"
        self._wake()

    def close(self) -> None:
        """Drop what waits, and let the transport read on."""
        self._link.not_delivered([item for item, _ in self.waiting])
        self.waiting.clear()
        self._taken(self._bytes)
        self._wake()

    def _next(self, kind: type[T], until: float) -> Iterator[T]:
        while self.waiting and isinstance(self.waiting[0][0], kind) and monotonic() < until:
            item, size = self.waiting.popleft()
            self._taken(size)
            yield cast("T", item)

    def _taken(self, size: int) -> None:
        self._bytes -= size
        if self._is_paused and self._bytes < RESUME_BELOW:
            self._is_paused = False
            self._transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def size_of(frame: str | bytes) -> int:
    """Return the bytes of a frame."""
    return len(frame) if isinstance(frame, bytes) or frame.isascii() else len(frame.encode())
