"""Check an opening handshake: host, origin, token, room and name.

All checks are pure functions, except the operator's own token check, which may be asynchronous.
"""

from __future__ import annotations

import hmac
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from sockstore.base import names
from sockstore.base.errors import InvalidOption
from sockstore.server.addresses import read_address

__all__ = [
    "Denied",
    "Handshake",
    "Token",
    "allowed_hosts",
    "check_host",
    "check_host_names",
    "check_name",
    "check_origin",
    "check_origins",
    "check_room",
    "check_token",
    "is_admitted",
]

Token: TypeAlias = str | Callable[[str | None], bool | Awaitable[bool]]
"""The secret, or a sync or async callable that is given the token of the client."""

MOST_QUERY_FIELDS = 32
DEFAULT_PORTS = {"http": "80", "https": "443"}
ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._~-]+)"
    r"(?::(?P<port>[0-9]{1,5}))?"
)

HOST = re.compile(
    r"(?:\[(?P<literal>[0-9a-f:.]+(?:%[a-z0-9._~-]+)?)\]|(?P<name>[a-z0-9._~-]+))(?::[0-9]{0,5})?"
)
"""The header `Host` in lower case (RFC 9110 section 7.2)."""


class Denied(Exception):
    """The opening handshake is refused with an HTTP status.

    Args:
        status: The HTTP status.
        message: One sentence for the user of the client.
        headers: Further headers of the answer.
    """

    def __init__(
        self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.headers = headers


@dataclass(frozen=True)
class Handshake:
    """The headers and the query of an opening handshake.

    Args:
        headers: The values of each header, by its name in lower case.
        query_string: The part of the URL after the question mark.
    """

    headers: Mapping[str, Sequence[str]]
    query_string: bytes = b""

    @classmethod
    def read(cls, headers: Iterable[tuple[bytes, bytes]], query_string: bytes) -> Handshake:
        """Read the values of an ASGI scope."""
        values: dict[str, list[str]] = {}
        for name, value in headers:
            key = name.decode("latin-1").lower()
            values.setdefault(key, []).append(value.decode("latin-1").strip())
        return cls(values, query_string)

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The fields of the query, the first of each name.

        Raises:
            Denied: 400, if there are too many.
        """
        text = self.query_string.decode("latin-1")
        try:
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_QUERY_FIELDS)
        except ValueError:
            raise Denied(400, f"The query has more than {MOST_QUERY_FIELDS} fields.") from None
        return dict(reversed(pairs))

    @property
    def token(self) -> str | None:
        """The token that the client sent, or None."""
        for value in self.headers.get("authorization", ()):
            scheme, _, credentials = value.partition(" ")
            if scheme.lower() == "bearer":
                return credentials.strip()
        return self.query.get("token")


def check_origins(allowed: Iterable[str]) -> frozenset[str]:
    """Check an allow list of origins.

    Args:
        allowed: Origins such as ``"https://example.com"``, or ``"*"`` for all.

    Raises:
        InvalidOption: If one of them is not an origin.
    """
    if isinstance(allowed, str):
        raise InvalidOption("allowed_origins", allowed, "give a list of origins")
    checked = set()
    for origin in allowed:
        normal = origin if origin in {"*", "null"} else _normal(origin)
        if normal is None:
            raise InvalidOption(
                "allowed_origins", origin, "give 'scheme://host' or 'scheme://host:port', or '*'"
            )
        checked.add(normal)
    return frozenset(checked)


def check_host_names(allowed: Iterable[str]) -> frozenset[str]:
    """Check an allow list of host names.

    Args:
        allowed: Names such as ``"chat.example.com"``, without a port.

    Raises:
        InvalidOption: If one of them is not a host name.
    """
    if isinstance(allowed, str):
        raise InvalidOption("host_names", allowed, "give a list of host names")
    checked = set()
    for name in allowed:
        match = HOST.fullmatch(name.lower())
        if match is None or match["name"] != name.lower():
            raise InvalidOption(
                "host_names", name, "give a name such as 'chat.example.com', without a port"
            )
        checked.add(match["name"].removesuffix("."))
    return frozenset(checked)


def check_token(token: Token | None) -> Token | None:
    """Check the option `token`.

    Raises:
        InvalidOption: If it is an empty text, or neither a text nor a callable.
    """
    is_right = bool(token) if isinstance(token, str) else token is None or callable(token)
    if is_right:
        return token
    # The value may be a secret, so the error does not repeat it.
    raise InvalidOption("token", "...", "give a text that is not empty, or a callable")


def allowed_hosts(host_names: frozenset[str], origins: frozenset[str]) -> frozenset[str]:
    """Return the names for `check_host`; ``"*"`` among them allows all.

    Args:
        host_names: From `check_host_names`.
        origins: From `check_origins`; their hosts are allowed, too.
    """
    if "*" in origins:
        return frozenset({"*"})
    matches = map(ORIGIN.fullmatch, origins)  # "null" has no host
    return host_names | {match["host"].strip("[]").removesuffix(".") for match in matches if match}


def check_host(scope: Mapping[str, Any], allowed: frozenset[str]) -> None:
    """On a loopback address, refuse a `Host` that is neither a loopback name nor allowed.

    The page of another site may have pointed its own name at this machine (DNS rebinding). Then its
    `Origin` and its `Host` agree, and only the name is wrong.

    Args:
        scope: The ASGI scope of the request.
        allowed: From `allowed_hosts`.

    Raises:
        Denied: 400, if there is not exactly one `Host`; 403, for the name of another machine.

    Source:
        RFC 9112 section 3.2 (one `Host`); RFC 6761 section 6.3 (``localhost``).
    """
    address, port = scope.get("server") or (None, None)  # a Unix socket has no port
    if port is None or not _is_loopback(str(address)) or "*" in allowed:
        return
    hosts = [
        value.decode("latin-1").strip()
        for name, value in scope["headers"]
        if name.lower() == b"host"
    ]
    if len(hosts) != 1:
        raise Denied(400, "A request has exactly one Host header.")
    match = HOST.fullmatch(hosts[0].lower())
    name = None if match is None else match["literal"] or match["name"].removesuffix(".")
    if name is not None and (name in allowed or _is_loopback(name)):
        return
    shown = ascii((hosts[0] if name is None else name)[:200])
    raise Denied(
        403,
        f"This server listens on a loopback address, and {shown} is not a loopback name. "
        "If a proxy sends it, start the server with --host-name NAME, or with host_names=[NAME].",
    )


def check_origin(handshake: Handshake, allowed: frozenset[str]) -> None:
    """Refuse an `Origin` of another host and port that is not allowed; programs send none.

    Raises:
        Denied: 403, for a page of another site.
    """
    origins, hosts = handshake.headers.get("origin"), handshake.headers.get("host", ())
    if not origins or "*" in allowed:
        return
    origin = origins[0]
    normal = _normal(origin) or origin
    if len(origins) == 1 and (normal in allowed or (len(hosts) == 1 and _same(origin, hosts[0]))):
        return
    raise Denied(403, f"Pages of {origin[:200]!a} may not connect; allow that origin if they may.")


def check_room(name: str) -> str:
    """Return the name of a room in its one form (NFC).

    Raises:
        Denied: 404, if the name is not valid.
    """
    try:
        return names.check_room(name)
    except InvalidOption as error:
        raise Denied(404, f"There is no such room: {error.why}.") from None


def check_name(name: str | None) -> str | None:
    """Return the sender's name; None if there is none.

    Raises:
        Denied: 400, if it has more than 64 characters, control characters, or nothing to see.
    """
    try:
        return names.check_sender(name)
    except InvalidOption as error:
        raise Denied(400, f"{error.why[0].upper()}{error.why[1:]}.") from None


async def is_admitted(token: Token, shown: str | None) -> bool:
    """Whether the token of a client is right.

    Args:
        token: The secret, or the operator's check, whose exceptions pass through.
        shown: The token of the client.
    """
    if isinstance(token, str):
        given = (shown or "").encode("utf-8", "surrogatepass")
        return hmac.compare_digest(given, token.encode("utf-8", "surrogatepass"))
    answer = token(shown)
    return bool(await answer if inspect.isawaitable(answer) else answer)


@lru_cache(maxsize=64)  # most clients send the same few names
def _is_loopback(host: str) -> bool:
    """Whether a name or an address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = read_address(host)
    return address is not None and address.is_loopback


def _normal(origin: str) -> str | None:
    """Return an origin in its normal form, without the default port; None if it is invalid."""
    match = ORIGIN.fullmatch(origin.lower())
    if match is None:
        return None
    scheme, host, port = match.group("scheme", "host", "port")
    if port is None or port == DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{port}"


def _same(origin: str, host: str) -> bool:
    """Whether the Host header names the origin's host and port.

    Both are read with the origin's scheme: behind a proxy that ends TLS the server speaks plain
    HTTP, whose default port would be wrong.
    """
    scheme, separator, _ = origin.partition("://")
    normal = _normal(origin)
    return bool(separator) and normal is not None and normal == _normal(f"{scheme}://{host}")
