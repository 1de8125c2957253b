"""uvicorn's WebSocket protocol, with an end to every connection.

uvicorn's own closes the TCP connection politely: it waits until everything written has been
taken. A peer that stopped reading never takes it, so its memory and its file descriptor would
stay for ever. Here every close has a deadline, after which the connection is aborted; and pings
of a peer that does not take the pongs cost no memory.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio.transports import BaseTransport
from contextlib import suppress
from typing import Any, cast

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State

from sockstore.server.asgi import ABORT, WRITE, Outgoing

__all__ = ["BoundedWebSocketProtocol"]

SECONDS_TO_CLOSE = 5.0
LONGEST_REQUEST_LINE = 8000
"""Bytes; the engine's own limit is 8192, and uvicorn leaves what is above it without an answer."""

REFUSALS = {
    400: (b"Bad Request", b"The request is no valid opening handshake.\n"),
    404: (b"Not Found", b"There is nothing at an address of this length.\n"),
}


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """Give it to uvicorn as ``ws=``; the server tells it to abort clients that do not read.

    Example:
        ::

            uvicorn.run(app, ws=BoundedWebSocketProtocol)
    """

    def connection_made(self, transport: BaseTransport) -> None:
        """Take the connection over from the HTTP protocol."""
        self._inner = cast("asyncio.Transport", transport)
        super().connection_made(_BoundedTransport(self._inner, self.loop))
        _send_at_once(transport)
        self.close_timeout = SECONDS_TO_CLOSE
        self._pong = b""
        self._extensions: dict[str, dict[Any, Any]] = {}

    def data_received(self, data: bytes) -> None:
        """Parse what came; the first call brings the whole handshake request."""
        if self.handshake_initiated:
            super().data_received(data)
            return
        line, _, _ = data.partition(b"\r\n")
        if len(line) > LONGEST_REQUEST_LINE or not line.isascii():
            self._refuse(404 if line.isascii() else 400)
            return
        super().data_received(data)
        if not self.handshake_initiated:
            # Too many or too long headers, for example: the engine gave up on it.
            self._refuse(400)

    def handle_connect(self, event: Request) -> None:
        """Begin the handshake, and tell the application how to abort, and how to write at once."""
        super().handle_connect(event)
        if self.close_sent:
            return
        self._extensions = cast("dict[str, dict[Any, Any]]", self.scope["extensions"])
        self._extensions[ABORT] = {"abort": self.transport.abort}
        # A compressed frame is one client's alone; and the engine's log has what the engine sends.
        if not (self.conn.extensions or self.conn.debug):
            self._extensions[WRITE] = {"write": self.write}

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of what leads back here: a lost connection must not wait for the collector."""
        self._extensions.pop(WRITE, None)
        super().connection_lost(exc)

    def write(self, outgoing: Outgoing) -> bool:
        """Write a message at once, if the transport takes it; its frame is built once for all."""
        inner = self._inner
        if not self.writable.is_set() or self.conn.state is not State.OPEN or inner.is_closing():
            return False
        if outgoing.frame is None:
            outgoing.frame = _frame(outgoing.message)
        inner.write(outgoing.frame)
        return True

    def send_receive_event_to_app(self) -> None:
        """Hand a message over, if text is UTF-8."""
        if self.curr_msg_data_type == "text" and not _is_utf8(self.frames):
            self.frames = []
            if not self.close_sent:
                # uvicorn's own way writes a traceback into the log for each of them.
                self.conn.fail(1007, "invalid UTF-8")
                self.handle_parser_exception()
            return
        super().send_receive_event_to_app()

    def handle_parser_exception(self) -> None:
        """Close after a violation of the protocol, such as a message that is too large.

        The rest of what the peer sends is read and thrown away until it closes, too: closing with
        unread data would reset the connection, and the peer would not see why it was closed.
        """
        if self.close_sent:
            return
        assert self.conn.close_sent is not None  # noqa: S101 - the handshake was done
        close = self.conn.close_sent
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": close.code, "reason": close.reason}
        )
        self.close_sent = True
        self.stop_keepalive()
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.transport.can_write_eof():
            self.transport.write_eof()  # "7.1.7. Fail the WebSocket Connection": do not wait
        self._close_soon()

    def keepalive_timeout(self) -> None:
        """End a connection on which no pong came: its peer has vanished, or does not read."""
        super().keepalive_timeout()
        if self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def send(self, message: ASGISendEvent) -> None:
        """Do what the application asks for."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and self.close_sent:
            # An answered handshake is complete; uvicorn would log that the application forgot it.
            self.handshake_complete = True

    def handle_ping(self) -> None:
        """Answer pings; of those that a slow peer does not take, the last one only.

        RFC 6455 section 5.5.3: an endpoint may answer only the most recent ping.
        """
        if self.writable.is_set() or self.conn.state is not State.OPEN:
            super().handle_ping()
        elif pongs := self.conn.data_to_send():  # the first ping of a read takes those of all
            self._pong = pongs[-1]

    def resume_writing(self) -> None:
        """Write again, first the pong that is owed."""
        super().resume_writing()
        pong, self._pong = self._pong, b""
        if pong and not self.close_sent:
            self.transport.write(pong)

    def eof_received(self) -> None:
        """Close: nothing more will come."""
        self.transport.close()

    def shutdown(self) -> None:
        """Say 1012 and wait for the answer: the server restarts."""
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
        self._close_soon()

    def _close_soon(self) -> None:
        """Read on until the peer closes, at most for some seconds."""
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(self.close_timeout, self.transport.abort)

    def _refuse(self, status: int) -> None:
        """Answer a request that the engine cannot even parse."""
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        phrase, body = REFUSALS[status]
        head = b"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n" % (
            status,
            phrase,
            len(body),
        )
        self.transport.write(head + b"Connection: close\r\n\r\n" + body)
        self.transport.close()


class _BoundedTransport(asyncio.Transport):
    """A transport whose polite close has a deadline.

    Args:
        inner: The real one.
        loop: The event loop.
    """

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._inner = inner
        self._loop = loop

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._inner.write(data)

    def is_closing(self) -> bool:
        return self._inner.is_closing()

    def abort(self) -> None:
        self._inner.abort()

    def close(self) -> None:
        if not self._inner.is_closing() and self._inner.get_write_buffer_size():
            # Harmless if the connection has ended until then.
            self._loop.call_later(SECONDS_TO_CLOSE, self._inner.abort)
        self._inner.close()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    def can_write_eof(self) -> bool:
        return self._inner.can_write_eof()

    def write_eof(self) -> None:
        self._inner.write_eof()


def _send_at_once(transport: BaseTransport) -> None:
    """Turn Nagle's algorithm off, which asyncio forgets for sockets that it was given.

    With it, small messages that follow each other wait for acknowledgements: some 40 ms.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in {socket.AF_INET, socket.AF_INET6}:
        with suppress(OSError):  # it has left already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _frame(message: str | bytes) -> bytes:
    if isinstance(message, str):
        return Frame(Opcode.TEXT, message.encode()).serialize(mask=False)
    return Frame(Opcode.BINARY, message).serialize(mask=False)


def _is_utf8(parts: list[bytes]) -> bool:
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
