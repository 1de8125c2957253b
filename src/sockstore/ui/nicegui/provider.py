"""Provider component of a NiceGUI page, and the lookup by which components find it."""

from __future__ import annotations

from typing import TypeAlias, Unpack

from sockstore.connection.connection import Connection
from sockstore.connection.endpoint import PerAttempt
from sockstore.scope import provider
from sockstore.scope.provider import ProviderOptions
from sockstore.ui.nicegui.component import Component
from sockstore.ui.provider import ProvidesConnection, find_source, shows_options

__all__ = ["ConnectionComponent", "WebSocketProvider"]


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


Source: TypeAlias = Connection | WebSocketProvider


class ConnectionComponent(Component):
    """A component that shows a connection.

    Args:
        connection: Which one; None for that of the provider it stands in.
        name: The name of that provider.
        tag: The HTML tag.

    Raises:
        ProviderNotFound: If it stands in no such provider.
    """

    def __init__(self, connection: Connection | None, name: str, *, tag: str = "div") -> None:
        super().__init__(tag)
        self._source: Source = self._find(name) if connection is None else connection

    async def connection(self) -> Connection:
        """Return the connection, as soon as its provider is mounted."""
        if isinstance(self._source, Connection):
            return self._source
        if self._source.mounted is not None:
            await self._source.mounted
        return self._source.connection

    def _find(self, name: str) -> Source:
        return find_source(
            name,
            (element for element in self.ancestors() if isinstance(element, WebSocketProvider)),
        )
