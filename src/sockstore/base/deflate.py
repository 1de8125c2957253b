"""Configure compression (permessage-deflate), where its defaults do not fit."""

from __future__ import annotations

from sockstore.base.checks import require_flag
from sockstore.base.errors import InvalidOption
from sockstore.base.frozen import frozen

__all__ = ["Deflate"]

SMALLEST_WINDOW, LARGEST_WINDOW = 8, 15


@frozen(kw_only=True)
class Deflate:
    """The compression (permessage-deflate) to offer a server; give it as ``compression=``.

    ``compression=True`` is ``Deflate()``: whole windows, kept from message to message. Each kept
    window costs memory for as long as the connection lives, and compresses small messages better.

    Args:
        server_no_context_takeover: Ask the server to begin each message with an empty window.
        client_no_context_takeover: Begin each message that is sent with an empty window, and let
            the server ask for that.
        server_max_window_bits: The server's window, 2 to the power of 8 to 15 bytes; None lets the
            server choose. If the server does not agree, the handshake fails.
        client_max_window_bits: Our own window, 8 to 15; True lets the server choose; None offers
            nothing, which some servers need. With 8, sent messages are not compressed, since zlib
            cannot do it.

    Raises:
        InvalidOption: If a value cannot work.

    Source:
        RFC 7692 section 7.1.

    Example:
        >>> from sockstore import Deflate, WebSocketStore
        >>> frugal = Deflate(server_max_window_bits=10, client_no_context_takeover=True)
        >>> WebSocketStore("wss://example.com/feed", compression=frugal)
        <WebSocketStore wss://example.com/feed idle>
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | bool | None = True

    def __post_init__(self) -> None:
        require_flag("server_no_context_takeover", self.server_no_context_takeover)
        require_flag("client_no_context_takeover", self.client_no_context_takeover)
        if self.server_max_window_bits is not None:
            _require_bits("server_max_window_bits", self.server_max_window_bits, "or None")
        if self.client_max_window_bits is not None and self.client_max_window_bits is not True:
            _require_bits("client_max_window_bits", self.client_max_window_bits, "True or None")


def _require_bits(option: str, value: object, others: str) -> None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number or not SMALLEST_WINDOW <= value <= LARGEST_WINDOW:  # type: ignore[operator]  # it is a number
        why = f"give a whole number from {SMALLEST_WINDOW} to {LARGEST_WINDOW}, {others}"
        raise InvalidOption(option, value, why)
