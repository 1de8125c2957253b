"""A list that follows its end and keeps its reader's place, and the rows of a chat in it."""

from __future__ import annotations

from collections.abc import Iterable

from nicegui.element import Element

from sockstore.ui.chat.rows import Row
from sockstore.ui.text import split_links
from sockstore.ui.web import FOLDER

__all__ = ["ChatLine", "MessageList"]


class MessageList(Element, component="message_list.js", esm={"sockstore-web": str(FOLDER)}):
    """A list that follows its end, unless its reader has scrolled away from there.

    It emits ``reading`` with whether its reader looks at its end, and the id of the row that was
    the last one they saw there; and ``older`` when the reader comes near its beginning and it says
    that it has older rows; and ``author`` with what the browser keeps of who its user is.
    """

    def forget(self, rows: Iterable[Element]) -> None:
        """Delete some rows."""
        for row in rows:
            row.delete()

    def place(self, row: Element, index: int) -> None:
        """Put a row at its place, unless it is there."""
        children = self.default_slot.children
        if index >= len(children) or children[index] is not row:
            row.move(target_index=index)

    def tell(self, **props: object) -> None:
        """Set props only if they changed, because each setting sends all of them."""
        for name, value in props.items():
            if self.props.get(name) != value:
                self.props[name] = value

    def go_to_end(self) -> None:
        """Bring the reader to the end."""
        self.run_method("toEnd")


class ChatLine(Element, component="chat_line.js"):
    """One row of a chat; its texts are shown as they are, never as markup.

    A gap emits ``fill`` when its reader wants to see the missing messages.
    """

    def __init__(self, row: Row) -> None:
        super().__init__()
        self.show(row)

    def show(self, row: Row) -> None:
        """Show the row as it is now."""
        self.row = row
        line = row.line
        pieces = split_links(line.content)
        self.props.update(
            kind=line.kind,
            sender=line.sender,
            pieces=[[piece.text, piece.url] for piece in pieces],
            time=line.time,
            mark=line.mark,
            previousTime=row.previous_time,
            continues=row.continues,
            isFirstUnread=row.is_first_unread,
            canBeFilled=row.can_be_filled,
        )
