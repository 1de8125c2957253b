"""Make the rows of a live list from the messages of a feed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sockstore.base.checks import require_callable
from sockstore.base.records import Message
from sockstore.messages.log import MessageLog
from sockstore.ui.pacing import Bookmark, Update, in_slices
from sockstore.ui.text import shorten

__all__ = ["Cells", "LiveRow", "LiveRows"]

CELL_SHOWN = 1_000
"""Characters of one cell that are shown."""

Cells: TypeAlias = "str | Sequence[object] | None"
"""The contents of a row: a text, or one value for each column; None leaves the message out."""

_log = logging.getLogger("sockstore.ui")


@dataclass(frozen=True, slots=True)
class LiveRow:
    """One row.

    Args:
        key: Tells rows apart; the same row keeps its key.
        cells: The contents of its columns.
    """

    key: Hashable
    cells: tuple[str, ...]


class LiveRows:
    """The rows of a live list, which grow as messages are read.

    Args:
        row: Returns what to show of a message's data; an exception is logged once, and leaves the
            message out.
        key: Returns what tells rows apart, so that a later message takes the place of an earlier
            one; None for a row for each message.
        limit: Rows that are kept; the oldest go first.

    Example:
        >>> rows = LiveRows(lambda trade: (trade["symbol"], trade["price"]))
        >>> rows.read([Message({"symbol": "BTC", "price": 42}, "json", 1, 0.0)])
        >>> rows.value
        (LiveRow(key=1, cells=('BTC', '42')),)
    """

    def __init__(
        self,
        row: Callable[[Any], Cells],
        *,
        key: Callable[[Any], Hashable] | None = None,
        limit: int = 100,
    ) -> None:
        require_callable("row", row)
        require_callable("key", key)
        self._row = row
        self._key = key
        self._limit = limit
        # The rows by key, in the order in which their keys came; `_take_in` adds and removes.
        self._rows: dict[Hashable, LiveRow] = {}
        self._bookmark = Bookmark()
        # Whether the warning was logged; `_complain` sets it.
        self._has_complained = False

    @property
    def value(self) -> tuple[LiveRow, ...]:
        """The rows: in the order in which their messages came, or their keys were first seen."""
        return tuple(self._rows.values())

    def read(self, messages: Iterable[Message]) -> None:
        """Read the messages that were not read before.

        Args:
            messages: The log, or its newest part.
        """
        for message in messages:
            if self._bookmark.advance(message):
                self._take_in(message)

    async def follow(
        self, messages: MessageLog, show: Callable[[tuple[LiveRow, ...]], int]
    ) -> None:
        """Read and show the messages as they come, until cancelled, with pauses between updates.

        Args:
            messages: The connection's log.
            show: Called with the rows; returns how many characters of them were new.
        """
        async for view in messages:
            update = Update()
            async for some in in_slices(self._bookmark.unread(view)):
                self.read(some)
            await update.pause(show(self.value))

    def _take_in(self, message: Message) -> None:
        try:
            cells = self._row(message.data)
            key = message.number if self._key is None or cells is None else self._key(message.data)
        except Exception as error:  # noqa: BLE001 - one odd message must not end the list
            self._complain(error)
            return
        if cells is not None:
            self._rows[key] = LiveRow(key, _texts(cells))
            if len(self._rows) > self._limit:
                del self._rows[next(iter(self._rows))]

    def _complain(self, error: Exception) -> None:
        if not self._has_complained:
            self._has_complained = True
            _log.warning(
                "A live list leaves out messages that it cannot show (%s: %s); "
                "let `row` return None for those it is not made for",
                type(error).__name__,
                error,
            )


def _texts(cells: str | Sequence[object]) -> tuple[str, ...]:
    whole = (cells,) if isinstance(cells, str) else cells
    return tuple(shorten(str(cell), CELL_SHOWN) for cell in whole)
