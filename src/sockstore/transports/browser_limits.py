"""Refuse options that the browser's own WebSocket cannot fulfil; importable anywhere."""

from __future__ import annotations

from sockstore.base.errors import InvalidOption
from sockstore.transports.base import TransportOptions

__all__ = ["NO_HEADERS", "refuse_in_browser", "sendable"]

NO_HEADERS = (
    "a browser adds no headers to a WebSocket handshake; "
    "send the token in a subprotocol, in the url, or in a first message (on_open=)"
)
NO_PINGS = (
    "a browser cannot send pings; if the server answers heartbeats, give "
    "protocol=Plain(heartbeat=Heartbeat(...))"
)
NO_TLS = "a browser decides by itself which certificates it trusts; leave this out"
NO_PROXY = "a browser uses the proxy of its own settings; leave this out"


def refuse_in_browser(
    options: TransportOptions, headers: object, ping_interval: float | None
) -> None:
    """Refuse the options that a browser would silently ignore.

    Raises:
        InvalidOption: If a browser cannot do what one of them asks for.
    """
    if headers:
        # A value may be a secret, so it is never shown.
        raise InvalidOption("headers", type(headers), NO_HEADERS)
    if ping_interval is not None:
        raise InvalidOption("ping_interval", ping_interval, NO_PINGS)
    if options.ssl is not None:
        raise InvalidOption("ssl", options.ssl, NO_TLS)
    if options.proxy is not True:
        raise InvalidOption("proxy", type(options.proxy), NO_PROXY)


def sendable(code: int) -> int:
    """Return the close code that a browser sends for another one.

    A browser sends only 1000 and 3000 to 4999; any other code becomes 4000 plus its last three
    digits.

    Source:
        The WHATWG's ``WebSocket.close()``.

    Example:
        >>> sendable(1000), sendable(4001), sendable(1009)
        (1000, 4001, 4009)
    """
    return code if code == 1000 or 3000 <= code <= 4999 else 4000 + code % 1000
