"""Recover what a connection missed, by a session with the server or in a way of your own."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from sockstore.base.checks import require_callable, require_instance, require_text
from sockstore.base.errors import HandshakeFailed, InvalidOption, StopReconnecting
from sockstore.base.frozen import frozen
from sockstore.base.positions import Position
from sockstore.machine.endings import attempt_raised

if TYPE_CHECKING:
    from sockstore.base.state import Attempt
    from sockstore.messages.message import Message
    from sockstore.messages.writer import Report

__all__ = ["Opening", "Resume", "Resumption", "Session", "check_recovery"]


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


@frozen(kw_only=True)
class Resume:
    """Get missed messages from a server that has its own protocol for that.

    After each opening handshake but the first, and before the connection is open, `fetch_state` is
    called, then the message that `request` returns is sent, then ``on_open`` is called. Messages
    may still be missing, so streams that ask for gaps get a `Gap`.

    Args:
        cursor: ``cursor(message)`` is what the server needs to know to go on after this message
            (an id, a time, an offset), or None if this message has none.
        request: ``request(cursor)`` is the message that asks for later messages; None sends
            nothing. It is not called before there is a cursor.
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
    fetch_state: Callable[[Any], object] | None = None

    def __post_init__(self) -> None:
        for option in ("cursor", "request", "dedupe_key", "fetch_state"):
            require_callable(option, getattr(self, option), may_await=option == "fetch_state")
        if self.request is not None and self.cursor is None:
            raise InvalidOption("request", self.request, "give a cursor too: it asks from there on")


def check_recovery(session: object, resume: object, protocol: object) -> None:
    """Refuse `session`, `resume` and `protocol` that cannot be used, or not with the others.

    Raises:
        InvalidOption: If there is one.
    """
    from sockstore.protocols.base import BaseProtocol  # noqa: PLC0415 - not with the package (CN1)

    require_instance("session", session, Session, "a Session or None")
    require_instance("resume", resume, Resume, "a Resume or None")
    require_instance("protocol", protocol, BaseProtocol, "a protocol or None")
    if session is not None and resume is not None:
        raise InvalidOption("resume", resume, "a session needs none; give one of the two")
    if session is not None and protocol is not None:
        raise InvalidOption("protocol", protocol, "a session is one; give one of the two")
    if resume is not None and isinstance(protocol, BaseProtocol) and not protocol.is_plain:
        raise InvalidOption("resume", resume, "a protocol has its own way; give one of the two")


KEYS_COMPARED = 10_000
"""Keys of messages that a `Resumption` remembers; the oldest are forgotten."""


class Resumption:
    """The state of a `Resume`: the last cursor, and the keys of the last messages.

    Args:
        resume: The user's callables.
    """

    def __init__(self, resume: Resume) -> None:
        self._resume = resume
        # The last cursor that was not None, and the keys, oldest first; set by `is_repeated`.
        self._cursor: Any = None
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def is_repeated(self, message: Message, report: Report) -> bool:
        """Record a message; return whether it came before.

        Args:
            message: The message.
            report: Receives the errors of the user's callables.
        """
        if self._has_come(message, report):
            return True
        if self._resume.cursor is not None:
            cursor = _ask("Resume.cursor", self._resume.cursor, message, report)
            self._cursor = self._cursor if cursor is None else cursor
        return False

    def request(self) -> Any:
        """Return the message that asks for missed messages, or None."""
        if self._resume.request is None or self._cursor is None:
            return None
        return self._resume.request(self._cursor)

    def _has_come(self, message: Message, report: Report) -> bool:
        if self._resume.dedupe_key is None:
            return False
        key = _ask(
            "Resume.dedupe_key", partial(_hashable, self._resume.dedupe_key), message, report
        )
        if key is None:
            return False
        if key in self._keys:
            self._keys.move_to_end(key)
            return True
        self._keys[key] = None
        if len(self._keys) > KEYS_COMPARED:
            self._keys.popitem(last=False)
        return False


def _ask(name: str, fn: Callable[[Message], Any], message: Message, report: Report) -> Any:
    try:
        answer = fn(message)
    except Exception as error:  # noqa: BLE001 - a user's bug loses no message
        report(error, name)
        return None
    return answer


def _hashable(fn: Callable[[Message], Hashable], message: Message) -> Hashable:
    key = fn(message)
    hash(key)
    return key


class Opening:
    """The steps between an opening handshake and a connection that is open for everyone.

    Args:
        session: The session, which may load a snapshot, or None.
        resume: Loads a snapshot and asks for missed messages; or None.
        on_open: The user's callable, or None.

    Attributes:
        resumption: The state of a `Resume`; None without one.
    """

    def __init__(
        self,
        session: Session | None,
        resume: Resume | None,
        on_open: Callable[[Any], object] | None,
    ) -> None:
        recovery = session or resume
        self.resumption: Resumption | None = None if resume is None else Resumption(resume)
        self._fetch_state = None if recovery is None else recovery.fetch_state
        self._on_open = on_open

    def __bool__(self) -> bool:
        return any((self._fetch_state, self.resumption, self._on_open))

    @property
    def has_fetch_state(self) -> bool:
        """Whether a snapshot can be loaded."""
        return self._fetch_state is not None

    async def run(self, connection: Any, loaded: Callable[[], None] | None) -> None:
        """Load the snapshot if one is needed, ask for missed messages, call ``on_open``.

        Args:
            connection: The connection that is not open for everyone yet.
            loaded: Called once the snapshot is loaded; None if none is needed.

        Raises:
            HandshakeFailed: If one of them failed; it names the callable.
            StopReconnecting: If one of them raised it.
        """
        if loaded is not None and self._fetch_state is not None:
            with _named("fetch_state"):
                await _finish(self._fetch_state(connection))
            loaded()
        if self.resumption is not None:
            with _named("Resume.request"):
                if (request := self.resumption.request()) is not None:
                    connection.send(request)
        if self._on_open is not None:
            with _named("on_open"):
                await _finish(self._on_open(connection))


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
