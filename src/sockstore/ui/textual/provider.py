"""The provider as a widget, and how widgets find it."""

from __future__ import annotations

from typing import TypeAlias, Unpack

import sockstore
from sockstore.base.options import Reconnect
from sockstore.connection.endpoint import PerAttempt
from sockstore.connection.options import ConnectionOptions
from sockstore.connection.websocket_store import WebSocketStore
from sockstore.scope.provider import ATTEMPTS, INTERVAL
from sockstore.ui.provider import ProvidesConnection, find_source
from sockstore.ui.textual.component import Component

__all__ = ["ConnectionComponent", "WebSocketProvider"]


class WebSocketProvider(ProvidesConnection, Component):
    """Provide a connection to the widgets that are composed inside its ``with`` block.

    It connects when it is mounted, and disconnects when it is unmounted: when its screen is popped
    or switched away, when it is removed, or when the application ends. A screen that another one is
    pushed upon stays mounted, and connected.

    Args:
        url: As for `sockstore.WebSocketProvider`, like everything else.
        name: What components find it by; the widget's name, too.
        auto_connect: Whether to connect when it is mounted.
        reconnect: True for the guide's linear schedule, False for never, or a `Reconnect`.
        max_reconnect_attempts: Retries in a row before it gives up.
        reconnect_interval: Seconds before the first retry; twice that before the second, and so on.
        share: Whether providers that name the same url share one connection.
        linger: Seconds that a shared connection stays open after the last one has gone.
        options: All other options of `WebSocketStore`.

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
        super().__init__(name=name)

    async def follow(self) -> None:
        """Connect."""
        await self.scope.enter(self._provider)


Source: TypeAlias = WebSocketStore | WebSocketProvider


class ConnectionComponent(Component):
    """A widget that shows a connection.

    Args:
        connection: Which one; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: When it is mounted, if it stands in no such provider.
    """

    def __init__(self, connection: WebSocketStore | None, name: str) -> None:
        super().__init__(name=name)
        self._provider_name = name
        self._source: Source | None = connection

    def on_mount(self) -> None:
        """Find the connection; it begins with the provider."""
        if self._source is None:
            around = (one for one in self.ancestors if isinstance(one, WebSocketProvider))
            self._source = find_source(self._provider_name, around)

    async def connection(self) -> WebSocketStore:
        """Return the connection, as soon as its provider is mounted."""
        source = self._source
        assert source is not None  # noqa: S101 - mounting finds it
        if isinstance(source, WebSocketStore):
            return source
        await source.wait_until_mounted()
        return source.connection
