"""A transport for tests, over a network in memory that can be up, down, silent or slow.

Both halves are in one process. No call reaches the other half directly: every event goes through a
pipe, in order, after the network's latency. Reads are cut as on a socket: one may bring the
handshake's answer and messages after it, a pong and no message, or a part of a message.
The messages of one call arrive together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from operator import length_hint
from typing import Any

from sockstore.base.close import Close
from sockstore.base.errors import HandshakeFailed
from sockstore.base.state import SocketInfo
from sockstore.transports.base import (
    HIGH_WATER,
    SLICE_SECONDS,
    Deliver,
    Listener,
    Target,
    TransportOptions,
)
from sockstore.transports.memory_peer import MemoryPeer
from sockstore.transports.pipes import (
    Accepted,
    Arrival,
    Backlog,
    CloseFrame,
    Frame,
    Ping,
    Pipe,
    Pong,
    frame_size,
    payload_size,
)

__all__ = ["Accepted", "MemoryNetwork", "MemoryPeer", "MemoryTransport", "Ping", "Pong"]

READ_BYTES = 16 * 2**10
"""Most bytes of one read; the native transport begins with as many."""

MOST_AT_ONCE = 64
"""Most messages of one delivery: one at first, then twice as many each time, as on a socket."""


@dataclass(eq=False)
class MemoryNetwork:
    """Creates memory transports, and passes each handshake to a server.

    Args:
        on_handshake: Called with the server's half of each attempt; it accepts, refuses, or
            leaves the client waiting.
        latency: Seconds that every event takes, one way.
        make_peer: Makes the server's half of an attempt; None for a `MemoryPeer`.
    """

    on_handshake: Callable[[Any], None]
    latency: float = 0.0
    make_peer: Callable[[MemoryTransport, Target], MemoryPeer] | None = None

    def __call__(self, listener: Listener, options: TransportOptions, /) -> MemoryTransport:
        """Return a transport that has not been opened."""
        return MemoryTransport(self, listener, options)


class MemoryTransport:
    """The client's half of one memory WebSocket."""

    heard = 0
    reading_paused = False  # set by `pause_reading`, reset by `resume_reading`

    def __init__(
        self, network: MemoryNetwork, listener: Listener, options: TransportOptions
    ) -> None:
        self._network = network
        self._listener = listener
        self._options = options
        self.backlog = Backlog()  # of what the peer wrote; taken by `take_slice`
        self._unread: deque[str | bytes] = deque()  # sent, and not read by the peer
        # Bytes of the first frame that earlier reads brought, and how many more this read brings;
        # set by `take_slice` and `_has_room_for`.
        self._read_of_first = 0
        self._room = 0
        # The messages that the listener is taking; set by `_take_messages`, emptied by `abort`.
        self._messages: list[Any] = []
        self._aborted = False  # set by `abort`
        self._writing_paused = False  # set by `send`, reset by `flush`
        self._ended = False  # set by `end`, and by `open` if it fails
        self._unread_arrivals: list[Callable[[], None]] = []  # while reading is paused, in order

    @property
    def buffered_amount(self) -> int:
        """Bytes that the peer has not read."""
        return sum(map(payload_size, self._unread))

    async def open(self, target: Target) -> None:
        """Wait for the server's decision.

        Raises:
            HandshakeFailed: If it refuses.
        """
        # These five are set here, since they need the loop and the target.
        self._loop = asyncio.get_running_loop()
        self.to_client = Pipe(self._loop, self._latency)
        self.to_server = Pipe(self._loop, self._latency)
        self.decision: asyncio.Future[SocketInfo] = self._loop.create_future()
        self._peer = (self._network.make_peer or MemoryPeer)(self, target)
        self.to_server.post(lambda: self._network.on_handshake(self._peer))
        try:
            await self.decision
        except BaseException:
            self._ended = True
            self._peer.end()
            self.to_client.close()
            self.to_server.close()
            raise

    def send(self, data: str | bytes) -> None:
        """Write one message."""
        if self._ended:
            return
        self._unread.append(data)
        if self._peer.reads:
            self.to_server.post(self.flush)
        elif self.buffered_amount > HIGH_WATER and not self._writing_paused:
            self._writing_paused = True
            self._listener.writing_paused()

    def ping(self, payload: bytes) -> None:
        """Write a ping."""
        if not self._ended:
            self.to_server.post(lambda: self._peer.pinged(payload))

    def pause_reading(self) -> None:
        """Bring no more messages until `resume_reading`."""
        self.reading_paused = True

    def resume_reading(self) -> None:
        """Bring messages again, from another turn on."""
        self.reading_paused = False
        while self._unread_arrivals:
            self.to_client.post_first(self._unread_arrivals.pop())

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""
        self.to_server.post(lambda: self._peer.close_received(Close(code, reason, clean=True)))

    def abort(self) -> None:
        """End it at once."""
        if self._ended:
            return
        self._aborted = True
        self._messages.clear()
        self.to_client.clear()
        self.to_client.post_first(lambda: self.end(Close(1006), "the connection was aborted"))

    # Called by the peer, in the client's turn

    def write(self, *frames: Frame) -> None:
        """Write frames of the server that arrive together."""
        self.backlog.add(frames)
        self.to_client.post(Arrival(self.read, deque(frames)))

    def refused(self, error: HandshakeFailed) -> None:
        """Let `open` raise: the server refused."""
        if not self.decision.done():
            self.decision.set_exception(error)

    def flush(self) -> None:
        """Let the peer read everything, unless it has stopped reading."""
        while self._unread and self._peer.reads:
            self._peer.message_received(self._unread.popleft())
        if self._writing_paused and not self._unread:
            self._writing_paused = False
            self.to_client.post(self._resume_writing)

    def broken(self) -> None:
        """The bytes have stopped; that is noticed once everything before was read."""
        if self.reading_paused:
            self._unread_arrivals.append(self.broken)
        else:
            self.end(Close(1006), "the connection broke without a close frame")

    def end(self, close: Close, why: str) -> None:
        """Report the end of the WebSocket and of the connection that carried it."""
        if self._ended:
            return
        self._ended = True
        self._listener.closed(close, why)
        self._peer.end()
        self.to_server.close()
        self.to_client.post_first(self._release)

    # The steps of a read; a test breaks a promise by replacing one

    def read(self, frames: deque[Frame]) -> None:
        """Read one slice; the rest takes another turn."""
        if self._ended or self.reading_paused:
            self._unread_arrivals.append(Arrival(self.read, frames))
            return
        self.heard += 1
        if isinstance(first := frames[0], Accepted):
            self.backlog.take(frames.popleft())
            self._opened(first.socket)
        else:
            self.take_slice(frames)
        if frames and not self._is_over:
            self.to_client.post_first(Arrival(self.read, frames))

    def take_slice(self, frames: deque[Frame]) -> None:
        """Take frames until one read is full, the receiver ends the slice, or it takes long."""
        deliver = self._listener.begin_slice()
        self._room, most, is_over = READ_BYTES, 1, False
        until = self._loop.time() + SLICE_SECONDS
        try:
            while frames and not (is_over or self._is_over):
                if not self._has_room_for(frames[0]):
                    break
                if self._is_message(frames[0]):
                    is_over = self._take_messages(frames, deliver, most)
                    is_over = is_over or self._loop.time() > until
                    most = min(2 * most, MOST_AT_ONCE)
                else:
                    self.backlog.take(frames[0])
                    is_over = self.take(frames.popleft(), deliver)
        finally:
            if deliver is not None:
                self._listener.end_slice()

    def take(self, frame: Frame, deliver: Deliver | None) -> bool:
        """Take a frame that is not a message to deliver; return whether the slice should end."""
        del deliver
        match frame:
            case str() | bytes():
                self._refuse_large_message()
            case Pong(payload=payload):
                self._listener.pong_received(payload)
            case Ping(payload=payload):
                self.to_server.post(lambda: self._peer.ponged(payload))
            case CloseFrame(close=close, why=why):
                self.end(close, why)
            case Accepted():
                raise AssertionError("a handshake is answered once")
        return False

    def _take_messages(self, frames: deque[Frame], deliver: Deliver | None, most: int) -> bool:
        """Deliver the first messages of one type together; return whether the slice should end."""
        kind = type(frames[0])
        messages: list[Any] = [frames.popleft()]
        self._messages = messages
        while (
            len(messages) < most
            and frames
            and type(frames[0]) is kind
            and self._is_message(frames[0])
            and self._has_room_for(frames[0])
        ):
            messages.append(frames.popleft())
        remaining, offered = iter(messages), tuple(messages)
        try:
            if deliver is None:
                messages.clear()
                return False
            return (deliver.texts if kind is str else deliver.binaries)(remaining)
        finally:
            left = length_hint(remaining)
            for message in offered[: len(offered) - left]:
                self.backlog.take(message)
            if left:  # they come again
                frames.extendleft(reversed(offered[-left:]))
                self._room += sum(map(frame_size, offered[-left:]))
                self._read_of_first = 0
            messages.clear()

    def _has_room_for(self, frame: Frame) -> bool:
        """Whether the rest of this read has the whole frame; its size counts as read, if so."""
        if self._room < 0:
            return False
        self._room -= frame_size(frame) - self._read_of_first
        if self._room < 0 and self._is_acceptable(frame):
            self._read_of_first = frame_size(frame) + self._room
            return False
        self._read_of_first = 0
        return True

    @property
    def _is_over(self) -> bool:
        return self._ended or self._aborted

    def _is_message(self, frame: Frame) -> bool:
        return isinstance(frame, str | bytes) and self._is_acceptable(frame)

    def _opened(self, socket: SocketInfo) -> None:
        if not self.decision.done():
            self.decision.set_result(socket)
            self._listener.opened(socket)

    def _is_acceptable(self, frame: Frame) -> bool:
        return payload_size(frame) <= self._options.max_message_bytes

    def _latency(self) -> float:
        return self._network.latency

    def _resume_writing(self) -> None:
        if not self._ended:
            self._listener.writing_resumed()

    def _release(self) -> None:
        self.to_client.close()
        self._listener.released()

    def _refuse_large_message(self) -> None:
        limit = self._options.max_message_bytes
        why = f"a message is larger than max_message_bytes={limit}"
        self._peer.closed = Close(1009)
        self.end(Close(1009), why)
