"""Elements that show the messages and the members of a room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final

from sockstore.scope.subscription_provider import Source
from sockstore.ui.browser.chat_input import author_of_browser
from sockstore.ui.browser.dom import Node, give, make, put_text, stand
from sockstore.ui.browser.message_list import MessageList
from sockstore.ui.browser.provider import SourceComponent
from sockstore.ui.chat.lines import Line, Mark
from sockstore.ui.chat.presence import MembersFollower
from sockstore.ui.chat.rows import Row, local_time, new_day
from sockstore.ui.chat.view_model import ChatReader, ChatView
from sockstore.ui.text import split_links, tone_of

__all__ = ["ChatMembers", "ChatMessages"]

MARKS: dict[Mark, tuple[str, str]] = {
    "queued": ("…", "Queued: it leaves when the connection is open"),
    "sent": ("✓", "Sent"),
    "acknowledged": ("✓✓", "Delivered to the room"),
    "failed": ("Not delivered", "Not delivered, or it is unknown whether it was"),
}


class ChatRow:
    """One row.

    Args:
        row: The row of the chat that it shows.

    Attributes:
        node: The node in the list.
        row: The row of the chat that it shows.
    """

    def __init__(self, row: Row) -> None:
        self.node: Final = make("div")
        self._before: list[Node] = []
        self._line = make("div")
        self._sender = make("strong", "sockstore-sender")
        self._name = make("bdi")
        self._said = make("div", "sockstore-said")
        self._content = make("span", "sockstore-content")
        self._fill = make("button", "sockstore-quiet-button", "Load them", type="button")
        self._foot = make("div", "sockstore-line-foot")
        self._written: str | None = None
        self._sender.append(self._name)
        self._said.append(self._content)
        self._line.append(self._said)
        self.node.append(self._line)
        self.show(row)

    def show(self, row: Row) -> None:
        """Show the row as it is now; what stays the same keeps its selection and focus."""
        self.row = row
        line = row.line
        own = " own" if line.mark else ""
        self._show_what_stands_before(row)
        together = " together" if row.continues and not self._before else ""
        self.node.className = f"sockstore-row{own}{together}"
        self._line.className = f"sockstore-line {line.kind}{own}"
        give(self._line, data_mark=line.mark)
        self._show_sender(line)
        self._write(line.content)
        stand(self._fill, self._said, there=row.can_be_filled)
        self._show_foot(line)

    def is_asked_to_fill(self, target: Node) -> bool:
        """Whether this node, which was clicked, is the button of a gap."""
        return bool(self._fill.contains(target))

    def _show_what_stands_before(self, row: Row) -> None:
        for node in self._before:
            node.remove()
        self._before = [_separator(*each) for each in _before(row)]
        self._line.before(*self._before)

    def _show_sender(self, line: Line) -> None:
        is_named = line.kind == "message" and bool(line.sender)
        stand(self._sender, self._line, there=is_named, first=True)
        if line.sender:
            put_text(self._name, line.sender)
            give(self._sender, data_tone=tone_of(line.sender))

    def _write(self, content: str) -> None:
        if content != self._written:
            self._written = content
            pieces = split_links(content)
            nodes = (_link(piece.url) if piece.url else piece.text for piece in pieces)
            self._content.replaceChildren(*nodes)

    def _show_foot(self, line: Line) -> None:
        nodes = [*_time(line), *_mark(line)] if line.kind == "message" else []
        self._foot.replaceChildren(*nodes)
        stand(self._foot, self._said, there=bool(nodes))


def _before(row: Row) -> Iterator[tuple[str, str]]:
    if day := new_day(row, datetime.now(UTC)):
        yield "sockstore-day", day
    if row.is_first_unread:
        yield "sockstore-unread", "New"


def _separator(classes: str, text: str) -> Node:
    node = make("div", classes, role="separator")
    node.append(make("span", text=text))
    return node


def _link(url: str) -> Node:
    return make("a", text=url, href=url, target="_blank", rel="noopener noreferrer")


def _time(line: Line) -> Iterator[Node]:
    moment = local_time(line.time)
    if moment is not None:
        whole = f"{moment:%Y-%m-%d %H:%M:%S}"
        yield make("time", text=f"{moment:%H:%M}", datetime=line.time, title=whole)


def _mark(line: Line) -> Iterator[Node]:
    if line.mark:
        text, meaning = MARKS[line.mark]
        yield make("span", "sockstore-mark", text, role="img", aria_label=meaning, title=meaning)


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
        super().__init__(connection, name, classes="sockstore-chat")
        self._reader = ChatReader(limit)
        self._rows: dict[str, ChatRow] = {}
        with self:
            self._list = MessageList("Messages", "No messages yet")

    async def on_mount(self) -> None:
        """Follow the messages, and the delivery of the user's own."""
        self._list.follow(self.scope, self._read_on, self._fill)
        await self._reader.follow(await self.source(), author_of_browser(), self._show)

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


class ChatMembers(SourceComponent):
    """Show who is in the room, with a server that sends presence messages.

    Args:
        connection: Which one, or which subscription; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: If it stands in no such provider.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws"):
                ChatMembers()
    """

    def __init__(self, connection: Source | None = None, *, name: str = "default") -> None:
        super().__init__(connection, name, classes="sockstore-members")
        self._label = make("div")
        self.node.append(self._label)

    async def on_mount(self) -> None:
        """Follow the members of the room."""
        source = await self.source()
        await MembersFollower().follow(source, self.scope, partial(put_text, self._label))
