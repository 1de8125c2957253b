"""Widgets that show the messages and the members of a room; `row_content` draws one row."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo

from textual import on
from textual.app import ComposeResult
from textual.content import Content
from textual.style import Style
from textual.widgets import Static

from sockstore.scope.subscription_provider import Source
from sockstore.ui.chat.author import author_of_process
from sockstore.ui.chat.lines import Mark
from sockstore.ui.chat.presence import MembersFollower
from sockstore.ui.chat.rows import Row, local_time, new_day
from sockstore.ui.chat.view_model import ChatReader, ChatView
from sockstore.ui.text import split_links
from sockstore.ui.textual.message_list import Item, MessageList
from sockstore.ui.textual.provider import SourceComponent

__all__ = ["ChatMembers", "ChatMessages", "row_content"]

MARKS: dict[Mark, tuple[str, str]] = {
    "queued": ("…", "dim"),
    "sent": ("✓", "dim"),
    "acknowledged": ("✓✓", "dim"),
    "failed": ("Not delivered", "$text-error bold"),
}


def row_content(row: Row, now: datetime, zone: tzinfo | None = None) -> Content:
    """Draw a row; above it the day, if it is another one, and the marker of new messages.

    Args:
        row: The row.
        now: The present moment, with a time zone.
        zone: The reader's time zone; None for this machine's.
    """
    line, day = row.line, new_day(row, now, zone)
    parts = [Content.styled(f"── {day} ──", "dim")] if day else []
    if row.is_first_unread:
        parts.append(Content.styled("── New ──", "$text-error bold"))
    match line.kind:
        case "notice":
            parts.append(Content.styled(line.content, "dim italic"))
        case "error":
            parts.append(Content.styled(line.content, "$text-error"))
        case "gap":
            more = " (click to load them)" if row.can_be_filled else ""
            parts.append(Content.styled(f"{line.content}{more}", "$text-warning"))
        case "message":
            if parts or not row.continues:
                parts += _head(row, zone)
            parts.append(_text(row))
    return Content("\n").join(parts)


def _head(row: Row, zone: tzinfo | None) -> list[Content]:
    line, moment = row.line, local_time(row.line.time, zone)
    if line.sender is None and moment is None:
        return []
    colour = "$text-primary bold" if line.mark else "$text-accent bold"
    name = Content.styled(line.sender or "", colour)
    if moment is None:
        return [name]
    return [Content.assemble(name, " ", Content.styled(f"{moment:%H:%M}", "dim"))]


def _text(row: Row) -> Content:
    pieces: list[Content] = []
    for piece in split_links(row.line.content):
        style = Style(underline=True, link=piece.url) if piece.url else ""
        pieces.append(Content.styled(piece.text, style))
    if row.line.mark is not None:
        text, mark_style = MARKS[row.line.mark]
        pieces.append(Content.styled(f" {text}", mark_style))
    return Content("").join(pieces)


class ChatMessages(SourceComponent):
    """Show the messages of a chat, the newest last, and older ones when the reader scrolls up.

    Args:
        connection: Which one, or which subscription; None for that of the provider it stands in.
        name: The name of that provider.
        limit: Lines that are shown to a reader who is at the end; the oldest go first.

    Raises:
        ProviderNotFound: When it is mounted, if it stands in no such provider.

    Source:
        The guide's ``ChatMessagesFromContext``.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws"):
                yield ChatMessages()
    """

    DEFAULT_CSS = """
    ChatMessages { height: 1fr; }
    ChatMessages > #news {
        display: none; dock: bottom; height: 1; padding: 0 1;
        background: $primary; color: $text; text-align: center;
    }
    ChatMessages > #news.-offered { display: block; }
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
        self._list = MessageList("No messages yet")
        self._news = Static(id="news", markup=False)
        # The view that is shown, and its rows as drawn, so that each is drawn once; set by `_show`.
        self._view = ChatView(())
        self._contents: dict[Row, Content] = {}

    @property
    def view(self) -> ChatView:
        """The view of the chat that the reader sees."""
        return self._view

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows that are shown, the newest last."""
        return self._view.rows

    def compose(self) -> ComposeResult:
        """Place the list, and the note that there is something new below."""
        yield self._list
        yield self._news

    async def follow(self) -> None:
        """Follow the messages, and the delivery of the user's own."""
        await self._reader.follow(await self.source(), author_of_process(), self._show)

    def _show(self, view: ChatView) -> int:
        now = datetime.now(UTC)
        before, self._contents, self._view = self._contents, {}, view
        items: list[Item] = []
        for row in view.rows:
            content = self._contents[row] = before.get(row) or row_content(row, now)
            items.append(Item(row.line.key, content))
        characters = self._list.show(items)
        if view.has_own_news:
            self._list.action_scroll_end_now()
        self._show_note(view)
        return characters

    def _show_note(self, view: ChatView) -> None:
        note = "Loading older messages …" if view.is_loading else ""
        if view.unread:
            plural = "" if view.unread == 1 else "s"
            note = f"{view.unread} new message{plural} ↓ (Escape)"
        self._news.update(Content(note))
        self._news.set_class(bool(note), "-offered")
        if view.has_older and not view.is_loading and self._list.max_scroll_y == 0 and view.rows:
            self._reader.show_older()

    @on(MessageList.Reading)
    def _read_on(self, event: MessageList.Reading) -> None:
        event.stop()
        self._reader.read_on(at_end=event.at_end)

    @on(MessageList.AtTop)
    def _show_older(self, event: MessageList.AtTop) -> None:
        event.stop()
        self._reader.show_older()

    @on(MessageList.Chosen)
    def _fill(self, event: MessageList.Chosen) -> None:
        event.stop()
        row = next((row for row in self.rows if row.line.key == event.key), None)
        if row is not None and row.can_be_filled:
            self._reader.fill(row)

    def on_click(self) -> None:
        """Go to the end if the note about new messages was clicked."""
        if self._news.is_mouse_over:
            self._list.action_scroll_end_now()


class ChatMembers(SourceComponent):
    """Show who is in the room, with a server that sends presence messages.

    Args:
        connection: Which one, or which subscription; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: When it is mounted, if it stands in no such provider.
    """

    DEFAULT_CSS = """
    ChatMembers { height: auto; padding: 0 1; color: $text-muted; }
    """

    def __init__(self, connection: Source | None = None, *, name: str = "default") -> None:
        super().__init__(connection, name)
        self._label = Static(markup=False)

    def compose(self) -> ComposeResult:
        """Place the text."""
        yield self._label

    async def follow(self) -> None:
        """Follow the members of the room."""
        source = await self.source()
        await MembersFollower().follow(source, self.scope, self._show)

    def _show(self, text: str) -> None:
        self._label.update(Content(text))
