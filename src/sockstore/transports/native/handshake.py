"""Do the opening handshake: request, check of the answer, redirects, and failures.

Only this module translates foreign exceptions into ours.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urldefrag, urljoin, urlsplit

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, NegotiationError
from websockets.http11 import Request, Response
from websockets.protocol import CLIENT, Protocol
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI

from sockstore.base.deflate import Deflate
from sockstore.base.errors import HandshakeFailed, HandshakeFailureKind, InvalidURI
from sockstore.base.urls import check_url, is_secure, place_of, redact_url
from sockstore.base.version import __version__
from sockstore.transports.answers import Answer, AnswerReader, NotAnAnswerError
from sockstore.transports.base import BODY_SECONDS, Target, TransportOptions
from sockstore.transports.native.compression import DeflateFactory
from sockstore.transports.proxies import ProxyFailedError
from sockstore.transports.words import cause_without_secrets, quoted, refusal

__all__ = [
    "AwaitedAnswer",
    "NoSubprotocolError",
    "RefusedError",
    "make_request",
    "network_words",
    "protocol_after",
    "redirect_of",
    "retry_after",
    "translate",
]

SWITCHING_PROTOCOLS = 101
REDIRECT_STATUSES = {301, 302, 303, 307, 308}
REPLACEABLE = {"authorization", "host", "origin", "user-agent"}
BELONGS_TO_ONE_ORIGIN = {"authorization", "cookie", "host", "proxy-authorization"}

_SILENT = logging.Logger("sockstore: protocol", logging.CRITICAL)  # noqa: LOG001 - for no handler
"""`ClientProtocol` writes headers and messages, secrets included, to its logger (CN14)."""


class NoSubprotocolError(Exception):
    """Subprotocols were offered, and the server chose none."""


class RefusedError(Exception):
    """The server gave this answer, with a status other than 101."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"HTTP {answer.status}")
        self.answer = answer


def make_request(target: Target, options: TransportOptions) -> tuple[ClientProtocol, Request]:
    """Return a new protocol for one attempt, with the parts of the url, and its request."""
    deflate = Deflate() if options.compression is True else options.compression
    extensions = [DeflateFactory(deflate)] if deflate else None
    place = place_of(target.url)
    user = (place.user, place.password) if place.user is not None else (None, None)
    path, _, query = place.path.partition("?")
    protocol = ClientProtocol(
        WebSocketURI(place.secure, place.host, place.port, path, query, *user),
        subprotocols=[*map(Subprotocol, target.subprotocols)] or None,
        extensions=extensions,
        max_size=options.max_message_bytes,
        logger=_SILENT,
    )
    request = protocol.connect()
    del request.headers["Host"]
    request.headers["Host"] = place.authority
    request.headers["User-Agent"] = f"sockstore/{__version__}"
    for name, _ in target.headers:
        if name.lower() in REPLACEABLE:
            request.headers.pop(name, None)
    for name, value in target.headers:
        request.headers[name] = value
    return protocol, request


def _check_switch(protocol: ClientProtocol, answer: Answer) -> None:
    """Check an answer (RFC 6455 section 4.1) and its subprotocol and extensions.

    Raises:
        RefusedError: If its status is not 101.
        NoSubprotocolError: If the server chose none of the offered subprotocols.
        Exception: If the answer is not valid for another reason.
    """
    if answer.status != SWITCHING_PROTOCOLS:
        raise RefusedError(answer)
    if answer.minor < 1:
        raise NotAnAnswerError("the server switched protocols in HTTP/1.0, which cannot")
    headers = Headers(answer.headers)
    protocol.process_response(Response(answer.status, answer.reason, headers))
    if protocol.available_subprotocols and protocol.subprotocol is None:
        raise NoSubprotocolError


class AwaitedAnswer:
    """Reads the answer and checks it; a refusal waits a moment for its body, which says why.

    One of `accept` and `fail` is called once: with the protocol, the answer and the bytes after
    it, or with the reason.
    """

    __slots__ = ("_accept", "_body_timeout", "_fail", "_loop", "_reader", "protocol")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: ClientProtocol,
        accept: Callable[[ClientProtocol, Answer, bytes], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self._loop = loop
        self.protocol: Final = protocol
        self._accept = accept
        self._fail = fail
        self._reader = AnswerReader({SWITCHING_PROTOCOLS})
        # Runs while a body is awaited; set by `_wait_for_body`, reset by `stop`.
        self._body_timeout: asyncio.TimerHandle | None = None

    def take(self, data: bytes) -> None:
        """Take received bytes."""
        try:
            answer = self._reader.take(data)
        except NotAnAnswerError as error:
            self._fail(error)
            return
        if answer is not None:
            self._judge(answer, self._reader.rest)
        elif self._reader.awaits_body:
            self._wait_for_body()

    def ended(self, lost: Exception | None = None) -> None:
        """Judge the received bytes: the connection ended, or the wait for a body is over."""
        if (answer := self._reader.end()) is not None:
            self._judge(answer, b"")
            return
        try:
            self._reader.judge_end()
        except NotAnAnswerError as error:
            self._fail(lost or error)
        else:
            self._fail(lost or EOFError())

    def stop(self) -> None:
        """Stop waiting for a body."""
        if self._body_timeout is not None:
            self._body_timeout.cancel()
            self._body_timeout = None

    def _judge(self, answer: Answer, rest: bytes) -> None:
        try:
            _check_switch(self.protocol, answer)
        except Exception as error:  # noqa: BLE001 - whatever waits for the handshake raises it
            self._fail(error)
        else:
            self._accept(self.protocol, answer, rest)

    def _wait_for_body(self) -> None:
        head = self._reader.head
        if head is not None and _leads_elsewhere(head):
            self.ended()  # the head of a redirect says where it leads
        elif self._body_timeout is None:
            self._body_timeout = self._loop.call_later(BODY_SECONDS, self.ended)


def protocol_after(handshake: ClientProtocol, max_message_bytes: int) -> Protocol:
    """Return the protocol that goes on after a handshake.

    It is a new one: the parser of the handshake's would keep the request and the response, which
    take 4 KiB, for as long as the connection lives.
    """
    protocol = Protocol(CLIENT, max_size=max_message_bytes, logger=_SILENT)
    protocol.extensions = handshake.extensions
    return protocol


def redirect_of(target: Target, failure: Exception) -> Target | None:
    """Return the target of a redirect, without headers that belong to the first origin.

    Source:
        RFC 9110 section 15.4 (redirection), RFC 6454 section 4 (origin).
    """
    if not isinstance(failure, RefusedError) or not _leads_elsewhere(failure.answer):
        return None
    (location,) = failure.answer.values("location")
    url = check_url(urldefrag(_joined(target.url, location)).url)
    if is_secure(target.url) and not is_secure(url):
        why = f"the server redirects to {redact_url(url)}, which is not encrypted"
        raise HandshakeFailed(redact_url(target.url), why, kind="protocol")
    headers = target.headers
    if _origin(url) != _origin(target.url):
        headers = tuple(
            (name, value) for name, value in headers if name.lower() not in BELONGS_TO_ONE_ORIGIN
        )
    else:
        url = _with_user_info(url, target.url)
    return Target(url=url, headers=headers, subprotocols=target.subprotocols)


def _leads_elsewhere(answer: Answer) -> bool:
    """Whether an answer is a redirect with exactly one Location."""
    return answer.status in REDIRECT_STATUSES and len(answer.values("location")) == 1


def _with_user_info(url: str, former: str) -> str:
    """Return a url of the same origin with the user info of the former one, if it has none."""
    parts, user_info = urlsplit(url), urlsplit(former).netloc.rpartition("@")[0]
    if not user_info or "@" in parts.netloc:
        return url
    return parts._replace(netloc=f"{user_info}@{parts.netloc}").geturl()


def _joined(url: str, location: str) -> str:
    """Return the url of a Location, which may be relative, or say http for ws."""
    with suppress(UnicodeError):
        location = location.encode("latin-1").decode()  # browsers read it as UTF-8, too
    try:
        joined = urljoin(re.sub(r"^ws", "http", url), location)
    except ValueError:
        return location  # `check_url` says what is wrong with it
    scheme, colon, rest = joined.partition(":")
    return {"http": "ws", "https": "wss"}.get(scheme.lower(), scheme.lower()) + colon + rest


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if is_secure(url) else 80)


def translate(target: Target, error: Exception) -> HandshakeFailed | InvalidURI:
    """Return our error for the one that ended an opening handshake."""
    if isinstance(error, HandshakeFailed | InvalidURI):
        return error
    failed = _translate(target, error)
    failed.__cause__ = cause_without_secrets(target, error)
    return failed


def _translate(target: Target, error: Exception) -> HandshakeFailed:
    kind: HandshakeFailureKind = "protocol"
    match error:
        case RefusedError(answer=answer):
            return refusal(target, answer, retry_after(answer))
        case ProxyFailedError(why=why, kind=kind, answer=answer):
            if answer is not None:
                return refusal(target, answer, retry_after(answer), why)
        case NoSubprotocolError():
            why, kind = "the server speaks none of the offered subprotocols", "subprotocol"
        case NegotiationError() if "subprotocol" in str(error):
            why = f"the server chose a subprotocol that was not offered: {quoted(target, error)}"
            kind = "subprotocol"
        case ssl.SSLCertVerificationError():
            why = f"its TLS certificate was not accepted: {error.verify_message}"
            kind = "certificate"
        case OSError() | EOFError():
            why, kind = network_words(error), "network"
        case NotAnAnswerError() | InvalidHandshake():
            why = f"the answer is not a WebSocket handshake: {quoted(target, error)}"
        case _:
            # Its text is not for users, and may have a secret in it.
            why = f"the handshake failed with {type(error).__name__}"
    return HandshakeFailed(redact_url(target.url), why, kind=kind)


def network_words(error: OSError | EOFError, who: str = "server") -> str:
    """Describe an error of the network or its other end, as the end of a sentence."""
    match error:
        case EOFError():
            return f"the {who} ended the connection during the handshake"
        case socket.gaierror():
            return "its host name cannot be resolved"
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER" | "HTTP_REQUEST" | "UNKNOWN_PROTOCOL"):
            return f"TLS failed: the {who} does not seem to speak TLS on this port ({error.reason})"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or error}"
        case ConnectionRefusedError():
            return f"the connection was refused (is the {who} running?)"
        case ConnectionResetError():
            return "the connection was reset during the handshake"
        case TimeoutError():
            return "the network did not answer"
        case _:
            # asyncio's own text repeats the address, which the url says
            return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__


def retry_after(answer: Answer) -> float | None:
    """Return the seconds of Retry-After, a number or a date (RFC 9110 section 10.2.3), if valid."""
    values = answer.values("retry-after")
    if len(values) != 1:
        return None
    value = values[0].strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - slow, and seldom used

    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
