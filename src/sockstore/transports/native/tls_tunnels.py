"""The way through an HTTP proxy that is itself spoken to over TLS.

TLS inside TLS is not for asyncio's own transports: before Python 3.11.8 and 3.12.2 they raise when
they are aborted. So the outer TLS ends in a pair of sockets, whose other end is like any tunnel.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import cast

from sockstore.base.urls import tls_name
from sockstore.transports.native.sockets import connected_socket
from sockstore.transports.proxies import Proxy

__all__ = ["tunnel_over_tls"]


async def tunnel_over_tls(
    proxy: Proxy, request: bytes, is_free: Callable[[bytes], bool], trust: ssl.SSLContext
) -> socket.socket:
    """Return a socket that leads through a proxy's TLS.

    Args:
        proxy: The proxy.
        request: What to ask it.
        is_free: Takes what it answers, returns whether the way is free, and raises if it will not
            be.
        trust: Whose certificates are accepted.

    Raises:
        OSError: If the proxy cannot be reached.
        EOFError: If it leaves.
    """
    loop = asyncio.get_running_loop()
    outside, inside = _Outside(request, is_free), _End()
    outside.other, inside.other = inside, outside
    ours, theirs = socket.socketpair()
    try:
        ours.setblocking(False)  # noqa: FBT003 - its only parameter
        await loop.create_connection(lambda: inside, sock=theirs)
        sock = await connected_socket(proxy.host, proxy.port)
        await loop.create_connection(
            lambda: outside, sock=sock, ssl=trust, server_hostname=tls_name(proxy.host)
        )
        await outside.free
    except BaseException:
        outside.abort()
        inside.abort()
        ours.close()
        theirs.close()
        raise
    return ours


class _End(asyncio.Protocol):
    """One of two connections; what arrives at it leaves by the other."""

    other: _End
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other.is_alive:
            self.other.writer.write(data)

    def pause_writing(self) -> None:
        if self.other.is_alive:
            self.other.writer.pause_reading()

    def resume_writing(self) -> None:
        if self.other.is_alive:
            self.other.writer.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.other.abort()

    @property
    def is_alive(self) -> bool:
        """Whether it can still be written to."""
        return self.transport is not None and not self.transport.is_closing()

    @property
    def writer(self) -> asyncio.Transport:
        """Its transport, once there is one."""
        assert self.transport is not None  # noqa: S101 - `is_alive` was asked
        return self.transport

    def abort(self) -> None:
        """End it at once; politeness towards TLS could take asyncio 30 s."""
        if self.transport is not None:
            self.transport.abort()


class _Outside(_End):
    """The proxy's end: it asks to be let through before anything else.

    Args:
        request: What to ask.
        is_free: What reads the answer.
    """

    def __init__(self, request: bytes, is_free: Callable[[bytes], bool]) -> None:
        self._request = request
        self._is_free = is_free
        self.free: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.writer.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self.free.done():
            super().data_received(data)
            return
        try:
            if self._is_free(data):
                self.free.set_result(None)
        except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
            self._refuse(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.free.done():
            self._refuse(exc or EOFError())
        if self.other.is_alive:
            self.other.writer.close()  # what the server said last is still to be read

    def _refuse(self, error: Exception) -> None:
        self.free.set_exception(error)
        self.free.exception()  # nobody may be waiting for it
