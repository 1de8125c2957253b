"""Which proxy leads to a server: the one that is named, or the environment's."""

from __future__ import annotations

import os
import re
import sys
from typing import Literal, NoReturn, TypeAlias, cast, get_args
from urllib.parse import unquote, urlsplit

from sockstore.base.errors import HandshakeFailureKind, InvalidOption
from sockstore.base.frozen import frozen
from sockstore.base.urls import read_host, redact_url, tls_name
from sockstore.transports.answers import Answer

__all__ = ["Proxy", "ProxyFailedError", "asks_slowly", "parse_proxy", "proxy_for"]

Scheme: TypeAlias = Literal["http", "https", "socks5", "socks5h", "socks4", "socks4a"]
SCHEMES: tuple[str, ...] = get_args(Scheme)
PORTS = {"http": 80, "https": 443}
SOCKS_PORT = 1080

EXAMPLE = "give a url such as 'http://user:password@proxy.example:3128' or 'socks5://localhost'"


@frozen(kw_only=True)
class Proxy:
    """Where a proxy is, and how to speak to it.

    Args:
        scheme: The protocol; with ``socks5h`` and ``socks4a`` the proxy looks the host's name up.
        host: Its name or address.
        port: Its port.
        user: The user name, if it wants one.
        password: The password; empty if there is none.
    """

    scheme: Scheme
    host: str
    port: int
    user: str | None = None
    password: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def __repr__(self) -> str:
        return f"<Proxy {self}>"


class ProxyFailedError(Exception):
    """The way through a proxy ended at the proxy, or before it.

    Args:
        why: What happened, as the end of a sentence.
        kind: The family of the failure, as for `HandshakeFailed`.
        status: The HTTP status that the proxy answered with, or that says the same.
        retry_after: Seconds after which the proxy asks to be tried again, if it said so.
        answer: What the proxy answered, if it did.
    """

    def __init__(
        self,
        why: str,
        kind: HandshakeFailureKind = "network",
        *,
        status: int | None = None,
        retry_after: float | None = None,
        answer: Answer | None = None,
    ) -> None:
        super().__init__(why)
        self.why = why
        self.kind = kind
        self.status = status
        self.retry_after = retry_after
        self.answer = answer


def parse_proxy(url: object) -> Proxy:
    """Return what the url of a proxy says.

    Args:
        url: What the user, or the environment, gave.

    Returns:
        The proxy.

    Raises:
        InvalidOption: If it is no url of a proxy that can be used.

    Example:
        >>> parse_proxy("socks5h://me:secret@proxy.example")
        <Proxy socks5h://proxy.example:1080>
    """
    if not isinstance(url, str):
        raise InvalidOption("proxy", url, f"{EXAMPLE}, True for the environment's, None for none")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        _refuse(url, "its host or port cannot be read")
    scheme = parts.scheme
    if scheme not in SCHEMES:
        _refuse(url, f"it must begin with one of {', '.join(SCHEMES)}, and ://")
    if not parts.hostname or port == 0:
        _refuse(url, f"its host or port is missing; {EXAMPLE}")
    return Proxy(
        scheme=cast("Scheme", scheme),
        host=_host(url, parts.hostname),
        port=port or PORTS.get(scheme, SOCKS_PORT),
        user=None if parts.username is None else unquote(parts.username),
        password=unquote(parts.password or ""),
    )


def _host(url: str, host: str) -> str:
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        _refuse(url, "it contains white space or control characters")
    try:
        return read_host(host)
    except ValueError:
        _refuse(url, "its host is not a valid domain name or address")


def _refuse(url: str, why: str) -> NoReturn:
    raise InvalidOption("proxy", redact_url(url), why) from None


def proxy_for(host: str, port: int, option: str | bool | None, *, secure: bool) -> Proxy | None:  # noqa: FBT001 - an option's value
    """Return the proxy on the way to a server, if there is one.

    Args:
        host: The server's name or address.
        port: The server's port.
        option: A proxy's url; True for the environment's; None or False for no proxy.
        secure: Whether the server is spoken to over TLS.

    Returns:
        The proxy, or None for the direct way.

    Raises:
        ProxyFailedError: If the environment names a proxy that cannot be used.
    """
    if isinstance(option, str):
        return parse_proxy(option)
    found = _from_environment(host, port, secure=secure) if option else None
    try:
        return None if found is None else parse_proxy(found)
    except InvalidOption as error:
        why = f"the environment's {error}; mend it, or give proxy=None"
        raise ProxyFailedError(why, "option") from error


def asks_slowly(option: str | bool | None) -> bool:  # noqa: FBT001 - an option's value
    """Whether `proxy_for` may take long: it imports much, or the system looks up names for it."""
    if option is not True or not _environment_may_name_one():
        return False
    return _ASKS_THE_SYSTEM or "urllib.request" not in sys.modules


_ASKS_THE_SYSTEM = sys.platform in {"darwin", "win32"}


def _environment_may_name_one() -> bool:
    """Whether something has to be imported to know more."""
    return _ASKS_THE_SYSTEM or any(name.lower().endswith("_proxy") for name in os.environ)


def _from_environment(host: str, port: int, *, secure: bool) -> str | None:
    """Ask as `websockets` does: SOCKS first, HTTPS before HTTP (RFC 6455 section 4.1)."""
    if not _environment_may_name_one():
        return None
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - slow, and seldom used

    if proxy_bypass(f"{tls_name(host)}:{port}"):
        return None
    named = getproxies()
    for scheme in (
        ("wss", "socks", "https", "all") if secure else ("ws", "socks", "https", "http", "all")
    ):
        url = named.get(scheme)
        if url:
            return _with_scheme(url, is_socks=scheme == "socks")
    return None


def _with_scheme(url: str, *, is_socks: bool) -> str:
    """Complete what variables and the settings of a system leave out, as curl does."""
    scheme, has_scheme, rest = url.rpartition("://")
    if is_socks and scheme in {"", "http"}:
        return f"socks5h://{rest}"
    return url if has_scheme else f"http://{url}"
