"""WebSocket urls: checking them early, and showing them without their secrets."""

from __future__ import annotations

import re
from unicodedata import category

from sockstore.errors import InvalidURI

__all__ = ["check_url", "is_secure", "redact_url"]

_HIGHEST_PORT = 65535

_UNSENDABLE = {"Cc", "Cs"}
"""Control characters and lone surrogates, as Unicode names its categories."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*://", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]+)(:[0-9]{0,5})?")


def check_url(url: object) -> str:
    """Return the url if a WebSocket can be opened to it.

    Args:
        url: What the user gave.

    Returns:
        The same url, as a string.

    Raises:
        InvalidURI: If it is no ``ws://`` or ``wss://`` url with a host and a port that exist.

    Source:
        RFC 6455 section 3.

    Example:
        >>> check_url("ws://localhost:8765/echo")
        'ws://localhost:8765/echo'
    """
    if not isinstance(url, str):
        raise InvalidURI(redact_url(repr(url)), "give a string such as 'ws://localhost:8765/echo'")
    why = _what_is_wrong(url)
    if why is not None:
        raise InvalidURI(redact_url(url), why)
    return url


def _what_is_wrong(url: str) -> str | None:
    if any(character.isspace() or category(character) in _UNSENDABLE for character in url):
        return "it contains white space or control characters"
    from urllib.parse import urlsplit  # noqa: PLC0415 - it takes long, and no store needs it

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return f"its host or port cannot be read; a port is a number from 1 to {_HIGHEST_PORT}"
    if parts.scheme not in {"ws", "wss"}:
        return "it must begin with ws:// or wss://"
    if not parts.hostname:
        return "it has no host"
    if port == 0:
        return f"its port is 0; a port is a number from 1 to {_HIGHEST_PORT}"
    if "#" in url:
        return "a WebSocket url has no #fragment"
    if parts.username is not None and parts.password is None:
        return "it has a user name without a password"
    return _host_problem(parts.hostname)


def _host_problem(host: str) -> str | None:
    try:
        host.encode("idna")
    except UnicodeError:
        return "its host is not a valid domain name"
    return None


def redact_url(url: str) -> str:
    """Return the url without what may be secret: user info, query and fragment.

    It is also given what is no url at all; there it hides too much rather than too little.

    Example:
        >>> redact_url("wss://me:secret@example.com/feed?token=abc")
        'wss://***@example.com/feed?***'
    """
    found = _SCHEME.match(url)
    scheme = found[0] if found else ""
    rest = url[len(scheme) :]
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    user, at, host = authority.rpartition("@")
    if scheme and _HOST_AND_PORT.fullmatch(host):
        shown = rest[len(user + at) :]
    else:
        user, at, shown = rest.rpartition("@")
        if re.search("[?#]", user):
            return scheme + "***"  # a password with a ?, or a query with an @
    return scheme + ("***@" if at else "") + re.sub("([?#]).*", r"\1***", shown, flags=re.DOTALL)


def is_secure(url: str) -> bool:
    """Whether the url asks for TLS."""
    return url[:4].lower() == "wss:"
