"""Handle frames that are not short messages: the protocol checks each, fragments are joined."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol

from sockstore.base.close import Close
from sockstore.transports.base import Deliver, Listener, deliver_one
from sockstore.transports.native.incoming import (
    BINARY,
    LARGEST_CONTROL,
    PING,
    TEXT,
    Incoming,
    header_problem,
    payload_of,
)
from sockstore.transports.native.writer import Writer

__all__ = ["DISCARD", "Ending", "FrameHandler"]


class Ending(NamedTuple):
    """How a WebSocket ended.

    Args:
        close: The close frame, or a value in its place.
        why: The reason, as a sentence.
        cause: The exception behind it, if there is one.
    """

    close: Close
    why: str
    cause: Exception | None


class _Fragments:
    """A message of which some fragments arrived (RFC 6455 section 5.4).

    Attributes:
        is_text: Whether it is a text message, as its first fragment says.
        payload: The joined fragments; grown by `FrameHandler`.
    """

    __slots__ = ("is_text", "payload")

    def __init__(self, *, is_text: bool) -> None:
        self.is_text = is_text
        self.payload = bytearray()


class _NotTextError(UnicodeDecodeError):
    """A text message is not valid UTF-8; the protocol itself decodes only close reasons."""


class FrameHandler:
    """Gives frames to `websockets`' protocol, one at a time, so that it never holds bytes back.

    `end` is called when a close frame or a violation of the protocol ended the WebSocket.

    Attributes:
        short_cut_is_safe: Whether a whole message may be delivered without the protocol: no
            extension is in force, and no fragmented message has begun. Changed by `_assemble`.
    """

    __slots__ = (
        "_end", "_fragments", "_listener", "_unanswered_ping", "_writer", "max_message_bytes",
        "protocol", "short_cut_is_safe",
    )  # fmt: skip

    def __init__(
        self,
        protocol: Protocol,
        max_message_bytes: int,
        listener: Listener,
        writer: Writer,
        end: Callable[[Ending], None],
    ) -> None:
        self.protocol: Final = protocol
        self.max_message_bytes: int = max_message_bytes
        self._listener = listener
        self._writer = writer
        self._end = end
        self.short_cut_is_safe: bool = not protocol.extensions
        # The message whose last fragment has not arrived; set and reset by `_assemble`.
        self._fragments: _Fragments | None = None
        # The latest ping that came while writing was paused; set by `handle`, reset by
        # `answer_held_ping`.
        self._unanswered_ping: bytes | None = None

    def next_frame(self, incoming: Incoming) -> bytes | None:
        """Take the next frame; None if it is incomplete, or was refused for its header alone."""
        extent = incoming.next_frame()
        if extent is None:
            return None
        size = extent.end - extent.payload
        is_whole = extent.end <= len(incoming.buffer)
        is_refused = extent.masked or size > self.max_message_bytes
        if is_whole and not is_refused:
            return incoming.take(extent.end)
        compressed = bool(self.protocol.extensions)
        problem = header_problem(incoming.buffer[incoming.at], size, compressed=compressed)
        if problem is not None:
            self._fail(CloseCode.PROTOCOL_ERROR, problem, ProtocolError(problem))
        elif is_refused:
            self._give_to_protocol(incoming.buffer[incoming.at :], DISCARD)  # which refuses it
        else:
            incoming.wait_for(extent.end - incoming.at)
        return None

    def handle(self, frame: bytes, deliver: Deliver) -> bool:
        """Handle one whole frame; return whether the slice should end now."""
        first = frame[0]
        if first in {TEXT, BINARY} and self.short_cut_is_safe:
            return self._deliver(payload_of(frame), deliver, is_text=first == TEXT)
        if first == PING and self._writer.is_paused and frame[1] <= LARGEST_CONTROL:
            # The peer does not read: pongs would pile up, and the latest is enough (section 5.5.3).
            self._unanswered_ping = frame
            return False
        return self._give_to_protocol(frame, deliver)

    def answer_held_ping(self) -> None:
        """Answer the latest ping that came while writing was paused."""
        ping, self._unanswered_ping = self._unanswered_ping, None
        if ping is not None:
            self._give_to_protocol(ping, DISCARD)

    def _give_to_protocol(self, frame: bytes, deliver: Deliver) -> bool:
        is_over = False
        self.protocol.receive_data(frame)
        for event in self.protocol.events_received():
            assert isinstance(event, Frame)  # noqa: S101 - the response to the handshake came before
            if event.opcode is Opcode.PONG:
                self._listener.pong_received(bytes(event.data))
            elif event.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
                is_over = self._assemble(event, deliver)
        self._after_protocol()
        return is_over

    def _assemble(self, frame: Frame, deliver: Deliver) -> bool:
        if frame.opcode is not Opcode.CONT:
            self._fragments = _Fragments(is_text=frame.opcode is Opcode.TEXT)
            self.short_cut_is_safe = False
        message = self._fragments
        if message is None:
            return False
        message.payload += frame.data
        if not frame.fin:
            return False
        self._fragments = None
        self.short_cut_is_safe = not self.protocol.extensions
        return self._deliver(bytes(message.payload), deliver, is_text=message.is_text)

    def _deliver(self, payload: bytes, deliver: Deliver, *, is_text: bool) -> bool:
        try:
            message = str(payload, "utf-8") if is_text else payload
        except UnicodeDecodeError as error:
            problem = f"{error.reason} at byte {error.start}"
            self._fail(CloseCode.INVALID_DATA, problem, _NotTextError(*error.args))
            return False
        return deliver_one(deliver, message)

    def _fail(self, code: CloseCode, problem: str, cause: Exception) -> None:
        """Fail the WebSocket for what the server did, as the protocol itself does."""
        self.protocol.fail(code, problem)
        self.protocol.parser_exc = cause
        self._after_protocol()

    def _after_protocol(self) -> None:
        """Send the protocol's pending output; report the end after a close frame or a violation."""
        self._writer.write_output(self.protocol)
        if self.protocol.close_rcvd is not None or self.protocol.parser_exc is not None:
            self._end(_ending(self.protocol, self.max_message_bytes))


def _ending(protocol: Protocol, max_message_bytes: int) -> Ending:
    """Return how the WebSocket ended: by the server's close frame, or by a violation."""
    received = protocol.close_rcvd
    if received is not None:
        # Also in the middle of a fragmented message, which the protocol calls a violation.
        close = Close(int(received.code), received.reason, clean=True)
        return Ending(close, f"the server closed the connection with {close}", None)
    sent = protocol.close_sent
    close = Close(1006) if sent is None else Close(int(sent.code), sent.reason)
    cause = protocol.parser_exc
    match cause:
        case PayloadTooBig():
            why = f"a message is larger than max_message_bytes={max_message_bytes}"
        case _NotTextError():
            why = "the server sent a text message that is not valid UTF-8"
        case UnicodeDecodeError():
            why = "the server sent a close frame whose reason is not valid UTF-8"
        case _:
            why = f"the server broke the WebSocket protocol: {cause}"
    return Ending(close, why, cause if isinstance(cause, Exception) else None)


class _Discard:
    """Takes messages that the listener does not want, and drops them."""

    def texts(self, messages: Iterator[str], /) -> bool:
        deque(messages, maxlen=0)
        return False

    def binaries(self, messages: Iterator[bytes], /) -> bool:
        deque(messages, maxlen=0)
        return False


DISCARD = _Discard()
