"""The native transport: our own asyncio Protocol around `websockets`' Sans-I/O layer.

One engine, strict to RFC 6455; socket, timeouts, backpressure and abort are in our hands.
"""

from __future__ import annotations

import asyncio
import functools
import ssl

from sockstore.errors import HandshakeFailed
from sockstore.transports._handshake import make_request, redirect_of, translate
from sockstore.transports._proxies import proxy_for
from sockstore.transports._sockets import connected_socket
from sockstore.transports._tunnels import tunnel
from sockstore.transports._wire import Wire
from sockstore.transports.base import Listener, Target, TransportOptions
from sockstore.urls import Place, place_of, redact_url, tls_name

__all__ = ["NativeTransport"]

MOST_REDIRECTS = 10


class NativeTransport:
    """A WebSocket over TCP or TLS, used once.

    Args:
        listener: Who is told what happens.
        options: What stays the same for all transports of a connection.
    """

    def __init__(self, listener: Listener, options: TransportOptions) -> None:
        self._listener = listener
        self._options = options
        self._wire: Wire | None = None

    @property
    def heard(self) -> int:
        """Reads that brought bytes so far."""
        return 0 if self._wire is None else self._wire.heard

    @property
    def reading_paused(self) -> bool:
        """Whether reading stopped because too much waits to be delivered."""
        return self._wire is not None and self._wire.reading_paused

    @property
    def buffered_amount(self) -> int:
        """Bytes that were handed over and not yet given to the network."""
        return 0 if self._wire is None else self._wire.buffered_amount

    async def open(self, target: Target) -> None:
        """Do the opening handshake, through at most 10 redirects.

        Raises:
            HandshakeFailed: If it failed; nothing is left of it then.
            InvalidURI: If the server redirects to something that is not a WebSocket url.
        """
        for _ in range(MOST_REDIRECTS + 1):
            failure = await self._attempt(target)
            if failure is None:
                return
            following = redirect_of(target, failure)
            if following is None:
                raise translate(target, failure)
            target = following
        why = f"the server redirects more than {MOST_REDIRECTS} times"
        raise HandshakeFailed(redact_url(target.url), why, kind="protocol")

    def send(self, data: str | bytes) -> None:
        """Write one message."""
        if self._wire is not None:
            self._wire.send(data)

    def ping(self, payload: bytes) -> None:
        """Write a ping."""
        if self._wire is not None:
            self._wire.ping(payload)

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; returns at once."""
        if self._wire is not None:
            self._wire.close(code, reason)

    def abort(self) -> None:
        """End it at once."""
        if self._wire is not None:
            self._wire.abort()

    async def _attempt(self, target: Target) -> Exception | None:
        """Do one handshake without following redirects; return what it failed with."""
        wire: Wire | None = None
        try:
            protocol, request = make_request(target, self._options)
            wire = Wire(self._listener, protocol, target.url, self._options.max_message_bytes)
            self._wire = wire
            await self._connect(wire, place_of(target.url))
            # Not earlier: a transport whose making is cancelled gets no `connection_lost` from
            # uvloop, so nothing may have opened on it.
            wire.send_request(request)
            await wire.handshake
        except BaseException as error:
            if wire is not None:
                wire.abort()  # asyncio would say goodbye to TLS politely, for up to 30 s
            if isinstance(error, Exception):
                return error
            raise
        return None

    @property
    def _trust(self) -> ssl.SSLContext:
        return self._options.ssl or _default_tls()

    async def _connect(self, wire: Wire, place: Place) -> None:
        """Open the TCP connection, through a proxy if there is one, with TLS if the url asks."""
        proxy = proxy_for(place.host, place.port, self._options.proxy, secure=place.secure)
        if proxy is None:
            sock = await connected_socket(place.host, place.port)
        else:
            sock = await tunnel(proxy, place.host, place.port, self._trust)
        # There is no `await` until the socket belongs to asyncio's transport.
        await asyncio.get_running_loop().create_connection(
            lambda: wire,
            sock=sock,
            ssl=self._trust if place.secure else None,
            server_hostname=tls_name(place.host) if place.secure else None,
        )


@functools.cache
def _default_tls() -> ssl.SSLContext:
    """Return the system's trust; loading it takes long enough to be felt on each attempt."""
    return ssl.create_default_context()
