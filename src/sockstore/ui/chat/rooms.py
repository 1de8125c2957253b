"""Addresses of rooms: which one a url leads to, and under which name.

Names are checked by the server's own rules, so that a user interface can say what is wrong before
anything is sent.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, unquote_plus

from sockstore.base.errors import InvalidOption
from sockstore.base.names import check_room, check_sender
from sockstore.base.urls import redact_url

__all__ = ["in_room", "name_of", "named", "room_of"]

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


def in_room(url: str, room: str) -> str:
    """Return the url of another room of the same server, for the same person.

    Args:
        url: The url of a room, or one that ends with ``/chat``.
        room: The other room's name, as the user typed it.

    Raises:
        InvalidOption: If the server does not allow the name, or the url does not lead to a room.

    Source:
        P1 in PROTOCOL.md.

    Example:
        >>> in_room("ws://localhost:8765/chat/lobby?name=Ann", "café")
        'ws://localhost:8765/chat/caf%C3%A9?name=Ann'
    """
    address, mark, query = url.partition("?")
    match = _ROOMS.fullmatch(address)
    if match is None:
        raise InvalidOption("url", redact_url(url), "give one such as ws://localhost/chat/lobby")
    return f"{match['rooms']}/{quote(check_room(room.strip()), safe='')}{mark}{query}"


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
