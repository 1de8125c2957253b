"""A live list of what a feed sends, as an element."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from nicegui.element import Element

from sockstore.scope.subscription_provider import Source
from sockstore.ui.live_list import Cells, LiveRow, LiveRows
from sockstore.ui.nicegui.message_list import MessageList
from sockstore.ui.nicegui.provider import SourceComponent

__all__ = ["LiveList"]


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
        ProviderNotFound: If it stands in no such provider.

    Example:
        ::

            with WebSocketProvider("wss://feed.example.com/trades"):
                LiveList(lambda trade: (trade["symbol"], trade["price"]))
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
        self._elements: dict[Hashable, _Cells] = {}
        self.classes("sockstore-chat")
        with self:
            self._list = MessageList().classes("sockstore-live")
        self._list.tell(label="Live list", note="Nothing yet", columns=list(columns))

    async def on_mount(self) -> None:
        """Follow the messages."""
        await self._rows.follow((await self.source()).messages, self._show)

    def _show(self, rows: Sequence[LiveRow]) -> int:
        """Show the rows; how many characters that took."""
        gone = self._elements.keys() - {row.key for row in rows}
        self._list.forget([self._elements.pop(key) for key in gone])
        self._list.tell(note="" if rows else "Nothing yet")
        with self._list:
            return sum(self._show_row(row) for row in rows)

    def _show_row(self, row: LiveRow) -> int:
        element = self._elements.get(row.key)
        if element is None:
            element = self._elements[row.key] = _Cells()
        return element.show(row.cells)


class _Cells(Element, component="cells.js"):
    """One row; its texts are shown as they are, never as markup."""

    def show(self, cells: Sequence[str]) -> int:
        """Show them; how many characters that took."""
        if self.props.get("cells") == list(cells):
            return 0
        self.props["cells"] = list(cells)
        return sum(map(len, cells))
