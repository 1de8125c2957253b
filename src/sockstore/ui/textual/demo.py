"""Echo page of the guide, as a widget."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Static

from sockstore.base.state import ConnectionState
from sockstore.scope.subscription_provider import Source
from sockstore.ui.chat.own_messages import send_to_demo
from sockstore.ui.pacing import Update
from sockstore.ui.status import action
from sockstore.ui.text import as_text
from sockstore.ui.textual.chat_input import ChatInput
from sockstore.ui.textual.message_list import Item, MessageList
from sockstore.ui.textual.provider import SourceComponent
from sockstore.ui.textual.status import ReconnectButton

__all__ = ["WebSocketDemo"]


class WebSocketDemo(SourceComponent):
    """Show a connection's status and its messages as JSON, and send more of them.

    Args:
        connection: Which one, or which subscription; None for that of the provider it stands in.
        name: The name of that provider.
        limit: Messages that are shown at most; the oldest go first.

    Raises:
        ProviderNotFound: When it is mounted, if it stands in no such provider.

    Source:
        The guide's page ``websocket-demo``.

    Example:
        ::

            with WebSocketProvider("wss://echo.example.com"):
                yield WebSocketDemo()
    """

    DEFAULT_CSS = """
    WebSocketDemo { height: 1fr; layout: vertical; }
    WebSocketDemo > #banner {
        height: auto; padding: 0 1; background: $error-muted; color: $text-error;
    }
    WebSocketDemo > #banner.connected { background: $success-muted; color: $text-success; }
    WebSocketDemo > #banner > Static { width: 1fr; text-style: bold; text-align: center; }
    """

    def __init__(
        self,
        connection: Source | None = None,
        *,
        name: str = "default",
        limit: int = 200,
    ) -> None:
        super().__init__(connection, name)
        self._limit = limit
        self._sentence = Static(markup=False)
        self._button = ReconnectButton()
        self._banner = Horizontal(self._sentence, self._button, id="banner")
        self._list = MessageList("No messages yet")
        self._input = _DemoInput(connection, name=name)
        self._contents: dict[int, Content] = {}

    def compose(self) -> ComposeResult:
        """Place the banner, the messages and the input."""
        yield self._banner
        yield self._list
        yield self._input

    async def follow(self) -> None:
        """Follow the status and the messages."""
        connection = await self.connection()
        self.scope.subscribe(connection.state, self._show_state)
        async for view in (await self.source()).messages:
            update, before = Update(), self._contents
            self._contents = {
                message.number: before.get(message.number) or Content(as_text(message.data))
                for message in view[-self._limit :]
            }
            characters = self._list.show([Item(*shown) for shown in self._contents.items()])
            await update.pause(characters)

    def _show_state(self, state: ConnectionState) -> None:
        self._button.offer(action(state))
        self._sentence.update(Content(f"Connection Status: {state.status}"))
        for status in ("connected", "disconnected", "error"):
            self._banner.set_class(state.status == status, status)

    @on(Button.Pressed, "ReconnectButton")
    async def reconnect(self, event: Button.Pressed) -> None:
        """Connect again."""
        event.stop()
        (await self.connection()).reconnect()


class _DemoInput(ChatInput):
    def accept(self, source: Source, text: str) -> bool:
        return send_to_demo(source, text)
