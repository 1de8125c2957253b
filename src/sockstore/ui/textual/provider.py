"""Provider widget, and the lookup by which widgets find it."""

from __future__ import annotations

from typing import TypeAlias, Unpack

from sockstore.connection.connection import Connection
from sockstore.connection.endpoint import PerAttempt
from sockstore.scope import provider
from sockstore.scope.provider import ProviderOptions
from sockstore.ui.provider import ProvidesConnection, find_source, shows_options
from sockstore.ui.textual.component import Component

__all__ = ["ConnectionComponent", "WebSocketProvider"]


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


Source: TypeAlias = Connection | WebSocketProvider


class ConnectionComponent(Component):
    """A widget that shows a connection.

    Args:
        connection: Which one; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: When it is mounted, if it stands in no such provider.
    """

    def __init__(self, connection: Connection | None, name: str) -> None:
        super().__init__(name=name)
        self._provider_name = name
        self._source: Source | None = connection

    def on_mount(self) -> None:
        """Find the connection; it begins with the provider."""
        if self._source is None:
            around = (widget for widget in self.ancestors if isinstance(widget, WebSocketProvider))
            self._source = find_source(self._provider_name, around)

    async def connection(self) -> Connection:
        """Return the connection, as soon as its provider is mounted."""
        source = self._source
        assert source is not None  # noqa: S101 - mounting finds it
        if isinstance(source, Connection):
            return source
        await source.wait_until_mounted()
        return source.connection
