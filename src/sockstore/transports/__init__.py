"""Move messages over one WebSocket; only transports use a network."""

from __future__ import annotations

import sys
from collections.abc import Callable

from sockstore.base.state import Hint
from sockstore.transports.base import Listener, Transport, TransportFactory, TransportOptions

__all__ = [
    "IN_BROWSER",
    "PING_INTERVAL",
    "default_transport",
    "is_browsers_own",
    "unwatch_platform",
    "watch_platform",
]

IN_BROWSER = sys.platform == "emscripten"
"""Whether this Python runs in a browser, or in Node as if it were one."""

PING_INTERVAL: float | None = None if IN_BROWSER else 20.0
"""Seconds between pings by default; a browser cannot send them."""


def default_transport(listener: Listener, options: TransportOptions) -> Transport:
    """Return a transport of this platform: over real sockets, or the browser's own WebSocket.

    Its engine is imported here, at the first connect.
    """
    if IN_BROWSER:
        from sockstore.transports.browser import BrowserTransport  # noqa: PLC0415 - see above

        return BrowserTransport(listener, options)
    from sockstore.transports.native.transport import NativeTransport  # noqa: PLC0415 - see above

    return NativeTransport(listener, options)


def is_browsers_own(transport: TransportFactory) -> bool:
    """Whether these transports are the browser's, which have limits (see `browser_limits`)."""
    return IN_BROWSER and transport is default_transport


def watch_platform(tell: Callable[[Hint], object]) -> None:
    """Call `tell` with every hint of the platform about its network; only a browser has some."""
    if IN_BROWSER:
        from sockstore.transports.browser import watch_page  # noqa: PLC0415 - it needs the page

        watch_page(tell)


def unwatch_platform(tell: Callable[[Hint], object]) -> None:
    """Stop calling `tell`."""
    if IN_BROWSER:
        from sockstore.transports.browser import unwatch_page  # noqa: PLC0415 - the same

        unwatch_page(tell)
