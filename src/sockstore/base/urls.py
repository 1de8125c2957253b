"""Check WebSocket urls early, take them apart, and show them without their secrets."""

from __future__ import annotations

import re
from typing import Any
from unicodedata import category

from sockstore.base.errors import InvalidURI
from sockstore.base.frozen import frozen

__all__ = ["Place", "check_url", "is_secure", "place_of", "read_host", "redact_url", "tls_name"]

_HIGHEST_PORT = 65535

_UNSENDABLE = {"Cc", "Cs"}
"""Control characters and lone surrogates, as Unicode names its categories."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]*://", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]+)(:[0-9]{0,5})?")

_UNSAFE = re.compile(r"[^\x21-\x7e]|[\"<>\\^`{|}]")
"""Characters that a request line cannot carry, or that RFC 3987 section 3.1 lets us encode."""

_DOTS = re.compile("[.\u3002\uff0e\uff61]")
"""The separators of a name's labels (RFC 3490 section 3.1)."""

_LABELS = re.compile(r"(?:[^.]{1,63}\.)*[^.]{0,63}")
"""A name in ASCII (RFC 1035 section 2.3.4)."""


@frozen(kw_only=True)
class Place:
    """The parts of a url, as the network needs them.

    Args:
        secure: Whether it asks for TLS.
        host: The name in ASCII, or the address; an IPv6 address may have a zone (``fe80::1%lo``).
        port: The port.
        path: Path and query, in ASCII.
        user: The user name, if the url has one.
        password: The password; empty if there is none.
    """

    secure: bool
    host: str
    port: int
    path: str
    user: str | None = None
    password: str = ""

    @property
    def authority(self) -> str:
        """The value of the header ``Host``: without a zone, which only this machine understands.

        Source:
            RFC 9110 section 7.2; RFC 6874 section 4.
        """
        host = self.host.partition("%")[0]
        shown = f"[{host}]" if ":" in host else host
        return shown if self.port == (443 if self.secure else 80) else f"{shown}:{self.port}"

    def __repr__(self) -> str:
        return f"<Place {self.authority}>"


def check_url(url: object) -> str:
    """Return the url if a WebSocket can be opened to it.

    Raises:
        InvalidURI: If it is not a ``ws://`` or ``wss://`` url with a host and a port that exist.

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
        _check_brackets(parts.netloc.rpartition("@")[2])
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
    return _user_info_problem(parts) or _host_problem(parts)


def _check_brackets(host_and_port: str) -> None:
    """Refuse text beside the brackets of an address, which Python's parser ignores."""
    before, bracket, _ = host_and_port.partition("[")
    _, end, after = host_and_port.rpartition("]")
    if (bracket and before) or (end and after and not after.startswith(":")):
        raise ValueError


def _host_problem(parts: Any) -> str | None:
    try:
        read_host(_raw_host(parts))
    except UnicodeError:
        return "its host is not a valid domain name"
    except ValueError as error:
        return f"its host {error}"
    return None


def _user_info_problem(parts: Any) -> str | None:
    """Return why user info cannot be sent as ``Authorization`` (RFC 7617 section 2)."""
    from urllib.parse import unquote  # noqa: PLC0415 - it takes long, and no store needs it

    try:
        user = unquote(parts.username or "", errors="strict")
        password = unquote(parts.password or "", errors="strict")
    except UnicodeError:
        return "its user info is not valid UTF-8"
    if ":" in user:
        return "its user name has a colon, which HTTP cannot send"
    if any(category(character) in _UNSENDABLE for character in user + password):
        return "its user info has control characters"
    return None


def _raw_host(parts: Any) -> str:
    """Return the host in its own case, as lower case would turn a Σ at the end into a ς."""
    match = _HOST_AND_PORT.fullmatch(parts.netloc.rpartition("@")[2])
    return match[1].strip("[]") if match else parts.hostname or ""


def place_of(url: str) -> Place:
    """Return the parts of a checked url.

    A ``%XX`` stays as it is, also beside characters that must be encoded.

    Source:
        RFC 3987 section 3.1.

    Example:
        >>> place_of("ws://example.com/a%20b?q=é").path
        '/a%20b?q=%C3%A9'
    """
    from urllib.parse import unquote, urlsplit  # noqa: PLC0415 - as above

    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    return Place(
        secure=secure,
        host=read_host(_raw_host(parts)),
        port=parts.port or (443 if secure else 80),
        path=_UNSAFE.sub(_encode, path),
        user=None if parts.username is None else unquote(parts.username),
        password=unquote(parts.password or ""),
    )


def _encode(unsafe: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in unsafe[0].encode())


def read_host(host: str) -> str:
    """Return a host without brackets for the resolver: in ASCII, with the zone behind one %.

    Raises:
        UnicodeError: If it is not a valid domain name.
        ValueError: If an address has a zone that cannot be read; its text ends a sentence.

    Source:
        RFC 6874 section 2 and RFC 9844 for zones; RFC 5891 section 4.4 and RFC 5894 section 7.2
        for ß and ς, which browsers keep and Python's own codec (IDNA 2003) does not.

    Example:
        >>> read_host("fe80::1%25lo"), read_host("faß.de")
        ('fe80::1%lo', 'xn--fa-hia.de')
    """
    from urllib.parse import unquote  # noqa: PLC0415 - as above

    if ":" in host:
        address, percent, zone = host.partition("%")
        if not percent:
            return host.lower()
        name = unquote(zone[2:] if zone[:2] == "25" and zone != "25" else zone)
        if not name.isprintable() or not name or re.search(r"[\s/%]", name):
            raise ValueError("has a zone that cannot be read; write [fe80::1%25eth0]")
        return f"{address.lower()}%{name}"
    if "%" in host:
        host = unquote(host, errors="strict")
        if re.search(r"[\x00-\x20\x7f%/?#@:\[\]\\]", host):
            raise UnicodeError("not a name")
    name = host.lower() if host.isascii() else ".".join(map(_ascii_label, _DOTS.split(host)))
    if not _LABELS.fullmatch(name):
        raise UnicodeError("a label is empty or too long")
    return name


def _ascii_label(label: str) -> str:
    if not re.search("[ßς\u200c\u200d]", label):
        return label.encode("idna").decode()
    from encodings.idna import nameprep  # noqa: PLC0415 - few names have these letters

    if re.search("[\u200c\u200d]", label):
        raise UnicodeError("it has characters that cannot be seen")
    kept = (part if part in {"ß", "ς"} else nameprep(part) for part in re.split("([ßς])", label))
    return f"xn--{''.join(kept).encode('punycode').decode()}"


def tls_name(host: str) -> str:
    """Return the name that a certificate must have: without a zone or a final dot.

    Source:
        RFC 6066 section 3.

    Example:
        >>> tls_name("feed.example."), tls_name("fe80::1%lo")
        ('feed.example', 'fe80::1')
    """
    return host.partition("%")[0].removesuffix(".")


def redact_url(url: str) -> str:
    """Return the url without the parts that may be secret: user info, query and fragment.

    Of a text that is not a url it hides too much rather than too little.

    Example:
        >>> redact_url("wss://me:secret@example.com/feed?token=abc")
        'wss://***@example.com/feed?***'
    """
    match = _SCHEME.match(url)
    scheme = match[0] if match else ""
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
