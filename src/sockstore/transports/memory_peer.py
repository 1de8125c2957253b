"""The server's half of a WebSocket over the network in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from sockstore.base.close import Close
from sockstore.base.errors import HandshakeFailed
from sockstore.base.state import SocketInfo
from sockstore.base.urls import redact_url
from sockstore.transports.answers import LONGEST_BODY, Answer
from sockstore.transports.base import Target
from sockstore.transports.pipes import (
    Accepted,
    Backlog,
    CloseFrame,
    Frame,
    Ping,
    Pipe,
    Pong,
    Sent,
)
from sockstore.transports.words import refusal

__all__ = ["ClientHalf", "MemoryPeer"]


class ClientHalf(Protocol):
    """The methods and attributes of the client's half that its peer uses."""

    backlog: Backlog
    decision: asyncio.Future[SocketInfo]
    to_client: Pipe
    to_server: Pipe

    def write(self, *frames: Frame) -> None:
        """Write frames of the server that arrive together."""

    def refused(self, error: HandshakeFailed) -> None:
        """Let the opening handshake fail."""

    def flush(self) -> None:
        """Let the peer read everything, unless it has stopped reading."""

    def broken(self) -> None:
        """The bytes have stopped; that is noticed once everything before was read."""


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
        on_end: Called once when it has ended, or when the client gives the attempt up.
    """

    transport: ClientHalf
    target: Target
    received: list[str | bytes] = field(default_factory=list)
    pings: int = 0
    pongs: int = 0
    closed: Close | None = None
    is_open: bool = False
    on_message: Callable[[str | bytes], object] | None = None
    on_end: Callable[[], object] | None = None
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
        reason: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
    ) -> None:
        """Answer the handshake with an HTTP status; with None refuse the TCP connection."""
        if status is None:
            error = HandshakeFailed(
                self._url, "the connection was refused (is the server running?)"
            )
        else:
            answer = Answer(status=status, reason=reason, headers=headers, body=body[:LONGEST_BODY])
            error = refusal(self.target, answer, retry_after)
        self._refuse(error)

    def send(self, *messages: str | bytes) -> Awaitable[None]:
        """Send messages that the client receives together.

        Returns:
            An awaitable that waits until the client has read enough to send more.
        """
        if self.is_open and not self._frozen:
            self.transport.write(*messages)
        return Sent(self.transport.backlog)

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
        self.end()
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

    def end(self) -> None:
        """Note that it has ended; a second call changes nothing."""
        self.is_open = False
        self.transport.backlog.end()
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()

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
        self.end()
        self.transport.to_client.post(lambda: self.transport.refused(error))

    def _write_close(self, close: Close, why: str) -> None:
        self.end()
        if not self._frozen:
            self.transport.write(CloseFrame(close, why))
