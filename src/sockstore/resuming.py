"""What happens between the opening handshake and the open connection, and what comes twice."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from sockstore.errors import HandshakeFailed, StopReconnecting
from sockstore.machine.failures import attempt_raised
from sockstore.recovery import Resume, Session

if TYPE_CHECKING:
    from sockstore.connection import WebSocketStore
    from sockstore.messages import Report
    from sockstore.records import Message

__all__ = ["Opening", "Resumption"]

KEYS_COMPARED = 10_000


class Resumption:
    """What a `Resume` has seen: the last cursor, and the keys of the last messages.

    Args:
        resume: The user's callables.
    """

    def __init__(self, resume: Resume) -> None:
        self._resume = resume
        self._cursor: Any = None
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def is_repeated(self, message: Message, report: Report) -> bool:
        """Take note of a message; say whether it is one that came before.

        Args:
            message: The message.
            report: Told what the user's callables raise.
        """
        if self._has_come(message, report):
            return True
        if self._resume.cursor is not None:
            cursor = _ask("Resume.cursor", self._resume.cursor, message, report)
            self._cursor = self._cursor if cursor is None else cursor
        return False

    def request(self) -> Any:
        """Return the message that asks for what was missed, or None."""
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
    """What runs after an opening handshake, before the connection is open for everyone.

    Args:
        session: What may load a snapshot, or None.
        resume: The same, and what asks for what was missed; or None.
        on_open: The user's callable, or None.

    Attributes:
        resumption: What a `Resume` has seen; None without one.
    """

    def __init__(
        self,
        session: Session | None,
        resume: Resume | None,
        on_open: Callable[[Any], object] | None,
    ) -> None:
        recovery = session or resume
        self.resumption = None if resume is None else Resumption(resume)
        self._fetch_state = None if recovery is None else recovery.fetch_state
        self._on_open = on_open

    def __bool__(self) -> bool:
        return any((self._fetch_state, self.resumption, self._on_open))

    @property
    def has_fetch_state(self) -> bool:
        """Whether a snapshot can be loaded."""
        return self._fetch_state is not None

    async def run(self, connection: WebSocketStore, loaded: Callable[[], None] | None) -> None:
        """Load the snapshot if one is needed, ask for what was missed, call ``on_open``.

        Args:
            connection: The connection that is not open for everyone yet.
            loaded: Called once the snapshot is loaded; None if none is needed.

        Raises:
            HandshakeFailed: If loading or asking failed; it names the callable.
            Exception: Whatever ``on_open`` raises.
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
            await _finish(self._on_open(connection))


@contextmanager
def _named(who: str) -> Iterator[None]:
    """Say which callable raised an error; those that mean something to an attempt stay."""
    try:
        yield
    except (HandshakeFailed, StopReconnecting):
        raise
    except Exception as error:
        raise attempt_raised(who, error, "on_open") from error


async def _finish(result: object) -> None:
    if inspect.isawaitable(result):
        await result
