"""Element that shows the status of a connection."""

from __future__ import annotations

from typing import Final

from sockstore.base.state import ConnectionState
from sockstore.scope.subscription_provider import Source
from sockstore.ui.browser.dom import Node, give, make, put_text, stand
from sockstore.ui.browser.provider import SourceComponent
from sockstore.ui.status import StatusText, describe, follow

__all__ = ["ConnectionStatus", "ReconnectButton", "show_status"]


class ReconnectButton:
    """A button that connects again; it is shown only while the connection does not retry.

    Args:
        parent: Where it stands.
    """

    def __init__(self, parent: Node) -> None:
        self.node: Final = make("button", "sockstore-button", type="button")
        self._parent = parent

    def offer(self, action: str | None) -> None:
        """Show the button under this name, or hide it."""
        put_text(self.node, action or "")
        stand(self.node, self._parent, there=action is not None)


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
        super().__init__(connection, name, classes="sockstore-status")
        # Only the sentence is announced: a countdown read aloud every second is a nuisance.
        self._sentence = make("div", "sockstore-status-text", role="status")
        self._detail = make("div", "sockstore-status-detail")
        self._button = ReconnectButton(self.node)
        self.node.append(self._sentence, self._detail)
        self._show(describe(ConnectionState(), now=0))

    async def on_mount(self) -> None:
        """Follow the connection's state, and count down while it waits."""
        connection = await self.connection()
        self.listen(self._button.node, "click", lambda _: connection.reconnect())
        await follow(connection, self._show)

    def _show(self, said: StatusText) -> None:
        put_text(self._sentence, said.text)
        put_text(self._detail, said.detail)
        give(self._detail, hidden=not said.detail)
        self._button.offer(said.action)
        show_status(self.node, said.status)


def show_status(node: Node, status: str) -> None:
    """Give an element the colour of a status, by its class."""
    for each in ("connected", "disconnected", "error"):
        node.classList.toggle(each, each == status)
