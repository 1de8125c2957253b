"""Buffer the messages that wait for each reader; a reader that fell behind gets `Lagged`."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Sequence
from threading import RLock
from typing import TYPE_CHECKING, Literal, TypeAlias
from weakref import ref

from sockstore.base.checks import require_callable, require_count, require_flag
from sockstore.base.errors import InvalidOption, Lagged

if TYPE_CHECKING:
    from sockstore.base.records import Message

__all__ = ["Buffer", "Overflow", "Readers"]

NO_BOUND = sys.maxsize

Overflow: TypeAlias = Literal["error", "drop_oldest"]


class Buffer:
    """The messages that wait for one reader; the log writes them, a stream reads them.

    Args:
        where: Which messages to take; None takes all.
        limit: Messages that may wait for the reader, at least 1.
        overflow: The action above that: ``"error"`` raises `Lagged`, ``"drop_oldest"`` counts.
        gaps: Whether to take gaps, where messages are missing.
        owner: The object that must live as long as the reader.

    Attributes:
        limit: Messages that may wait for the reader.
        owner: The object that lives as long as the reader.
        dropped: How many messages ``drop_oldest`` dropped; counted by `push`.
        waiting: The messages; the reader takes them from the left.
        waiter: The future of the reader that waits for one; set and reset by the reader.
        beyond: Messages that may wait above the limit; set by `expect`, reduced by each read.
        check_wait: Called before the reader waits, and may refuse that; set by who makes it.
    """

    __slots__ = (
        "__weakref__",
        "_end",
        "_ended",
        "_gaps",
        "_missed",
        "_overflow",
        "_where",
        "beyond",
        "check_wait",
        "dropped",
        "limit",
        "owner",
        "waiter",
        "waiting",
        "when_over",
    )

    def __init__(
        self,
        where: Callable[[Message], object] | None = None,
        limit: int = 256,
        overflow: Overflow = "error",
        *,
        gaps: bool = False,
        owner: object = None,
    ) -> None:
        require_count("limit", limit, least=1)
        if overflow not in ("error", "drop_oldest"):
            raise InvalidOption("overflow", overflow, "give 'error' or 'drop_oldest'")
        require_callable("where", where)
        require_flag("gaps", gaps)
        self._where = where
        self._overflow = overflow
        self._gaps = gaps
        self.waiting: deque[Message] = deque()
        self.waiter: asyncio.Future[None] | None = None
        # Messages lost since the buffer was full: `push` counts, `ending` reports and resets.
        self._missed = 0
        self.beyond: int = 0
        # Whether it has ended, and the error of the end: set by `end`.
        self._ended = False
        self._end: Exception | None = None
        # Called when it has ended: set by the log, if it wants to know.
        self.when_over: Callable[[], object] | None = None
        self.check_wait: Callable[[], None] | None = None
        self.limit: int = limit
        self.owner: object = owner
        self.dropped: int = 0

    @property
    def lag(self) -> int:
        """How many messages wait for the reader."""
        return len(self.waiting)

    # Called by the reader

    def ending(self) -> Exception | None:
        """Return the error for a reader that has read everything; None if it must wait."""
        if self._missed:
            missed, self._missed = self._missed, 0
            return Lagged(missed)
        if self._ended:
            return self._end or StopAsyncIteration()
        return None

    def close(self) -> None:
        """Take no further messages, and drop those that wait; the reader ends."""
        self.waiting.clear()
        self._missed = 0
        self.end(None)

    # Called by the log

    def begin_with(self, messages: Sequence[Message]) -> None:
        """Take messages from before this buffer was made, gaps included, even above `limit`."""
        for message in messages:
            if message.kind == "gap":
                self.push_gap(message)
            elif self._where is None or self._wants(message, self._where):
                self.waiting.append(message)

    def expect(self, count: int) -> None:
        """Make room for messages that come at once, unless the reader lags already."""
        if len(self.waiting) <= self.limit:
            self.beyond = count

    def push(self, message: Message) -> bool:
        """Take one message; return whether the reader should get a turn soon."""
        if self._ended or (self._where is not None and not self._wants(message, self._where)):
            return False
        if self._missed:
            self._missed += 1
            return False
        waiting = self.waiting
        if len(waiting) >= self.limit + self.beyond:
            if self._overflow == "error":
                self._missed = 1
                return False
            waiting.popleft()
            self.dropped += 1
        waiting.append(message)
        if self.waiter is None:
            return False
        if len(waiting) == 1:  # or the reader has been woken already
            self._wake()
        return len(waiting) * 2 >= self.limit

    def push_all(self, messages: Sequence[Message]) -> bool:
        """Take messages; return whether the reader should get a turn soon."""
        waiting = self.waiting
        is_simple = self._where is None and not (self._ended or self._missed)
        if not is_simple or len(waiting) + len(messages) > self.limit:
            wanted = [self.push(message) for message in messages]
            return any(wanted)
        waiting.extend(messages)
        if self.waiter is None:
            return False
        self._wake()
        return len(waiting) * 2 >= self.limit

    def push_gap(self, message: Message) -> None:
        """Take a gap, even above the limit."""
        if self._gaps and not self._ended:
            self.waiting.append(message)
            self._wake()

    def end(self, error: Exception | None) -> None:
        """Take no further messages: the reader gets waiting messages, then `error` or the end."""
        if not self._ended:
            self._ended = True
            self._end = error
            self._wake()
            if self.when_over is not None:
                self.when_over()

    def filter_failed(self, error: Exception) -> None:
        """End with an error of the reader's own filter."""
        self.end(error)

    def _wants(self, message: Message, where: Callable[[Message], object]) -> bool:
        try:
            return bool(where(message))
        except Exception as error:  # noqa: BLE001 - the reader's own filter: the reader is told
            self.filter_failed(error)
            return False

    def _wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Readers:
    """The buffers of one log's readers, for as long as they are referenced.

    New messages are collected for a moment, because many at once cost a buffer little more than
    one.

    Attributes:
        buffers: References to the buffers; set by `_set`.
        fresh: Messages that the buffers were not given yet; the writer adds, `tell` empties it.
        most: Messages that may be collected without making a fast reader lag; set by `_set`.
    """

    __slots__ = ("_lock", "buffers", "fresh", "most")

    def __init__(self) -> None:
        self.buffers: tuple[ref[Buffer], ...] = ()
        self.fresh: list[Message] = []
        self.most: int = NO_BOUND
        # A buffer is forgotten in whichever thread drops it.
        self._lock = RLock()

    def add(self, buffer: Buffer) -> None:
        """Tell a reader of every message from now on."""
        self.tell()
        with self._lock:
            self._set((*self.buffers, ref(buffer, self._forget)))

    def tell(self) -> bool:
        """Give the fresh messages to all; return whether a reader should get a turn soon."""
        if not self.fresh:
            return False
        messages = tuple(self.fresh)
        self.fresh.clear()
        wanted = [buffer.push_all(messages) for buffer in self._held()]
        return any(wanted)

    def expect(self, count: int) -> None:
        """Make room in all buffers for so many messages at once."""
        self.tell()
        for buffer in self._held():
            buffer.expect(count)

    def tell_gap(self, message: Message) -> None:
        """Tell those that ask for it that messages are missing here."""
        self.tell()
        for buffer in self._held():
            buffer.push_gap(message)

    def end(self, error: Exception | None, owner: object) -> None:
        """End the streams of one owner, or all if it is None."""
        self.tell()
        buffers = [buffer for buffer in self._held() if owner is None or buffer.owner is owner]
        if owner is None:
            with self._lock:
                self._set(())
        for buffer in buffers:
            buffer.end(error)

    def _held(self) -> list[Buffer]:
        buffers = (reference() for reference in self.buffers)
        return [buffer for buffer in buffers if buffer is not None]

    def _forget(self, reference: ref[Buffer]) -> None:
        with self._lock:
            self._set(tuple(other for other in self.buffers if other is not reference))

    def _set(self, buffers: tuple[ref[Buffer], ...]) -> None:
        self.buffers = buffers
        self.most = min((max(1, buffer.limit // 2) for buffer in self._held()), default=NO_BOUND)
