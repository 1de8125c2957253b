"""The messages of a chat, who is there, and the input, as elements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from time import perf_counter

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from sockstore.connection import WebSocketStore
from sockstore.stores import derived
from sockstore.streams import Message
from sockstore.ui.nicegui.provider import ConnectionComponent
from sockstore.ui.posts import posts_of
from sockstore.ui.presence import Presence
from sockstore.ui.transcript import Conversation, Line

__all__ = ["ChatInput", "ChatMembers", "ChatMessages", "MessageField", "MessageList"]

PAUSE = 0.05
"""Seconds between two updates of a page, so that a burst is one update."""
SHARE = 0.25
"""How much of the event loop's time the updates of one component may take."""


CHARACTERS_A_SECOND = 1_000_000
"""What a visitor's browser can take and lay out, and still answer its user."""
AT_ONCE = 20
"""Messages that are made ready to be shown without a look at what else there is to do."""


def pause(spent: float, characters: int) -> float:
    """Return the seconds until the next update.

    Args:
        spent: How long this one took, in seconds.
        characters: How much text it sent.
    """
    return max(PAUSE, spent / SHARE, characters / CHARACTERS_A_SECOND)


async def in_slices(messages: Sequence[Message]) -> AsyncIterator[Sequence[Message]]:
    """Yield the messages a few at a time, and let the event loop do other things between."""
    for start in range(0, len(messages), AT_ONCE):
        yield messages[start : start + AT_ONCE]
        await asyncio.sleep(0)


class MessageList(Element, component="message_list.js"):
    """A list that follows its end, unless its reader has scrolled away from there."""

    def forget(self, rows: Iterable[Element]) -> None:
        """Delete some rows."""
        for row in rows:
            row.delete()

    def place(self, row: Element, index: int) -> None:
        """See to it that a row stands where it belongs."""
        children = self.default_slot.children
        if index >= len(children) or children[index] is not row:
            row.move(target_index=index)


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


class ChatMessages(ConnectionComponent):
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
        conversation = Conversation()
        # The state tells when something that was queued has left, or was lost.
        changes = derived(
            (connection.messages, posts.store, connection.state), lambda *values: values
        )
        async for view, sent, _ in changes:
            started = perf_counter()
            async for some in in_slices(view[-self._limit :]):
                conversation.read(some)
            shown = conversation.merge(sent)
            posts.returned(shown.returned)
            characters = self._show(shown.lines[-self._limit :])
            await asyncio.sleep(pause(perf_counter() - started, characters))

    def _show(self, lines: tuple[Line, ...]) -> int:
        self._empty.visible = not lines
        gone = self._lines.keys() - {line.key for line in lines}
        self._list.forget([self._lines.pop(key) for key in gone])
        with self._list:
            return sum(self._show_line(index, line) for index, line in enumerate(lines))

    def _show_line(self, index: int, line: Line) -> int:
        row = self._lines.get(line.key)
        is_news = row is None or row.line != line
        if row is None:
            row = self._lines[line.key] = ChatLine(line)
        elif is_news:
            row.show(line)
        self._list.place(row, index)
        return len(line.content) if is_news else 0


class ChatMembers(ConnectionComponent):
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
        messages = (await self.connection()).messages
        presence = Presence()
        for message in messages.value:
            presence.read(message)
        # Each one, also when a flood pushes them out of the log before the page is updated.
        self.scope.on_destroy(messages.on_append(presence.read))
        async for _ in messages:
            self._label.text = presence.text
            await asyncio.sleep(PAUSE)


class MessageField(Element, component="message_field.js"):
    """A text field and its button: Enter sends, Shift+Enter is a new line."""


class ChatInput(ConnectionComponent):
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
