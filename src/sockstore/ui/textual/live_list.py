"""A live list of what a feed sends, as a widget."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from textual.app import ComposeResult
from textual.content import Content

from sockstore.scope.subscription_provider import Source
from sockstore.ui.live_list import Cells, LiveRow, LiveRows
from sockstore.ui.textual.message_list import Item, MessageList
from sockstore.ui.textual.provider import SourceComponent

__all__ = ["LiveList"]

SPACE = "  "


class LiveList(SourceComponent):
    """Show a row for each message of a feed, the newest last.

    Args:
        row: Returns what to show of a message's data: a text, one value for each column, or None
            to leave the message out. An exception is logged once, and leaves the message out.
        connection: Which one, or which subscription; None for that of the provider it stands in.
        columns: The names of the columns; none are shown without them.
        key: Returns what tells rows apart, so that a later message takes the place of an earlier
            one with the same key; None for a row for each message.
        name: The name of that provider.
        limit: Rows that are shown at most; the oldest go first.

    Raises:
        ProviderNotFound: When it is mounted, if it stands in no such provider.

    Example:
        ::

            with WebSocketProvider("wss://feed.example.com/trades"):
                yield LiveList(lambda trade: (trade["symbol"], trade["price"]))
    """

    DEFAULT_CSS = """
    LiveList { height: 1fr; }
    """

    def __init__(
        self,
        row: Callable[[Any], Cells],
        connection: Source | None = None,
        *,
        columns: Sequence[str] = (),
        key: Callable[[Any], Hashable] | None = None,
        name: str = "default",
        limit: int = 100,
    ) -> None:
        super().__init__(connection, name)
        self._rows = LiveRows(row, key=key, limit=limit)
        self._columns = tuple(columns)
        self._list = MessageList("Nothing yet")

    @property
    def rows(self) -> tuple[LiveRow, ...]:
        """The rows that are shown."""
        return self._rows.value

    def compose(self) -> ComposeResult:
        """Place the list."""
        yield self._list

    async def follow(self) -> None:
        """Follow the messages."""
        await self._rows.follow((await self.source()).messages, self._show)

    def _show(self, rows: Sequence[LiveRow]) -> int:
        return self._list.show(self._items(rows))

    def _items(self, rows: Sequence[LiveRow]) -> list[Item]:
        head = [self._columns] if self._columns and rows else []
        widths = _widths([*head, *(row.cells for row in rows)])
        names = [Item("columns", Content.styled(_line(cells, widths), "bold")) for cells in head]
        return names + [Item(("row", row.key), Content(_line(row.cells, widths))) for row in rows]


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column; the last one needs none."""
    columns = max((len(cells) for cells in table), default=0)
    return [
        max((Content(cells[place]).cell_length for cells in table if len(cells) > place), default=0)
        for place in range(columns)
    ]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell + " " * (width - Content(cell).cell_length)
        for cell, width in zip(cells, widths, strict=False)
    )
    return SPACE.join(padded).rstrip()
