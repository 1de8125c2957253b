"""Provider widget, and the lookup by which widgets find it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Unpack

from sockstore.connection.connection import Connection
from sockstore.connection.endpoint import PerAttempt
from sockstore.connection.talking import NO_PARAMS
from sockstore.scope import provider
from sockstore.scope.provider import ProviderOptions
from sockstore.scope.subscription_provider import Source, SubscriptionOptions
from sockstore.ui.provider import (
    ProvidesConnection,
    ProvidesSubscription,
    connection_behind,
    find_source,
    shows_options,
)
from sockstore.ui.textual.component import Component

__all__ = ["SourceComponent", "SubscriptionProvider", "WebSocketProvider"]


class WebSocketProvider(ProvidesConnection, Component):
    """Provide a connection to the widgets that are composed inside its ``with`` block.

    It connects when it is mounted, and disconnects when it is unmounted: when its screen is popped
    or switched away, when it is removed, or when the application ends. A screen that another one is
    pushed upon stays mounted, and connected.

    Args:
        url: As for `sockstore.WebSocketProvider`.
        options: As for `sockstore.WebSocketProvider`, too, with the same defaults; ``name`` is what
            components find it by, and the widget's name.

    Raises:
        InvalidURI: If the url cannot be used.
        InvalidOption: If another option cannot be used.

    Source:
        The guide's ``WebSocketProvider.svelte`` and its slot.

    Example:
        ::

            def compose(self):
                with WebSocketProvider("wss://chat.example.com/ws"):
                    yield ConnectionStatus()
                    yield ChatMessages()
                    yield ChatInput()
    """

    DEFAULT_CSS = """
    WebSocketProvider { height: 1fr; layout: vertical; }
    """

    @shows_options
    def __init__(self, url: PerAttempt[str], **options: Unpack[ProviderOptions]) -> None:
        self._provider = provider.WebSocketProvider(url, **options)
        super().__init__(name=options.get("name", "default"))

    async def follow(self) -> None:
        """Connect."""
        await self.scope.enter(self._provider)


class SourceComponent(Component):
    """A widget that shows a connection, or a subscription of one.

    Args:
        connection: Which one, or which subscription; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: When it is mounted, if it stands in no such provider.
    """

    def __init__(self, connection: Source | None, name: str) -> None:
        super().__init__(name=name)
        self._provider_name = name
        # What was given, or what `on_mount` finds.
        self._found: Provider | Source | None = connection

    def on_mount(self) -> None:
        """Find the source; it begins with the provider."""
        if self._found is None:
            around = self.ancestors
            self._found = find_source(
                self._provider_name,
                (
                    each
                    for each in around
                    if isinstance(each, WebSocketProvider | SubscriptionProvider)
                ),
            )

    async def source(self) -> Source:
        """Return the connection or the subscription, as soon as its provider is mounted."""
        found = self._found
        assert found is not None  # noqa: S101 - mounting finds it
        if not isinstance(found, WebSocketProvider | SubscriptionProvider):
            return found
        await found.wait_until_mounted()
        return found.provided

    async def connection(self) -> Connection:
        """Return the connection, or that of the subscription."""
        return connection_behind(await self.source())


class SubscriptionProvider(ProvidesSubscription, SourceComponent):
    """Provide a subscription to the widgets inside its ``with`` block.

    It stands in a `WebSocketProvider`. It subscribes when it is mounted, and releases the
    subscription when it is unmounted; so any number of rooms can be shown over one connection.

    Args:
        key: What to subscribe to, the name of a room for example.
        params: What else the server is asked with.
        name: The name of the `WebSocketProvider` around it, by which widgets find this one, too.
        options: All other arguments of `sockstore.WebSocketStore.subscribe`.

    Raises:
        ProviderNotFound: When it is mounted, if it stands in no such provider.
        InvalidOption: When it is mounted, if an option cannot be used.

    Example:
        ::

            def compose(self):
                with WebSocketProvider("wss://chat.example.com/ws", protocol=Centrifuge()):
                    with SubscriptionProvider("lobby"):
                        yield ChatMessages()
                        yield ChatInput()
    """

    DEFAULT_CSS = """
    SubscriptionProvider { height: 1fr; layout: vertical; }
    """

    def __init__(
        self,
        key: Hashable,
        params: Mapping[str, Any] = NO_PARAMS,
        *,
        name: str = "default",
        **options: Unpack[SubscriptionOptions],
    ) -> None:
        ProvidesSubscription.__init__(self, key, params, name, options)
        SourceComponent.__init__(self, None, name)

    async def follow(self) -> None:
        """Subscribe."""
        self.hold(await self.source(), self.scope)


Provider = WebSocketProvider | SubscriptionProvider
