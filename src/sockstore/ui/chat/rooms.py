"""Addresses of rooms: which one a url leads to, and under which name.

Names are checked by the server's own rules, so that a user interface can say what is wrong before
anything is sent.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, unquote_plus

from sockstore.base.names import check_room, check_sender

__all__ = ["name_of", "named", "room_of", "rooms_url"]

ALL_ROOMS = "/connection/websocket"

_ROOMS = re.compile(r"(?P<rooms>wss?://[^/]+(?:/[^?#]*)?/chat)(?:/(?P<room>[^/]*))?", re.IGNORECASE)


def room_of(url: str) -> str | None:
    """Return the name of the room that a url leads to; None if it leads to none.

    Example:
        >>> room_of("ws://localhost:8765/chat/caf%C3%A9?name=Ann")
        'café'
        >>> room_of("ws://localhost:8765/echo") is None
        True
    """
    match = _ROOMS.fullmatch(url.partition("?")[0])
    if match is None or not match["room"]:
        return None
    try:
        return check_room(unquote(match["room"], errors="strict"))
    except ValueError:
        return None


def rooms_url(url: str) -> str:
    """Return the url at which a server of ours has all its rooms on one connection.

    Args:
        url: The server's address, the url of one of its rooms in plain JSON, or that url itself.

    Source:
        Section 6 in PROTOCOL.md.

    Example:
        >>> rooms_url("ws://localhost:8765/chat/lobby?name=Ann")
        'ws://localhost:8765/connection/websocket?name=Ann'
        >>> rooms_url("wss://example.com/live")
        'wss://example.com/live/connection/websocket'
    """
    address, mark, query = url.partition("?")
    base = address.rstrip("/")
    if base.endswith(ALL_ROOMS):
        return f"{base}{mark}{query}"
    match = _ROOMS.fullmatch(address)
    if match is not None:
        base = match["rooms"].removesuffix("/chat")
    return f"{base}{ALL_ROOMS}{mark}{query}"


def named(url: str, name: str | None) -> str:
    """Return the same url under another name; the rest of it stays as it is.

    Args:
        url: The url of a room, or of any server that takes ``?name=``.
        name: The name, as the user typed it; None or a blank one for no name.

    Raises:
        InvalidOption: If the server does not allow the name.

    Source:
        P2 in PROTOCOL.md.

    Example:
        >>> named("ws://localhost:8765/chat/lobby?token=t&name=Ann", "Bob B")
        'ws://localhost:8765/chat/lobby?token=t&name=Bob%20B'
    """
    checked = check_sender(name)
    address, _, query = url.partition("?")
    fields = [field for field in query.split("&") if field and not _is_name(field)]
    if checked is not None:
        fields.append(f"name={quote(checked, safe='')}")
    return f"{address}?{'&'.join(fields)}" if fields else address


def name_of(url: str) -> str | None:
    """Return the name that a url gives; None if it gives none that a server takes.

    Example:
        >>> name_of("ws://localhost:8765/chat/lobby?name=Bob%20B")
        'Bob B'
    """
    names = filter(_is_name, url.partition("?")[2].split("&"))
    try:
        return check_sender(unquote_plus(next(names, "").partition("=")[2]))
    except ValueError:
        return None


def _is_name(field: str) -> bool:
    return unquote_plus(field.partition("=")[0]) == "name"
