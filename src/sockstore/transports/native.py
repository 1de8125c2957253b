"""The native transport: our own asyncio Protocol around `websockets`' Sans-I/O layer.

One engine, strict to RFC 6455; socket, timeouts, backpressure and abort are in our hands.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import itertools
import socket
import ssl
from typing import Any, TypeAlias

from websockets.http11 import Response

from sockstore.errors import HandshakeFailed
from sockstore.machine.state import SocketInfo
from sockstore.transports._handshake import make_request, redirect_of, translate
from sockstore.transports._wire import Wire
from sockstore.transports.base import Listener, Target, TransportOptions
from sockstore.urls import redact_url

__all__ = ["NativeTransport"]

MOST_REDIRECTS = 10
HAPPY_EYEBALLS_SECONDS = 0.25
"""Wait before the next address of a host is tried beside the first (RFC 8305 section 5)."""

_Address: TypeAlias = tuple[int, int, int, str, Any]
"""What ``getaddrinfo`` returns: family, type, protocol, name, and where to connect to."""


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
            InvalidURI: If the server redirects to something that is no WebSocket url.
        """
        for _ in range(MOST_REDIRECTS + 1):
            failure = await self._attempt(target)
            if failure is None:
                return
            following = redirect_of(target, failure)
            if following is None:
                raise translate(target.url, failure)
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
            wire = self._wire = self._make_wire(target)
            await self._connect(wire)
            await wire.handshake
        except BaseException as error:
            if wire is not None:
                wire.abort()  # asyncio would say goodbye to TLS politely, for up to 30 s
            if isinstance(error, Exception):
                return error
            raise
        return None

    def _make_wire(self, target: Target) -> Wire:
        protocol, request = make_request(target, self._options)

        def on_open(response: Response) -> None:
            headers = tuple(response.headers.raw_items())
            self._listener.opened(SocketInfo(target.url, protocol.subprotocol, headers))

        limit = self._options.max_message_bytes
        return Wire(self._listener, protocol, request, limit, on_open)

    async def _connect(self, wire: Wire) -> None:
        """Open the TCP connection, with TLS if the url asks for it."""
        uri = wire.uri
        sock = await _connected_socket(uri.host, uri.port)
        # There is no `await` until the socket belongs to asyncio's transport.
        await asyncio.get_running_loop().create_connection(
            lambda: wire,
            sock=sock,
            ssl=(self._options.ssl or _default_tls()) if uri.secure else None,
            server_hostname=uri.host if uri.secure else None,
        )
        # Not earlier: a transport whose making is cancelled gets no `connection_lost` from uvloop,
        # so nothing may have opened on it.
        wire.send_request()


async def _connected_socket(host: str, port: int) -> socket.socket:
    """Connect to the address of the host that answers first (RFC 8305, happy eyeballs).

    asyncio's own race loses the winner's socket if it is cancelled in the wrong turn of the loop,
    so here every socket is in a list, or closed.
    """
    untried = await _addresses(host, port)
    connected: list[socket.socket] = []
    failures: list[OSError] = []
    trials: set[asyncio.Task[None]] = set()
    try:
        while (untried or trials) and not connected:
            if untried:
                trial = _try_address(untried.pop(0), connected, failures)
                trials.add(asyncio.create_task(trial, name=f"sockstore: connect to {host}"))
            patience = HAPPY_EYEBALLS_SECONDS if untried else None
            _, trials = await asyncio.wait(
                trials, timeout=patience, return_when=asyncio.FIRST_COMPLETED
            )
        if not connected:
            raise failures[-1]
        return connected.pop(0)
    finally:
        for task in trials:
            task.cancel()
        for sock in connected:
            sock.close()


async def _try_address(
    address: _Address, connected: list[socket.socket], failures: list[OSError]
) -> None:
    family, kind, protocol, _, where = address
    try:
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        failures.append(error)
        return
    try:
        sock.setblocking(False)  # noqa: FBT003 - its only parameter
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException as error:
        sock.close()
        if not isinstance(error, OSError):
            raise
        failures.append(error)
    else:
        connected.append(sock)


async def _addresses(host: str, port: int) -> list[_Address]:
    """Return the addresses of a host, IPv6 and IPv4 by turns."""
    if _is_address(host):
        # Nobody is asked, so no thread is needed for it.
        numeric = socket.AI_NUMERICHOST
        return [*socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=numeric)]
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    preferred = [address for address in found if address[0] == found[0][0]]
    others = [address for address in found if address[0] != found[0][0]]
    pairs = itertools.zip_longest(preferred, others)
    return [address for pair in pairs for address in pair if address is not None]


@functools.cache
def _default_tls() -> ssl.SSLContext:
    """Return the system's trust; loading it takes long enough to be felt on each attempt."""
    return ssl.create_default_context()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
