"""Put the lines of a chat in order: received messages, and the user's own (posts)."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Final, TypeAlias

from sockstore.base.characters import harmless
from sockstore.messages.message import Message
from sockstore.ui.chat.lines import Line, history_of, parse_lines
from sockstore.ui.chat.own_messages import Post
from sockstore.ui.pacing import Bookmark

__all__ = ["Conversation", "Line", "Transcript"]

KEPT = 1000
"""Lines that are kept, as many as messages by default; a history repeats some."""

MOST_KEPT = 10_000
"""Lines that are kept for a reader who pages back: each page makes room for `KEPT` more, up to this
number; after that older ones are not added."""

Place: TypeAlias = tuple[int, int, int, float, int]
"""The sort key of a line: log, offset, 0, 0, 0 for a message with an offset; and log, newest offset
then, 1, number of the message, index for a line without one."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """The lines that a chat shows.

    Args:
        lines: Oldest first; an own message that has not come back stands where it was sent.
        returned: The posts that came back from the server.
        is_full: Whether so many lines are kept that no older ones are taken in.
    """

    lines: tuple[Line, ...]
    returned: tuple[Post, ...] = field(default=())
    is_full: bool = False


@dataclass(slots=True)
class _Entry:
    line: Line
    place: Place
    post: tuple[str, str] | None = None


_BY_PLACE = attrgetter("place")


class Conversation:
    """The lines of a chat, which grow as messages are read; one that came twice is one line.

    A message of a room stands at its offset, whether it came live, with the history on entry or
    with a page of older ones. A line without an offset stands after the message that was the newest
    when it came. Each message is read once, so a flood costs only its new messages.

    Attributes:
        bookmark: How far the log was read.

    Source:
        The guide's ``ChatMessages`` component.

    Example:
        >>> conversation = Conversation()
        >>> conversation.read([Message({"sender": "Ann", "content": "hello"}, "json", 1, 0.0)])
        >>> [(line.sender, line.content) for line in conversation.merge().lines]
        [('Ann', 'hello')]
    """

    def __init__(self) -> None:
        # The same entries by the key of their line, and in order: `_take_in` adds to both, and
        # `_forget` removes from both.
        self._entries: dict[str, _Entry] = {}
        self._order: list[_Entry] = []
        # Whether `_order` is sorted; `_take_in` clears it, `read` sets it.
        self._is_sorted = True
        # Lines that are kept; each page of older messages raises it.
        self._kept = KEPT
        self.bookmark: Final = Bookmark()
        self._places = _Places()

    def read(self, messages: Iterable[Message]) -> None:
        """Read the messages that were not read before.

        Args:
            messages: The log, or its newest part.
        """
        for message in messages:
            if self.bookmark.advance(message):
                self._take_in(message)
        if not self._is_sorted:
            self._order.sort(key=_BY_PLACE)
            self._is_sorted = True
        if len(self._order) > self._kept:
            self._forget(len(self._order) - self._kept)

    def merge(self, posts: Sequence[Post] = ()) -> Transcript:
        """Return all lines, with the user's posts and their delivery marks."""
        order, own = self._order, dict[int, Post]()
        if posts:
            own = _recognise(order, posts)
            if pending := self._pending(posts, own):
                order = sorted((*order, *pending), key=_BY_PLACE)
        return Transcript(_lines(order, own), tuple(own.values()), len(self._order) >= MOST_KEPT)

    def _take_in(self, message: Message) -> None:
        history = history_of(message)
        parsed = parse_lines(message, history)
        is_page = history is not None and history.before is not None
        if history is not None and not is_page:
            lines = [each.line for each in parsed]
            self._places.compare_history(lines, is_whole=history.more is False)
        if message.publication is not None:
            self._places.see_epoch(message.publication.epoch)
        for index, each in enumerate(parsed):
            if each.line.key not in self._entries:
                place = self._place(each.line, message.number, index, is_page=is_page)
                entry = self._entries[each.line.key] = _Entry(each.line, place, each.post)
                if self._order and place < self._order[-1].place:
                    self._is_sorted = False
                self._order.append(entry)
        if is_page:
            self._kept = min(MOST_KEPT, max(self._kept, len(self._order) + KEPT))

    def _place(self, line: Line, number: int, index: int, *, is_page: bool) -> Place:
        if line.offset is None:
            return self._places.by_number(number, index)
        if not self._places.numbers:
            # Lines that came before any offset stand right above the first message with one.
            self._places.base = line.offset - 1
            for entry in self._order:
                entry.place = (0, line.offset - 1, *entry.place[2:])
        return self._places.by_offset(line.key, line.offset, number, is_page=is_page)

    def _forget(self, count: int) -> None:
        """Forget the oldest lines."""
        for entry in self._order[:count]:
            del self._entries[entry.line.key]
            self._places.forget(entry.line)
        del self._order[:count]

    def _pending(self, posts: Iterable[Post], own: Mapping[int, Post]) -> list[_Entry]:
        """Return the lines of the posts that have not come back, each where it was sent."""
        back = set(map(id, own.values()))
        waiting = [post for post in posts if not post.returned and id(post) not in back]
        if not waiting:
            return []
        mine = (entry.line.sender for entry in reversed(self._order) if id(entry) in own)
        me = next(mine, None) or "You"
        return [
            _Entry(
                # Not shortened: it may be the only copy.
                Line(_key(post), harmless(post.content), me, post.timestamp, mark=post.mark),
                self._places.by_number(post.after + 0.5),
            )
            for post in waiting
        ]


class _Places:
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

    def see_epoch(self, epoch: str) -> None:
        """Begin a new log if a message of a session has another epoch."""
        if self._epoch and epoch != self._epoch:
            self._begin_log()
        self._epoch = epoch

    def _begin_log(self) -> None:
        self._log += 1
        self.top = 0
        self._keys.clear()


def _recognise(entries: Iterable[_Entry], posts: Iterable[Post]) -> dict[int, Post]:
    """Recognise own messages by text and time; return the post of each, by the entry's `id`."""
    waiting: defaultdict[tuple[str, str], deque[Post]] = defaultdict(deque)
    for post in posts:
        waiting[post.content, post.timestamp].append(post)
    return {
        id(entry): sent.popleft()
        for entry in entries
        if entry.post is not None and (sent := waiting.get(entry.post))
    }


def _lines(order: Iterable[_Entry], own: Mapping[int, Post]) -> tuple[Line, ...]:
    """Return the lines, and the gaps between them."""
    lines: list[Line] = []
    log, last = -1, 0
    for entry in order:
        line = entry.line
        if line.offset is not None:
            if entry.place[0] == log and line.offset > last + 1:
                lines.append(_gap(log, last, line.offset))
            log, last = entry.place[0], line.offset
        if (post := own.get(id(entry))) is not None:
            # It keeps the key of the post's line, so that the row on screen stays the same.
            line = replace(line, key=_key(post), mark="acknowledged")
        lines.append(line)
    return tuple(lines)


def _gap(log: int, last: int, offset: int) -> Line:
    missing = offset - last - 1
    text = "1 message is missing here" if missing == 1 else f"{missing:,} messages are missing here"
    return Line(f"gap {log}.{last}", text, kind="gap", offset=offset)


def _key(post: Post) -> str:
    return f"post {id(post)}"
