"""Put the lines of a chat in order: received messages, and the user's own (posts)."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from operator import attrgetter
from time import time
from typing import Final, TypeAlias

from sockstore.base.characters import harmless
from sockstore.base.records import Message
from sockstore.ui.chat.comings import NAMES_KEPT, Coming, Comings
from sockstore.ui.chat.lines import Line, Page, ParsedLine, history_of, parse_lines
from sockstore.ui.chat.own_messages import Post
from sockstore.ui.chat.places import MOST_KEPT, Place, Places
from sockstore.ui.pacing import Bookmark
from sockstore.ui.text import as_name

__all__ = ["Conversation", "Line", "Owns", "Transcript"]

KEPT = 1000
"""Lines that are kept, as many as messages by default; a history repeats some, and each page makes
room for as many more, up to `MOST_KEPT`."""

Owns: TypeAlias = "Callable[[str | None, str, str], bool]"
"""Whether the user has sent a message with this id, this text and this time."""


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


@dataclass(slots=True, eq=False)
class _Entry:
    line: Line
    place: Place
    post: tuple[str, str] | None = None
    id: str | None = None
    is_own: bool = False


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
        # The same entries by the key of their line, and in order: `_add` adds to both, `_forget`
        # and `_take_back` remove from both.
        self._entries: dict[str, _Entry] = {}
        self._order: list[_Entry] = []
        # Whether `_order` is sorted; `_add` clears it, `_tidy_up` sets it.
        self._is_sorted = True
        # Lines that are kept; each page of older messages raises it.
        self._kept = KEPT
        self.bookmark: Final = Bookmark()
        self._places = Places()
        self._comings = Comings()
        # The keys of the lines that say that somebody left, by name; `_tell` changes it.
        self._departures: dict[str, str] = {}
        # Numbers the lines about comings that no message brought.
        self._notices = count(1)
        # Recognises the user's messages by their ids; `recognise_by` sets it.
        self._owns: Owns | None = None

    def recognise_by(self, owns: Owns | None) -> None:
        """Recognise messages that the user sent before, or from elsewhere, by their ids.

        Args:
            owns: Says so; None where messages have no ids.
        """
        self._owns = owns
        for entry in self._order:
            entry.is_own = self._is_own(entry.id, entry.post)

    def read(self, messages: Iterable[Message]) -> None:
        """Read the messages that were not read before.

        Args:
            messages: The log, or its newest part.
        """
        for message in messages:
            if self.bookmark.advance(message):
                self._take_in(message)
        self._tidy_up()

    def read_page(self, page: Page) -> None:
        """Read a page of older messages, which do not stand in the log.

        Args:
            page: Read the log first: the page is of the present log of the room.
        """
        parsed = [each for message in page.messages for each in parse_lines(message, None)]
        for message in page.messages:
            if message.publication is not None:
                self._places.see_epoch(message.publication.epoch)
        self._places.compare_page(each.line for each in parsed)
        for index, each in enumerate(parsed):
            self._add(each, self.bookmark.last_read, index, is_page=True)
        self._make_room()
        self._tidy_up()

    def see_members(self, names: Iterable[str | None]) -> None:
        """Tell who came and who left, in a room whose messages do not say it.

        Args:
            names: Those who are in the room, once for each time; None for one without a name.
        """
        now = time()
        for coming in self._comings.change_to(map(as_name, names), now):
            moment = datetime.fromtimestamp(now, UTC).isoformat()
            number = next(self._notices)
            place = self._places.by_number(self.bookmark.last_read + 0.25, number)
            self._tell(coming, Line(f"member {number}", _said_of(coming), time=moment), place)
        self._tidy_up()

    def merge(self, posts: Sequence[Post] = ()) -> Transcript:
        """Return all lines, with the user's posts and their delivery marks."""
        order, own = self._order, dict[int, Post]()
        if posts:
            own = _recognise(order, posts)
            if pending := self._pending(posts, own):
                order = sorted((*order, *pending), key=_BY_PLACE)
        return Transcript(_lines(order, own), tuple(own.values()), len(self._order) >= MOST_KEPT)

    def _take_in(self, message: Message) -> None:
        if message.publication is not None:
            self._places.see_epoch(message.publication.epoch)
        elif self._is_about_members(message):
            return
        history = history_of(message)
        parsed = parse_lines(message, history)
        is_page = history is not None and history.before is not None
        if history is not None and not is_page:
            lines = [each.line for each in parsed]
            self._places.compare_history(lines, is_whole=history.more is False)
        for index, each in enumerate(parsed):
            self._add(each, message.number, index, is_page=is_page)
        if is_page:
            self._make_room()

    def _is_about_members(self, message: Message) -> bool:
        """Tell who came or left, if the message says so; return whether it does."""
        now = message.received_at
        match message.data:
            case {"type": "presence", "members": list() as names}:
                for back in self._comings.list_all(map(as_name, names[:NAMES_KEPT]), now):
                    self._take_back(back.name)
                return True
            case {"type": "join", "sender": sender}:
                coming = self._comings.join(as_name(sender), now)
            case {"type": "leave", "sender": sender}:
                coming = self._comings.leave(as_name(sender), now)
            case _:
                return False
        if coming is not None:
            [parsed] = parse_lines(message, None)
            self._tell(coming, parsed.line, self._places.by_number(message.number))
        return True

    def _tell(self, coming: Coming, line: Line, place: Place) -> None:
        """Say that somebody came or left; who is back at once has not left."""
        if coming.is_back:
            self._take_back(coming.name)
            return
        self._put(_Entry(replace(line, kind="notice"), place))
        if coming.has_joined:
            self._departures.pop(coming.name, None)
        else:
            self._departures[coming.name] = line.key

    def _take_back(self, name: str) -> None:
        """Remove the line that says that somebody left."""
        entry = self._entries.pop(self._departures.pop(name, ""), None)
        if entry is not None:
            self._order.remove(entry)

    def _add(self, parsed: ParsedLine, number: int, index: int, *, is_page: bool) -> None:
        line = parsed.line
        if line.key not in self._entries:
            place = self._place(line, number, index, is_page=is_page)
            is_own = self._is_own(parsed.id, parsed.post)
            self._put(_Entry(line, place, parsed.post, parsed.id, is_own))

    def _put(self, entry: _Entry) -> None:
        self._entries[entry.line.key] = entry
        if self._order and entry.place < self._order[-1].place:
            self._is_sorted = False
        self._order.append(entry)

    def _is_own(self, id: str | None, post: tuple[str, str] | None) -> bool:  # noqa: A002 - its name
        return self._owns is not None and post is not None and self._owns(id, *post)

    def _make_room(self) -> None:
        """Keep what a page brought, and as many more as before."""
        self._kept = min(MOST_KEPT, max(self._kept, len(self._order) + KEPT))

    def _tidy_up(self) -> None:
        if not self._is_sorted:
            self._order.sort(key=_BY_PLACE)
            self._is_sorted = True
        if len(self._order) > self._kept:
            self._forget(len(self._order) - self._kept)

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
        mine = (
            entry.line.sender for entry in reversed(self._order) if entry.is_own or id(entry) in own
        )
        me = next(mine, None) or "You"
        return [
            _Entry(
                # Not shortened: it may be the only copy.
                Line(_key(post), harmless(post.content), me, post.timestamp, mark=post.mark),
                self._places.by_number(post.after + 0.5),
            )
            for post in waiting
        ]


def _recognise(entries: Iterable[_Entry], posts: Iterable[Post]) -> dict[int, Post]:
    """Recognise the posts of this page in messages; return the post of each, by the entry's `id`.

    A message with an id is known by it, and by nothing else; without one, by its text and time.
    """
    waiting: defaultdict[tuple[str, str], deque[Post]] = defaultdict(deque)
    by_id: dict[str, Post] = {}
    for post in posts:
        waiting[post.content, post.timestamp].append(post)
        if post.receipt.id is not None:
            by_id[post.receipt.id] = post
    found: dict[int, Post] = {}
    for entry in entries:
        if entry.id is not None:
            sent = by_id.get(entry.id)
            if sent is not None and sent.receipt.offset in {None, entry.line.offset}:
                found[id(entry)] = by_id.pop(entry.id)
        elif entry.post is not None and (same := waiting.get(entry.post)):
            found[id(entry)] = same.popleft()
    return found


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
        elif entry.is_own:
            line = replace(line, mark="acknowledged")
        lines.append(line)
    return tuple(lines)


def _gap(log: int, last: int, offset: int) -> Line:
    missing = offset - last - 1
    text = "1 message is missing here" if missing == 1 else f"{missing:,} messages are missing here"
    return Line(f"gap {log}.{last}", text, kind="gap", offset=offset)


def _key(post: Post) -> str:
    return f"post {id(post)}"


def _said_of(coming: Coming) -> str:
    return f"{coming.name} {'joined' if coming.has_joined else 'left'}"
