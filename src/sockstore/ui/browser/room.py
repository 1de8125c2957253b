"""Elements that show the messages and the members of a room."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sockstore.connection.websocket_store import WebSocketStore
from sockstore.ui.browser.chat_row import ChatRow
from sockstore.ui.browser.dom import Node, make, put_text
from sockstore.ui.browser.message_list import MessageList
from sockstore.ui.browser.provider import ConnectionComponent
from sockstore.ui.chat.presence import Presence
from sockstore.ui.chat.rows import Row
from sockstore.ui.chat.view_model import ChatReader, ChatView
from sockstore.ui.pacing import PAUSE

__all__ = ["ChatMembers", "ChatMessages"]


class ChatMessages(ConnectionComponent):
    """Show the messages of a chat, the newest last, and older ones when the reader scrolls up.

    Args:
        connection: Which one; None for that of the provider it stands in.
        name: The name of that provider.
        limit: Lines that are shown to a reader who is at the end; the oldest go first.

    Raises:
        ProviderNotFound: If it stands in no such provider.

    Source:
        The guide's ``ChatMessagesFromContext``.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws"):
                ChatMessages()
    """

    def __init__(
        self,
        connection: WebSocketStore | None = None,
        *,
        name: str = "default",
        limit: int = 300,
    ) -> None:
        super().__init__(connection, name, classes="sockstore-chat")
        self._reader = ChatReader(limit)
        self._rows: dict[str, ChatRow] = {}
        with self:
            self._list = MessageList("Messages", "No messages yet")

    async def on_mount(self) -> None:
        """Follow the messages, and the delivery of the user's own."""
        self._list.follow(self.scope, self._read_on, self._fill)
        await self._reader.follow(await self.connection(), self._show)

    def _read_on(self, what: str, value: bool) -> None:  # noqa: FBT001 - the list's event
        if what == "older":
            self._reader.show_older()
        else:
            self._reader.read_on(at_end=value)

    def _show(self, view: ChatView) -> int:
        """Show the rows; how many characters that took."""
        before = self._rows
        self._rows = {row.line.key: before.get(row.line.key) or ChatRow(row) for row in view.rows}
        characters = sum(self._show_row(row, before) for row in view.rows)
        self._list.show(list(self._rows.values()))
        self._list.offer(has_older=view.has_older, is_full=view.is_full, is_loading=view.is_loading)
        self._list.tell_unread(view.unread)
        if view.has_own_news:
            self._list.go_to_end()
        return characters

    def _show_row(self, row: Row, before: Mapping[str, ChatRow]) -> int:
        shown = before.get(row.line.key)
        if shown is not None and shown.row == row:
            return 0
        if shown is not None:
            shown.show(row)
        return len(row.line.content)

    def _fill(self, target: Node) -> None:
        for row in self._rows.values():
            if row.row.can_be_filled and row.is_asked_to_fill(target):
                self._reader.fill(row.row)


class ChatMembers(ConnectionComponent):
    """Show who is in the room, with a server that sends presence messages.

    Args:
        connection: Which one; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: If it stands in no such provider.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws"):
                ChatMembers()
    """

    def __init__(self, connection: WebSocketStore | None = None, *, name: str = "default") -> None:
        super().__init__(connection, name, classes="sockstore-members")
        self._label = make("div")
        self.node.append(self._label)

    async def on_mount(self) -> None:
        """Follow the members of the room."""
        messages = (await self.connection()).messages
        presence = Presence()
        for message in messages.value:
            presence.read(message)
        # Each message, also when a flood pushes it out of the log before the page is updated.
        self.scope.on_destroy(messages.on_append(presence.read))
        async for _ in messages:
            put_text(self._label, presence.text)
            await asyncio.sleep(PAUSE)
