"""Know a visitor of the demo's pages: a name and rooms, which the browser keeps as cookies."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import quote, unquote, urlencode

from sockstore.base.errors import InvalidOption
from sockstore.base.names import check_room, check_sender
from sockstore.ui.chat.rooms import rooms_url

__all__ = [
    "BESIDE",
    "ECHO_HINT",
    "KEPT",
    "NO_SERVER_HERE",
    "PAGES",
    "ROOMS",
    "WITH_MEMBERS",
    "Visitor",
    "cookies_of",
    "visitor",
]

PAGES = (("Echo", "/"), ("Chat", "/chat"))
"""The names and the paths of the pages."""

NO_SERVER_HERE = "There is no WebSocket server at this address; the pages connect to {server}."

ECHO_HINT = "What you send comes back, from a server at the other end of a WebSocket."

BESIDE = "Show {room} beside {first}"

WITH_MEMBERS = MappingProxyType({"join_leave": True})
"""Asks the server who is in a room."""

KEPT = 1000
"""Messages of a room that a page keeps."""

ROOMS = ("lobby", "help", "random")
"""Rooms that every visitor is shown."""

MOST_ROOMS = 12
TITLE_LENGTH = 64
REMEMBERED_FOR = 30 * 24 * 3600
"""Seconds that the browser keeps the cookies."""

NAME, VISITED = "sockstore-name", "sockstore-rooms"


@dataclass(frozen=True, slots=True)
class Visitor:
    """A visitor in a room, or in two of them, side by side.

    Args:
        name: The name of the visitor.
        room: The room, as it was asked for; the server decides whether it is valid.
        rooms: The rooms that are listed.
        beside: A second room that is shown; empty for none.
    """

    name: str
    room: str
    rooms: tuple[str, ...]
    beside: str = ""

    @property
    def shown(self) -> tuple[str, ...]:
        """The rooms that are shown."""
        return (self.room, self.beside) if self.beside else (self.room,)

    def path(self, room: str, beside: str = "") -> str:
        """Return the address of another room's page.

        Args:
            room: The room.
            beside: A second room that is shown there; empty for none.
        """
        asked = {"room": room, "name": self.name, **({"beside": beside} if beside else {})}
        return f"/chat?{urlencode(asked)}"

    @property
    def title(self) -> str:
        """The title of the room's page."""
        return f"{self.room[:TITLE_LENGTH]} · sockstore"

    def chat_url(self, server: str) -> str:
        """Return the url of the visitor's connection, which all rooms share.

        Args:
            server: The server's address, for example ``ws://localhost:8765``.

        Example:
            >>> visitor("lobby", "Ann B", {}).chat_url("ws://localhost:8765")
            'ws://localhost:8765/connection/websocket?name=Ann+B'
        """
        return f"{rooms_url(server)}?{urlencode({'name': self.name})}"

    @property
    def cookies(self) -> tuple[str, ...]:
        """The cookies that the browser keeps, as ``document.cookie`` takes it."""
        remembered = {NAME: self.name, VISITED: ",".join(self.rooms)}
        about = f"path=/chat; max-age={REMEMBERED_FOR}; samesite=strict"
        return tuple(
            f"{key}={quote(value, safe=',')}; {about}" for key, value in remembered.items()
        )


def visitor(room: str, name: str, cookies: Mapping[str, str], beside: str = "") -> Visitor:
    """Return the visitor who asks for a page.

    Args:
        room: The room that is asked for; empty for the first one.
        name: The name that is asked for; empty for the one that the browser remembers.
        cookies: The cookies of the browser, which are not trusted.
        beside: A second room that is asked for; empty for none.

    Example:
        >>> ann = visitor("tea", "Ann", {"sockstore-rooms": "cake"})
        >>> ann.rooms
        ('lobby', 'help', 'random', 'tea', 'cake')
        >>> ann.path("lobby")
        '/chat?room=lobby&name=Ann'
    """
    room = _as_written(room) or ROOMS[0]
    second = _as_written(beside)
    called = name.strip() or _name(unquote(cookies.get(NAME, "")))
    visited = unquote(cookies.get(VISITED, "")).split(",")
    rooms = dict.fromkeys((*ROOMS, *_rooms([*filter(None, (room, second)), *visited])))
    called = called or f"Guest {secrets.randbelow(900) + 100}"
    return Visitor(called, room, tuple(rooms)[:MOST_ROOMS], "" if second == room else second)


def cookies_of(text: str) -> dict[str, str]:
    """Return the cookies of a browser, by name.

    Args:
        text: The cookies, as in ``document.cookie``.

    Example:
        >>> cookies_of("sockstore-name=Ann; sockstore-rooms=tea,cake")
        {'sockstore-name': 'Ann', 'sockstore-rooms': 'tea,cake'}
    """
    pairs = (cookie.strip().partition("=") for cookie in text.split(";"))
    return {name: value for name, _, value in pairs if name}


def _as_written(room: str) -> str:
    """Return the name of a room as the server writes it; one that is not valid stays as it is."""
    room = room.strip()
    return next(iter(_rooms([room])), room)


def _name(text: str) -> str:
    try:
        return check_sender(text) or ""
    except InvalidOption:
        return ""


def _rooms(names: Sequence[str]) -> list[str]:
    rooms = []
    for name in names:
        try:
            rooms.append(check_room(name))
        except InvalidOption:
            continue
    return rooms
