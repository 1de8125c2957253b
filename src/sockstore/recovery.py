"""How a connection gets what it missed: a session with the server, or a way of your own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any

from sockstore.errors import InvalidOption
from sockstore.frozen import frozen
from sockstore.options import require_callable, require_instance, require_text
from sockstore.positions import Position

if TYPE_CHECKING:
    from sockstore.connection import WebSocketStore
    from sockstore.machine.state import Attempt
    from sockstore.records import Message

__all__ = ["Resume", "Session"]


@frozen
class Session:
    """Nothing lost, nothing twice: one room of a server that speaks PROTOCOL.md's session.

    What was said while the connection was down arrives after it, in order; what is sent is stored
    once, however often it has to be sent. The server is `sockstore serve`, or a Centrifugo server
    (which may store twice what had to be sent twice).

    Args:
        channel: The room.
        token: What the server wants to see; or a sync or async callable that is asked with an
            `Attempt` before each attempt.
        since: What was seen last, for example before this program was restarted (the
            `WebSocketStore.position` of then); ``Position(0)`` is the beginning, None is now.
        fetch_state: A sync or async callable that loads a snapshot. It is called with the
            connection at the first subscription (with `since`, too) and after each gap, once the
            position is known and before the connection is open, so what it loads is never older
            than the messages that follow. If it does not finish, the next attempt calls it again.

    Raises:
        InvalidOption: If a value cannot work.

    Source:
        PROTOCOL.md section 6, after Centrifugo's client protocol.

    Example:
        >>> from sockstore import WebSocketStore
        >>> url = "ws://localhost:8765/connection/websocket"
        >>> connection = WebSocketStore(url, session=Session("lobby"))
        >>> connection.send({"content": "stored once, as soon as there is a server"})
        <Receipt queued>
    """

    channel: str
    token: str | Callable[[Attempt], str | Awaitable[str | None] | None] | None = None
    since: Position | None = None
    fetch_state: Callable[[WebSocketStore], object] | None = None

    def __post_init__(self) -> None:
        require_text("channel", self.channel, "the name of a room")
        if not (self.token is None or isinstance(self.token, str) or callable(self.token)):
            raise InvalidOption("token", type(self.token), "give text or a callable")
        require_instance("since", self.since, Position, "a Position or None")
        require_callable("fetch_state", self.fetch_state, may_await=True)


@frozen(kw_only=True)
class Resume:
    """How to get what was missed from a server that has a way of its own.

    All of it is called after each opening handshake that follows an earlier one, before the
    connection is open: first `fetch_state`, then what `request` returns is sent, then ``on_open``
    is called. A `Gap` still tells streams that ask for gaps that something may be missing.

    Args:
        cursor: ``cursor(message)`` is what the server needs to know to go on after this message
            (an id, a time, an offset), or None if this message has none.
        request: ``request(cursor)`` is the message that asks for what came after; None sends
            nothing. It is not asked while there is no cursor.
        dedupe_key: ``dedupe_key(message)`` is equal for messages that are the same; the second one
            is dropped. None for a message that cannot come twice. The last 10,000 are compared.
        fetch_state: A sync or async callable that is given the connection and loads a snapshot;
            at the first opening handshake, too.

    Raises:
        InvalidOption: If a value cannot work.

    Example:
        >>> resume = Resume(
        ...     cursor=lambda message: message.data["sequence"],
        ...     request=lambda cursor: {"op": "replay", "after": cursor},
        ...     dedupe_key=lambda message: message.data["sequence"],
        ... )
    """

    cursor: Callable[[Message], Any] | None = None
    request: Callable[[Any], Any] | None = None
    dedupe_key: Callable[[Message], Hashable] | None = None
    fetch_state: Callable[[WebSocketStore], object] | None = None

    def __post_init__(self) -> None:
        for option in ("cursor", "request", "dedupe_key", "fetch_state"):
            require_callable(option, getattr(self, option), may_await=option == "fetch_state")
        if self.request is not None and self.cursor is None:
            raise InvalidOption("request", self.request, "give a cursor too: it asks from there on")
