"""Echo page of the guide, as an element."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from sockstore.base.records import Message
from sockstore.base.state import ConnectionState
from sockstore.connection.connection import Connection
from sockstore.scope.subscription_provider import Source
from sockstore.ui.chat.own_messages import send_to_demo
from sockstore.ui.nicegui.chat_input import ChatInput
from sockstore.ui.nicegui.message_list import MessageList
from sockstore.ui.nicegui.provider import SourceComponent
from sockstore.ui.nicegui.status import ReconnectButton
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
        super().__init__(connection, name)
        self._connection: Connection | None = None
        self._limit = limit
        self._shown = ""
        self._rows: dict[int, TextElement] = {}
        self.classes("sockstore-demo")
        with self:
            with ui.element().classes("sockstore-banner") as self._banner:
                self._sentence = ui.label().props("role=status")
                self._button = ReconnectButton(lambda: self._connection)
            self._list = MessageList()
            _DemoInput(connection, name=name)
        self._show_state(ConnectionState())

    async def on_mount(self) -> None:
        """Follow the status and the messages."""
        connection = self._connection = await self.connection()
        self.scope.subscribe(connection.state, self._show_state)
        async for view in (await self.source()).messages:
            update, characters = Update(), 0
            self._forget_all_but(view[-self._limit :])
            async for some in in_slices(view[-self._limit :]):
                characters += self._show_messages(some)
            await update.pause(characters)

    def _show_state(self, state: ConnectionState) -> None:
        self._button.offer(action(state))
        if state.status != self._shown:
            self._shown = state.status
            self._sentence.text = f"Connection Status: {state.status}"
            self._banner.classes(remove="connected disconnected error", add=state.status)

    def _forget_all_but(self, messages: Sequence[Message]) -> None:
        gone = self._rows.keys() - {message.number for message in messages}
        self._list.forget([self._rows.pop(number) for number in gone])

    def _show_messages(self, messages: Sequence[Message]) -> int:
        """Show the new messages; return how many characters they have."""
        characters = 0
        with self._list:
            for message in messages:
                if message.number not in self._rows:
                    tag = "pre" if message.kind == "json" else "div"
                    row = TextElement(tag=tag, text=as_text(message.data))
                    self._rows[message.number] = row.classes("sockstore-record")
                    characters += len(row.text)
        return characters


class _DemoInput(ChatInput):
    def accept(self, source: Source, text: str) -> bool:
        return send_to_demo(source, text)
