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
from dataclasses import dataclass, field

from sockstore.base.close import Close
from sockstore.base.errors import HandshakeFailed
from sockstore.base.state import SocketInfo
from sockstore.base.urls import redact_url
from sockstore.transports.answers import LONGEST_BODY, Answer
from sockstore.transports.base import (
    HIGH_WATER,
    Deliver,
    Listener,
    Target,
    TransportOptions,
    deliver_one,
)
from sockstore.transports.pipes import (
    Accepted,
    Arrival,
    CloseFrame,
    Frame,
    Ping,
    Pipe,
    Pong,
    payload_size,
)
from sockstore.transports.words import refusal

__all__ = ["Accepted", "MemoryNetwork", "MemoryPeer", "MemoryTransport", "Ping", "Pong"]

READ_BYTES = 16 * 2**10
"""Most bytes of one read; the native transport begins with as many."""

HEADER_BYTES = 2
"""Fewest bytes of a frame before its payload (RFC 6455 section 5.2)."""


@dataclass(eq=False)
class MemoryNetwork:
    """Creates memory transports, and passes each handshake to a server.

    Args:
        on_handshake: Called with the server's half of each attempt; it accepts, refuses, or
            leaves the client waiting.
        latency: Seconds that every event takes, one way.
    """

    on_handshake: Callable[[MemoryPeer], None]
    latency: float = 0.0

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
        self._unread: deque[str | bytes] = deque()  # sent, and not read by the peer
        self._read_of_first = 0  # bytes of the first frame that earlier reads brought; by `read`
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
        self._peer = MemoryPeer(self, target)
        self.to_server.post(lambda: self._network.on_handshake(self._peer))
        try:
            await self.decision
        except BaseException:
            self._ended = True
            self._peer.is_open = False
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
        self.to_client.clear()
        self.to_client.post_first(lambda: self.end(Close(1006), "the connection was aborted"))

    # Called by the peer, in the client's turn

    def write(self, *frames: Frame) -> None:
        """Write frames of the server that arrive together."""
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
        self._peer.is_open = False
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
            frames.popleft()
            self._opened(first.socket)
        else:
            self.take_slice(frames)
        if frames and not self._ended:
            self.to_client.post_first(Arrival(self.read, frames))

    def take_slice(self, frames: deque[Frame]) -> None:
        """Take frames until one read is full, or the receiver ends the slice."""
        deliver = self._listener.begin_slice()
        room, is_over = READ_BYTES, False
        try:
            while frames and not (is_over or self._ended):
                room -= HEADER_BYTES + payload_size(frames[0]) - self._read_of_first
                if room < 0 and self._is_acceptable(frames[0]):
                    self._read_of_first = HEADER_BYTES + payload_size(frames[0]) + room
                    break
                self._read_of_first = 0
                is_over = self.take(frames.popleft(), deliver)
        finally:
            if deliver is not None:
                self._listener.end_slice()

    def take(self, frame: Frame, deliver: Deliver | None) -> bool:
        """Take one frame; return whether the slice should end now."""
        match frame:
            case str() | bytes():
                if not self._is_acceptable(frame):
                    self._refuse_large_message()
                elif deliver is not None:
                    return deliver_one(deliver, frame)
            case Pong(payload=payload):
                self._listener.pong_received(payload)
            case Ping(payload=payload):
                self.to_server.post(lambda: self._peer.ponged(payload))
            case CloseFrame(close=close, why=why):
                self.end(close, why)
            case Accepted():
                raise AssertionError("a handshake is answered once")
        return False

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


@dataclass(eq=False)
class MemoryPeer:
    """The server's half of one memory WebSocket.

    Args:
        transport: The client's half.
        target: The url, headers and subprotocols of the client.

    Attributes:
        received: The messages that the client sent, oldest first.
        pings: How many pings arrived.
        pongs: How many answers to pings of its own arrived.
        closed: The client's close frame, if one arrived.
        is_open: Whether it was accepted and has not ended.
        on_message: Called with each message that arrives.
    """

    transport: MemoryTransport
    target: Target
    received: list[str | bytes] = field(default_factory=list)
    pings: int = 0
    pongs: int = 0
    closed: Close | None = None
    is_open: bool = False
    on_message: Callable[[str | bytes], None] | None = None
    _frozen: bool = False  # whether it neither reads nor writes; set by `freeze`
    _stalled: bool = False  # whether it does not read; set by `stall`, reset by `resume`

    @property
    def has_given_up(self) -> bool:
        """Whether the client no longer waits for an answer to its handshake."""
        return self.transport.decision.done()

    @property
    def reads(self) -> bool:
        """Whether it reads from the client."""
        return not (self._frozen or self._stalled)

    def accept(
        self, subprotocol: str | None = None, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Answer the handshake with 101; the client reads it together with the next messages."""
        self.is_open = not self.has_given_up
        offered = self.target.subprotocols
        if offered and subprotocol not in offered:
            why = "the server speaks none of the offered subprotocols"
            self._refuse(HandshakeFailed(self._url, why, kind="subprotocol"))
            return
        socket = SocketInfo(self.target.url, subprotocol, headers)
        self.transport.write(Accepted(socket))

    def refuse(
        self,
        status: int | None = None,
        retry_after: float | None = None,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> None:
        """Answer the handshake with an HTTP status; with None refuse the TCP connection."""
        if status is None:
            error = HandshakeFailed(
                self._url, "the connection was refused (is the server running?)"
            )
        else:
            answer = Answer(status=status, headers=headers, body=body[:LONGEST_BODY])
            error = refusal(self.target, answer, retry_after)
        self._refuse(error)

    def send(self, *messages: str | bytes) -> None:
        """Send messages that the client receives together."""
        if self.is_open and not self._frozen:
            self.transport.write(*messages)

    def ping(self, payload: bytes = b"") -> None:
        """Send a ping."""
        if self.is_open and not self._frozen:
            self.transport.write(Ping(payload))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with a closing handshake."""
        close = Close(code, reason, clean=True)
        why = f"the server closed the connection with {close}"
        self._write_close(close, why)

    def drop(self) -> None:
        """Break the connection without a close frame."""
        self.is_open = False
        if not self._frozen:
            self.transport.to_client.post(self.transport.broken)

    def freeze(self) -> None:
        """Neither read nor write any more, like a machine whose cable was pulled."""
        self._frozen = True

    def stall(self) -> None:
        """Stop reading; pings are still answered."""
        self._stalled = True

    def resume(self) -> None:
        """Read again."""
        self._stalled = False
        self.transport.to_server.post(self.transport.flush)

    # Called by the client's half, in the server's turn

    def message_received(self, message: str | bytes) -> None:
        """The client sent a message."""
        self.received.append(message)
        if self.on_message is not None:
            self.on_message(message)

    def pinged(self, payload: bytes) -> None:
        """The client sent a ping."""
        if not self._frozen:
            self.pings += 1
            self.transport.write(Pong(payload))

    def ponged(self, payload: bytes) -> None:
        """The client answered a ping."""
        del payload
        self.pongs += 1

    def close_received(self, close: Close) -> None:
        """The client began the closing handshake; answer it."""
        if self._frozen:
            return
        self.closed = close
        self._write_close(close, "the connection was closed")

    @property
    def _url(self) -> str:
        return redact_url(self.target.url)

    def _refuse(self, error: HandshakeFailed) -> None:
        self.is_open = False
        self.transport.to_client.post(lambda: self.transport.refused(error))

    def _write_close(self, close: Close, why: str) -> None:
        self.is_open = False
        if not self._frozen:
            self.transport.write(CloseFrame(close, why))
