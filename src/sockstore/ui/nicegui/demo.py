"""The guide's echo page as an element."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from sockstore.connection import WebSocketStore
from sockstore.streams import Message
from sockstore.ui.nicegui.chat import PAUSE, ChatInput, MessageList
from sockstore.ui.nicegui.provider import Bound
from sockstore.ui.posts import utc_now
from sockstore.ui.transcript import as_text

__all__ = ["WebSocketDemo"]


class WebSocketDemo(Bound):
    """Show a connection's status and its messages as JSON, and send more of them.

    Args:
        connection: Which one; None for that of the provider it stands in.
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
        connection: WebSocketStore | None = None,
        *,
        name: str = "default",
        limit: int = 200,
    ) -> None:
        super().__init__(connection, name)
        self._limit = limit
        self._rows: dict[int, TextElement] = {}
        self.classes("sockstore-demo")
        with self:
            self._banner = ui.label().classes("sockstore-banner").props("role=status")
            self._list = MessageList()
            _DemoInput(connection, name=name)
        self._show_status("disconnected")

    async def on_mount(self) -> None:
        """Follow the status and the messages."""
        connection = await self.connection()
        self.scope.subscribe(connection.status, self._show_status)
        async for view in connection.messages:
            self._show_messages(view[-self._limit :])
            await asyncio.sleep(PAUSE)

    def _show_status(self, status: str) -> None:
        self._banner.text = f"Connection Status: {status}"
        self._banner.classes(remove="connected disconnected error", add=status)

    def _show_messages(self, messages: Sequence[Message]) -> None:
        for number in self._rows.keys() - {message.number for message in messages}:
            self._rows.pop(number).delete()
        with self._list:
            for message in messages:
                if message.number not in self._rows:
                    tag = "pre" if message.kind == "json" else "div"
                    row = TextElement(tag=tag, text=as_text(message.data))
                    self._rows[message.number] = row.classes("sockstore-record")


class _DemoInput(ChatInput):
    """The guide's demo also says that it is a chat message."""

    def accept(self, connection: WebSocketStore, text: str) -> bool:
        return bool(connection.send({"type": "chat", "content": text, "timestamp": utc_now()}))
