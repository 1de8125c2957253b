"""A live list of what a feed sends, as an element."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from sockstore.scope.subscription_provider import Source
from sockstore.ui.browser.dom import make
from sockstore.ui.browser.message_list import MessageList
from sockstore.ui.browser.provider import SourceComponent
from sockstore.ui.live_list import Cells, LiveRow, LiveRows

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
        super().__init__(connection, name, classes="sockstore-chat")
        self._rows = LiveRows(row, key=key, limit=limit)
        self._shown: dict[Hashable, _CellRow] = {}
        with self:
            self._list = MessageList("Live list", "Nothing yet", columns)
        self._list.node.classList.add("sockstore-live")

    async def on_mount(self) -> None:
        """Follow the messages."""
        self._list.follow(self.scope)
        await self._rows.follow((await self.source()).messages, self._show)

    def _show(self, rows: Sequence[LiveRow]) -> int:
        """Show the rows; how many characters that took."""
        before = self._shown
        self._shown = {row.key: before.get(row.key) or _CellRow() for row in rows}
        characters = sum(self._shown[row.key].show(row.cells) for row in rows)
        self._list.show(list(self._shown.values()))
        return characters


class _CellRow:
    """One row; its texts are shown as they are, never as markup."""

    def __init__(self) -> None:
        self.node = make("div", "sockstore-cells")
        self._cells: tuple[str, ...] = ()

    def show(self, cells: tuple[str, ...]) -> int:
        """Show them; how many characters that took."""
        if cells == self._cells:
            return 0
        self._cells = cells
        self.node.replaceChildren(*(make("span", text=cell, dir="auto") for cell in cells))
        return sum(map(len, cells))
