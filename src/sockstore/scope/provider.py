"""Provide a connection to one part of a program, which finds it by name."""

from __future__ import annotations

import asyncio
import sys
import threading
from types import TracebackType
from typing import Unpack

from sockstore.base.checks import require_at_least, require_flag, require_text
from sockstore.base.errors import InvalidOption, ProviderNotFound, ScopeClosed
from sockstore.base.options import Reconnect
from sockstore.connection.connection import Connection, begin
from sockstore.connection.endpoint import PerAttempt, check_endpoint_url
from sockstore.connection.navigation import check_navigator
from sockstore.connection.options import ConnectionOptions
from sockstore.connection.view import engine_of, gate_of
from sockstore.connection.websocket_store import WebSocketStore
from sockstore.scope.places import places_here, provide
from sockstore.scope.scope import Scope
from sockstore.scope.sharing import Lease, Shared, another_url, share

__all__ = ["ConnectionOptions", "ProviderOptions", "WebSocketProvider", "use_websocket"]

ATTEMPTS = 5
INTERVAL = 3.0
"""Seconds; both are the guide's."""


class ProviderOptions(ConnectionOptions, total=False):
    """The options of `WebSocketProvider`, for the provider of each kit, which passes them on."""

    name: str
    auto_connect: bool
    reconnect: bool | Reconnect
    max_reconnect_attempts: int | None
    reconnect_interval: float
    share: bool
    linger: float


class WebSocketProvider:
    """Provide a connection to everything inside an ``async with`` block.

    It connects on entry, without waiting for the connection to open, and disconnects on exit.
    Each provider is used once.

    Args:
        url: As for `WebSocketStore`.
        name: The name for `use_websocket`. The same name may be nested: the inner one wins.
        auto_connect: Whether to connect on entry.
        reconnect: True for `Reconnect.linear` with the two values below, False for never, or a
            `Reconnect`. After a goodbye of the server (1000 or 1005) it stays closed, as in the
            guide, unless you say ``Reconnect(after_goodbye=True)``.
        max_reconnect_attempts: Retries in a row before it gives up.
        reconnect_interval: Seconds before the first retry; twice that before the second, and so on.
        share: Whether providers of the same name and url share one connection. The first one
            connects, with its options; it is closed when the last one leaves. Disconnecting one
            does not close it for the others.
        linger: Seconds that a shared connection stays open after its last provider has left, and a
            lazy one after its last use.
        options: All other options of `WebSocketStore`.

    Raises:
        InvalidURI: If the url cannot be used.
        InvalidOption: If another option cannot be used.

    Source:
        The guide's ``WebSocketProvider.svelte``; milliseconds there, seconds here.

    Example:
        >>> from sockstore import WebSocketProvider, use_websocket
        >>> from sockstore.testing import FakeServer, VirtualClock
        >>> async def deep_inside() -> None:
        ...     await use_websocket().ready()
        ...     print(use_websocket().status.value)
        >>> async def main(server: FakeServer) -> None:
        ...     async with WebSocketProvider("ws://localhost", transport=server):
        ...         await deep_inside()
        >>> VirtualClock().run(main(FakeServer()))
        connected
    """

    def __init__(
        self,
        url: PerAttempt[str],
        *,
        name: str = "default",
        auto_connect: bool = True,
        reconnect: bool | Reconnect = True,
        max_reconnect_attempts: int | None = ATTEMPTS,
        reconnect_interval: float = INTERVAL,
        share: bool = False,
        linger: float = 0.0,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        require_text("name", name, "a text that use_websocket() can ask for")
        require_flag("auto_connect", auto_connect)
        require_flag("share", share)
        require_at_least("linger", linger, 0)
        self._name = name
        self._url = url
        self._auto_connect = auto_connect
        self._share = share
        self._linger = linger
        policy = _policy(reconnect, max_reconnect_attempts, reconnect_interval)
        self._navigator = options.get("close_on_navigate")
        if share:
            check_navigator(self._navigator)
            # Each lease listens itself: a navigation of one holder must not close the others'.
            options["close_on_navigate"] = None
        self._connection: Connection = WebSocketStore(
            url, reconnect=policy, linger=linger if options.get("lazy") else 0.0, **options
        )
        self._shared: Shared | None = None  # set on entry, if it is shared
        # Longer than the closing handshake, which ends by `close_timeout`.
        closing = options.get("close_timeout", 5.0)
        self._scope = Scope(destroy_timeout=max(10.0, 2 * closing))

    @property
    def scope(self) -> Scope:
        """The scope that this provider is; it owns the connection and everything you mount."""
        return self._scope

    @property
    def connection(self) -> Connection:
        """The connection; if it is shared, that of all holders once the block was entered."""
        return self._connection

    @property
    def url(self) -> PerAttempt[str]:
        """Where it connects to.

        Setting it retires the old socket, if there is one, and keeps stores and subscribers. A
        connection that was disconnected stays so.

        Raises:
            InvalidURI: If the url cannot be used.
            InvalidOption: If the connection is shared: the others did not ask for another url.
            ScopeClosed: If the provider has been left.
        """
        return self._url

    @url.setter
    def url(self, url: PerAttempt[str]) -> None:
        if self._share:
            raise another_url(url)
        url = check_endpoint_url(url)
        if self._connection.phase.value in {"idle", "closing", "closed"}:
            if gate_of(self._connection).is_left:
                raise ScopeClosed("change the url")
            engine_of(self._connection).endpoint.url = url
        else:
            self._connection.connect(url)
        self._url = url

    async def __aenter__(self) -> Connection:
        await self._scope.__aenter__()
        try:
            return self._provide()
        except BaseException:
            await self._scope.__aexit__(*sys.exc_info())
            raise

    def _provide(self) -> Connection:
        if self._share:
            self._shared = share((self._name, self._url), self._connection)
            self._connection = Lease(self._shared, self._linger, self._navigator)
        connection = self._connection
        self._scope.on_destroy(self._disconnect)
        provide(self._name, connection)
        if self._auto_connect:
            begin(connection)
        return connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._scope.__aexit__(kind, error, traceback)

    async def aclose(self) -> None:
        """Leave the provider from anywhere: disconnect, and destroy what is mounted in it.

        Raises:
            ExceptionGroup: Of the errors of cleanups; all of them ran.
        """
        await self._scope.aclose()

    async def _disconnect(self) -> None:
        gate_of(self._connection).leave()
        engine_of(self._connection).release_subscriptions(self._connection)
        if self._shared is not None and isinstance(self._connection, Lease):
            self._shared.leave(self._connection)
        await self._connection.aclose()


def use_websocket(name: str = "default") -> Connection:
    """Return the connection of the nearest provider of that name around the calling code.

    It is found in every function that is called and in every task that is started inside the
    provider, however deep, and, for reading, in ``asyncio.to_thread``.

    Args:
        name: The provider's name.

    Returns:
        The connection itself.

    Raises:
        ProviderNotFound: If there is none.

    Source:
        The guide's ``getContext``, whose key can never be found: it is a new symbol each time.

    Example:
        >>> async def main() -> None:
        ...     async with WebSocketProvider("ws://localhost", auto_connect=False) as connection:
        ...         print(use_websocket() is connection)
        >>> asyncio.run(main())
        True
    """
    in_scope: dict[str, None] = {}
    for place in places_here():
        if name in place.provided:
            connection: Connection = place.provided[name]
            return connection
        in_scope.update(dict.fromkeys(place.provided))
    raise ProviderNotFound(name, tuple(in_scope), _usual_cause(in_scope))


def _usual_cause(in_scope: dict[str, None]) -> str:
    if in_scope:
        return "ask for one of these names, or give the provider this one"
    if _in_plain_thread():
        return (
            "a new thread does not see what surrounds the code that starts it: "
            "give it scope.bind(function) to run, with the provider's `scope`"
        )
    return (
        "call use_websocket() inside `async with WebSocketProvider(...)`, in a function that is "
        "called there, or in a task that is started there and ends before it"
    )


def _in_plain_thread() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return threading.current_thread() is not threading.main_thread()
    return False


def _policy(
    reconnect: bool | Reconnect,  # noqa: FBT001 - the guide's
    attempts: int | None,
    interval: float,
) -> bool | Reconnect:
    """Make the schedule of the guide, unless a whole one is given (RC1)."""
    if not isinstance(reconnect, Reconnect):
        linear = Reconnect.linear(interval=interval, attempts=attempts)
        return linear.held_by_provider() if reconnect is True else reconnect
    if (attempts, interval) != (ATTEMPTS, INTERVAL):
        raise InvalidOption(
            "reconnect",
            reconnect,
            "give attempts and interval to the Reconnect itself, not beside it",
        )
    return reconnect.held_by_provider()
