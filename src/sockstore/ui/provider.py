"""Share code between the providers of all kits, and find the source of a component."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sockstore.base.checks import require_text
from sockstore.base.errors import ProviderNotFound
from sockstore.connection.connection import Connection
from sockstore.connection.endpoint import PerAttempt
from sockstore.connection.subscription import connection_of
from sockstore.scope.provider import WebSocketProvider
from sockstore.scope.scope import Scope
from sockstore.scope.subscription_provider import Source, use_source

if TYPE_CHECKING:
    from sockstore.connection.subscription import Subscription

__all__ = [
    "Named",
    "ProvidesConnection",
    "ProvidesSubscription",
    "connection_behind",
    "find_source",
    "shows_options",
]

Constructor = TypeVar("Constructor", bound=Callable[..., None])


def shows_options(constructor: Constructor) -> Constructor:
    """Let `help` and the documentation show the options that a kit's provider passes on.

    Args:
        constructor: An ``__init__`` that takes what that of `WebSocketProvider` takes.
    """
    constructor.__dict__["__signature__"] = signature(WebSocketProvider.__init__)
    return constructor


def connection_behind(source: Source) -> Connection:
    """Return a connection that was given as it is, and that of a subscription.

    Args:
        source: Either of them.
    """
    if isinstance(source, Connection):
        return source
    connection: Connection = connection_of(source)
    return connection


class ProvidesConnection:
    """The part of a kit's provider that is the same in every kit."""

    _provider: WebSocketProvider
    """The provider of the connection; the constructor makes it."""

    @property
    def connection(self) -> Connection:
        """The connection; if it is shared, that of all holders once this one is mounted."""
        return self._provider.connection

    @property
    def provided(self) -> Connection:
        """What the components inside show: the connection."""
        return self.connection

    @property
    def url(self) -> PerAttempt[str]:
        """Where it connects to; setting it keeps stores and subscribers."""
        return self._provider.url

    @url.setter
    def url(self, url: PerAttempt[str]) -> None:
        self._provider.url = url


class ProvidesSubscription:
    """The part of a kit's `SubscriptionProvider` that is the same in every kit.

    Args:
        key: As for `sockstore.SubscriptionProvider`.
        params: As for `sockstore.SubscriptionProvider`, too.
        name: The name of the provider around it, by which components find this one, too.
        options: All other arguments of `WebSocketStore.subscribe`.
    """

    def __init__(
        self, key: Hashable, params: Mapping[str, Any], name: str, options: Mapping[str, Any]
    ) -> None:
        require_text("name", name, "the name of the provider around it")
        self._subscribe = partial(Connection.subscribe, key=key, params=params, **options)
        # The handle; `hold` sets it when the component is mounted.
        self._subscription: Subscription[Any] | None = None

    @property
    def subscription(self) -> Subscription[Any]:
        """The subscription; it begins when the component is mounted.

        Raises:
            RuntimeError: If it has not begun.
        """
        if self._subscription is None:
            raise RuntimeError("the subscription begins when its provider is mounted")
        return self._subscription

    @property
    def provided(self) -> Subscription[Any]:
        """What the components inside show: the subscription."""
        return self.subscription

    def hold(self, source: Source, scope: Scope) -> None:
        """Subscribe, until a scope is left.

        Args:
            source: What is provided around this one: the connection, or another subscription of it.
            scope: The scope of the component.
        """
        self._subscription = self._subscribe(connection_behind(source))
        scope.on_destroy(self._subscription.unsubscribe)


class Named(Protocol):
    """A provider that components are placed in."""

    @property
    def name(self) -> str | None:
        """The name by which components find it."""

    @property
    def provided(self) -> Source:
        """What the components inside show."""


P = TypeVar("P", bound=Named)


def find_source(name: str, around: Iterable[P]) -> P | Source:
    """Return the provider of that name around a component, or what the code around it provides.

    Args:
        name: The name of the provider.
        around: The providers that the component stands in, the nearest first.

    Raises:
        ProviderNotFound: If there is none.
    """
    providers = list(around)
    for provider in providers:
        if provider.name == name:
            return provider
    try:
        return use_source(name)
    except ProviderNotFound as error:
        names = dict.fromkeys((*(str(provider.name) for provider in providers), *error.in_scope))
        why = "place it inside `with WebSocketProvider(...)` of that name, or give it one"
        raise ProviderNotFound(name, tuple(names), why) from None
