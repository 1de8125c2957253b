"""Track the messages that the user of a chat has sent, and their delivery marks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from time import time
from weakref import WeakKeyDictionary

from sockstore.base.characters import harmless
from sockstore.base.times import utc_time
from sockstore.connection.connection import Connection
from sockstore.connection.receipts import Receipt, delivery_of
from sockstore.connection.subscription import connection_of, talks_of
from sockstore.connection.view import engine_of
from sockstore.scope.subscription_provider import Source
from sockstore.stores import Readable, Writable, writable
from sockstore.ui.chat.author import Author
from sockstore.ui.chat.lines import Mark
from sockstore.ui.chat.rooms import name_of

__all__ = ["Post", "Posts", "posts_of", "send_to_demo", "signed_room"]

KEPT = 1000
"""Posts that are kept for each source, as many as messages by default."""


@dataclass(slots=True, eq=False)
class Post:
    """One message that the user sent.

    Args:
        content: The text.
        timestamp: The time in ISO 8601, UTC; the server sends it back with the message.
        receipt: The receipt of the message.
        after: How many messages had arrived when it was sent, which is its place among them.
        returned: Whether the server has sent it to everyone, us included.
    """

    content: str
    timestamp: str
    receipt: Receipt
    after: float = inf
    returned: bool = False

    @property
    def mark(self) -> Mark:
        """The delivery mark."""
        if self.returned:
            return "acknowledged"
        match self.receipt.state:
            case "queued" | "sent" | "acknowledged" as state:
                return state
            case _:
                return "failed"


class Posts:
    """The latest posts over one connection, or in one subscription."""

    def __init__(self) -> None:
        self._posts: Writable[tuple[Post, ...]] = writable(())
        self.store: Readable[tuple[Post, ...]] = self._posts
        """The posts, oldest first; it also changes when the state of one changes."""
        # The loop on which `_tell` is scheduled; None once it has run.
        self._telling_on: asyncio.AbstractEventLoop | None = None

    def send(self, source: Source, text: str, author: Author | None = None) -> bool:
        """Send the guide's chat message, unless it is blank.

        Args:
            source: Where to send it.
            text: The text that the user wrote.
            author: Signs it, in a room whose messages have ids.

        Returns:
            Whether it was accepted, so that the text can be cleared.

        Source:
            The guide's ``ChatInput`` component: ``{content, timestamp}``.
        """
        if not text.strip():
            return False
        text = harmless(text)
        timestamp = utc_time(time())
        room, named = signed_room(source), None
        if room is not None and author is not None:
            named = author.sign(room, text, timestamp)
        receipt = source.send({"content": text, "timestamp": timestamp}, id=named)
        if receipt:
            post = Post(text, timestamp, receipt, source.messages.total)
            self._posts.update(lambda posts: (*posts[1 - KEPT :], post))
            delivery_of(receipt).watch(self._tell_soon)
        return bool(receipt)

    def _tell_soon(self) -> None:
        """Notify once for all receipts that change in this turn of the loop.

        Without a running loop no component follows the posts.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        if self._telling_on is not loop:
            self._telling_on = loop
            loop.call_soon(self._tell)

    def _tell(self) -> None:
        self._telling_on = None
        self._posts.update(lambda posts: (*posts,))


_posts: WeakKeyDictionary[Source, Posts] = WeakKeyDictionary()


def posts_of(source: Source) -> Posts:
    """Return the posts of a connection or a subscription: inputs add them, messages show them."""
    return _posts.setdefault(source, Posts())


def signed_room(source: Source) -> str | None:
    """Return the room, and the name under which the user is in it, for the signatures of ids.

    So two people in one browser, each in a tab, are told apart by the names in their urls.

    Args:
        source: A subscription, or a connection.

    Returns:
        A text that names both; None if messages have no ids there.
    """
    if isinstance(source, Connection) or not talks_of(source).takes_ids:
        return None
    url = engine_of(connection_of(source)).endpoint.url
    name = name_of(url) if isinstance(url, str) else None
    return f"{name or ''}\n{source.key}"


def send_to_demo(source: Source, text: str) -> bool:
    """Send the message of the guide's demo, which also says that it is a chat message.

    Returns:
        Whether it was accepted.
    """
    frame = {"type": "chat", "content": harmless(text), "timestamp": utc_time(time())}
    return bool(source.send(frame))
