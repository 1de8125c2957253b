"""Recover what a connection missed, by a session with the server; run the steps of an opening."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sockstore.base.checks import require_callable, require_instance, require_text
from sockstore.base.errors import HandshakeFailed, InvalidOption, StopReconnecting
from sockstore.base.frozen import frozen
from sockstore.base.positions import Position
from sockstore.machine.endings import attempt_raised

if TYPE_CHECKING:
    from sockstore.base.state import Attempt

__all__ = ["Session", "Steps", "check_recovery"]


@frozen
class Session:
    """Follow one room without loss, on a server that speaks the session of PROTOCOL.md.

    Messages missed while the connection was down arrive later, in order; a sent one is stored
    once, however often it has to be sent. The server is `sockstore serve`, or a Centrifugo server
    (which may store a message twice if it was sent twice).

    Args:
        channel: The room.
        token: The token that the server expects; or a sync or async callable that is asked with an
            `Attempt` before each attempt.
        since: The last message that was processed, for example before a restart (the
            `WebSocketStore.position` at that time); ``Position(0)`` is the beginning, None now.
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
    fetch_state: Callable[[Any], object] | None = None

    def __post_init__(self) -> None:
        require_text("channel", self.channel, "the name of a room")
        if not (self.token is None or isinstance(self.token, str) or callable(self.token)):
            raise InvalidOption("token", type(self.token), "give text or a callable")
        require_instance("since", self.since, Position, "a Position or None")
        require_callable("fetch_state", self.fetch_state, may_await=True)


def check_recovery(session: object, protocol: object) -> None:
    """Refuse `session` and `protocol` that cannot be used, or not together.

    Raises:
        InvalidOption: If there is one.
    """
    from sockstore.protocols.base import BaseProtocol  # noqa: PLC0415 - not with the package (CN1)

    require_instance("session", session, Session, "a Session or None")
    require_instance("protocol", protocol, BaseProtocol, "a protocol or None")
    if session is not None and protocol is not None:
        raise InvalidOption("protocol", protocol, "a session is one; give one of the two")


class Steps:
    """The steps between an opening handshake and a connection that is open for everyone.

    Args:
        session: The session, which may load a snapshot, or None.
        on_open: The user's callable, or None.
    """

    def __init__(self, session: Session | None, on_open: Callable[[Any], object] | None) -> None:
        self._fetch_state = None if session is None else session.fetch_state
        self._on_open = on_open

    def __bool__(self) -> bool:
        return self._fetch_state is not None or self._on_open is not None

    @property
    def has_fetch_state(self) -> bool:
        """Whether a snapshot can be loaded."""
        return self._fetch_state is not None

    async def run(self, opening: Any, loaded: Callable[[], None] | None) -> None:
        """Load the snapshot if one is needed, then call ``on_open``.

        Args:
            opening: The connection that is not open for everyone yet.
            loaded: Called once the snapshot is loaded; None if none is needed.

        Raises:
            HandshakeFailed: If one of them failed; it names the callable.
            StopReconnecting: If one of them raised it.
        """
        if loaded is not None and self._fetch_state is not None:
            with _named("fetch_state"):
                await _finish(self._fetch_state(opening.connection))
            loaded()
        if self._on_open is not None:
            with _named("on_open"):
                await _finish(self._on_open(opening))


@contextmanager
def _named(who: str) -> Iterator[None]:
    """Name the callable in an error; keep the errors that an attempt understands."""
    try:
        yield
    except (HandshakeFailed, StopReconnecting):
        raise
    except Exception as error:
        raise attempt_raised(who, error, "on_open") from error


async def _finish(result: object) -> None:
    if inspect.isawaitable(result):
        await result
