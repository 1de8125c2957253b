"""Provider component of a NiceGUI page, and the lookup by which components find it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Unpack

from sockstore.connection.connection import Connection
from sockstore.connection.endpoint import PerAttempt
from sockstore.connection.talking import NO_PARAMS
from sockstore.scope import provider
from sockstore.scope.provider import ProviderOptions
from sockstore.scope.subscription_provider import Source, SubscriptionOptions
from sockstore.ui.nicegui.component import Component
from sockstore.ui.provider import (
    ProvidesConnection,
    ProvidesSubscription,
    connection_behind,
    find_source,
    shows_options,
)

__all__ = ["SourceComponent", "SubscriptionProvider", "WebSocketProvider"]


class WebSocketProvider(ProvidesConnection, Component):
    """Provide a connection to the components that are placed inside its ``with`` block.

    It connects when the page is shown, and disconnects when the page or the element is gone.

    Args:
        url: As for `sockstore.WebSocketProvider`.
        options: As for `sockstore.WebSocketProvider`, too, with the same defaults; ``name`` is what
            components find it by.

    Raises:
        InvalidURI: If the url cannot be used.
        InvalidOption: If another option cannot be used.

    Source:
        The guide's ``WebSocketProvider.svelte`` and its slot.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws"):
                ConnectionStatus()
                ChatMessages()
                ChatInput()
    """

    @shows_options
    def __init__(self, url: PerAttempt[str], **options: Unpack[ProviderOptions]) -> None:
        self._provider = provider.WebSocketProvider(url, **options)
        self.name: str = options.get("name", "default")
        super().__init__()
        self.classes("sockstore-provider")

    async def on_mount(self) -> None:
        """Connect."""
        await self.scope.enter(self._provider)


class SourceComponent(Component):
    """A component that shows a connection, or a subscription of one.

    Args:
        connection: Which one, or which subscription; None for that of the provider it stands in.
        name: The name of that provider.
        tag: The HTML tag.

    Raises:
        ProviderNotFound: If it stands in no such provider.
    """

    def __init__(self, connection: Source | None, name: str, *, tag: str = "div") -> None:
        super().__init__(tag)
        self._found: Provider | Source = self._find(name) if connection is None else connection

    async def source(self) -> Source:
        """Return the connection or the subscription, as soon as its provider is mounted."""
        found = self._found
        if not isinstance(found, WebSocketProvider | SubscriptionProvider):
            return found
        if found.mounted is not None:
            await found.mounted
        return found.provided

    async def connection(self) -> Connection:
        """Return the connection, or that of the subscription."""
        return connection_behind(await self.source())

    def _find(self, name: str) -> Provider | Source:
        around = self.ancestors()
        return find_source(
            name,
            (each for each in around if isinstance(each, WebSocketProvider | SubscriptionProvider)),
        )


class SubscriptionProvider(ProvidesSubscription, SourceComponent):
    """Provide a subscription to the components inside its ``with`` block.

    It stands in a `WebSocketProvider`. It subscribes when it is mounted, and releases the
    subscription when it is unmounted; so any number of rooms can be shown over one connection.

    Args:
        key: What to subscribe to, the name of a room for example.
        params: What else the server is asked with.
        name: The name of the `WebSocketProvider` around it, by which components find this one, too.
        options: All other arguments of `sockstore.WebSocketStore.subscribe`.

    Raises:
        ProviderNotFound: If it stands in no such provider.
        InvalidOption: When it is mounted, if an option cannot be used.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws", protocol=Centrifuge()):
                for room in ("lobby", "help"):
                    with SubscriptionProvider(room):
                        ChatMessages()
                        ChatInput()
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
        self.name: str = name
        SourceComponent.__init__(self, None, name)
        self.classes("sockstore-provider")

    async def on_mount(self) -> None:
        """Subscribe."""
        self.hold(await self.source(), self.scope)


Provider = WebSocketProvider | SubscriptionProvider
