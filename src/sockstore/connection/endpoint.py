"""Compute where a connection goes: url, headers and subprotocols, as values or callables.

Values are checked at construction, results of callables at each attempt.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from sockstore.base.errors import HandshakeFailed, InvalidOption, InvalidURI, StopReconnecting, said
from sockstore.base.state import Attempt
from sockstore.base.urls import check_url, redact_url
from sockstore.transports.base import Target, TransportFactory, TransportOptions

if TYPE_CHECKING:
    from sockstore.connection.link import Link
    from sockstore.protocols.base import BaseProtocol

__all__ = [
    "TOKEN",
    "Endpoint",
    "Headers",
    "PerAttempt",
    "Subprotocols",
    "check_endpoint_url",
    "open_link",
    "shown_url",
]

T = TypeVar("T")

PerAttempt: TypeAlias = T | Callable[[Attempt], T | Awaitable[T]]
"""A value, or a sync or async callable that is asked before every attempt."""

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
Subprotocols: TypeAlias = Iterable[str]

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""The characters of a header name and of a subprotocol (RFC 9110 section 5.6.2)."""

_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""The characters of a header's value (RFC 9110 section 5.5)."""

_LIKE_A_NAME = re.compile(r"[A-Za-z][A-Za-z\-]{0,39}(?=:)")
"""The part of a line given as a header's name that may be shown; the rest may be a secret."""

_OURS = {
    "connection": "the handshake sends it",
    "content-length": "a handshake has no body",
    "sec-websocket-accept": "only servers send it",
    "sec-websocket-extensions": "use the option compression=",
    "sec-websocket-key": "every handshake makes its own",
    "sec-websocket-protocol": "use the option subprotocols=",
    "sec-websocket-version": "the handshake sends it",
    "transfer-encoding": "a handshake has no body",
    "upgrade": "the handshake sends it",
}
"""The handshake's own headers, and what to do instead of giving them (RFC 6455 section 11.3)."""


class Endpoint:
    """The options that make a `Target`, asked for each attempt if they are callables.

    Args:
        url: A url, a callable that returns one, or None if it comes with ``connect()``.
        headers: Handshake headers to add.
        subprotocols: Subprotocols to offer, the preferred one first.
        protocol: Adds to the url and to the subprotocols, and has parameters; None adds nothing.

    Raises:
        InvalidURI: If a url that is not a callable cannot be used.
        InvalidOption: If headers or subprotocols that are not callables cannot be used.
    """

    __slots__ = ("_protocol", "headers", "subprotocols", "url")

    def __init__(
        self,
        url: PerAttempt[str] | None,
        headers: PerAttempt[Headers],
        subprotocols: PerAttempt[Subprotocols],
        protocol: BaseProtocol | None = None,
    ) -> None:
        self._protocol = protocol
        self.url: PerAttempt[str] | None = None if url is None else check_endpoint_url(url)
        self.headers: Final = headers if callable(headers) else _check_headers(headers)
        self.subprotocols: Final = (
            subprotocols if callable(subprotocols) else _check_subprotocols(subprotocols)
        )

    @property
    def has_callable(self) -> bool:
        """Whether headers or a parameter of the protocol are asked for (RC7).

        The url is not looked at: `connect` may give another one.
        """
        parameters = {} if self._protocol is None else self._protocol.parameters()
        return any(map(callable, (self.headers, *parameters.values())))

    async def target(self, attempt: Attempt) -> Target:
        """Ask the callables for this attempt.

        Raises:
            HandshakeFailed: If one of them raised.
            InvalidOption: If headers or subprotocols cannot be used.
            InvalidURI: If the url cannot be used.
            StopReconnecting: If one of them raised it.
        """
        # Values that are not callables were checked at construction.
        url, headers, subprotocols = self.url, self.headers, self.subprotocols
        if callable(url) or url is None:
            url = check_url(await _ask("url", url, attempt))
        if callable(headers):
            headers = _check_headers(await _ask("headers", headers, attempt))
        if callable(subprotocols):
            subprotocols = _check_subprotocols(await _ask("subprotocols", subprotocols, attempt))
        if (protocol := self._protocol) is None:
            return Target(url=url, headers=headers, subprotocols=subprotocols)
        asked = protocol.parameters()
        given = {name: await _ask(name, asked[name], attempt) for name in asked}
        address = protocol.address(url, given)
        offered = dict.fromkeys((*address.subprotocols, *subprotocols))
        return Target(
            url=check_url(address.url),
            headers=headers,
            subprotocols=_check_subprotocols(offered),
            given=given,
        )


async def open_link(
    attempt: Attempt,
    endpoint: Endpoint,
    transport: TransportFactory,
    options: TransportOptions,
    link: Link,
) -> None:
    """Make the transport, ask for the target, then do the opening handshake."""
    link.transport = transport(link, options)
    asking = endpoint.target(attempt)
    del endpoint, transport  # an attempt under way does not keep the connection alive
    target = await asking
    link.target, link.attempt = target, attempt
    await link.transport.open(target)


def check_endpoint_url(url: PerAttempt[str]) -> PerAttempt[str]:
    """Check a url now if it is one, and later if it is a callable."""
    return url if callable(url) else check_url(url)


def shown_url(url: PerAttempt[str] | None) -> object:
    """Return a url without its secrets; a callable, or None, as it is."""
    return redact_url(url) if isinstance(url, str) else url


async def _ask(option: str, answer: Any, attempt: Attempt) -> Any:
    if not callable(answer):
        return answer
    try:
        result = answer(attempt)
        return await result if inspect.isawaitable(result) else result
    except (StopReconnecting, InvalidURI):
        raise
    except Exception as error:
        why = f"the {option} callable raised {said(error)}"
        raise HandshakeFailed("the server", why, kind="option") from error


def _check_headers(headers: Headers) -> tuple[tuple[str, str], ...]:
    try:
        given: Any = headers
        items = given.items() if isinstance(given, Mapping) else given
        pairs: list[tuple[str, object]] = [(name, value) for name, value in items]
    except (TypeError, ValueError) as error:
        # A value may be a secret, so it is never shown.
        raise InvalidOption(
            "headers", type(headers), "give a mapping of names to values"
        ) from error
    checked = tuple(
        (_check_header_name(name, number), _check_header_value(name, value))
        for number, (name, value) in enumerate(pairs, 1)
    )
    if sum(name.lower() == "host" for name, _ in checked) > 1:
        raise InvalidOption("headers", "Host", "give it only once (RFC 9112 section 3.2)")
    return checked


def _check_header_value(name: str, value: object) -> str:
    if not isinstance(value, str) or any(character in value for character in "\r\n\0"):
        raise InvalidOption("headers", name, "its value must be text on one line")
    if not _FIELD_VALUE.fullmatch(value):
        why = (
            "its value has a character that no header can carry; look for one that cannot be seen, "
            "such as a zero-width space that was copied with it"
        )
        raise InvalidOption("headers", name, why)
    return value


def _check_header_name(name: object, number: int) -> str:
    if not isinstance(name, str) or not TOKEN.fullmatch(name):
        # A whole line, or a value in the wrong place, may be a secret.
        shown = _LIKE_A_NAME.match(name) if isinstance(name, str) else None
        where = shown[0] if shown else f"number {number}"
        raise InvalidOption("headers", where, "its name is not a valid name of a header")
    if (instead := _OURS.get(name.lower())) is not None:
        raise InvalidOption("headers", name, f"this header is the handshake's own; {instead}")
    return name


def _check_subprotocols(subprotocols: object) -> tuple[str, ...]:
    # A name may be a secret, too: some servers take tokens there.
    given = type(subprotocols)
    if isinstance(subprotocols, str):
        raise InvalidOption("subprotocols", given, "give a list of names")
    try:
        names = tuple(cast("Iterable[object]", subprotocols))
    except TypeError as error:
        raise InvalidOption("subprotocols", given, "give a list of names") from error
    checked = tuple(_check_subprotocol(name, number) for number, name in enumerate(names, 1))
    if len(set(checked)) < len(checked):
        why = "name each only once (RFC 6455 section 4.1)"
        raise InvalidOption("subprotocols", f"{len(checked)} names", why)
    return checked


def _check_subprotocol(name: object, number: int) -> str:
    if not isinstance(name, str) or not TOKEN.fullmatch(name):
        why = "that is not a valid name of a subprotocol"
        raise InvalidOption("subprotocols", f"number {number}", why)
    return name
