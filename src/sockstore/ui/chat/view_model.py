"""View model of a chat: what its reader sees, as messages come and the reader scrolls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sockstore.connection.websocket_store import WebSocketStore
from sockstore.stores import Readable, derived, writable
from sockstore.ui.chat.backlog import Backlog, backlog_of
from sockstore.ui.chat.own_messages import Post, posts_of
from sockstore.ui.chat.rows import Row, rows
from sockstore.ui.chat.transcript import Conversation, Transcript
from sockstore.ui.chat.unread import Unread
from sockstore.ui.chat.window import Window
from sockstore.ui.pacing import Update, in_slices

__all__ = ["ChatReader", "ChatView"]


@dataclass(frozen=True, slots=True)
class ChatView:
    """The part of a chat that its reader sees.

    Args:
        rows: The rows, the newest last.
        unread: How many messages came that they have not seen.
        has_older: Whether older rows can be shown.
        is_full: Whether there are older ones, but no more can be shown.
        is_loading: Whether older ones are being loaded.
        has_own_news: Whether the user has sent a message since, which they want to see.
    """

    rows: tuple[Row, ...]
    unread: int = 0
    has_older: bool = False
    is_full: bool = False
    is_loading: bool = False
    has_own_news: bool = False


class ChatReader:
    """Follows the messages of a chat for one reader, who scrolls.

    Args:
        limit: Lines that are shown to a reader who is at the end; the oldest go first.
    """

    def __init__(self, limit: int) -> None:
        self._window = Window(limit)
        self._unread = Unread()
        # The connection's; None before `follow`.
        self._backlog: Backlog | None = None
        # Whether the reader looks at the end; `read_on` sets it.
        self._at_end = writable(value=True)
        # How often `show_older` was called: each time the view is drawn again.
        self._pages_wanted = writable(0)

    def read_on(self, *, at_end: bool, last: str | None = None) -> None:
        """Note whether the reader looks at the end, or has scrolled away from it.

        Args:
            at_end: Whether the reader looks at the end.
            last: The key of the last line they saw there, if that was some time ago.
        """
        if last is not None and not at_end:
            self._unread.leave(last)
        self._at_end.set(at_end)

    def show_older(self) -> None:
        """Show older lines: those that were received, or else a page from the server."""
        if self._backlog is None:
            return
        if not self._window.start:
            self._backlog.load_older()
        self._window.extend()
        self._pages_wanted.update(lambda pages: pages + 1)

    def fill(self, row: Row) -> None:
        """Ask for the messages that are missing at a gap."""
        if self._backlog is not None and row.line.offset is not None:
            self._backlog.load_before(row.line.offset)

    async def follow(self, connection: WebSocketStore, show: Callable[[ChatView], int]) -> None:
        """Show the view, and again after each change, with pauses between, until cancelled.

        Args:
            connection: The chat's connection.
            show: Called with what the reader sees; returns how many characters of it were new.
        """
        backlog = self._backlog = backlog_of(connection)
        leave = backlog.follow()
        try:
            await self._follow(connection, backlog, show)
        finally:
            leave()

    async def _follow(
        self, connection: WebSocketStore, backlog: Backlog, show: Callable[[ChatView], int]
    ) -> None:
        posts = posts_of(connection)
        conversation = Conversation()
        sent = posts.store.value
        async for _ in self._changes(connection, backlog):
            update = Update()
            async for some in in_slices(conversation.unread(connection.messages.value)):
                conversation.read(some)
            before, sent = sent, posts.store.value
            transcript = conversation.merge(sent)
            posts.returned(transcript.returned)
            characters = show(self._see(transcript, backlog, is_news=_is_news(sent, before)))
            backlog.shown(transcript)
            await update.pause(characters)

    def _changes(self, connection: WebSocketStore, backlog: Backlog) -> Readable[object]:
        """Return a store that changes when the view may have changed."""
        # The state tells when something that was queued has left, or was lost.
        about_messages = (connection.messages, posts_of(connection).store, connection.state)
        about_older_ones = (backlog.has_older, backlog.is_loading)
        about_the_reader = (self._at_end, self._pages_wanted)
        stores = (*about_messages, *about_older_ones, *about_the_reader)
        return derived(stores, lambda *values: values)

    def _see(self, transcript: Transcript, backlog: Backlog, *, is_news: bool) -> ChatView:
        at_end = self._at_end.value
        self._unread.read(transcript.lines, at_end)
        shown = self._window.of(transcript.lines, at_end=at_end)
        has_older = bool(self._window.start) or backlog.has_older.value
        return ChatView(
            tuple(rows(shown, self._unread.first, can_be_filled=True)),
            unread=self._unread.count,
            has_older=has_older and not self._window.is_full,
            is_full=self._window.is_full,
            is_loading=backlog.is_loading.value,
            has_own_news=is_news,
        )


def _is_news(sent: Sequence[Post], before: Sequence[Post]) -> bool:
    """Whether the user has sent a message since."""
    return bool(sent) and (not before or sent[-1] is not before[-1])
