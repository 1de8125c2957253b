"""Message streams that threads read, with waits that block."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from sockstore.base.errors import ConnectionEnded
from sockstore.base.records import Message
from sockstore.blocking.waiting import Bell, require_timeout, wait_until
from sockstore.messages import buffer as buffers

__all__ = ["Buffer", "CallbackBuffer", "MessageStream"]

logger: Final = logging.getLogger("sockstore")

PATIENCE: Final = 0.05
"""Seconds that messages wait in total for room in a full buffer: one thread runs at a time, so even
a fast reader may not have run yet."""


class Buffer(buffers.Buffer):
    """A buffer that is filled on the loop's thread and read in others.

    Several threads may read it: each message goes to one of them.
    """

    __slots__ = ("_lock", "_news", "_patience", "_room", "on_news")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lock = threading.RLock()
        # Rings after each message and at the end; readers wait for it.
        self._news = Bell()
        # Rings when a reader has emptied half of the buffer; `push` waits for it.
        self._room = Bell()
        # Seconds that `push` may still wait; reset by a reader that has read everything.
        self._patience = PATIENCE
        # Called after each message and at the end; a `MessageCallback` sets it.
        self.on_news: Callable[[], None] = self._news.ring

    def push(self, message: Message) -> bool:
        """Take one message; return False, because readers in threads need no turn of the loop."""
        if self._patience > 0 and len(self.waiting) >= self.limit + self.beyond:
            self._wait_for_room()
        with self._lock:
            super().push(message)
        self.on_news()
        return False

    def expect(self, count: int) -> None:
        """Make room for messages that come together."""
        with self._lock:
            super().expect(count)

    def push_all(self, messages: Sequence[Message]) -> bool:
        """Take messages one by one, as each may have to wait for room."""
        for message in messages:
            self.push(message)
        return False

    def push_gap(self, message: Message) -> None:
        """Take a gap, even above the limit."""
        with self._lock:
            super().push_gap(message)
        self.on_news()

    def end(self, error: Exception | None) -> None:
        """Take no further messages: the readers get waiting messages, then `error` or the end."""
        with self._lock:
            super().end(error)
        self.on_news()

    def close(self) -> None:
        """Take no further messages; waiting messages are dropped, and readers end."""
        with self._lock:
            super().close()

    @property
    def has_ended(self) -> bool:
        """Whether no further message will come."""
        return self._ended

    @property
    def has_news(self) -> bool:
        """Whether a reader need not wait."""
        return bool(self.waiting or self._missed or self._ended)

    def take(self) -> Message | None:
        """Return the next message, or None if there is none yet.

        Raises:
            Lagged: If this reader fell behind.
            ConnectionEnded: If the connection failed.
            StopAsyncIteration: If it was closed.
        """
        with self._lock:
            if self.waiting:
                message = self.waiting.popleft()
                if self.beyond:
                    self.beyond -= 1
                if len(self.waiting) * 2 <= self.limit:
                    self._room.ring()
                return message
            self._patience = PATIENCE  # this reader has read everything
            if (ending := self.ending()) is not None:
                raise ending
            return None

    def wait(self, timeout: float | None) -> Message:
        """Wait for the next message, as `take` returns it.

        Raises:
            TimeoutError: If none came in time.
        """
        return wait_until(self._news, self.take, timeout)

    def _wait_for_room(self) -> None:
        began = time.monotonic()
        try:
            wait_until(self._room, self._has_room, self._patience)
        except TimeoutError:
            self._patience = 0.0
        else:
            self._patience -= time.monotonic() - began

    def _has_room(self) -> bool | None:
        return len(self.waiting) * 2 <= self.limit or None


class CallbackBuffer(Buffer):
    """A buffer for a callback, which continues when the connection is connected again."""

    __slots__ = ("is_detached",)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Set by `end`, reset when the connection is connected again.
        self.is_detached: bool = False

    def end(self, error: Exception | None) -> None:
        """Expect no message until the connection is connected again."""
        del error
        self.is_detached = True

    def filter_failed(self, error: Exception) -> None:
        """Log the error, as one of the callback is logged, and go on with later messages."""
        logger.error("where= of on_message raised an exception", exc_info=error)


class MessageStream:
    """A blocking iterator over messages, from the moment it is made.

    It survives reconnects, ends when the connection closes, and raises `ConnectionEnded` when the
    connection fails. Several threads may share one: each message goes to one of them. For each
    thread to get every message, give each a stream of its own.

    Args:
        buffer: The messages that wait for the readers.
        check_may_wait: Raises if the method of that name may not wait here and now.
        why_over: Returns the error of `recv` once it has ended.
    """

    def __init__(
        self,
        buffer: Buffer,
        check_may_wait: Callable[[str], None],
        why_over: Callable[[], Exception],
    ) -> None:
        self._buffer = buffer
        self._check_may_wait = check_may_wait
        self._why_over = why_over
        self._is_closed = False  # set by `close`

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
            timeout: Seconds to wait at most; None sets no limit.

        Returns:
            The message.

        Raises:
            TimeoutError: If none came in time.
            Lagged: If this reader fell behind; the next call returns the next message.
            ConnectionEnded: If the connection was closed or failed, and everything was read.
            SubscriptionRefused: If the server refused or ended the subscription.
            RuntimeError: If it would never return: before `connect`, or on the loop's thread; or if
                the subscription was released.
        """
        try:
            return self._next(timeout)
        except StopAsyncIteration:
            if self._is_closed:
                raise ConnectionEnded("this stream was closed by close()") from None
            raise self._why_over() from None

    def close(self) -> None:
        """Take no further messages; waiting messages are dropped, and readers end."""
        self._is_closed = True
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
        self._check_may_wait("recv")
        return self._buffer.wait(timeout)
