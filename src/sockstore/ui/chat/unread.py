"""Count the messages that a reader has not seen, and place the "New" marker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import dropwhile

from sockstore.ui.chat.transcript import Line

__all__ = ["Unread"]


class Unread:
    """How many messages of others came while the reader was not looking at the end.

    Own messages, notices and older pages never count.

    Attributes:
        count: How many are unread.
        first: The key of the first of them, before which the "New" marker stands. The marker stays
            while the reader reads on, and goes with the next message that comes after that.

    Example:
        >>> unread = Unread()
        >>> seen = Line("1", "hello", "Ann")
        >>> unread.read([seen], at_end=True)
        >>> unread.read([seen, Line("2", "are you there?", "Ann")], at_end=False)
        >>> unread.count, unread.first
        (1, '2')
    """

    def __init__(self) -> None:
        self.count = 0
        self.first: str | None = None
        # The key of the last line the reader saw that keeps its place; `read` sets it.
        self._last_seen: str | None = None
        # Whether the reader was at the end at the last `read`.
        self._was_at_end = True
        # The line at which the reader left the end, from `leave` to the next `read`.
        self._left_at: str | None = None

    def leave(self, last: str) -> None:
        """Note that the reader has left the end after this line; later lines are unread.

        Args:
            last: The line's key.
        """
        self._left_at = last

    def read(self, lines: Sequence[Line], at_end: bool) -> None:  # noqa: FBT001 - the kits' event
        """Note what is shown now.

        Args:
            lines: All lines, oldest first.
            at_end: Whether the reader is looking at the end of them.
        """
        if self._left_at is not None and not at_end:
            self._last_seen = _last_fixed(_until(self._left_at, lines)) or self._last_seen
        self._left_at = None
        news = [line.key for line in self._behind_the_last_seen(lines) if _counts(line)]
        if not at_end:
            self.count = len(news)
            self.first = news[-1] if news else None
        else:
            self.count = 0
            if not self._was_at_end:
                self.first = news[-1] if news else None
            elif news:
                self.first = None
            self._last_seen = _last_fixed(reversed(lines)) or self._last_seen
        self._was_at_end = at_end

    def _behind_the_last_seen(self, lines: Sequence[Line]) -> Iterator[Line]:
        """Yield the lines after the last one seen, the newest first."""
        for line in reversed(lines):
            if line.key == self._last_seen:
                return
            yield line


def _until(key: str, lines: Sequence[Line]) -> Iterator[Line]:
    """Yield a line and those before it, the newest first; none if it is not there."""
    return dropwhile(lambda line: line.key != key, reversed(lines))


def _last_fixed(newest_first: Iterable[Line]) -> str | None:
    return next((line.key for line in newest_first if _is_fixed(line)), None)


def _counts(line: Line) -> bool:
    return line.kind == "message" and line.mark is None


def _is_fixed(line: Line) -> bool:
    """Whether a line keeps its place: an own message moves when it returns, a gap is filled."""
    return line.mark is None and line.kind != "gap"
