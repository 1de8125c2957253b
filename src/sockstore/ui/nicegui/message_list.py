"""A list that follows its end and keeps its reader's place, and the rows of a chat in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from nicegui.element import Element

from sockstore.ui.lines import Line
from sockstore.ui.links import split_links

__all__ = ["ChatLine", "MessageList", "Row", "rows"]


class MessageList(Element, component="message_list.js"):
    """A list that follows its end, unless its reader has scrolled away from there.

    It emits ``reading`` with whether its reader looks at its end, and ``older`` when the reader
    comes near its beginning and it says that it has older rows.
    """

    def forget(self, rows: Iterable[Element]) -> None:
        """Delete some rows."""
        for row in rows:
            row.delete()

    def place(self, row: Element, index: int) -> None:
        """See to it that a row stands where it belongs."""
        children = self.default_slot.children
        if index >= len(children) or children[index] is not row:
            row.move(target_index=index)

    def tell(self, **props: object) -> None:
        """Set props, where they are others than now: each setting sends all of them."""
        for name, value in props.items():
            if self.props.get(name) != value:
                self.props[name] = value

    def go_to_end(self) -> None:
        """Bring the reader to the end."""
        self.run_method("toEnd")


@dataclass(frozen=True, slots=True)
class Row:
    """A line, and what it needs to know of the one before it.

    Args:
        line: The line.
        previous_time: When the nearest line with a time before it was; None for the first.
        continues: Whether the line before it is a message of the same sender.
        is_first_unread: Whether the "New" marker stands before it.
        can_be_filled: Whether it is a gap whose messages can be asked for.
    """

    line: Line
    previous_time: str | None = None
    continues: bool = False
    is_first_unread: bool = False
    can_be_filled: bool = False


def rows(
    lines: Sequence[Line], first_unread: str | None = None, *, can_be_filled: bool = False
) -> Iterator[Row]:
    """Yield the rows of a chat.

    Args:
        lines: What is shown, oldest first.
        first_unread: The key of the line that the "New" marker stands before.
        can_be_filled: Whether the messages of gaps can be asked for.
    """
    before: Line | None = None
    time: str | None = None
    for line in lines:
        continues = before is not None and _speaker(line) == _speaker(before) is not None
        is_gap = line.kind == "gap"
        yield Row(line, time, continues, line.key == first_unread, is_gap and can_be_filled)
        before = line
        time = line.time or time


def _speaker(line: Line) -> tuple[str, bool] | None:
    """Who says it: the user may share a name with somebody else."""
    if line.kind != "message" or line.sender is None:
        return None
    return line.sender, line.mark is not None


class ChatLine(Element, component="chat_line.js"):
    """One row of a chat; its texts are shown as they are, never as markup.

    A gap emits ``fill`` when its reader wants to see what is missing.
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
