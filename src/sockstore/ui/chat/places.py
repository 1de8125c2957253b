"""Give the lines of a chat their places, by the offsets of its messages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from sockstore.ui.chat.lines import Line

__all__ = ["MOST_KEPT", "Place", "Places"]

MOST_KEPT = 10_000
"""Lines that are kept for a reader who pages back; after that older ones are not added."""

Place: TypeAlias = tuple[int, int, int, float, int]
"""The sort key of a line: log, offset, 0, 0, 0 for a message with an offset; and log, newest offset
then, 1, number of the message, index for a line without one."""


class Places:
    """The places of lines in the room.

    A room may get a new log, whose offsets begin again, for example after the loss of the server's
    file. The first sign of it is a message at an offset that another message had.

    Attributes:
        top: The highest offset so far; 0 without any.
        base: The offset after which lines stand that came before any message with an offset.
        numbers: The numbers of the messages that raised `top`; empty until one had an offset.
    """

    def __init__(self) -> None:
        self.top = 0
        self.base = 0
        self.numbers: list[int] = []
        # The number of earlier logs, and the epoch; `_begin_log` and `see_epoch` set them.
        self._log = 0
        self._epoch = ""
        # The keys of the present log's lines, by offset.
        self._keys: dict[int, str] = {}
        # The log and the highest offset after the message of each of `numbers`; `by_offset` adds to
        # both.
        self._tops: list[tuple[int, int]] = []

    def by_number(self, number: float, index: int = 0) -> Place:
        """Return the place of a line without an offset, by the number of its message."""
        before = bisect_right(self.numbers, number)
        log, top = self._tops[before - 1] if before else (0, self.base)
        return log, top, 1, number, index

    def by_offset(self, key: str, offset: int, number: int, *, is_page: bool) -> Place:
        """Return the place of a message, and remember it.

        Args:
            key: The key of its line.
            offset: Its offset.
            number: The number of the message of the connection that brought it.
            is_page: Whether it came with a page that was asked for, and so is of the present log.
        """
        if not is_page and self._keys.get(offset, key) != key:
            self._begin_log()
        self._keys[offset] = key
        if offset > self.top:
            self.top = offset
            if self.numbers and self.numbers[-1] == number:
                self._tops[-1] = (self._log, offset)
            else:
                self.numbers.append(number)
                self._tops.append((self._log, offset))
                if len(self.numbers) > 2 * MOST_KEPT:
                    del self.numbers[:MOST_KEPT], self._tops[:MOST_KEPT]
        return self._log, offset, 0, 0, 0

    def forget(self, line: Line) -> None:
        """Forget a line that is not kept any more."""
        if line.offset is not None and self._keys.get(line.offset) == line.key:
            del self._keys[line.offset]

    def compare_history(self, lines: Sequence[Line], *, is_whole: bool) -> None:
        """Begin a new log if the history on entry is not of the present one.

        Args:
            lines: Its lines.
            is_whole: Whether the server says that it is the whole log.
        """
        keys = {line.offset: line.key for line in lines if line.offset is not None}
        if keys:
            is_another = max(keys) < self.top or any(
                self._keys.get(offset, key) != key for offset, key in keys.items()
            )
        else:
            is_another = bool(self.top) and not lines and is_whole
        if is_another:
            self._begin_log()

    def compare_page(self, lines: Iterable[Line]) -> None:
        """Begin a new log if a page shows other messages where known ones were.

        Args:
            lines: The lines of the page.
        """
        if any(self._keys.get(line.offset or 0, line.key) != line.key for line in lines):
            self._begin_log()

    def see_epoch(self, epoch: str) -> None:
        """Begin a new log if a message has another epoch."""
        if self._epoch and epoch != self._epoch:
            self._begin_log()
        self._epoch = epoch

    def _begin_log(self) -> None:
        self._log += 1
        self.top = 0
        self._keys.clear()
