"""One row of a chat; its texts are shown as they are, never as markup."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from sockstore.ui.browser.dom import Node, give, make, put_text, stand
from sockstore.ui.chat.lines import Line, Mark
from sockstore.ui.chat.rows import Row, local_time, new_day
from sockstore.ui.text import split_links, tone_of

__all__ = ["ChatRow"]

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
        self.node = make("div")
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
            pieces = (_link(url) if url else text for text, url in _pieces(content))
            self._content.replaceChildren(*pieces)

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


def _pieces(content: str) -> Iterator[tuple[str, str | None]]:
    for piece in split_links(content):
        yield piece.text, piece.url


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
