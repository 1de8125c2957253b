"""The messages of a chat, as an element."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from time import perf_counter

from nicegui.events import GenericEventArguments

from sockstore.connection import WebSocketStore
from sockstore.stores import Readable, derived, writable
from sockstore.ui.backlog import Backlog, backlog_of
from sockstore.ui.nicegui.message_list import ChatLine, MessageList
from sockstore.ui.nicegui.pacing import after, in_slices, pause
from sockstore.ui.nicegui.provider import ConnectionComponent
from sockstore.ui.posts import Post, Posts, posts_of
from sockstore.ui.rows import Row, rows
from sockstore.ui.transcript import Conversation, Transcript
from sockstore.ui.unread import Unread
from sockstore.ui.window import Window

__all__ = ["ChatMessages"]


class ChatMessages(ConnectionComponent):
    """Show the messages of a chat, the newest last, and older ones to who scrolls up.

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
        super().__init__(connection, name)
        self._window = Window(limit)
        self._unread = Unread()
        self._rows: dict[str, ChatLine] = {}
        self._backlog: Backlog | None = None
        self._at_end = writable(value=True)
        self._pages_wanted = writable(0)
        self.classes("sockstore-chat")
        with self:
            self._list = MessageList()
        self._list.tell(label="Messages", note="No messages yet")
        self._list.on("reading", self._read_on)
        self._list.on("older", self._show_older, args=[])

    async def on_mount(self) -> None:
        """Follow the messages, and what became of one's own."""
        connection = await self.connection()
        posts = posts_of(connection)
        backlog = self._backlog = backlog_of(connection)
        self.scope.on_destroy(backlog.follow())
        conversation = Conversation()
        sent, read = posts.store.value, 0
        async for _ in self._changes(connection, posts, backlog):
            started = perf_counter()
            news = after(read, connection.messages.value)
            async for some in in_slices(news):
                conversation.read(some)
            read = news[-1].number if news else read
            before, sent = sent, posts.store.value
            transcript = conversation.merge(sent)
            posts.returned(transcript.returned)
            characters = self._show(transcript, backlog)
            backlog.shown(transcript)
            if _is_news(sent, before):
                self._list.go_to_end()
            await asyncio.sleep(pause(perf_counter() - started, characters))

    def _changes(
        self, connection: WebSocketStore, posts: Posts, backlog: Backlog
    ) -> Readable[object]:
        """Return a store that changes when there may be something else to show."""
        # The state tells when something that was queued has left, or was lost.
        about_messages = (connection.messages, posts.store, connection.state)
        about_older_ones = (backlog.has_older, backlog.is_loading)
        about_the_reader = (self._at_end, self._pages_wanted)
        stores = (*about_messages, *about_older_ones, *about_the_reader)
        return derived(stores, lambda *values: values)

    def _read_on(self, event: GenericEventArguments) -> None:
        self._at_end.set(event.args is True)

    def _show_older(self) -> None:
        """Show older lines: those that are known, or else a page from the server."""
        if self._backlog is None:
            return
        if not self._window.start:
            self._backlog.load_older()
        self._window.extend()
        self._pages_wanted.update(lambda pages: pages + 1)

    def _show(self, transcript: Transcript, backlog: Backlog) -> int:
        """Show the lines; how many characters that took."""
        at_end = self._at_end.value
        self._unread.read(transcript.lines, at_end)
        shown = self._window.of(transcript.lines, at_end=at_end)
        has_older = bool(self._window.start) or backlog.has_older.value
        characters = self._show_rows(rows(shown, self._unread.first, can_be_filled=True))
        self._list.tell(
            note="" if shown else "No messages yet",
            unread=self._unread.count,
            hasOlder=has_older and not self._window.is_full,
            isFull=self._window.is_full,
            isLoading=backlog.is_loading.value,
        )
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
        offset = gap.row.line.offset
        if self._backlog is not None and offset is not None:
            self._backlog.load_before(offset)


def _is_news(sent: Sequence[Post], before: Sequence[Post]) -> bool:
    """Whether the user has sent something since: then that is what the user wants to see."""
    return bool(sent) and (not before or sent[-1] is not before[-1])
