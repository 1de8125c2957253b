"""The demo's two pages in words: how they are called, and where they and their connections are."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from sockstore.demo.visitor import Visitor

__all__ = ["ECHO_HINT", "PLACES", "chat_title", "chat_url"]

PLACES = (("Echo", "/"), ("Chat", "/chat"))
"""The pages and their paths."""

ECHO_HINT = "What you send comes back, from a server at the other end of a WebSocket."

TITLE_LENGTH = 64


def chat_title(who: Visitor) -> str:
    """Return the title of a room's page."""
    return f"{who.room[:TITLE_LENGTH]} · sockstore"


def chat_url(server: str, who: Visitor) -> str:
    """Return where somebody's connection to a room goes.

    Args:
        server: The server's address, for example ``ws://localhost:8765``.
        who: Who is in which room.

    Example:
        >>> from sockstore.demo.visitor import visitor
        >>> chat_url("ws://localhost:8765", visitor("tea & cake", "Ann", {}))
        'ws://localhost:8765/chat/tea%20%26%20cake?name=Ann'
    """
    return f"{server}/chat/{quote(who.room, safe='')}?{urlencode({'name': who.name})}"
