"""Read the messages of one connection in independent asynchronous streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from sockstore.messages.buffer import Buffer

if TYPE_CHECKING:
    from sockstore.base.records import Message

__all__ = ["MessageStream"]


class MessageStream:
    """An asynchronous iterator over messages, from the moment it is made.

    It survives reconnects, ends when the connection closes, and raises `ConnectionEnded` when it
    fails. Cancelling a reader loses no message. Leaving the loop unsubscribes at once.

    Args:
        buffer: The messages that wait for the reader.
    """

    __slots__ = ("__weakref__", "_buffer")

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer

    @property
    def limit(self) -> int:
        """How many messages may wait for the reader."""
        return self._buffer.limit

    @property
    def lag(self) -> int:
        """How many messages wait for the reader."""
        return self._buffer.lag

    @property
    def dropped(self) -> int:
        """How many messages ``overflow="drop_oldest"`` dropped."""
        return self._buffer.dropped

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """Return the next message.

        Raises:
            Lagged: If this reader fell behind; reading continues with later messages.
            ConnectionEnded: If the connection failed.
            RuntimeError: If another task reads this stream already, or ``on_open`` would wait here
                for its own end.
        """
        buffer = self._buffer
        if buffer.waiter is not None:
            raise RuntimeError("another task reads this stream; give each task its own stream()")
        while not buffer.waiting:
            ending = buffer.ending()
            if ending is not None:
                del self, buffer  # a task keeps this error, and so this frame: as below
                raise ending
            if buffer.check_wait is not None:
                buffer.check_wait()
            buffer.waiter = asyncio.get_running_loop().create_future()
            try:
                await buffer.waiter
            except BaseException:
                buffer.waiter = None
                # The traceback keeps this frame: it must not keep the stream alive.
                del self, buffer
                raise
            buffer.waiter = None
        message = buffer.waiting.popleft()
        if buffer.beyond:
            buffer.beyond -= 1
        return message

    def close(self) -> None:
        """Take no further messages; waiting messages are dropped, and readers end."""
        self._buffer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
