"""One TCP connection that carries one WebSocket: bytes in, messages out.

`websockets`' Sans-I/O `ClientProtocol` decides everything RFC 6455 has to say. Whole text and
binary frames take a shorter way past it while that is safe: no extension is in force, no
fragmented message is under way. Every other frame is given to it, exactly one at a time, so that
it never holds bytes back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from operator import length_hint
from time import monotonic
from typing import Any, cast

from websockets.client import ClientProtocol
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import Protocol, State

from sockstore.base.close import Close
from sockstore.transports.answers import Answer
from sockstore.transports.base import SLICE_SECONDS, Deliver, Listener, deliver_one
from sockstore.transports.native.awaited_answer import AwaitedAnswer
from sockstore.transports.native.frames import BINARY, LARGEST_CONTROL, PING, TEXT, header_problem
from sockstore.transports.native.handshake import check_switch, protocol_after, socket_info
from sockstore.transports.native.incoming import Incoming
from sockstore.transports.native.reading import Reading
from sockstore.transports.native.writer import Writer

__all__ = ["Wire"]

MOST_AT_ONCE = 64
"""Messages that are delivered between two looks at the clock: one at first, then twice as many.

So a slow callback ends the slice soon, and a fast one pays little for the clock.
"""

UNDELIVERED_HIGH = 4 * 2**20
UNDELIVERED_LOW = 1 * 2**20
"""Bytes that wait to be delivered, above which reading pauses and below which it resumes (MS2)."""

OPEN = State.OPEN
"""Looked up once, not for each message."""


class _NotTextError(UnicodeDecodeError):
    """A text message is not valid UTF-8; the protocol itself decodes only close reasons."""


class Wire(asyncio.Protocol):
    """One TCP connection, from its opening handshake to its last byte.

    Args:
        listener: Who is told what happens after the handshake.
        protocol: A new `ClientProtocol`.
        url: Where it leads, for who is told that it is open.
        max_message_bytes: The largest message to accept.
    """

    # Over thirty attributes: in a `__dict__` they would take 1.6 KiB.
    __slots__ = (
        "_answer", "_connected", "_delivered_for", "_delivering", "_ended", "_fragments",
        "_fragments_are_text", "_incoming", "_listener", "_loop", "_lost", "_max_message_bytes",
        "_opened", "_protocol", "_pumping", "_reading", "_short_cut", "_slice_over", "_take",
        "_transport", "_unanswered_ping", "_url", "_writer", "_writing_paused", "gone",
        "handshake", "heard", "reading_paused",
    )  # fmt: skip

    _transport: asyncio.Transport
    _reading: Reading
    _writer: Writer

    def __init__(
        self,
        listener: Listener,
        protocol: ClientProtocol,
        url: str,
        max_message_bytes: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._protocol: Protocol = protocol
        self._url = url
        self._max_message_bytes = max_message_bytes
        self._answer: AwaitedAnswer | None = AwaitedAnswer(
            self._loop, self._judge, self._fail_handshake
        )
        self._take: Callable[[bytes], None] = self._answer.take
        self.heard = 0
        self.reading_paused = False
        self.handshake: asyncio.Future[None] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._incoming = Incoming()
        self._delivering: list[Any] = []
        self._pumping: asyncio.Handle | None = None
        self._delivered_for = 0.0
        self._slice_over = False
        self._short_cut = False
        self._fragments: bytearray | None = None
        self._fragments_are_text = False
        self._writing_paused = False
        self._unanswered_ping: bytes | None = None
        self._connected = False
        self._opened = False
        self._ended = False
        self._lost: Exception | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; the handshake begins with `send_request`."""
        # uvloop's transports are none of asyncio's classes, but keep its promises.
        self._transport = cast("asyncio.Transport", transport)
        self._reading = Reading(transport)
        self._writer = Writer(self._loop, self._transport)
        self._connected = True
        if transport.get_extra_info("uvloop.sslproto") is not None:
            # While we do not read, uvloop goes on to read the socket, and at an end of file it
            # forgets what it has not decrypted. With this limit it stops at the first bytes.
            cast("Any", transport).set_read_buffer_limits(high=1)

    def data_received(self, data: bytes) -> None:
        """Take note of a sign of life, and pass the bytes on."""
        self.heard += 1
        self._reading.brought(len(data))
        self._take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end, but not before everything that arrived was delivered."""
        self._lost = exc
        self.gone.set_result(None)
        if self._answer is not None:
            self._answer.ended(exc)
        if self._pumping is None:
            self._conclude()

    def pause_writing(self) -> None:
        """The send buffer is above its high-water mark."""
        self._writing_paused = True
        if self._opened and not self._ended:
            self._listener.writing_paused()

    def resume_writing(self) -> None:
        """The send buffer is below its low-water mark again."""
        self._writing_paused = False
        if self._opened and not self._ended:
            ping, self._unanswered_ping = self._unanswered_ping, None
            if ping is not None:
                self._feed(ping, DISCARD)
            self._listener.writing_resumed()

    # What the transport calls

    @property
    def buffered_amount(self) -> int:
        """Bytes in the send buffer."""
        return self._writer.buffered_amount if self._connected else 0

    def send_request(self, request: Request) -> None:
        """Begin the opening handshake, once the loop is done with making the connection."""
        assert isinstance(self._protocol, ClientProtocol)  # noqa: S101 - until it is open
        self._protocol.send_request(request)
        self._write()

    def send(self, data: str | bytes) -> None:
        """Write one message."""
        if self._protocol.state is not OPEN or self._transport.is_closing():
            return
        first, payload = (TEXT, data.encode()) if isinstance(data, str) else (BINARY, data)
        if not self._protocol.extensions:
            self._writer.send(first, payload)
            return
        send = self._protocol.send_text if first == TEXT else self._protocol.send_binary
        send(payload)
        self._write()

    def ping(self, payload: bytes) -> None:
        """Write a ping."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(payload)
            self._write()

    def close(self, code: int, reason: str) -> None:
        """Write a close frame; the peer answers it and ends the TCP connection."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._write()

    def abort(self) -> None:
        """End the TCP connection at once, and drop what was not delivered."""
        self._stop_opening()
        self._drop_input()
        if self._connected:
            self._writer.drop()
            self._transport.abort()

    # The opening handshake

    def _judge(self, answer: Answer, rest: bytes) -> None:
        """Open if the answer is a switch to WebSocket; `rest` is what followed its head."""
        protocol = self._protocol
        assert isinstance(protocol, ClientProtocol)  # noqa: S101 - until it is open
        try:
            check_switch(protocol, answer)
        except Exception as error:  # noqa: BLE001 - whoever waits for the handshake gets it
            self._fail_handshake(error)
            return
        if self.handshake.done():
            return
        self._answer = None
        self._opened = True
        self._protocol = protocol_after(protocol, self._max_message_bytes)
        self._short_cut = not protocol.extensions
        self._take = self._take_frames
        self.handshake.set_result(None)
        self._listener.opened(socket_info(self._url, protocol, answer))
        # What this woke has its turn first; uvloop may read on in this one.
        self._pumping = self._loop.call_soon(self._go_on)
        if rest:
            self._take(rest)

    def _fail_handshake(self, failure: Exception) -> None:
        self._stop_opening()
        if not self.handshake.done():
            self.handshake.set_exception(failure)
            self.handshake.exception()  # perhaps nothing waits for it any more

    def _stop_opening(self) -> None:
        self._take = _ignore
        opening, self._answer = self._answer, None
        if opening is not None:
            opening.stop()

    # Delivering

    def _take_frames(self, data: bytes) -> None:
        self._incoming.add(data)
        if self._pumping is not None:
            self._pause_reading_if_far_behind()
        elif self._incoming.is_of_use:
            self._pump()

    def _pause_reading_if_far_behind(self) -> None:
        if self._incoming.unread > UNDELIVERED_HIGH and not self.reading_paused:
            self.reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        self.reading_paused = False
        self._transport.resume_reading()

    def _go_on(self) -> None:
        """Deliver on, now that the loop has taken a turn."""
        self._pumping = None
        self._delivered_for = 0.0
        if self._incoming.is_of_use:
            self._pump()
        else:
            self._after_slice()

    def _pump(self) -> None:
        """Deliver one slice; the rest, if any, in the loop's next turn."""
        begun = monotonic()
        deliver = self._listener.begin_slice()
        self._writer.holds = True  # answers may leave together
        try:
            more = self._deliver_slice(deliver or DISCARD, begun + SLICE_SECONDS)
        finally:
            if deliver is not None:
                self._listener.end_slice()
            self._writer.holds = False
            self._writer.flush()
        # uvloop reads up to 32 times in one turn, 250 KiB each: many slices that are short enough
        # alone, and together block the loop for long.
        self._delivered_for += monotonic() - begun
        if (more or self._delivered_for > SLICE_SECONDS) and not self._ended:
            self._pumping = self._loop.call_soon(self._go_on)
        if self.reading_paused or self.gone.done():
            self._after_slice()

    def _after_slice(self) -> None:
        if self.reading_paused and (
            self._pumping is None or self._incoming.unread < UNDELIVERED_LOW
        ):
            # What no slice can deliver is the beginning of a message: its end must be read.
            self._resume_reading()
        if self._pumping is None and self.gone.done():
            self._conclude()

    def _deliver_slice(self, deliver: Deliver, until: float) -> bool:
        """Deliver until the slice is over; return whether complete frames may remain."""
        self._slice_over = False
        while not self._slice_over:
            if self._short_cut and self._deliver_short_frames(deliver, until):
                return True
            if self._incoming.is_empty:
                return False  # nearly always
            if self._ended or not self._deliver_one_frame(deliver):
                return False
            if monotonic() > until:
                return True
        return True

    def _deliver_short_frames(self, deliver: Deliver, until: float) -> bool:
        """Deliver whole messages below 64 KiB, the hot path; return whether the slice is over."""
        many, incoming, buffer = 1, self._incoming, self._incoming.buffer
        while (begun := incoming.at) < len(buffer):
            is_text, messages = incoming.take_short_messages(self._max_message_bytes, many)
            self._delivering = messages
            if not messages:
                return False
            remaining, offered = iter(messages), len(messages)
            try:
                is_over = (deliver.texts if is_text else deliver.binaries)(remaining)
            finally:
                taken = offered - length_hint(remaining)
                if taken < offered and incoming.buffer is buffer:
                    incoming.give_back(begun, taken)
                messages.clear()
            # The buffer is another one if the transport was aborted meanwhile.
            if is_over or incoming.buffer is not buffer or monotonic() > until:
                return True
            many = min(2 * max(1, taken), MOST_AT_ONCE)
        return False

    def _deliver_one_frame(self, deliver: Deliver) -> bool:
        """Take one frame of any kind; return whether there was one that is complete."""
        incoming = self._incoming
        found = incoming.next_frame()
        if found is None:
            return False
        size = found.end - found.payload
        is_whole = found.end <= len(incoming.buffer)
        is_refused = found.masked or size > self._max_message_bytes
        if (is_refused or not is_whole) and (problem := self._problem_of(size)) is not None:
            self._break_off(CloseCode.PROTOCOL_ERROR, problem, ProtocolError(problem))
            return True
        if is_refused:
            # The protocol refuses it for its header alone.
            self._feed(incoming.buffer[incoming.at :], deliver)
            return True
        if not is_whole:
            return incoming.wait_for(found.end - incoming.at)
        frame = incoming.take(found.end)
        if self._short_cut and frame[0] in {TEXT, BINARY}:
            self._deliver_whole(frame[0] == TEXT, frame[-size:] if size else b"", deliver)
        elif self._writing_paused and frame[0] == PING and size <= LARGEST_CONTROL:
            # The peer does not read: pongs would pile up, and the latest is enough (section 5.5.3).
            self._unanswered_ping = frame
        else:
            self._feed(frame, deliver)
        return True

    def _problem_of(self, size: int) -> str | None:
        """Say what is wrong with the next frame, of which only the header may have come."""
        first = self._incoming.buffer[self._incoming.at]
        return header_problem(first, size, compressed=bool(self._protocol.extensions))

    def _deliver_whole(self, is_text: bool, payload: bytes, deliver: Deliver) -> None:  # noqa: FBT001
        try:
            message = str(payload, "utf-8") if is_text else payload
        except UnicodeDecodeError as error:
            said = f"{error.reason} at byte {error.start}"
            self._break_off(CloseCode.INVALID_DATA, said, _NotTextError(*error.args))
        else:
            self._slice_over = deliver_one(deliver, message)

    def _break_off(self, code: CloseCode, said: str, cause: Exception) -> None:
        """End the WebSocket for what the server did, as the protocol itself would."""
        self._protocol.fail(code, said)
        self._protocol.parser_exc = cause
        self._after_protocol()

    def _feed(self, frame: bytes, deliver: Deliver) -> None:
        """Let the protocol judge a frame."""
        self._protocol.receive_data(frame)
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)  # noqa: S101 - the response came before
            self._judged(event, deliver)
        self._after_protocol()

    def _judged(self, frame: Frame, deliver: Deliver) -> None:
        if frame.opcode is Opcode.PONG:
            self._listener.pong_received(bytes(frame.data))
        elif frame.opcode in {Opcode.TEXT, Opcode.BINARY, Opcode.CONT}:
            self._assemble(frame, deliver)

    def _assemble(self, frame: Frame, deliver: Deliver) -> None:
        if frame.opcode is not Opcode.CONT:
            self._fragments = bytearray()
            self._fragments_are_text = frame.opcode is Opcode.TEXT
        if self._fragments is None:
            return
        self._fragments += frame.data
        if frame.fin:
            message, self._fragments = bytes(self._fragments), None
            self._deliver_whole(self._fragments_are_text, message, deliver)
        self._short_cut = self._fragments is None and not self._protocol.extensions

    def _after_protocol(self) -> None:
        """Write what the protocol wants to say, and report the end if it incoming."""
        self._write()
        if self._protocol.close_rcvd is not None or self._protocol.parser_exc is not None:
            self._end_websocket(*self._ending())

    # The end

    def _ending(self) -> tuple[Close, str, Exception | None]:
        """How the WebSocket ended, by (received, sent, local cause)."""
        cause = self._protocol.parser_exc
        received = self._protocol.close_rcvd
        if received is not None:
            # Also in the middle of a fragmented message, which the protocol calls a violation.
            close = Close(int(received.code), received.reason, clean=True)
            return close, f"the server closed the connection with {close}", None
        sent = self._protocol.close_sent
        close = Close(1006 if sent is None else int(sent.code), "" if sent is None else sent.reason)
        match cause:
            case PayloadTooBig():
                why = f"a message is larger than max_message_bytes={self._max_message_bytes}"
            case _NotTextError():
                why = "the server sent a text message that is not valid UTF-8"
            case UnicodeDecodeError():
                why = "the server sent a close frame whose reason is not valid UTF-8"
            case _:
                why = f"the server broke the WebSocket protocol: {cause}"
        return close, why, cause if isinstance(cause, Exception) else None

    def _conclude(self) -> None:
        """Nothing is left of the TCP connection, and nothing remains to be delivered."""
        if not self._opened:
            return
        if not self._ended:
            lost = self._lost
            why = "the connection broke without a close frame"
            if lost is not None:
                why = f"{why}: {lost.strerror or lost}" if isinstance(lost, OSError) else why
            self._end_websocket(Close(1006), why, lost)
        self._listener.released()

    def _end_websocket(self, close: Close, why: str, cause: Exception | None) -> None:
        if not self._ended:
            self._ended = True
            self._take = _ignore
            self._drop_input()
            self._listener.closed(close, why, cause)

    def _drop_input(self) -> None:
        self._incoming.drop()
        self._delivering.clear()  # who takes them finds no further one

    def _write(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)


class _Discard:
    """Deliver to nobody: the connection has turned away from this transport."""

    def texts(self, messages: Iterator[str], /) -> bool:
        deque(messages, maxlen=0)
        return False

    def binaries(self, messages: Iterator[bytes], /) -> bool:
        deque(messages, maxlen=0)
        return False


DISCARD = _Discard()


def _ignore(data: bytes) -> None:
    """Take bytes that have no meaning any more."""
    del data
