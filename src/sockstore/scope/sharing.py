"""Sharing: several providers hold one connection by leases.

The first lease that is taken connects, the last one that is given back closes, after a while if it
was asked to. A lease looks like a connection of its own: giving it back shows it closed to its
holder, while the others go on.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Hashable
from typing import Any, TypeAlias
from weakref import WeakSet

from sockstore.base.close import check_close
from sockstore.base.errors import InvalidOption
from sockstore.base.state import ConnectionState
from sockstore.base.urls import redact_url
from sockstore.connection.endpoint import PerAttempt
from sockstore.connection.navigation import CloseOnNavigate, Navigates
from sockstore.connection.receipts import Receipt
from sockstore.connection.websocket_store import WebSocketStore
from sockstore.messages.message import Message
from sockstore.messages.stream import MessageStream, Overflow
from sockstore.stores import Readable, Writable, derived, writable

__all__ = ["Lease", "another_url", "lease"]

Key: TypeAlias = tuple[asyncio.AbstractEventLoop, Hashable]


class _Shared:
    """One connection, who may use it, and who does."""

    def __init__(self, key: Key, connection: WebSocketStore) -> None:
        self.connection = connection
        self.holders: set[Lease] = set()
        self.takers: set[Lease] = set()
        self._key = key
        self._lingering: asyncio.TimerHandle | None = None

    def take(self, lease: Lease) -> None:
        self.connection.connect()
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        self.takers.add(lease)

    def give_back(self, lease: Lease, linger: float, code: int, reason: str) -> None:
        if lease not in self.takers:
            return
        self.takers.remove(lease)
        if self.takers:
            return
        if linger:
            loop, _ = self._key
            self._lingering = loop.call_later(linger, self._close, code, reason)
        else:
            self._close(code, reason)

    def leave(self, lease: Lease) -> None:
        """This holder will not take it again."""
        self.holders.discard(lease)
        self._forget_if_unused()

    def _close(self, code: int, reason: str) -> None:
        self._lingering = None
        self.connection.close(code, reason)
        self._forget_if_unused()

    def _forget_if_unused(self) -> None:
        if not (self.holders or self.takers or self._lingering):
            _all_shared.pop(self._key, None)


_all_shared: dict[Key, _Shared] = {}
"""What is shared now, on each event loop."""


def lease(
    what: Hashable, connection: WebSocketStore, linger: float, navigator: Navigates | None
) -> Lease:
    """Return a lease on the connection that is shared under a name, or begin to share one.

    Args:
        what: What is shared: the name and the url.
        connection: What is shared from now on if nothing is yet.
        linger: Seconds for which it stays open after this lease was the last one.
        navigator: Whose navigation gives the lease back.
    """
    loop = asyncio.get_running_loop()
    for key in [key for key in _all_shared if key[0].is_closed()]:
        del _all_shared[key]
    shared = _all_shared.setdefault((loop, what), _Shared((loop, what), connection))
    return Lease(shared, linger, navigator)


class Lease(WebSocketStore):
    """One holder's share of a connection.

    Args:
        shared: What is shared.
        linger: Seconds for which it stays open after this lease was the last one.
        navigator: Whose navigation gives the lease back.
    """

    def __init__(self, shared: _Shared, linger: float, navigator: Navigates | None) -> None:
        # It has no machine and no stores of its own, so there is nothing for the base to make.
        connection = shared.connection
        self.messages = connection.messages
        self.receiver = connection.receiver
        self._driver = connection._driver
        self._endpoint = connection._endpoint
        self._encoder = connection._encoder
        self._requests = connection._requests
        self._scope_left = False
        self._navigation = CloseOnNavigate(navigator, self.close)
        self._shared = shared
        self._linger = linger
        self._streams: WeakSet[MessageStream] = WeakSet()
        self._own: Writable[ConnectionState | None] = writable(ConnectionState())
        self._state = derived((connection._state, self._own), _seen, differs=operator.is_not)
        shared.holders.add(self)

    @property
    def buffered_amount(self) -> Readable[int]:
        """Bytes that were sent and not yet given to the network, the outbox included."""
        return self._shared.connection.buffered_amount

    def connect(self, url: PerAttempt[str] | None = None) -> None:
        """Take the lease: connect, unless another holder has done so.

        Args:
            url: The url that is shared, or None.

        Raises:
            InvalidOption: If it is another url: the others did not ask for it.
            RuntimeError: If no event loop runs here.
            ScopeClosed: If its provider has been left.
        """
        self.check_scope("connect")
        if url is not None and url != self._endpoint.url:
            raise another_url(url)
        self._shared.take(self)
        self._navigation.listen()
        self._show(None)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Give the lease back; the connection is closed if nobody else holds one.

        Args:
            code: The close code, as for `WebSocketStore.close`.
            reason: The close reason.

        Raises:
            ValueError: If code or reason cannot be sent; nothing has happened then.
            RuntimeError: If it is called from another thread.
        """
        check_close(code, reason)
        self._driver.check_thread()
        self._navigation.stop()
        if self._own.value is None or self._own.value.phase == "idle":
            self._show(ConnectionState("closed", since=self._driver.now))
        for stream in list(self._streams):
            stream.end(None)
        self._shared.give_back(self, self._linger, code, reason)

    disconnect = close

    def reconnect(self) -> None:
        """Take the lease, and open a new connection now, for all who hold one.

        Raises:
            RuntimeError: If no event loop runs here.
            ScopeClosed: If its provider has been left.
        """
        self.check_scope("reconnect")
        self.connect()
        self._shared.connection.reconnect()

    def send(self, data: Any) -> Receipt:
        """Send a message; it is refused unless the lease is taken.

        Args:
            data: As for `WebSocketStore.send`.

        Returns:
            A receipt.

        Raises:
            TypeError: If the data cannot be encoded; nothing was sent.
            RuntimeError: If it is called from another thread.
            ScopeClosed: If its provider has been left.
        """
        self.check_scope("send")
        if self._own.value is None:
            return super().send(data)
        self._encoder(data)
        receipt = Receipt()
        receipt.settle("refused", "this share of the connection is not in use: connect() first")
        return receipt

    def stream(
        self,
        where: Callable[[Message], object] | None = None,
        *,
        limit: int = 256,
        overflow: Overflow = "error",
        gaps: bool | None = None,
    ) -> MessageStream:
        """Return an asynchronous iterator over the messages; it ends with the lease.

        Args:
            where: As for `WebSocketStore.stream`.
            limit: The same.
            overflow: The same.
            gaps: The same.

        Returns:
            The iterator.
        """
        stream = super().stream(where, limit=limit, overflow=overflow, gaps=gaps)
        self._streams.add(stream)
        return stream

    def leave_scope(self) -> None:
        """The provider is left: its lease is not taken again."""
        super().leave_scope()
        self._shared.leave(self)

    def _show(self, own: ConnectionState | None) -> None:
        try:
            self._own.set(own)
        except Exception as error:  # noqa: BLE001 - a user's bug keeps no lease (ST9)
            self._driver.report(error, "a subscriber of the connection's state")


def another_url(url: PerAttempt[str]) -> InvalidOption:
    """Return the refusal of another url: the others who share did not ask for it."""
    shown = redact_url(url) if isinstance(url, str) else url
    return InvalidOption("url", shown, "a shared connection keeps its url")


def _seen(shared: ConnectionState, own: ConnectionState | None) -> ConnectionState:
    """Show the shared connection to who holds a lease, and their own end to who does not."""
    return shared if own is None else own
