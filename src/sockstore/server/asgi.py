"""The ASGI side of one connection: what comes in, what goes out, and its hard end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from starlette.types import Message, Receive, Scope, Send

from sockstore.server.admission import Refused

__all__ = ["ABORT", "METER", "WRITE", "Outgoing", "Peer", "PeerLeft", "Write", "size_of"]

ABORT = "sockstore.abort"
"""The ASGI extension of our uvicorn protocol; its value holds the callable under "abort"."""

METER = "sockstore.meter"
"""The ASGI extension of our uvicorn protocol; "use" takes a callable that counts what is not a
message (control frames, small fragments), and returns False when that was one too many."""

WRITE = "sockstore.write"
"""The ASGI extension of our uvicorn protocol; its value holds a `Write` under "write"."""


class PeerLeft(Exception):
    """There is nobody to send to any more."""


@dataclass(slots=True, eq=False)
class Outgoing:
    """A message for one client or for many: measured once, and framed once.

    Args:
        message: Text, or bytes for a binary message.
        size: The bytes that it takes.
        frame: Its frame of RFC 6455, as soon as a server has built it.
    """

    message: str | bytes
    size: int = field(init=False)
    frame: bytes | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.size = size_of(self.message)


Write: TypeAlias = Callable[[Outgoing], bool]
"""Writes a message at once, if what was written before has been taken so far; else returns False,
and then nothing was written."""


def size_of(message: str | bytes) -> int:
    """Return the bytes that a message takes on the wire."""
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode("utf-8", "surrogatepass"))


class Peer:
    """One WebSocket, as the server hands it over.

    Everything that sends may raise `PeerLeft`.

    Args:
        scope: What the server says about it.
        receive: Returns the next event.
        send: Takes the next event.

    Attributes:
        host: The address that it comes from, as the server says; None with a Unix socket.
        write: Sends a message without waiting, if the server lets us.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extensions: dict[str, dict[Any, Any]] = scope.get("extensions") or {}
        client = scope.get("client")
        self.host: str | None = client[0] if client else None
        self._receive = receive
        self._send = send
        self._can_answer = "websocket.http.response" in extensions
        self._abort: Callable[[], None] | None = extensions.get(ABORT, {}).get("abort")
        self._use_meter: Callable[[Callable[[], bool]], None] | None = extensions.get(
            METER, {}
        ).get("use")
        self.write: Write | None = extensions.get(WRITE, {}).get("write")

    def count_frames(self, take: Callable[[], bool]) -> None:
        """Have control frames and small fragments counted, where the server lets us.

        Args:
            take: Counts one; if it returns False, nothing more is read until we have closed.
        """
        if self._use_meter is not None:
            self._use_meter(take)

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
        """Do the opening handshake.

        Args:
            subprotocol: The one that was chosen of those that the client offers.
        """
        await self._emit({"type": "websocket.accept", "subprotocol": subprotocol})

    async def send(self, message: str | bytes) -> None:
        """Send a message, as soon as the server takes one."""
        key = "text" if isinstance(message, str) else "bytes"
        await self._emit({"type": "websocket.send", key: message})

    async def close(self, code: int, reason: str) -> None:
        """Send the close frame, as soon as the server takes one."""
        await self._emit({"type": "websocket.close", "code": code, "reason": reason})

    async def refuse(self, refused: Refused) -> None:
        """Answer the opening handshake with an HTTP status.

        A server without the ASGI extension for it can only say 403.
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
            PeerLeft: However the server says it: by ASGI's OSError, or by a RuntimeError where
                the closing handshake has begun behind our back.
        """
        try:
            await self._send(event)
        except (OSError, RuntimeError) as error:
            raise PeerLeft from error

    def abort(self) -> None:
        """End the TCP connection at once, where the server lets us."""
        if self._abort is not None:
            self._abort()
