"""WebSocket of an ASGI server: receives, sends, closes and aborts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from starlette.types import Message, Receive, Scope, Send

from sockstore.server.admission import Denied

__all__ = [
    "ABORT",
    "METER",
    "WRITE",
    "Outgoing",
    "Peer",
    "PeerLeft",
    "SharedMessage",
    "SharedMessages",
    "Write",
    "size_of",
]

ABORT = "sockstore.abort"
"""An ASGI extension of our uvicorn protocol; its "abort" is a callable without arguments."""

METER = "sockstore.meter"
"""An ASGI extension of our uvicorn protocol; its "use" is a `UseMeter`."""

WRITE = "sockstore.write"
"""An ASGI extension of our uvicorn protocol; its "write" is a `Write`."""


class PeerLeft(Exception):
    """The peer has left, so nothing can be sent."""


@dataclass(eq=False)
class SharedMessage:
    """A message for one client or for many, which is framed once and measured once.

    Args:
        message: Text, or bytes for a binary message.
        frame: Its frame of RFC 6455; the first protocol that writes it sets this.
    """

    message: str | bytes
    frame: bytes | None = None

    @cached_property
    def size(self) -> int:
        """Its bytes; only a message that has to wait in a buffer is measured."""
        return size_of(self.message)

    @property
    def messages(self) -> tuple[SharedMessage, ...]:
        """This message, as the only one."""
        return (self,)


@dataclass(eq=False)
class SharedMessages:
    """Several messages for one client or for many, which are written together.

    Args:
        messages: The messages, in their order.
        frame: Their frames; the first protocol that writes them sets this.
    """

    messages: tuple[SharedMessage, ...]
    frame: bytes | None = None


Outgoing: TypeAlias = SharedMessage | SharedMessages

Write: TypeAlias = Callable[[Outgoing], bool]
"""Writes messages now and returns True; returns False, and writes nothing, if the transport still
buffers earlier messages."""


def size_of(message: str | bytes) -> int:
    """Return the bytes of a message in its frame."""
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode("utf-8", "surrogatepass"))


UseMeter: TypeAlias = Callable[[Callable[[], bool]], None]
"""Sets a callable that counts one frame which is not a message (a control frame, a small fragment).
If it returns False, that was one too many, and nothing more is read until the close."""


class Peer:
    """One WebSocket of an ASGI server.

    All methods that send may raise `PeerLeft`.

    Args:
        scope: The ASGI scope.
        receive: Returns the next event.
        send: Sends an event.

    Attributes:
        host: The address of the peer, from the scope; None with a Unix socket.
        use_meter: Counts other frames than messages; None if the server does not offer it.
        write: Writes a message without waiting; None if the server does not offer it.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extensions: dict[str, dict[Any, Any]] = scope.get("extensions") or {}
        client = scope.get("client")
        self.host: str | None = client[0] if client else None
        self._receive = receive
        self._send = send
        self._can_answer = "websocket.http.response" in extensions
        self._abort: Callable[[], None] | None = extensions.get(ABORT, {}).get("abort")
        self.use_meter: UseMeter | None = extensions.get(METER, {}).get("use")
        self.write: Write | None = extensions.get(WRITE, {}).get("write")

    async def receive(self) -> str | bytes | None:
        """Return the next message; None when the connection has ended."""
        while True:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                return None
            if event["type"] == "websocket.receive":
                text: str | None = event.get("text")
                data: bytes = event.get("bytes") or b""
                return data if text is None else text

    async def accept(self, subprotocol: str | None = None) -> None:
        """Complete the opening handshake.

        Args:
            subprotocol: The one to agree on, of those that the client offers.
        """
        await self._emit({"type": "websocket.accept", "subprotocol": subprotocol})

    async def send(self, message: str | bytes) -> None:
        """Send a message, once the server takes it."""
        key = "text" if isinstance(message, str) else "bytes"
        await self._emit({"type": "websocket.send", key: message})

    async def close(self, code: int, reason: str) -> None:
        """Send a close frame, once the server takes it."""
        await self._emit({"type": "websocket.close", "code": code, "reason": reason})

    async def refuse(self, refused: Denied) -> None:
        """Answer the opening handshake with an HTTP status.

        A server without the ASGI extension for it answers 403.
        """
        if not self._can_answer:
            await self.close(1008, "")
            return
        headers = (("content-type", "text/plain; charset=utf-8"), *refused.headers)
        await self._emit(
            {
                "type": "websocket.http.response.start",
                "status": refused.status,
                "headers": [(name.encode(), value.encode()) for name, value in headers],
            }
        )
        body = f"{refused.message}\n".encode()
        await self._emit({"type": "websocket.http.response.body", "body": body})

    async def _emit(self, event: Message) -> None:
        """Hand an event to the server.

        Raises:
            PeerLeft: If the server raises ASGI's OSError, or a RuntimeError because the closing
                handshake has begun already.
        """
        try:
            await self._send(event)
        except (OSError, RuntimeError) as error:
            raise PeerLeft from error

    def abort(self) -> None:
        """End the TCP connection at once, if the server offers it."""
        if self._abort is not None:
            self._abort()
