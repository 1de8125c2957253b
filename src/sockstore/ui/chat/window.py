"""Choose the part of a conversation that is shown."""

from __future__ import annotations

from collections.abc import Sequence

from sockstore.ui.chat.lines import Line

__all__ = ["Window"]

PAGE = 100
"""Lines that are added each time the reader wants older ones."""

MOST = 2000
"""Lines that are shown at most, however far the reader goes back."""


class Window:
    """The part of the lines that is shown: the newest, and the older ones that the reader wanted.

    While the reader is away from the end the oldest line that is shown stays, so that nothing
    moves; back at the end there are as many as before.

    Args:
        limit: Lines that are shown to a reader who is at the end.
        most: Lines that are shown at most.

    Attributes:
        start: How many older lines there are that are not shown.
        is_full: Whether no more of them can be shown.

    Example:
        >>> window = Window(2)
        >>> lines = [Line(text, text) for text in "abcd"]
        >>> [line.content for line in window.of(lines, at_end=True)]
        ['c', 'd']
        >>> window.extend()
        >>> [line.content for line in window.of(lines, at_end=False)]
        ['a', 'b', 'c', 'd']
    """

    def __init__(self, limit: int, most: int = MOST) -> None:
        self.start = 0
        self.is_full = False
        self._limit = limit
        self._most = max(limit, most)
        # Lines that are shown; it grows while the reader is away from the end.
        self._size = limit
        # Older lines that the reader still waits for; `extend` sets it.
        self._wanted = 0
        # The key of the oldest line shown, and whether the reader was at the end; `of` sets them.
        self._first: str | None = None
        self._was_at_end = True

    def extend(self) -> None:
        """Show a page of older lines, now or when they come."""
        self._wanted = PAGE

    def of(self, lines: Sequence[Line], *, at_end: bool) -> Sequence[Line]:
        """Return what is shown.

        Args:
            lines: All lines, oldest first.
            at_end: Whether the reader is at the end of them.
        """
        if at_end and not self._was_at_end:
            self._size, self._wanted = self._limit, 0
        self._was_at_end = at_end
        before = self._oldest(lines, at_end=at_end)
        self.start = max(0, before - self._wanted, len(lines) - self._most)
        self._wanted = max(0, self._wanted - max(0, before - self.start))
        self._size = max(self._size, min(len(lines) - self.start, self._most))
        self.is_full = 0 < self.start == len(lines) - self._most
        shown = lines[self.start :]
        self._first = shown[0].key if shown else None
        return shown

    def _oldest(self, lines: Sequence[Line], *, at_end: bool) -> int:
        """Return where the lines begin that are shown without any that are wanted."""
        newest = max(0, len(lines) - self._size)
        if at_end:
            return newest
        return next((index for index, line in enumerate(lines) if line.key == self._first), newest)
