"""Provider component of the page, and the lookup by which components find it."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping
from typing import Any, Unpack

from sockstore.connection.connection import Connection
from sockstore.connection.endpoint import PerAttempt
from sockstore.connection.talking import NO_PARAMS
from sockstore.scope import provider
from sockstore.scope.provider import ProviderOptions
from sockstore.scope.subscription_provider import Source, SubscriptionOptions
from sockstore.ui.browser.component import Component
from sockstore.ui.browser.dom import Node, listen, window
from sockstore.ui.browser.element import root_of
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

    It connects when it is mounted, and disconnects when it is unmounted. It disconnects, too, when
    the visitor leaves the document, which the browser may then keep; it connects again when they
    come back to it.

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
        self._was_used = False
        super().__init__(classes="sockstore-provider")

    async def on_mount(self) -> None:
        """Connect."""
        await self.scope.enter(self._provider)
        listen(self.scope, window(), "pagehide", self._leave_document)
        listen(self.scope, window(), "pageshow", self._return_to_document)

    def _leave_document(self, _: Node) -> None:
        """Close at once: later the document is frozen, and with an open socket it is not kept."""
        idle = {"idle", "closing", "closed", "failed"}
        self._was_used = self.connection.phase.value not in idle
        if self._was_used:
            self.connection.close()

    def _return_to_document(self, event: Node) -> None:
        if event.persisted and self._was_used:
            # A navigation may begin with the same event, and end us.
            asyncio.get_running_loop().call_soon(self._connect_again)

    def _connect_again(self) -> None:
        root = root_of(self)
        if not self.scope.closed and root is not None and root.is_shown:
            self.connection.connect()


class SourceComponent(Component):
    """A component that shows a connection, or a subscription of one.

    Args:
        connection: Which one, or which subscription; None for that of the provider it stands in.
        name: The name of that provider.
        tag: The HTML tag.
        classes: CSS classes.
        attributes: As for `Element`.

    Raises:
        ProviderNotFound: If it stands in no such provider.
    """

    def __init__(
        self,
        connection: Source | None,
        name: str,
        *,
        tag: str = "div",
        classes: str = "",
        **attributes: object,
    ) -> None:
        super().__init__(tag, classes=classes, **attributes)
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
        around = self.ancestors
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
        SourceComponent.__init__(self, None, name, classes="sockstore-provider")

    async def on_mount(self) -> None:
        """Subscribe."""
        self.hold(await self.source(), self.scope)


Provider = WebSocketProvider | SubscriptionProvider
