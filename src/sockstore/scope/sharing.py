"""Share one connection among several providers, by leases.

The first lease that is taken connects, the last one that is given back closes, after `linger`
seconds. A lease looks like a connection of its own: giving it back shows it closed to its
holder, while the others go on.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Hashable
from typing import Any, TypeAlias

from sockstore.base.close import check_close
from sockstore.base.errors import InvalidOption
from sockstore.base.state import ConnectionState
from sockstore.connection.connection import Connection, begin
from sockstore.connection.endpoint import PerAttempt, shown_url
from sockstore.connection.navigation import CloseOnNavigate, Navigates
from sockstore.connection.view import engine_of
from sockstore.stores import Writable, derived, writable

__all__ = ["Lease", "Shared", "another_url", "share"]

UNUSED = "this share of the connection is not in use: connect() first"

Key: TypeAlias = tuple[asyncio.AbstractEventLoop, Hashable]


class Shared:
    """One connection, the leases that may use it, and those that do.

    Args:
        key: The event loop, and the name and url there.
        connection: The connection.
    """

    def __init__(self, key: Key, connection: Connection) -> None:
        self.connection = connection
        # Leases that may be taken: added by `Lease`, discarded by `leave`.
        self.holders: set[Lease] = set()
        # Leases that are taken: changed by `take` and `give_back`.
        self._takers: set[Lease] = set()
        self._key = key
        self._lingering: asyncio.TimerHandle | None = None  # runs while no lease is taken

    def take(self, lease: Lease, connect: Callable[[Connection], None]) -> None:
        """Connect, and keep the connection open for this lease too."""
        connect(self.connection)
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self._takers.add(lease)

    def give_back(self, lease: Lease, linger: float, code: int, reason: str) -> None:
        """Close the connection if this lease was the last one, after `linger` seconds."""
        if lease not in self._takers:
            return
        self._takers.remove(lease)
        if self._takers:
            return
        if linger:
            loop, _ = self._key
            self._lingering = loop.call_later(linger, self._close, code, reason)
        else:
            self._close(code, reason)

    def leave(self, lease: Lease) -> None:
        """Discard a lease whose provider is left; it is not taken again."""
        self.holders.discard(lease)
        self._forget_if_unused()

    def _close(self, code: int, reason: str) -> None:
        self._lingering = None
        self.connection.close(code, reason)
        self._forget_if_unused()

    def _forget_if_unused(self) -> None:
        if not (self.holders or self._takers or self._lingering):
            _all_shared.pop(self._key, None)


_all_shared: dict[Key, Shared] = {}
"""The shared connections of each event loop, by name and url."""


def share(what: Hashable, connection: Connection) -> Shared:
    """Return the shared connection of a name on this event loop, or begin to share one.

    Args:
        what: The name and the url.
        connection: The connection to share if none is shared yet.
    """
    loop = asyncio.get_running_loop()
    for key in [key for key in _all_shared if key[0].is_closed()]:
        del _all_shared[key]
    return _all_shared.setdefault((loop, what), Shared((loop, what), connection))


class Lease(Connection):
    """One holder's share of a connection; its methods raise what those of the connection do.

    Args:
        shared: The shared connection.
        linger: Seconds for which it stays open after this lease was the last one.
        navigator: Whose navigation gives the lease back.
    """

    def __init__(self, shared: Shared, linger: float, navigator: Navigates | None) -> None:
        self._shared = shared
        self._linger = linger
        # None while the lease is taken; otherwise what its holder sees: set by `_show`.
        self._own: Writable[ConnectionState | None] = writable(ConnectionState())
        engine = engine_of(shared.connection)
        state = derived((engine.snapshot, self._own), _seen, differs=operator.is_not)
        super().__init__(engine, state, CloseOnNavigate(navigator, self.close))
        self._gate.use(UNUSED)
        # How to stop what this holder handles; `handle` adds, `_release` and its holder remove.
        self._handlers: dict[Callable[[], None], None] = {}
        shared.holders.add(self)

    def connect(self, url: PerAttempt[str] | None = None) -> None:
        """Take the lease: connect, unless another holder has done so.

        Raises:
            InvalidOption: If it is another url: the other holders did not ask for it.
        """
        self._gate.check("connect")
        if url is not None and url != self._engine.endpoint.url:
            raise another_url(url)
        self._take(Connection.connect)

    def _begin(self) -> None:
        self._gate.check("connect")
        self._take(begin)

    def _take(self, connect: Callable[[Connection], None]) -> None:
        self._shared.take(self, connect)
        self._navigation.listen()
        self._show(None)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Give the lease back; the connection is closed if it was the last one."""
        check_close(code, reason)
        self._driver.own.check_thread()
        self._navigation.stop()
        if self._own.value is None or self._own.value.phase == "idle":
            self._show(ConnectionState("closed", since=self._driver.own.now()))
        self._engine.log.end_streams(None, self)
        self._release()
        self._shared.give_back(self, self._linger, code, reason)

    disconnect = close

    def reconnect(self) -> None:
        """Take the lease, and open a new connection now, for all holders."""
        self._gate.check("reconnect")
        self.connect()
        self._shared.connection.reconnect()

    def handle(self, *args: Any, **kwargs: Any) -> Callable[[], None]:
        """Answer calls, until the lease is given back."""
        stop = super().handle(*args, **kwargs)
        self._handlers[stop] = None

        def stop_and_forget() -> None:
            self._handlers.pop(stop, None)
            stop()

        return stop_and_forget

    def clear_outbox(self) -> list[Any]:
        """Take back what waits of this holder's messages."""
        self._gate.check("clear_outbox")
        return self._sender.clear(self._gate)

    def _release(self) -> None:
        """Release what this holder has subscribed to, handles, and waits to send."""
        self._sender.leave_line(self._gate)
        self._engine.release_subscriptions(self)
        handlers, self._handlers = self._handlers, {}
        for stop in handlers:
            stop()

    def _show(self, own: ConnectionState | None) -> None:
        self._gate.use(None if own is None else UNUSED)
        self._engine.tell(self._own, own, "the connection's state")


def another_url(url: PerAttempt[str]) -> InvalidOption:
    """Return the refusal of another url: the other holders did not ask for it."""
    return InvalidOption("url", shown_url(url), "a shared connection keeps its url")


def _seen(shared: ConnectionState, own: ConnectionState | None) -> ConnectionState:
    """Return the shared state, or the own state of a lease that is not taken."""
    return shared if own is None else own
