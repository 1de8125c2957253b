"""Client of the server: limits its messages, and buffers messages to it, up to a bound."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias
from uuid import uuid4

from sockstore.base.tasks import start_task
from sockstore.base.token_bucket import TokenBucket
from sockstore.server.asgi import Outgoing, Peer, PeerLeft, SharedMessage, size_of
from sockstore.server.limits import Limits

__all__ = ["Client", "Handle"]

UNSHARED: Final = (str, bytes)
"""What `Client.offer` wraps; to build a union at each call would take a third of its time."""

Handle: TypeAlias = Callable[[str | bytes], Awaitable[None]]


class Client:
    """An admitted client, until its connection ends.

    Other clients never wait for it. `offer` writes a message at once while the client reads what it
    is sent. Otherwise, and in a server that cannot write at once, the message waits in a buffer,
    and the client's own writer task sends it. A client whose buffer overflows is dropped (1013).

    Args:
        peer: The connection.
        limits: The limits on what it may do and cost.
        name: The name that it gave; None without one.
    """

    def __init__(self, peer: Peer, limits: Limits, name: str | None = None) -> None:
        self.name = name
        self.id: str = uuid4().hex
        # Held from a check of `drained` to the offer of a page: a client may be in many rooms, and
        # their pages together would overflow its buffer.
        self.paging: asyncio.Lock = asyncio.Lock()
        self._peer = peer
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._bucket = TokenBucket(limits.rate, limits.burst, self._loop.time())
        self._write_now = peer.write
        # Messages for the writer, and their bytes; `offer` adds, the writer removes.
        self._buffer: deque[SharedMessage] = deque()
        self._buffered_bytes = 0
        # Whether the writer still has a message to send, also the one that it is sending; `offer`
        # sets it, the writer clears it.
        self._is_behind = False
        # Set when the writer has something to do.
        self._wake = asyncio.Event()
        # Set when half of the buffer is free, or when the connection ends.
        self._drained = asyncio.Event()
        # The close code and reason; set by `end`, or when `run` ends.
        self._close: tuple[int, str] | None = None
        # Set by the writer when the peer has left.
        self._has_left = False
        # Aborts a client that does not take the close frame; set while `run` reads.
        self._deadline: asyncio.Timeout | None = None
        if peer.use_meter is not None:
            peer.use_meter(self._count_frame)

    @property
    def is_ending(self) -> bool:
        """Whether it is being closed; its later messages are ignored."""
        return self._close is not None

    def offer(self, message: Outgoing | str | bytes) -> None:
        """Send the client a message after all earlier ones; never waits.

        Args:
            message: Text, or bytes for a binary message; a `SharedMessage`, or several, if others
                get it, too.
        """
        if self._close is not None:
            return
        outgoing = SharedMessage(message) if isinstance(message, UNSHARED) else message
        if self._write_now is not None and not self._is_behind and self._write_now(outgoing):
            return
        self._is_behind = True
        for each in outgoing.messages:
            self._buffer.append(each)
            self._buffered_bytes += each.size
        self._wake.set()
        limits = self._limits
        if self._buffered_bytes > limits.buffer_bytes or len(self._buffer) > limits.buffer_messages:
            self._buffer.clear()
            self._buffered_bytes = 0
            self.end(1013, "the client reads too slowly")

    def end(self, code: int, reason: str) -> None:
        """Close the connection after all buffered messages; a second call changes nothing.

        Args:
            code: The close code.
            reason: The close reason, at most 123 UTF-8 bytes.
        """
        if self._close is not None:
            return
        self._close = (code, reason)
        self._wake.set()
        self._drained.set()
        # Without a deadline, a peer that does not read would delay the close frame without end.
        if self._deadline is not None:
            self._deadline.reschedule(self._loop.time() + self._limits.close_seconds)

    async def drained(self) -> bool:
        """Wait until less than half of the buffer is used; return False if the connection ends."""
        while self._is_listening and self._is_half_full():
            self._drained.clear()
            await self._drained.wait()
        return self._is_listening

    def take_token(self) -> bool:
        """Count one message; return False if the client may not send it."""
        return self._bucket.take(self._loop.time())

    def _count_frame(self) -> bool:
        """Count a frame that is not a message as one message."""
        if self._close is None and not self.take_token():
            self.end_throttled()
        return self._close is None

    def end_throttled(self) -> None:
        """Close the connection, because the client sends too many messages."""
        limits = self._limits
        self.end(
            4429, f"more than {limits.rate:g} messages a second (at most {limits.burst} at once)"
        )

    async def run(self, handle: Handle, *, counts_messages: bool = True) -> None:
        """Receive messages until the connection has ended.

        Args:
            handle: Awaited with every message that is within the limits.
            counts_messages: Whether to count each message; otherwise `handle` calls `take_token`.
        """
        writer = start_task(self._write())
        seconds_left = None if self._close is None else self._limits.close_seconds
        limit = self._limits.max_message_bytes  # a character has at most 4 bytes
        try:
            async with asyncio.timeout(seconds_left) as self._deadline:
                while (message := await self._peer.receive()) is not None:
                    if self._close is not None:
                        # Read no more until the close frame is sent.
                        await asyncio.wait([writer])
                    elif counts_messages and not self._bucket.take(self._loop.time()):
                        self.end_throttled()
                    elif 4 * len(message) > limit and size_of(message) > limit:
                        self.end(1009, f"larger than {limit} bytes")
                    else:
                        await handle(message)
                        if self._buffer:
                            await asyncio.sleep(0)  # let the writer run between many messages
        except TimeoutError:
            if self._deadline is None or not self._deadline.expired():
                raise
            self._peer.abort()
        finally:
            self._deadline = None
            self._close = self._close or (1000, "")
            writer.cancel()
            await asyncio.wait([writer])

    async def _write(self) -> None:
        """Send the buffered messages, and at the end the close frame."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._buffer:
                    outgoing = self._buffer.popleft()
                    self._buffered_bytes -= outgoing.size
                    await self._peer.send(outgoing.message)
                    if not self._is_half_full():
                        self._drained.set()
                self._is_behind = False
                if self._close is not None:
                    await self._peer.close(*self._close)
                    return
        except PeerLeft:
            # `receive` notices it too, unless its task waits in `drained`.
            self._has_left = True
            self._drained.set()

    @property
    def _is_listening(self) -> bool:
        return self._close is None and not self._has_left

    def _is_half_full(self) -> bool:
        limits = self._limits
        return (
            2 * self._buffered_bytes >= limits.buffer_bytes
            or 2 * len(self._buffer) >= limits.buffer_messages
        )
