"""The provider as a component, and how components find it."""

from __future__ import annotations

from typing import TypeAlias, Unpack

import sockstore
from sockstore.base.options import Reconnect
from sockstore.connection.endpoint import PerAttempt
from sockstore.connection.options import ConnectionOptions
from sockstore.connection.websocket_store import WebSocketStore
from sockstore.scope.provider import ATTEMPTS, INTERVAL
from sockstore.ui.nicegui.component import Component
from sockstore.ui.provider import ProvidesConnection, find_source

__all__ = ["ConnectionComponent", "WebSocketProvider"]


class WebSocketProvider(ProvidesConnection, Component):
    """Provide a connection to the components that are placed inside its ``with`` block.

    It connects when the page is shown, and disconnects when the page or the element is gone.

    Args:
        url: As for `sockstore.WebSocketProvider`, like everything else.
        name: What components find it by.
        auto_connect: Whether to connect when the page is shown.
        reconnect: True for the guide's linear schedule, False for never, or a `Reconnect`.
        max_reconnect_attempts: Retries in a row before it gives up.
        reconnect_interval: Seconds before the first retry; twice that before the second, and so on.
        share: Whether pages that name the same url share one connection.
        linger: Seconds that a shared connection stays open after the last page has gone.
        options: All other options of `WebSocketStore`.

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
        self._provider = sockstore.WebSocketProvider(
            url,
            name=name,
            auto_connect=auto_connect,
            reconnect=reconnect,
            max_reconnect_attempts=max_reconnect_attempts,
            reconnect_interval=reconnect_interval,
            share=share,
            linger=linger,
            **options,
        )
        self.name = name
        super().__init__()
        self.classes("sockstore-provider")

    async def on_mount(self) -> None:
        """Connect."""
        await self.scope.enter(self._provider)


Source: TypeAlias = WebSocketStore | WebSocketProvider


class ConnectionComponent(Component):
    """A component that shows a connection.

    Args:
        connection: Which one; None for that of the provider it stands in.
        name: The name of that provider.
        tag: The HTML tag.

    Raises:
        ProviderNotFound: If it stands in no such provider.
    """

    def __init__(self, connection: WebSocketStore | None, name: str, *, tag: str = "div") -> None:
        super().__init__(tag)
        self._source: Source = self._find(name) if connection is None else connection

    async def connection(self) -> WebSocketStore:
        """Return the connection, as soon as its provider is mounted."""
        if isinstance(self._source, WebSocketStore):
            return self._source
        if self._source.mounted is not None:
            await self._source.mounted
        return self._source.connection

    def _find(self, name: str) -> Source:
        return find_source(
            name, (one for one in self.ancestors() if isinstance(one, WebSocketProvider))
        )
