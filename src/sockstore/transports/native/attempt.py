"""Make one attempt to connect: TCP, perhaps by a proxy or with TLS, and the handshake."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Callable

from websockets.uri import WebSocketURI

from sockstore.base.urls import tls_name
from sockstore.transports.base import Listener, Target, TransportOptions
from sockstore.transports.native.handshake import make_request, redirect_of, translate
from sockstore.transports.native.sockets import connected_socket
from sockstore.transports.native.tunnels import tunnel
from sockstore.transports.native.wire import Wire
from sockstore.transports.native.workers import PREPARATIONS
from sockstore.transports.proxies import Proxy, asks_slowly, may_have_proxy, proxy_for

__all__ = ["attempt", "redirect_of", "translate"]


async def attempt(
    target: Target,
    listener: Listener,
    options: TransportOptions,
    began: Callable[[Wire], object],
) -> Exception | None:
    """Connect, perhaps by a proxy or with TLS, and do one handshake; return the error if it failed.

    A redirect counts as a failure. `began` gets the wire before anything is awaited.
    """
    wire: Wire | None = None
    try:
        protocol, request = make_request(target, options)
        wire = Wire(listener, protocol, target.url, options.max_message_bytes)
        began(wire)
        uri = protocol.uri
        proxy = await _proxy_for(uri, options.proxy) if may_have_proxy(options.proxy) else None
        trust = options.ssl
        if trust is None and (uri.secure or (proxy is not None and proxy.scheme == "https")):
            trust = await _default_trust()
        if proxy is None:
            sock = await connected_socket(uri.host, uri.port)
        else:
            sock = await tunnel(proxy, uri.host, uri.port, trust)
        # No `await` may come between here and asyncio's transport, which then closes the socket.
        await asyncio.get_running_loop().create_connection(
            lambda: wire,
            sock=sock,
            ssl=trust if uri.secure else None,
            server_hostname=tls_name(uri.host) if uri.secure else None,
        )
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


async def _proxy_for(uri: WebSocketURI, option: str | bool | None) -> Proxy | None:  # noqa: FBT001 - an option's value
    ask = functools.partial(proxy_for, uri.host, uri.port, option, secure=uri.secure)
    if not asks_slowly(option):
        return ask()
    return await PREPARATIONS.run(("proxy", uri.host, uri.port, uri.secure), ask)


_trust: list[ssl.SSLContext] = []
"""The system's certificates, loaded at first need; set by `_load_trust`."""


async def _default_trust() -> ssl.SSLContext:
    """Return the system's certificates; a thread loads them, which takes long."""
    return _trust[0] if _trust else await PREPARATIONS.run("load certificates", _load_trust)


def _load_trust() -> ssl.SSLContext:
    _trust[:] = [ssl.create_default_context()]
    return _trust[0]
