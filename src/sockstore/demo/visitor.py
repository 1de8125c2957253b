"""Know a visitor of the demo's pages: a name and rooms, which the browser keeps as cookies."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlencode

from sockstore.base.errors import InvalidOption
from sockstore.base.names import check_room, check_sender

__all__ = ["ECHO_HINT", "NO_SERVER_HERE", "PAGES", "ROOMS", "Visitor", "cookies_of", "visitor"]

PAGES = (("Echo", "/"), ("Chat", "/chat"))
"""The names and the paths of the pages."""

NO_SERVER_HERE = "There is no WebSocket server at this address; the pages connect to {server}."

ECHO_HINT = "What you send comes back, from a server at the other end of a WebSocket."

ROOMS = ("lobby", "help", "random")
"""Rooms that every visitor is shown."""

MOST_ROOMS = 12
TITLE_LENGTH = 64
REMEMBERED_FOR = 30 * 24 * 3600
"""Seconds that the browser keeps the cookies."""

NAME, VISITED = "sockstore-name", "sockstore-rooms"


@dataclass(frozen=True, slots=True)
class Visitor:
    """A visitor in a room.

    Args:
        name: The name of the visitor.
        room: The room, as it was asked for; the server decides whether it is valid.
        rooms: The rooms that are shown.
    """

    name: str
    room: str
    rooms: tuple[str, ...]

    def path(self, room: str) -> str:
        """Return the address of another room's page."""
        return f"/chat?{urlencode({'room': room, 'name': self.name})}"

    @property
    def title(self) -> str:
        """The title of the room's page."""
        return f"{self.room[:TITLE_LENGTH]} · sockstore"

    def chat_url(self, server: str) -> str:
        """Return the url of the visitor's connection to the room.

        Args:
            server: The server's address, for example ``ws://localhost:8765``.

        Example:
            >>> visitor("tea & cake", "Ann", {}).chat_url("ws://localhost:8765")
            'ws://localhost:8765/chat/tea%20%26%20cake?name=Ann'
        """
        return f"{server}/chat/{quote(self.room, safe='')}?{urlencode({'name': self.name})}"

    @property
    def cookies(self) -> tuple[str, ...]:
        """The cookies that the browser keeps, as ``document.cookie`` takes it."""
        remembered = {NAME: self.name, VISITED: ",".join(self.rooms)}
        about = f"path=/chat; max-age={REMEMBERED_FOR}; samesite=strict"
        return tuple(
            f"{key}={quote(value, safe=',')}; {about}" for key, value in remembered.items()
        )


def visitor(room: str, name: str, cookies: Mapping[str, str]) -> Visitor:
    """Return the visitor who asks for a page.

    Args:
        room: The room that is asked for; empty for the first one.
        name: The name that is asked for; empty for the one that the browser remembers.
        cookies: The cookies of the browser, which are not trusted.

    Example:
        >>> ann = visitor("tea", "Ann", {"sockstore-rooms": "cake"})
        >>> ann.rooms
        ('lobby', 'help', 'random', 'tea', 'cake')
        >>> ann.path("lobby")
        '/chat?room=lobby&name=Ann'
    """
    room = room.strip() or ROOMS[0]
    [room, *_] = [*_rooms([room]), room]
    called = name.strip() or _name(unquote(cookies.get(NAME, "")))
    visited = unquote(cookies.get(VISITED, "")).split(",")
    rooms = dict.fromkeys((*ROOMS, *_rooms([room, *visited])))
    called = called or f"Guest {secrets.randbelow(900) + 100}"
    return Visitor(called, room, tuple(rooms)[:MOST_ROOMS])


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
