"""Streams that threads read: the connection's own, behind a lock, with waits that block."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from sockstore.base.errors import ConnectionEnded, InvalidOption
from sockstore.blocking.waiting import Bell, wait_until
from sockstore.messages import stream as streams
from sockstore.messages.message import Message

if TYPE_CHECKING:
    from sockstore.blocking.websocket import WebSocket

__all__ = ["Buffer", "CallbackBuffer", "MessageStream", "require_timeout"]

BufferT = TypeVar("BufferT", bound="Buffer")

PATIENCE: Final = 0.05
"""Seconds a burst waits for readers who were waiting for it: threads take turns, so one that keeps
up may still not have had its turn when the buffer is full."""


class Buffer(streams.MessageStream):
    """A stream that is filled on the loop's thread and read in others.

    Several threads may read it: each message goes to one of them.
    """

    __slots__ = ("_lock", "_news", "_patience", "_room", "on_news")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lock = threading.RLock()
        self._news = Bell()
        self._room = Bell()
        self._patience = PATIENCE
        self.on_news: Callable[[], None] = self._news.ring

    def push(self, message: Message) -> bool:
        """Take one message; readers have a thread of their own and need no turn of the loop."""
        if self._patience > 0 and len(self._waiting) >= self._limit + self._beyond:
            self._wait_for_room()
        with self._lock:
            super().push(message)
        self.on_news()
        return False

    def expect(self, count: int) -> None:
        """Make room for messages that come at once."""
        with self._lock:
            super().expect(count)

    def push_all(self, messages: Sequence[Message]) -> bool:
        """Take messages one by one: each may have to wait for room."""
        for message in messages:
            self.push(message)
        return False

    def push_gap(self, message: Message) -> None:
        """Take the news that messages are missing."""
        with self._lock:
            super().push_gap(message)
        self.on_news()

    def end(self, error: Exception | None) -> None:
        """There will be no further message."""
        with self._lock:
            super().end(error)
        self.on_news()

    def close(self) -> None:
        """Take no further messages; readers come to the end."""
        with self._lock:
            super().close()

    @property
    def has_ended(self) -> bool:
        """Whether no further message will come."""
        return self._ended

    @property
    def has_news(self) -> bool:
        """Whether a reader need not wait."""
        return bool(self._waiting or self._missed or self._ended)

    def take(self) -> Message | None:
        """Return the next message, or None if there is none yet.

        Raises:
            Lagged: If this reader fell behind.
            ConnectionEnded: If the connection failed.
            StopAsyncIteration: If it was closed.
        """
        with self._lock:
            if self._waiting:
                message = self._waiting.popleft()
                if self._beyond:
                    self._beyond -= 1
                if len(self._waiting) * 2 <= self._limit:
                    self._room.ring()
                return message
            # Who comes back for more keeps up.
            self._patience = PATIENCE
            if (ending := self._ending()) is not None:
                raise ending
            return None

    def wait(self, timeout: float | None) -> Message:
        """Wait for the next message, as `take` returns it.

        Raises:
            TimeoutError: If none came in time.
        """
        return wait_until(self._news, self.take, timeout)

    def _wait_for_room(self) -> None:
        begun = time.monotonic()
        try:
            wait_until(self._room, self._has_room, self._patience)
        except TimeoutError:
            self._patience = 0.0
        else:
            self._patience -= time.monotonic() - begun

    def _has_room(self) -> bool | None:
        return len(self._waiting) * 2 <= self._limit or None


class CallbackBuffer(Buffer):
    """A stream for a callback: it outlives the connection's lives."""

    __slots__ = ("is_detached",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.is_detached = False

    def end(self, error: Exception | None) -> None:
        """Nothing will come until the next life begins."""
        del error
        self.is_detached = True


class MessageStream:
    """A blocking iterator over messages, from the moment it is made.

    It survives reconnects, ends when the connection closes, and raises `ConnectionEnded` when it
    fails. Several threads may share one: each message goes to one of them. For each thread to get
    every message, give each a stream of its own.

    Args:
        websocket: Whose messages.
        buffer: What waits for the readers.
    """

    def __init__(self, websocket: WebSocket, buffer: Buffer) -> None:
        self._websocket = websocket
        self._buffer = buffer

    @property
    def lag(self) -> int:
        """How many messages wait for the reader."""
        return self._buffer.lag

    @property
    def dropped(self) -> int:
        """How many messages ``overflow="drop_oldest"`` dropped."""
        return self._buffer.dropped

    def recv(self, timeout: float | None = None) -> Message:
        """Wait for the next message.

        Args:
            timeout: Seconds to wait at most; None waits for ever.

        Returns:
            The message.

        Raises:
            TimeoutError: If none came in time.
            Lagged: If this reader fell behind; what follows is read on from here.
            ConnectionEnded: If the connection was closed or failed, and all was read.
            RuntimeError: If waiting would never end: before `connect`, or on the loop's thread.
        """
        try:
            return self._next(timeout)
        except StopAsyncIteration:
            raise ConnectionEnded(
                f"the connection is {self._websocket.phase}", close=self._websocket.state.close
            ) from None

    def close(self) -> None:
        """Take no further messages; who reads comes to the end."""
        self._buffer.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        """Wait for the next message, as `recv` does without a timeout."""
        try:
            return self._next(None)
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self, timeout: float | None) -> Message:
        require_timeout(timeout)
        message = self._buffer.take()
        if message is not None:
            return message
        self._websocket._check_may_wait("recv")
        return self._buffer.wait(timeout)


def require_timeout(timeout: float | None) -> None:
    """Refuse what is no number of seconds from 0 upwards, or None."""
    if timeout is not None and not timeout >= 0:
        raise InvalidOption("timeout", timeout, "give a number of seconds, or None")
