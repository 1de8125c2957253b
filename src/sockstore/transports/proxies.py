"""Choose the proxy for a server: the one of the option, or the environment's."""

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

__all__ = ["Proxy", "ProxyFailedError", "asks_slowly", "may_have_proxy", "parse_proxy", "proxy_for"]

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
        user: The user name, if one is needed.
        password: The password; empty without one.
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
    """The proxy could not be reached or used, or it refused.

    Args:
        why: The reason, as the end of a sentence.
        kind: The kind of failure, as for `HandshakeFailed`.
        answer: The proxy's answer in HTTP, or one that says the same, if it gave one.
    """

    def __init__(
        self,
        why: str,
        kind: HandshakeFailureKind = "network",
        answer: Answer | None = None,
    ) -> None:
        super().__init__(why)
        self.why = why
        self.kind: HandshakeFailureKind = kind
        self.answer = answer


def parse_proxy(url: object) -> Proxy:
    """Return the proxy of a url.

    `websockets.proxy.parse_proxy` is not used: it refuses a user without a password, takes port 80
    for SOCKS, shows the password in its error, and is not there in a browser.

    Raises:
        InvalidOption: If it is not the url of a proxy that can be used.

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
    """Return the proxy on the way to a server; None to connect directly.

    `option` is a proxy's url, True for the environment's, None or False for no proxy.

    Raises:
        ProxyFailedError: If the environment names a proxy that cannot be used.
    """
    if isinstance(option, str):
        return parse_proxy(option)
    url = _from_environment(host, port, secure=secure) if option else None
    try:
        return None if url is None else parse_proxy(url)
    except InvalidOption as error:
        why = f"the environment's {error}; correct it, or give proxy=None"
        raise ProxyFailedError(why, "option") from error


_ASKS_THE_SYSTEM = sys.platform in {"darwin", "win32"}


def may_have_proxy(option: str | bool | None) -> bool:  # noqa: FBT001 - an option's value
    """Whether `proxy_for` may return a proxy: asking the environment is worth an import."""
    if option is not True:
        return bool(option)
    return _ASKS_THE_SYSTEM or "_proxy" in " ".join(os.environ).lower()


def asks_slowly(option: str | bool | None) -> bool:  # noqa: FBT001 - an option's value
    """Whether `proxy_for` may take long: it imports much, or the system looks up names."""
    return option is True and (_ASKS_THE_SYSTEM or "websockets.proxy" not in sys.modules)


def _from_environment(host: str, port: int, *, secure: bool) -> str | None:
    """Ask as `websockets` does (RFC 6455 section 4.1), and then for ``ALL_PROXY``, as curl does."""
    # All slow, seldom used, and `websockets` is not there in a browser.
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - see above

    from websockets.proxy import get_proxy  # noqa: PLC0415 - see above
    from websockets.uri import WebSocketURI  # noqa: PLC0415 - see above

    uri = WebSocketURI(secure, tls_name(host), port, path="/", query="")
    named = getproxies()
    url = get_proxy(uri)
    if url is None and not proxy_bypass(f"{uri.host}:{port}"):
        url = named.get("all")
    if url is None or "://" in url:
        return url
    # Variables and the settings of a system may leave out the scheme.
    return f"socks5h://{url}" if url == named.get("socks") else f"http://{url}"
