"""Widget that shows the status of a connection."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Button, Static

from sockstore.scope.subscription_provider import Source
from sockstore.ui.status import StatusText, follow
from sockstore.ui.textual.provider import SourceComponent

__all__ = ["ConnectionStatus", "ReconnectButton"]


class ReconnectButton(Button):
    """A button that connects again; it is shown only while the connection does not retry."""

    DEFAULT_CSS = """
    ReconnectButton { display: none; min-width: 9; }
    ReconnectButton.-offered { display: block; }
    """

    def __init__(self) -> None:
        super().__init__("", compact=True, disabled=True)

    def offer(self, action: str | None) -> None:
        """Show the button under this name, or hide it."""
        if action is not None:
            self.label = Content(action)
        self.disabled = action is None
        self.set_class(action is not None, "-offered")


class ConnectionStatus(SourceComponent):
    """Show whether a connection is open, and if not, why and what happens next.

    Args:
        connection: Which one, or a subscription of it; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: When it is mounted, if it stands in no such provider.

    Source:
        The guide's ``ConnectionStatusFromContext``.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws"):
                yield ConnectionStatus()
    """

    DEFAULT_CSS = """
    ConnectionStatus {
        layout: horizontal; height: auto; padding: 0 1;
        background: $error-muted; color: $text-error;
    }
    ConnectionStatus.connected { background: $success-muted; color: $text-success; }
    ConnectionStatus > #sentence { width: 1fr; text-style: bold; }
    ConnectionStatus > #detail { width: auto; padding-left: 1; }
    """

    def __init__(self, connection: Source | None = None, *, name: str = "default") -> None:
        super().__init__(connection, name)
        self._sentence = Static(id="sentence", markup=False)
        self._detail = Static(id="detail", markup=False)
        self._button = ReconnectButton()

    def compose(self) -> ComposeResult:
        """Place the sentence, what happens next, and the button."""
        yield self._sentence
        yield self._detail
        yield self._button

    async def follow(self) -> None:
        """Follow the connection's state, and count down while it waits."""
        connection = await self.connection()
        await follow(connection, self._show)

    def _show(self, said: StatusText) -> None:
        self._sentence.update(Content(said.text))
        self._detail.update(Content(said.detail))
        self._button.offer(said.action)
        for status in ("connected", "disconnected", "error"):
            self.set_class(said.status == status, status)

    @on(Button.Pressed)
    async def reconnect(self, event: Button.Pressed) -> None:
        """Connect again."""
        event.stop()
        (await self.connection()).reconnect()
