"""The opening handshake's words: the request, and what its failures are called.

Foreign exceptions become ours here, and nowhere else.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from sys import intern
from urllib.parse import urldefrag, urljoin, urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus, NegotiationError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.protocol import CLIENT, Protocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from sockstore._version import __version__
from sockstore.errors import HandshakeFailed, InvalidURI
from sockstore.machine.state import SocketInfo
from sockstore.transports._proxies import ProxyFailedError
from sockstore.transports.base import Target, TransportOptions
from sockstore.urls import check_url, is_secure, redact_url

__all__ = [
    "NoSubprotocolError",
    "make_request",
    "network_words",
    "protocol_after",
    "redirect_of",
    "retry_after",
    "socket_info",
    "translate",
    "without_body",
    "words_of",
]

REDIRECT_STATUSES = {301, 302, 303, 307, 308}
BELONGS_TO_ONE_ORIGIN = {"authorization", "cookie", "host", "proxy-authorization"}

_SILENT = logging.Logger("sockstore: protocol", logging.CRITICAL)  # noqa: LOG001 - nobody's
"""`ClientProtocol` writes headers and messages, secrets included, to its logger (CN14)."""


_BODY_HEADERS = re.compile(rb"(?im)^(?:Content-Length|Transfer-Encoding):.*\r\n")


class NoSubprotocolError(Exception):
    """Subprotocols were offered, and the server chose none."""


def make_request(target: Target, options: TransportOptions) -> tuple[ClientProtocol, Request]:
    """Return a new protocol for one attempt, and the request that begins it."""
    extensions = [ClientPerMessageDeflateFactory()] if options.compression else None
    protocol = ClientProtocol(
        parse_uri(target.url),
        subprotocols=[Subprotocol(name) for name in target.subprotocols] or None,
        extensions=extensions,
        max_size=options.max_message_bytes,
        logger=_SILENT,
    )
    request = protocol.connect()
    request.headers["User-Agent"] = f"sockstore/{__version__}"
    own = {name.lower() for name, _ in target.headers}
    for name in own & {"user-agent", "authorization", "host", "origin"}:
        request.headers.pop(name, None)
    for name, value in target.headers:
        request.headers[name] = value
    return protocol, request


def socket_info(url: str, protocol: ClientProtocol, response: Response) -> SocketInfo:
    """Return what a successful handshake says of its socket."""
    # What all servers say alike is kept once, not for each connection.
    headers = ((intern(name), intern(text)) for name, text in response.headers.raw_items())
    return SocketInfo(url, protocol.subprotocol, tuple(headers))


def protocol_after(handshake: ClientProtocol, max_message_bytes: int) -> Protocol:
    """Return what goes on where a handshake ended.

    It keeps nothing of it: a parser that stands where the response was read holds that, and the
    request, which take 4 KiB for as long as the connection lives.
    """
    protocol = Protocol(CLIENT, max_size=max_message_bytes, logger=_SILENT)
    protocol.extensions = handshake.extensions
    return protocol


def redirect_of(target: Target, failure: Exception) -> Target | None:
    """Return where a refused handshake sends us, without what belongs to the first origin.

    Source:
        RFC 9110 section 15.4 (redirection), RFC 6454 section 4 (origin).
    """
    if not isinstance(failure, InvalidStatus):
        return None
    response = failure.response
    locations = response.headers.get_all("Location")
    if response.status_code not in REDIRECT_STATUSES or len(locations) != 1:
        return None
    url = check_url(urldefrag(_joined(target.url, locations[0])).url)
    if is_secure(target.url) and not is_secure(url):
        why = f"the server redirects to {redact_url(url)}, which is not encrypted"
        raise HandshakeFailed(redact_url(target.url), why, kind="protocol")
    headers = target.headers
    if _origin(url) != _origin(target.url):
        headers = tuple(
            (name, value) for name, value in headers if name.lower() not in BELONGS_TO_ONE_ORIGIN
        )
    return Target(url=url, headers=headers, subprotocols=target.subprotocols)


def _joined(url: str, location: str) -> str:
    """Return where a Location leads; it may be relative, and name http for ws."""
    try:
        joined = urljoin(re.sub(r"^ws", "http", url), location)
    except ValueError:
        return location  # its check says what is wrong with it
    scheme, colon, rest = joined.partition(":")
    return {"http": "ws", "https": "wss"}.get(scheme.lower(), scheme.lower()) + colon + rest


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if is_secure(url) else 80)


def without_body(head: bytes) -> bytes:
    """Say that no body follows: the status says enough, and nobody should wait for more."""
    if head.startswith(b"HTTP/1.1 101"):
        return head
    return _BODY_HEADERS.sub(b"", head[:-2]) + b"Content-Length: 0\r\n\r\n"


def translate(url: str, error: Exception) -> HandshakeFailed | InvalidURI:
    """Return our error for whatever ended an opening handshake."""
    if isinstance(error, HandshakeFailed | InvalidURI):
        return error
    failed = (
        _failed_at_proxy(redact_url(url), error)
        if isinstance(error, ProxyFailedError)
        else _translate(redact_url(url), error)
    )
    failed.__cause__ = error
    return failed


def _translate(url: str, error: Exception) -> HandshakeFailed:
    match error:
        case InvalidStatus():
            return _refused(url, error.response)
        case NoSubprotocolError():
            return HandshakeFailed(
                url, "the server speaks none of the offered subprotocols", kind="subprotocol"
            )
        case NegotiationError() if "subprotocol" in str(error):
            return HandshakeFailed(
                url,
                f"the server chose a subprotocol that was not offered: {error}",
                kind="subprotocol",
            )
        case ssl.SSLCertVerificationError():
            return HandshakeFailed(
                url,
                f"its TLS certificate was not accepted: {error.verify_message}",
                kind="certificate",
            )
        case OSError() | EOFError():
            return HandshakeFailed(url, network_words(error), kind="network")
        case _ if isinstance(error.__cause__, EOFError):
            return HandshakeFailed(url, network_words(error.__cause__), kind="network")
        case _:
            why = f"the answer is no WebSocket handshake: {error}"
            return HandshakeFailed(url, why, kind="protocol")


def network_words(error: OSError | EOFError, who: str = "server") -> str:
    """Say what the network did, or who was at its other end."""
    match error:
        case EOFError():
            return f"the {who} ended the connection during the handshake"
        case socket.gaierror():
            return "its host name cannot be resolved"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or error}"
        case ConnectionRefusedError():
            return f"the connection was refused (is the {who} running?)"
        case ConnectionResetError():
            return "the connection was reset during the handshake"
        case TimeoutError():
            return "the network did not answer"
        case _:
            # asyncio's own text says where to, which the url says already
            return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__


def _refused(url: str, response: Response) -> HandshakeFailed:
    return HandshakeFailed(
        url,
        f"the server {words_of(response)}",
        kind="http",
        status=response.status_code,
        retry_after=retry_after(response),
    )


def _failed_at_proxy(url: str, error: ProxyFailedError) -> HandshakeFailed:
    return HandshakeFailed(
        url, error.why, kind=error.kind, status=error.status, retry_after=error.retry_after
    )


def words_of(response: Response) -> str:
    """Say what was answered."""
    return f"answered HTTP {response.status_code} {response.reason_phrase}".rstrip()


def retry_after(response: Response) -> float | None:
    """Return the seconds after which an answer asks to be tried again, if it says so."""
    return _seconds_to_wait(response.headers.get_all("Retry-After"))


def _seconds_to_wait(values: list[str]) -> float | None:
    """Read Retry-After, seconds or a date (RFC 9110 section 10.2.3); nonsense is None."""
    if len(values) != 1:
        return None
    value = values[0].strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
