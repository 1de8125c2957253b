"""Element that shows the status of a connection."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui
from nicegui.element import Element

from sockstore.base.state import ConnectionState
from sockstore.connection.connection import Connection
from sockstore.scope.subscription_provider import Source
from sockstore.ui.nicegui.provider import SourceComponent
from sockstore.ui.status import StatusText, describe, follow

__all__ = ["ConnectionStatus", "ReconnectButton"]


class ReconnectButton(Element):
    """A button that connects again; it is shown only while the connection does not retry.

    Args:
        connection: Returns the connection, or None before it is known.
    """

    def __init__(self, connection: Callable[[], Connection | None]) -> None:
        super().__init__("button")
        self._connection = connection
        self.classes("sockstore-button").props("type=button")
        with self:
            self._label = ui.label()
        self.on("click", self._reconnect, args=[])
        self.offer(None)

    def offer(self, action: str | None) -> None:
        """Show the button under this name, or hide it."""
        self._label.text = action or ""
        self.visible = action is not None

    def _reconnect(self) -> None:
        connection = self._connection()
        if connection is not None:
            connection.reconnect()


class ConnectionStatus(SourceComponent):
    """Show whether a connection is open, and if not, why and what happens next.

    Args:
        connection: Which one, or a subscription of it; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: If it stands in no such provider.

    Source:
        The guide's ``ConnectionStatusFromContext``.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws"):
                ConnectionStatus()
    """

    def __init__(self, connection: Source | None = None, *, name: str = "default") -> None:
        super().__init__(connection, name)
        self._connection: Connection | None = None
        self._shown = ""
        self.classes("sockstore-status")
        with self:
            # Only the sentence is announced: a countdown read aloud every second is a nuisance.
            self._sentence = ui.label().classes("sockstore-status-text").props("role=status")
            self._detail = ui.label().classes("sockstore-status-detail")
            self._button = ReconnectButton(lambda: self._connection)
        self._show(describe(ConnectionState(), now=0))

    async def on_mount(self) -> None:
        """Follow the connection's state, and count down while it waits."""
        self._connection = await self.connection()
        await follow(self._connection, self._show)

    def _show(self, said: StatusText) -> None:
        self._sentence.text = said.text
        self._detail.text = said.detail
        self._detail.visible = bool(said.detail)
        self._button.offer(said.action)
        if said.status != self._shown:
            self._shown = said.status
            self.classes(remove="connected disconnected error", add=said.status)
