"""Echo page of the guide, as an element."""

from __future__ import annotations

from collections.abc import Sequence

from sockstore.base.records import Message
from sockstore.base.state import ConnectionState
from sockstore.scope.subscription_provider import Source
from sockstore.ui.browser.chat_input import ChatInput
from sockstore.ui.browser.dom import make, put_text
from sockstore.ui.browser.message_list import MessageList
from sockstore.ui.browser.provider import SourceComponent
from sockstore.ui.browser.status import ReconnectButton, show_status
from sockstore.ui.chat.own_messages import send_to_demo
from sockstore.ui.pacing import Update, in_slices
from sockstore.ui.status import action
from sockstore.ui.text import as_text

__all__ = ["WebSocketDemo"]


class WebSocketDemo(SourceComponent):
    """Show a connection's status and its messages as JSON, and send more of them.

    Args:
        connection: Which one, or which subscription; None for that of the provider it stands in.
        name: The name of that provider.
        limit: Messages that are shown at most; the oldest go first.

    Raises:
        ProviderNotFound: If it stands in no such provider.

    Source:
        The guide's page ``websocket-demo``.

    Example:
        ::

            with WebSocketProvider("wss://echo.example.com"):
                WebSocketDemo()
    """

    def __init__(
        self,
        connection: Source | None = None,
        *,
        name: str = "default",
        limit: int = 200,
    ) -> None:
        super().__init__(connection, name, classes="sockstore-demo")
        self._limit = limit
        self._rows: dict[int, _Record] = {}
        self._banner = make("div", "sockstore-banner")
        self._sentence = make("div", role="status")
        self._button = ReconnectButton(self._banner)
        self._banner.append(self._sentence)
        self.node.append(self._banner)
        with self:
            self._list = MessageList("Messages", "")
            _DemoInput(connection, name=name)
        self._show_state(ConnectionState())

    async def on_mount(self) -> None:
        """Follow the status and the messages."""
        self._list.follow(self.scope)
        connection = await self.connection()
        self.listen(self._button.node, "click", lambda _: connection.reconnect())
        self.scope.subscribe(connection.state, self._show_state)
        async for view in (await self.source()).messages:
            update = Update()
            characters = await self._show_messages(view[-self._limit :])
            await update.pause(characters)

    def _show_state(self, state: ConnectionState) -> None:
        self._button.offer(action(state))
        put_text(self._sentence, f"Connection Status: {state.status}")
        show_status(self._banner, state.status)

    async def _show_messages(self, messages: Sequence[Message]) -> int:
        """Show the messages; how many characters of them were new."""
        before, self._rows = self._rows, {}
        characters = 0
        async for some in in_slices(messages):
            for message in some:
                shown = before.get(message.number)
                row = self._rows[message.number] = shown or _Record(message)
                characters += 0 if shown else row.length
        self._list.show(list(self._rows.values()))
        return characters


class _Record:
    """One message; it is shown as it is, never as markup."""

    def __init__(self, message: Message) -> None:
        text = as_text(message.data)
        self.node = make("pre" if message.kind == "json" else "div", "sockstore-record", text)
        self.length = len(text)


class _DemoInput(ChatInput):
    def accept(self, source: Source, text: str) -> bool:
        return send_to_demo(source, text)
