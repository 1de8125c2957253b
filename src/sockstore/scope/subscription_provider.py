"""Provide a subscription of a connection to one part of a program, which finds it by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, Unpack

from sockstore.base.checks import require_text
from sockstore.base.errors import ProviderNotFound
from sockstore.base.positions import Position
from sockstore.connection.connection import Connection
from sockstore.connection.talking import NO_PARAMS, Token
from sockstore.scope.places import places_here, provide_subscription
from sockstore.scope.provider import use_websocket
from sockstore.scope.scope import Scope

if TYPE_CHECKING:
    from sockstore.connection.subscription import Subscription

__all__ = [
    "Source",
    "SubscriptionOptions",
    "SubscriptionProvider",
    "use_source",
    "use_subscription",
]

Source: TypeAlias = "Connection | Subscription[Any]"
"""A connection, or a subscription of one, which messages come from."""


class SubscriptionOptions(TypedDict, total=False):
    """The options of `WebSocketStore.subscribe`, for the providers, which pass them on."""

    type: Any
    history: int | None
    limit: int
    snapshot: Callable[[], object] | None
    linger: float
    token: Token
    since: Position | None


class SubscriptionProvider:
    """Provide a subscription to everything inside an ``async with`` block.

    It subscribes on entry, on the connection of the provider around it, and releases the
    subscription on exit. So each part of a program has a room of its own, and all of them have one
    connection. Each provider is used once.

    Args:
        key: What to subscribe to, as for `WebSocketStore.subscribe`.
        params: What else the server is asked with.
        name: The name of the `WebSocketProvider` around it, and the name for `use_subscription`.
            The same name may be nested: the inner one wins.
        options: All other arguments of `WebSocketStore.subscribe`.

    Raises:
        InvalidOption: If `name` cannot be used.

    Example:
        >>> from sockstore import SubscriptionProvider, WebSocketProvider, use_subscription
        >>> from sockstore.protocols import Topics
        >>> from sockstore.testing import FakeServer, VirtualClock, accept, pause, send
        >>> async def deep_inside() -> None:
        ...     print(await use_subscription().latest.wait_for(bool))
        >>> async def main(server: FakeServer) -> None:
        ...     by_type = Topics(key=lambda data: data.get("type"))
        ...     async with (
        ...         WebSocketProvider("ws://localhost", protocol=by_type, transport=server),
        ...         SubscriptionProvider("price"),
        ...     ):
        ...         await deep_inside()
        >>> VirtualClock().run(main(FakeServer(accept(), pause(1), send({"type": "price"}))))
        {'type': 'price'}
    """

    def __init__(
        self,
        key: Hashable,
        params: Mapping[str, Any] = NO_PARAMS,
        *,
        name: str = "default",
        **options: Unpack[SubscriptionOptions],
    ) -> None:
        require_text("name", name, "the name of the provider around it")
        self._key = key
        self._params = params
        self._name = name
        self._options = options
        self._scope = Scope()

    @property
    def scope(self) -> Scope:
        """The scope that this provider is; it owns the subscription and everything you mount."""
        return self._scope

    async def __aenter__(self) -> Subscription[Any]:
        await self._scope.__aenter__()
        try:
            return self._provide()
        except BaseException:
            await self._scope.__aexit__(*sys.exc_info())
            raise

    def _provide(self) -> Subscription[Any]:
        connection = use_websocket(self._name)
        subscription = connection.subscribe(self._key, self._params, **self._options)
        self._scope.on_destroy(subscription.unsubscribe)
        provide_subscription(self._name, subscription)
        return subscription

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._scope.__aexit__(kind, error, traceback)

    async def aclose(self) -> None:
        """Leave the provider from anywhere: unsubscribe, and destroy what is mounted in it.

        Raises:
            ExceptionGroup: Of the errors of cleanups; all of them ran.
        """
        await self._scope.aclose()


def use_subscription(name: str = "default") -> Subscription[Any]:
    """Return the subscription of the nearest provider of that name around the calling code.

    It is found as `use_websocket` finds a connection. A `WebSocketProvider` of that name ends the
    search: what is outside of it belongs to another connection.

    Args:
        name: The provider's name.

    Returns:
        The subscription itself.

    Raises:
        ProviderNotFound: If there is none.

    Example:
        ::

            async with SubscriptionProvider("orders"):
                await use_subscription().ready()
    """
    in_scope: dict[str, None] = {}
    for place in places_here():
        if name in place.subscriptions:
            subscription: Subscription[Any] = place.subscriptions[name]
            return subscription
        if name in place.provided:
            break
        in_scope.update(dict.fromkeys(place.subscriptions))
    why = "call use_subscription() inside `async with SubscriptionProvider(...)` of that name"
    raise ProviderNotFound(name, tuple(in_scope), why)


def use_source(name: str = "default") -> Source:
    """Return what the nearest provider of that name provides, of either kind.

    Args:
        name: The provider's name.

    Raises:
        ProviderNotFound: If there is none.

    Example:
        ::

            async with WebSocketProvider(url), SubscriptionProvider("orders"):
                use_source().messages  # those of the subscription
    """
    try:
        return use_subscription(name)
    except ProviderNotFound:
        return use_websocket(name)
