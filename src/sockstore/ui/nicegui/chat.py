"""The messages of a chat, who is there, and the input, as elements."""

from __future__ import annotations

import asyncio
from collections import Counter

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from sockstore.connection import WebSocketStore
from sockstore.stores import derived
from sockstore.ui.nicegui.provider import Bound
from sockstore.ui.posts import posts_of
from sockstore.ui.transcript import Line, members, transcript

__all__ = ["ChatInput", "ChatMembers", "ChatMessages", "MessageField", "MessageList"]

NAMES_SHOWN = 5
PAUSE = 0.05
"""Seconds between two updates of a page, so that a burst is one update."""


class MessageList(Element, component="message_list.js"):
    """A list that follows its end, unless its reader has scrolled away from there."""


class ChatLine(Element, component="chat_line.js"):
    """One line of a chat; its texts are shown as they are, never as markup."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self.line = line
        self.show(line)

    def show(self, line: Line) -> None:
        """Show the line as it is now."""
        self.line = line
        self.props["kind"] = line.kind
        self.props["sender"] = line.sender
        self.props["content"] = line.content
        self.props["time"] = line.time
        self.props["mark"] = line.mark


class ChatMessages(Bound):
    """Show the messages of a chat, the newest last.

    Args:
        connection: Which one; None for that of the provider it stands in.
        name: The name of that provider.
        limit: Lines that are shown at most; the oldest go first.

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
        super().__init__(connection, name)
        self._limit = limit
        self._lines: dict[str, ChatLine] = {}
        self.classes("sockstore-messages-frame")
        with self:
            self._list = MessageList()
            self._empty = ui.label("No messages yet").classes("sockstore-empty")

    async def on_mount(self) -> None:
        """Follow the messages, and what became of one's own."""
        connection = await self.connection()
        posts = posts_of(connection)
        # The state tells when something that was queued has left, or was lost.
        changes = derived(
            (connection.messages, posts.store, connection.state), lambda *values: values
        )
        async for view, sent, _ in changes:
            shown = transcript(view, sent)
            posts.returned(shown.returned)
            self._show(shown.lines[-self._limit :])
            await asyncio.sleep(PAUSE)

    def _show(self, lines: tuple[Line, ...]) -> None:
        self._empty.visible = not lines
        gone = self._lines.keys() - {line.key for line in lines}
        for key in gone:
            self._lines.pop(key).delete()
        with self._list:
            for index, line in enumerate(lines):
                self._show_line(index, line)

    def _show_line(self, index: int, line: Line) -> None:
        row = self._lines.get(line.key)
        if row is None:
            row = self._lines[line.key] = ChatLine(line)
            if index < len(self._lines) - 1:
                row.move(target_index=index)
        elif row.line != line:
            row.show(line)


class ChatMembers(Bound):
    """Show who is in the room, as a server with presence tells it.

    Args:
        connection: Which one; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: If it stands in no such provider.
    """

    def __init__(self, connection: WebSocketStore | None = None, *, name: str = "default") -> None:
        super().__init__(connection, name)
        self.classes("sockstore-members")
        with self:
            self._label = ui.label()

    async def on_mount(self) -> None:
        """Follow those who come and go."""
        connection = await self.connection()
        async for present in connection.select(members):
            self._label.text = _who_is_here(present)
            await asyncio.sleep(PAUSE)


def _who_is_here(present: tuple[str, ...]) -> str:
    """Name the first few; a name that is there several times (tabs) is named once."""
    if not present:
        return ""
    counts = Counter(present)
    names = [name if times == 1 else f"{name} ({times})" for name, times in counts.items()]
    more = len(names) - NAMES_SHOWN
    shown = ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"{len(present)} here: {shown}"


class MessageField(Element, component="message_field.js"):
    """A text field and its button: Enter sends, Shift+Enter is a new line."""


class ChatInput(Bound):
    """Let the user write messages; it is disabled while the connection is not open.

    The text leaves the field when it is sent, and comes back if it was not accepted.

    Args:
        connection: Which one; None for that of the provider it stands in.
        name: The name of that provider.
        placeholder: What an empty field shows.

    Raises:
        ProviderNotFound: If it stands in no such provider.

    Source:
        The guide's ``ChatInputFromContext``.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws"):
                ChatInput()
    """

    def __init__(
        self,
        connection: WebSocketStore | None = None,
        *,
        name: str = "default",
        placeholder: str = "Type a message...",
    ) -> None:
        super().__init__(connection, name)
        self._connection: WebSocketStore | None = None
        self.classes("sockstore-input")
        with self:
            self._field = MessageField()
        self._field.props["placeholder"] = placeholder
        self._field.props["disabled"] = True
        self._field.on("send", self._send)

    async def on_mount(self) -> None:
        """Follow whether the connection is open."""
        self._connection = await self.connection()
        self.scope.subscribe(self._connection.connected, self._enable)

    def accept(self, connection: WebSocketStore, text: str) -> bool:
        """Send a text that is not blank.

        Returns:
            Whether it was accepted.
        """
        return posts_of(connection).send(connection, text)

    def _enable(self, connected: bool) -> None:  # noqa: FBT001 - a subscriber
        self._field.props["disabled"] = not connected

    def _send(self, event: GenericEventArguments) -> None:
        text = event.args
        if not isinstance(text, str) or not text.strip():
            return
        connection = self._connection
        if (
            connection is None
            or not connection.connected.value
            or not self.accept(connection, text)
        ):
            self._field.run_method("giveBack", text)
