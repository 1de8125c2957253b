"""Run one TCP connection that carries one WebSocket, from its handshake to its last byte.

`websockets`' Sans-I/O protocol decides what RFC 6455 decides; see `frames` for its input,
and `slices` for when messages are delivered.
"""

from __future__ import annotations

import asyncio
import functools
from enum import Enum, auto
from typing import Any, cast

from websockets.client import ClientProtocol
from websockets.http11 import Request
from websockets.protocol import Protocol, State

from sockstore.base.close import Close
from sockstore.base.state import SocketInfo
from sockstore.transports.answers import Answer
from sockstore.transports.base import Listener
from sockstore.transports.native.frames import Ending, FrameHandler
from sockstore.transports.native.handshake import AwaitedAnswer, protocol_after
from sockstore.transports.native.incoming import BINARY, TEXT, ReadSize
from sockstore.transports.native.slices import Slices
from sockstore.transports.native.writer import Writer

__all__ = ["Wire"]


class WirePhase(Enum):
    """How a wire treats received bytes, and which reports are due; it only moves forward.

    While a wire is open, `websockets`' protocol knows how far the closing handshake is.
    """

    OPENING = auto()
    """It connects, then awaits the server's answer: OPEN or FAILED follows."""

    FAILED = auto()
    """The handshake failed or was abandoned: nothing is reported."""

    OPEN = auto()
    """It delivers: CLOSED follows, or ABORTED."""

    ABORTED = auto()
    """The program aborted it: bytes are ignored, and CLOSED follows when TCP has ended."""

    CLOSED = auto()
    """`closed` was reported: bytes are ignored; `released` is reported when TCP has ended."""


OPEN, PROTOCOL_OPEN = WirePhase.OPEN, State.OPEN
"""Looked up once, not for each message."""


class Wire(asyncio.Protocol):
    """One TCP connection that carries one WebSocket.

    Attributes:
        heard: Reads that brought bytes so far; counted by `data_received`.
        handshake: Done when the handshake has succeeded or failed; set by `_open` and `_fail`.
    """

    # In a `__dict__` the attributes would take 1 KiB more.
    __slots__ = (
        "_answer", "_listener", "_loop", "_max_message_bytes", "_phase", "_protocol", "_read_size",
        "_slices", "_transport", "_url", "_writer", "handshake", "heard",
    )  # fmt: skip

    # Set by `connection_made`.
    _read_size: ReadSize
    _writer: Writer

    # The protocol after the handshake's; set by `_open`.
    _protocol: Protocol

    def __init__(
        self, listener: Listener, protocol: ClientProtocol, url: str, max_message_bytes: int
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._url = url
        self._max_message_bytes = max_message_bytes
        self.heard: int = 0
        self.handshake: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None  # set by `connection_made`
        # These three change together, in `_enter`: there is an answer while the wire is opening,
        # there are slices while it is open.
        self._phase = WirePhase.OPENING
        self._answer: AwaitedAnswer | None = AwaitedAnswer(
            self._loop, protocol, self._open, self._fail
        )
        self._slices: Slices | None = None

    def _enter(self, phase: WirePhase, slices: Slices | None = None) -> None:
        """Change the phase, and drop the parts of the former one."""
        if self._answer is not None:
            self._answer.stop()
        if self._slices is not None:
            self._slices.drop()
        self._phase, self._answer, self._slices = phase, None, slices

    # Called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; the handshake begins with `send_request`."""
        # uvloop's transports are not of asyncio's classes, but keep the same promises.
        self._transport = cast("asyncio.Transport", transport)
        self._read_size = ReadSize(transport)
        self._writer = Writer(self._loop, self._transport)
        if transport.get_extra_info("uvloop.sslproto") is not None:
            # While we do not read, uvloop goes on to read the socket, and at an end of file it
            # forgets what it has not decrypted. With this limit it stops at the first bytes.
            cast("Any", transport).set_read_buffer_limits(high=1)

    def data_received(self, data: bytes) -> None:
        """Count a sign of life, and pass the bytes on."""
        self.heard += 1
        reads = self._read_size
        if not reads.least <= len(data) < reads.full:
            reads.adapt(len(data))
        if self._slices is not None:
            self._slices.take(data)
        elif self._answer is not None:
            self._answer.take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end, but not before everything that arrived was delivered."""
        if self._answer is not None:
            self._answer.ended(exc)
        elif self._slices is not None:
            self._slices.finish(functools.partial(self._conclude, exc))
        elif self._phase is not WirePhase.FAILED:
            self._conclude(exc)

    def pause_writing(self) -> None:
        """The send buffer is above its high-water mark."""
        self._writer.is_paused = True
        if self._phase is OPEN:
            self._listener.writing_paused()

    def resume_writing(self) -> None:
        """The send buffer is below its low-water mark again."""
        self._writer.is_paused = False
        if self._slices is not None:
            self._slices.frames.answer_held_ping()
            self._listener.writing_resumed()

    # Called by the transport

    @property
    def reading_paused(self) -> bool:
        """Whether reading stopped because too much waits to be delivered."""
        return self._slices is not None and self._slices.reading_paused

    @property
    def undelivered(self) -> int:
        """Bytes that were read and wait to be delivered."""
        return 0 if self._slices is None else self._slices.unread

    @property
    def buffered_amount(self) -> int:
        """Bytes in the send buffer."""
        return 0 if self._transport is None else self._writer.buffered_amount

    def send_request(self, request: Request) -> None:
        """Begin the opening handshake, once the loop has made the connection."""
        if self._answer is not None:
            self._answer.protocol.send_request(request)
            self._writer.write_output(self._answer.protocol)

    def send(self, data: str | bytes) -> None:
        """Write one message."""
        if self._phase is not OPEN or self._protocol.state is not PROTOCOL_OPEN:
            return
        first, payload = (TEXT, data.encode()) if isinstance(data, str) else (BINARY, data)
        if not self._protocol.extensions:
            self._writer.send(first, payload)
            return
        send = self._protocol.send_text if first == TEXT else self._protocol.send_binary
        send(payload)
        self._writer.write_output(self._protocol)

    def ping(self, payload: bytes) -> None:
        """Write a ping."""
        if self._phase is OPEN and self._protocol.state is PROTOCOL_OPEN:
            self._protocol.send_ping(payload)
            self._writer.write_output(self._protocol)

    def pause_reading(self) -> None:
        """Deliver nothing until `resume_reading`."""
        if self._slices is not None:
            self._slices.hold()

    def resume_reading(self) -> None:
        """Deliver again, from another turn on."""
        if self._slices is not None:
            self._slices.go_on()

    def close(self, code: int, reason: str) -> None:
        """Write a close frame; the peer answers it and ends the TCP connection."""
        if self._phase is OPEN and self._protocol.state is PROTOCOL_OPEN:
            self._protocol.send_close(code, reason)
            self._writer.write_output(self._protocol)

    def abort(self) -> None:
        """End the TCP connection at once, and drop undelivered bytes."""
        if self._phase is WirePhase.OPENING:
            self._enter(WirePhase.FAILED)
        elif self._phase is OPEN:
            self._enter(WirePhase.ABORTED)
        if self._transport is not None:
            self._writer.drop()
            self._transport.abort()

    # The opening handshake

    def _open(self, handshake: ClientProtocol, answer: Answer, rest: bytes) -> None:
        """Deliver from now on; `rest` is the bytes after the head of the answer."""
        if self.handshake.done() or self._transport is None:
            return  # it was cancelled
        self._protocol = protocol_after(handshake, self._max_message_bytes)
        frames = FrameHandler(
            self._protocol, self._max_message_bytes, self._listener, self._writer, self._end
        )
        slices = Slices(self._loop, self._transport, self._listener, frames, self._writer)
        self._enter(OPEN, slices)
        self.handshake.set_result(None)
        self._listener.opened(SocketInfo(self._url, handshake.subprotocol, answer.headers))
        if self._slices is not None:  # or `opened` aborted it
            self._slices.begin(rest)

    def _fail(self, failure: Exception) -> None:
        self._enter(WirePhase.FAILED)
        if not self.handshake.done():
            self.handshake.set_exception(failure)
            self.handshake.exception()  # perhaps nothing awaits it any more

    # The end

    def _end(self, ending: Ending) -> None:
        """The WebSocket has ended; TCP may last a little longer."""
        if self._phase is not WirePhase.CLOSED:
            self._enter(WirePhase.CLOSED)
            self._listener.closed(*ending)

    def _conclude(self, lost: Exception | None) -> None:
        """TCP has ended, and everything that arrived is delivered."""
        why = "the connection broke without a close frame"
        if isinstance(lost, OSError):
            why = f"{why}: {lost.strerror or lost}"
        self._end(Ending(Close(1006), why, lost))
        self._listener.released()
