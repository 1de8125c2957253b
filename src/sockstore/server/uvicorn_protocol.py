"""uvicorn's WebSocket protocol, with limits on everything that one peer can cause.

When uvicorn closes, it waits until the peer has read everything, which a stalled peer never does.
Here every close has a deadline, after which the connection is aborted. Frames are parsed in slices,
so that all connections have their turn; pings, pongs and small fragments count as messages; and
input after our close frame is discarded.

The subclass overrides and reads parts of uvicorn that are not its public API, so pyproject.toml has
an upper bound on uvicorn; tests/unit/server/test_uvicorn_parts.py says which part is missing or
different.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio.transports import BaseTransport
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State

from sockstore.base.token_bucket import TokenBucket
from sockstore.server import bounded_transport
from sockstore.server.asgi import ABORT, METER, WRITE, Outgoing, SharedMessage
from sockstore.server.bounded_transport import BoundedTransport
from sockstore.server.limits import Limits

__all__ = ["BoundedWebSocketProtocol"]

LEAST_FREE_FRAGMENT = 1024
"""Bytes. A smaller fragment that is not the last of its message counts as a message."""

MOST_FRAMES_AFTER_CLOSE = 1024
"""They are searched for the peer's close frame; later input is not parsed."""

DEFAULTS = Limits()
TOO_MANY_FRAMES = "too many control frames or small fragments"
LONGEST_REQUEST_LINE = 8000
"""Bytes; websockets has a limit of 8192, above which uvicorn does not answer."""

REFUSALS = {
    400: (b"Bad Request", b"The request is not a valid opening handshake.\n"),
    404: (b"Not Found", b"There is nothing at an address of this length.\n"),
}


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """A protocol for uvicorn's option ``ws=`` that can abort a client which does not read.

    Example:
        ::

            uvicorn.run(app, ws=BoundedWebSocketProtocol)
    """

    def connection_made(self, transport: BaseTransport | BoundedTransport) -> None:
        """Take the connection over from the HTTP protocol."""
        if isinstance(transport, BoundedTransport):  # from uvicorn_http
            self._bounded = transport
            # How the connection is counted; None if uvicorn's own HTTP protocol made it.
            self._visit, transport.visit = transport.visit, None
            transport.hand_over(self._parse)
        else:
            self._visit = None
            inner = cast("asyncio.Transport", transport)
            self._bounded = BoundedTransport(inner, self.loop, self._parse)
        self._inner = self._bounded.inner
        super().connection_made(cast("asyncio.Transport", self._bounded))
        _send_at_once(self._inner)
        self.close_timeout = bounded_transport.SECONDS_TO_CLOSE
        # The last pong that a peer which does not read is owed; set by `handle_ping`, sent by
        # `resume_writing`.
        self._pong = b""
        # `_parse` counts them.
        self._frames_after_close = 0
        # Those of the ASGI scope, which `handle_connect` makes.
        self._extensions: dict[str, dict[Any, Any]] = {}
        # Counts a frame that is not a message; set by an application that uses METER.
        self._take: Callable[[], bool] | None = None
        # Counts these frames for any other application; made by the first of them.
        self._bucket: TokenBucket | None = None

    def data_received(self, data: bytes) -> None:
        """Parse input; the first call brings the whole handshake request."""
        if self.handshake_initiated:
            self._bounded.feed(data)
            return
        self._bounded.hold()  # until the handshake is answered
        line, _, _ = data.partition(b"\r\n")
        if len(line) > LONGEST_REQUEST_LINE or not line.isascii():
            self._refuse(404 if line.isascii() else 400)
            return
        super().data_received(data)
        if not self.handshake_initiated:
            # websockets could not parse it: it has too many or too long headers, for example.
            self._refuse(400)

    def handle_connect(self, event: Request) -> None:
        """Begin the handshake; offer the application our ASGI extensions."""
        super().handle_connect(event)
        if self.close_sent:
            return
        self._extensions = cast("dict[str, dict[Any, Any]]", self.scope.get("extensions"))
        self._extensions[ABORT] = {"abort": self.transport.abort}
        self._extensions[METER] = {"use": self._use_meter}
        # A compressed frame cannot be shared; the debug log shows only what websockets sends.
        if not (self.conn.extensions or self.conn.debug):
            self._extensions[WRITE] = {"write": self.write}

    def connection_lost(self, exc: Exception | None) -> None:
        """Break the reference cycles, so the connection is freed without the garbage collector."""
        self._extensions.pop(WRITE, None)
        self._extensions.pop(METER, None)
        self._take = None
        self._bounded.lost()
        if self._visit is not None:
            self._visit.leave()
        super().connection_lost(exc)

    def _use_meter(self, take: Callable[[], bool]) -> None:
        self._take = take

    def _parse(self, data: bytes) -> int:
        """Parse a slice of the input; return how many frames it had."""
        self.conn.receive_data(data)
        if self.conn.parser_exc is not None:
            self.handle_parser_exception()
            return 0
        frames = len(self.conn.events)
        self.handle_events()
        if self.close_sent:
            self._frames_after_close += frames
            if self._frames_after_close > MOST_FRAMES_AFTER_CLOSE:
                self._bounded.end()
        return frames

    def _is_within_limits(self) -> bool:
        """Count a frame that is not a message; end the connection if there are too many."""
        if self.close_sent:
            return False
        if self._take is not None:
            if self._take():
                return True
            # The application closes the connection after what it has sent so far.
            self._bounded.hold()
            return False
        now = self.loop.time()
        if self._bucket is None:
            self._bucket = TokenBucket(DEFAULTS.rate, DEFAULTS.burst, now)
        if self._bucket.take(now):
            return True
        self.conn.fail(1008, TOO_MANY_FRAMES)
        self.handle_parser_exception()
        return False

    def handle_text(self, event: Frame) -> None:
        """Begin a text message."""
        if event.fin or self._may_come(event):
            super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        """Begin a binary message."""
        if event.fin or self._may_come(event):
            super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        """Continue a message."""
        if event.fin or self._may_come(event):
            super().handle_cont(event)

    def _may_come(self, fragment: Frame) -> bool:
        """Count a fragment that is not the last one of its message, if it is small."""
        return len(fragment.data) >= LEAST_FREE_FRAGMENT or self._is_within_limits()

    def handle_pong(self, event: Frame) -> None:
        """Note the answer to our ping; any other pong counts as a message."""
        if bytes(event.data) == self.pending_ping_payload or self._is_within_limits():
            super().handle_pong(event)

    def write(self, outgoing: Outgoing) -> bool:
        """Write messages now if the transport is ready; all clients share their frames."""
        inner = self._inner
        if not self.writable.is_set() or self.conn.state is not State.OPEN or inner.is_closing():
            return False
        if outgoing.frame is None:
            outgoing.frame = b"".join(map(_frame_of, outgoing.messages))
        inner.write(outgoing.frame)
        return True

    def send_receive_event_to_app(self) -> None:
        """Hand a message to the application; close with 1007 if its text is not UTF-8."""
        try:
            if self.curr_msg_data_type == "text":
                b"".join(self.frames).decode()
        except UnicodeDecodeError:
            self.frames = []
            if not self.close_sent:
                # uvicorn would log a traceback.
                self.conn.fail(1007, "invalid UTF-8")
                self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Close after a violation of the protocol, such as a message that is too large.

        Input is read and discarded until the peer closes, because closing a socket with unread data
        resets the connection, and then the peer may not see the close code.
        """
        if self.close_sent:
            return
        assert self.conn.close_sent is not None  # noqa: S101 - the handshake is complete
        close = self.conn.close_sent
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": close.code, "reason": close.reason}
        )
        self.close_sent = True
        self.stop_keepalive()
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._bounded.end()  # "7.1.7. Fail the WebSocket Connection": do not wait

    def keepalive_timeout(self) -> None:
        """End a connection without a pong: its peer is gone, or does not read."""
        super().keepalive_timeout()
        if self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def send(self, message: Any) -> None:
        """Send an ASGI event of the application."""
        await super().send(message)
        if message["type"] in {"websocket.accept", "websocket.close"}:
            self._bounded.release()
            if self._visit is not None:
                self._visit.arrive()
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            # Otherwise uvicorn would log that the application did not complete the handshake.
            self.handshake_complete = True

    def handle_ping(self) -> None:
        """Answer a ping; a peer that does not read gets only the last pong.

        Source:
            RFC 6455 section 5.5.3: an endpoint may answer only the most recent ping.
        """
        if not self._is_within_limits():
            self.conn.data_to_send()  # drop the pong
        elif self.writable.is_set() or self.conn.state is not State.OPEN:
            super().handle_ping()
        elif pongs := self.conn.data_to_send():  # the first ping of a read takes those of all
            self._pong = pongs[-1]

    def resume_writing(self) -> None:
        """Write again, and first the pong that the peer is owed."""
        super().resume_writing()
        pong, self._pong = self._pong, b""
        if pong and not self.close_sent:
            self.transport.write(pong)

    def eof_received(self) -> None:
        """Close, because the peer sends nothing more."""
        self.transport.close()

    def shutdown(self) -> None:
        """Close with 1012, because the server stops, and wait for the peer's close frame."""
        if not self.handshake_complete or self.close_sent or self.transport.is_closing():
            super().shutdown()
            return
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1012})
        try:
            self.conn.send_close(1012)
        except InvalidState:
            self.transport.close()
            return
        self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        # Read until the peer closes, for some seconds at most.
        self.read_paused = False
        self._bounded.release()
        self._bounded.resume_reading()
        self._bounded.abort_soon()

    def _refuse(self, status: int) -> None:
        """Answer a request that websockets cannot parse."""
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        phrase, body = REFUSALS[status]
        head = b"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n" % (
            status,
            phrase,
            len(body),
        )
        self._bounded.end(head + b"Connection: close\r\n\r\n" + body)


def _frame_of(shared: SharedMessage) -> bytes:
    if isinstance(shared.message, str):
        frame = Frame(Opcode.TEXT, shared.message.encode())
    else:
        frame = Frame(Opcode.BINARY, shared.message)
    return frame.serialize(mask=False)


def _send_at_once(transport: BaseTransport) -> None:
    """Turn Nagle's algorithm off; asyncio does not do it for a socket that it is given.

    With it, small messages in a row wait some 40 ms for an acknowledgement.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
        with suppress(OSError):  # the peer has left already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
