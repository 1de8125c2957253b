"""Elements that show the messages and the members of a room."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from nicegui import ui
from nicegui.events import GenericEventArguments

from sockstore.scope.subscription_provider import Source
from sockstore.ui.chat.presence import MembersFollower
from sockstore.ui.chat.rows import Row
from sockstore.ui.chat.view_model import ChatReader, ChatView
from sockstore.ui.nicegui.chat_input import author_of, know_author
from sockstore.ui.nicegui.message_list import ChatLine, MessageList
from sockstore.ui.nicegui.provider import SourceComponent

__all__ = ["ChatMembers", "ChatMessages"]


class ChatMessages(SourceComponent):
    """Show the messages of a chat, the newest last, and older ones when the reader scrolls up.

    Args:
        connection: Which one, or which subscription; None for that of the provider it stands in.
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
        connection: Source | None = None,
        *,
        name: str = "default",
        limit: int = 300,
    ) -> None:
        super().__init__(connection, name)
        self._reader = ChatReader(limit)
        self._rows: dict[str, ChatLine] = {}
        self.classes("sockstore-chat")
        with self:
            self._list = MessageList()
        self._list.tell(label="Messages", note="No messages yet")
        self._list.on("reading", self._read_on)
        self._list.on("older", self._reader.show_older, args=[])
        self._list.on("author", know_author)

    async def on_mount(self) -> None:
        """Follow the messages, and the delivery of the user's own."""
        await self._reader.follow(await self.source(), author_of(self.client), self._show)

    def _read_on(self, event: GenericEventArguments) -> None:
        match event.args:
            case [bool() as at_end, last]:
                # Rows that were added while the event was on its way are unread, too.
                keys = (key for key, row in self._rows.items() if row.html_id == last)
                self._reader.read_on(at_end=at_end, last=next(keys, None))
            case _:  # our pages send nothing else
                pass

    def _show(self, view: ChatView) -> int:
        """Show the lines; how many characters that took."""
        characters = self._show_rows(view.rows)
        self._list.tell(
            note="" if view.rows else "No messages yet",
            unread=view.unread,
            hasOlder=view.has_older,
            isFull=view.is_full,
            isLoading=view.is_loading,
        )
        if view.has_own_news:
            self._list.go_to_end()
        return characters

    def _show_rows(self, shown: Iterable[Row]) -> int:
        current = list(shown)
        gone = self._rows.keys() - {row.line.key for row in current}
        self._list.forget([self._rows.pop(key) for key in gone])
        with self._list:
            return sum(self._show_row(index, row) for index, row in enumerate(current))

    def _show_row(self, index: int, row: Row) -> int:
        element = self._rows.get(row.line.key)
        is_news = element is None or element.row != row
        if element is None:
            element = self._rows[row.line.key] = ChatLine(row)
            if row.line.kind == "gap":
                element.on("fill", partial(self._fill, element), args=[])
        elif is_news:
            element.show(row)
        self._list.place(element, index)
        return len(row.line.content) if is_news else 0

    def _fill(self, gap: ChatLine) -> None:
        self._reader.fill(gap.row)


class ChatMembers(SourceComponent):
    """Show who is in the room, with a server that sends presence messages.

    Args:
        connection: Which one, or which subscription; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: If it stands in no such provider.
    """

    def __init__(self, connection: Source | None = None, *, name: str = "default") -> None:
        super().__init__(connection, name)
        self.classes("sockstore-members")
        with self:
            self._label = ui.label()

    async def on_mount(self) -> None:
        """Follow the members of the room."""
        source = await self.source()
        await MembersFollower().follow(source, self.scope, self._label.set_text)
