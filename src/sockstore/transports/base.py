"""Define what a connection and a transport call on each other, and a transport's options."""

from __future__ import annotations

import ssl as tls
from collections.abc import Iterator, Mapping
from dataclasses import field
from types import MappingProxyType
from typing import Any, Protocol

from sockstore.base.checks import require_count, require_instance
from sockstore.base.close import Close
from sockstore.base.deflate import Deflate
from sockstore.base.errors import InvalidOption
from sockstore.base.frozen import frozen
from sockstore.base.state import SocketInfo
from sockstore.base.urls import redact_url

__all__ = [
    "BODY_SECONDS",
    "HIGH_WATER",
    "SLICE_SECONDS",
    "WORKER",
    "Deliver",
    "Listener",
    "Target",
    "Transport",
    "TransportFactory",
    "TransportOptions",
    "deliver_one",
]

WORKER = "sockstore worker: "
"""Prefix of the names of threads that run blocking calls; they end by themselves."""

SLICE_SECONDS = 0.005
"""A burst is delivered in slices of about this length, so that the event loop stays responsive."""

BODY_SECONDS = 0.5
"""How long to wait for the body of a refusal, which says why it was refused."""

HIGH_WATER = 64 * 2**10
"""Bytes that wait in a send buffer, above which writing pauses, where the transport decides it."""


class Deliver(Protocol):
    """Takes the messages of one slice.

    It may leave messages in the iterator: those come again in the next slice. It returns whether
    the slice should end now.
    """

    def texts(self, messages: Iterator[str], /) -> bool:
        """Take text messages."""

    def binaries(self, messages: Iterator[bytes], /) -> bool:
        """Take binary messages."""


def deliver_one(deliver: Deliver, message: str | bytes) -> bool:
    """Deliver a single message; return whether the slice should end now."""
    if isinstance(message, str):
        return deliver.texts(iter((message,)))
    return deliver.binaries(iter((message,)))


@frozen(kw_only=True)
class Target:
    """Where one attempt goes.

    Args:
        url: A checked ``ws://`` or ``wss://`` url.
        headers: Handshake headers to add, as (name, value) pairs.
        subprotocols: The subprotocols to offer, the preferred one first.
        given: The values of the protocol's parameters; transports ignore them.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    given: Mapping[str, Any] = MappingProxyType({})

    def __repr__(self) -> str:
        names = ", ".join(name for name, _ in self.headers)
        offered = len(self.subprotocols)  # a name may be a token
        return f"<Target {redact_url(self.url)} headers=({names}) subprotocols={offered}>"


@frozen(kw_only=True)
class TransportOptions:
    """The options that all transports of a connection share.

    Args:
        max_message_bytes: A larger message closes the connection with 1009.
        ssl: The TLS context for ``wss://``; None for the system's defaults.
        compression: Whether to offer permessage-deflate (RFC 7692), or with which parameters.
        proxy: The url of a proxy; True for the proxy of the environment, None or False for none.

    Raises:
        InvalidOption: If a value cannot work.
    """

    max_message_bytes: int = 2**20
    ssl: tls.SSLContext | None = None
    compression: bool | Deflate = False
    proxy: str | bool | None = field(default=True, repr=False)  # its url may have a password

    def __post_init__(self) -> None:
        require_count("max_message_bytes", self.max_message_bytes, least=1)
        if not isinstance(self.compression, Deflate | bool):
            raise InvalidOption("compression", self.compression, "give True, False or a Deflate")
        require_instance("ssl", self.ssl, tls.SSLContext, "an ssl.SSLContext or None")
        if self.proxy is not None and not isinstance(self.proxy, bool):
            from sockstore.transports.proxies import parse_proxy  # noqa: PLC0415 - few have one

            parse_proxy(self.proxy)


class Listener(Protocol):
    """Hears what happens on a transport.

    The event loop makes the calls; only `writing_paused` may come from inside ``send()``. `opened`
    comes first, once. Tasks that it woke take a step; then slices, pongs in them and changes of
    writability follow, any number of them. At the end `closed` comes once, then `released` once.

    If ``open()`` raises, none of them comes, with one exception: it may be cancelled in the turn in
    which the handshake succeeds, after `opened`; `closed` and `released` follow then.
    """

    def opened(self, socket: SocketInfo) -> None:
        """The handshake succeeded; bytes of the same read follow in another turn."""

    def begin_slice(self) -> Deliver | None:
        """Bytes were read; return the `Deliver` for their messages, or None to discard them.

        A read may bring only pings, pongs or a part of a message, so a slice may have no message.
        """

    def end_slice(self) -> None:
        """The slice is over; its messages are delivered."""

    def pong_received(self, payload: bytes) -> None:
        """The peer answered a ping."""

    def writing_paused(self) -> None:
        """The send buffer is above its high-water mark."""

    def writing_resumed(self) -> None:
        """The send buffer is below its low-water mark again."""

    def closed(self, close: Close, why: str, cause: Exception | None = None) -> None:
        """The WebSocket has ended; its socket may exist a little longer."""

    def released(self) -> None:
        """The socket is closed, and no task or timer is left."""


class Transport(Protocol):
    """Moves messages over one WebSocket, and is used once."""

    @property
    def heard(self) -> int:
        """Reads that brought bytes so far."""

    @property
    def reading_paused(self) -> bool:
        """Whether reading stopped because too much waits to be delivered."""

    @property
    def buffered_amount(self) -> int:
        """Bytes that were handed over and not yet given to the network."""

    async def open(self, target: Target) -> None:
        """Do the opening handshake; it has no deadline and may be cancelled.

        Raises:
            HandshakeFailed: If it failed; nothing is left of it then.
        """

    def send(self, data: str | bytes) -> None:
        """Write one message; do nothing if the WebSocket has ended."""

    def ping(self, payload: bytes) -> None:
        """Write a ping, if this transport can."""

    def pause_reading(self) -> None:
        """Bring no more messages until `resume_reading`, if this transport can.

        It is called in a slice, which ends by that.
        """

    def resume_reading(self) -> None:
        """Bring messages again, from another turn on."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; returns at once."""

    def abort(self) -> None:
        """End it at once; `released` follows soon."""


class TransportFactory(Protocol):
    """Makes a new transport for each attempt."""

    def __call__(self, listener: Listener, options: TransportOptions, /) -> Transport:
        """Return a transport that has not been opened."""
        ...
