"""Compute what the reader of a chat sees, as messages come and the reader scrolls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile

from sockstore.scope.subscription_provider import Source
from sockstore.stores import Readable
from sockstore.ui.chat.author import Author
from sockstore.ui.chat.backlog import Backlog
from sockstore.ui.chat.lines import Line
from sockstore.ui.chat.reading import ChatReading
from sockstore.ui.chat.rows import Row, rows
from sockstore.ui.pacing import Update, watching

__all__ = ["ChatReader", "ChatView", "Unread", "Window"]

PAGE = 100
"""Lines that are added each time the reader wants older ones."""

MOST = 2000
"""Lines that are shown at most, however far the reader goes back."""


@dataclass(frozen=True, slots=True)
class ChatView:
    """The part of a chat that its reader sees.

    Args:
        rows: The rows, the newest last.
        unread: How many messages of others the reader has not seen.
        has_older: Whether older rows can be shown.
        is_full: Whether there are older ones, but no more can be shown.
        is_loading: Whether older ones are being loaded.
        has_own_news: Whether the user has sent a message since the last view: scroll to it.
    """

    rows: tuple[Row, ...]
    unread: int = 0
    has_older: bool = False
    is_full: bool = False
    is_loading: bool = False
    has_own_news: bool = False


class ChatReader:
    """Follows the messages of a chat for one reader, who scrolls.

    Args:
        limit: Lines that are shown to a reader who is at the end; the oldest go first.
    """

    def __init__(self, limit: int) -> None:
        self._window = Window(limit)
        self._unread = Unread()
        # The connection's; None before `follow`.
        self._backlog: Backlog | None = None
        # Whether the reader looks at the end; `read_on` sets it.
        self._at_end = True
        # Set when the view may have changed; `follow` clears it and shows the view again.
        self._changed = asyncio.Event()

    def read_on(self, *, at_end: bool, last: str | None = None) -> None:
        """Note whether the reader looks at the end, or has scrolled away from it.

        Args:
            at_end: Whether the reader looks at the end.
            last: The key of the last line they saw there, if that was some time ago.
        """
        if last is not None and not at_end:
            self._unread.leave(last)
        if at_end is not self._at_end:
            self._at_end = at_end
            self._changed.set()

    def show_older(self) -> None:
        """Show older lines: those that were received, or else a page from the server."""
        if self._backlog is None:
            return
        if not self._window.start:
            self._backlog.load_older()
        self._window.extend()
        self._changed.set()

    def fill(self, row: Row) -> None:
        """Ask for the messages that are missing at a gap."""
        if self._backlog is not None and row.line.offset is not None:
            self._backlog.load_before(row.line.offset)

    async def follow(
        self, source: Source, author: Readable[Author], show: Callable[[ChatView], int]
    ) -> None:
        """Show the view, and again after each change, with pauses between, until cancelled.

        Args:
            source: The room of the chat.
            author: Who the user is.
            show: Called with what the reader sees; returns how many characters of it were new.
        """
        reading = ChatReading(source, author)
        backlog = self._backlog = reading.backlog
        leave = backlog.follow()
        try:
            with watching(reading.stores, self._changed):
                while await self._changed.wait():
                    self._changed.clear()
                    update = Update()
                    transcript = await reading.catch_up()
                    view = self._see([*transcript.lines, *reading.problem()], backlog)
                    characters = show(replace(view, has_own_news=reading.has_own_news))
                    backlog.shown(transcript)
                    await update.pause(characters)
        finally:
            leave()

    def _see(self, lines: Sequence[Line], backlog: Backlog) -> ChatView:
        self._unread.read(lines, self._at_end)
        shown = self._window.of(lines, at_end=self._at_end)
        is_full = self._window.is_full
        return ChatView(
            rows(shown, self._unread.first, can_be_filled=True),
            unread=self._unread.count,
            has_older=(bool(self._window.start) or backlog.has_older.value) and not is_full,
            is_full=is_full,
            is_loading=backlog.is_loading.value,
        )


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
        self.count: int = 0
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
            seen_up_to = dropwhile(lambda line: line.key != self._left_at, reversed(lines))
            self._last_seen = _last_fixed(seen_up_to) or self._last_seen
        self._left_at = None
        news, first = 0, None
        for line in reversed(lines):
            if line.key == self._last_seen:
                break
            if line.kind == "message" and line.mark is None:
                news, first = news + 1, line.key
        if not at_end:
            self.count, self.first = news, first
        else:
            self.count = 0
            if not self._was_at_end:
                self.first = first
            elif news:
                self.first = None
            self._last_seen = _last_fixed(reversed(lines)) or self._last_seen
        self._was_at_end = at_end


def _last_fixed(newest_first: Iterable[Line]) -> str | None:
    """Return the key of the last line that keeps its place.

    An own message moves when it returns, and a gap is filled.
    """
    for line in newest_first:
        if line.mark is None and line.kind != "gap":
            return line.key
    return None


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
        self.start: int = 0
        self.is_full: bool = False
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
        # Where the lines begin that are shown without any that are wanted.
        before = max(0, len(lines) - self._size)
        if not at_end:
            places = (place for place, line in enumerate(lines) if line.key == self._first)
            before = next(places, before)
        self.start = max(0, before - self._wanted, len(lines) - self._most)
        self._wanted = max(0, self._wanted - max(0, before - self.start))
        self._size = max(self._size, min(len(lines) - self.start, self._most))
        self.is_full = 0 < self.start == len(lines) - self._most
        shown = lines[self.start :]
        self._first = shown[0].key if shown else None
        return shown
