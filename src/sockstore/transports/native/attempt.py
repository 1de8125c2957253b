"""Make one attempt to connect: TCP, perhaps by a proxy or with TLS, and the handshake."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Callable

from sockstore.base.urls import Place, place_of, tls_name
from sockstore.transports.base import Listener, Target, TransportOptions
from sockstore.transports.native.handshake import make_request, redirect_of, translate
from sockstore.transports.native.sockets import connected_socket
from sockstore.transports.native.tunnels import tunnel
from sockstore.transports.native.wire import Wire
from sockstore.transports.native.workers import PREPARATIONS
from sockstore.transports.proxies import Proxy, asks_slowly, proxy_for

__all__ = ["attempt", "redirect_of", "translate"]


async def attempt(
    target: Target,
    listener: Listener,
    options: TransportOptions,
    began: Callable[[Wire], object],
) -> Exception | None:
    """Do one handshake without following redirects; return the error if it failed.

    Args:
        target: The target.
        listener: Is told what happens afterwards.
        options: The options that all transports of the connection share.
        began: Called with the attempt's wire before anything is awaited.
    """
    wire: Wire | None = None
    try:
        protocol, request = make_request(target, options)
        wire = Wire(listener, protocol, target.url, options.max_message_bytes)
        began(wire)
        await _connect(wire, place_of(target.url), options)
        # Not earlier: a transport whose making is cancelled gets no `connection_lost` from
        # uvloop, so nothing may have opened on it.
        wire.send_request(request)
        await wire.handshake
    except BaseException as error:
        if wire is not None:
            wire.abort()  # asyncio's close would wait for TLS, for up to 30 s
        if isinstance(error, Exception):
            return error
        raise
    return None


async def _connect(wire: Wire, place: Place, options: TransportOptions) -> None:
    """Open the TCP connection, through a proxy if there is one, with TLS for ``wss://``."""
    proxy = await _proxy_for(place, options.proxy)
    trust = options.ssl
    if trust is None and (place.secure or (proxy is not None and proxy.scheme == "https")):
        trust = await _default_trust()
    if proxy is None:
        sock = await connected_socket(place.host, place.port)
    else:
        sock = await tunnel(proxy, place.host, place.port, trust)
    # No `await` may come between here and asyncio's transport, which then closes the socket.
    await asyncio.get_running_loop().create_connection(
        lambda: wire,
        sock=sock,
        ssl=trust if place.secure else None,
        server_hostname=tls_name(place.host) if place.secure else None,
    )


async def _proxy_for(place: Place, option: str | bool | None) -> Proxy | None:  # noqa: FBT001 - an option's value
    ask = functools.partial(proxy_for, place.host, place.port, option, secure=place.secure)
    if not asks_slowly(option):
        return ask()
    key = ("proxy", place.host, place.port, place.secure)
    return await PREPARATIONS.run(key, ask)


_trust: list[ssl.SSLContext] = []
"""The system's certificates, loaded at first need; set by `_load_trust`."""


async def _default_trust() -> ssl.SSLContext:
    """Return the system's certificates; a thread loads them, which takes long."""
    return _trust[0] if _trust else await PREPARATIONS.run("load certificates", _load_trust)


def _load_trust() -> ssl.SSLContext:
    _trust[:] = [ssl.create_default_context()]
    return _trust[0]
