"""From the messages of a connection to the lines that a chat shows: pure, for every interface."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal, TypeAlias

from sockstore.positions import Publication
from sockstore.streams import Message
from sockstore.ui.posts import Mark, Post
from sockstore.ui.text import ANONYMOUS, as_name, as_text, clean

__all__ = [
    "ANONYMOUS",
    "Conversation",
    "Line",
    "Transcript",
    "as_text",
    "transcript",
]

KEPT = 1000
"""Lines that are remembered, as many as messages are by default; a history repeats some."""

Waiting: TypeAlias = dict[tuple[str, str], deque[Post]]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chat.

    Args:
        key: Tells lines apart; the same line keeps its key.
        content: The text, which is never markup.
        sender: Who sent it; None for text that came without.
        time: When, in ISO 8601 with its offset, to be shown in the reader's own time; or None.
        kind: A message, a notice about the room, or an error that the server reports.
        mark: What became of an own message; None for the messages of others.
    """

    key: str
    content: str
    sender: str | None = None
    time: str | None = None
    kind: Literal["message", "notice", "error"] = "message"
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a chat shows.

    Args:
        lines: Oldest first; an own message that has not come back stands where it was sent.
        returned: The posts that came back from the server.
    """

    lines: tuple[Line, ...]
    returned: tuple[Post, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line, the number of the message that brought it, and what it would answer."""

    line: Line
    number: int
    post: tuple[str, str] | None


class Conversation:
    """The lines of a chat, read on as messages come; one that came twice is one line.

    A message is read once, however long the log is, so that a flood costs what is new in it.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._read = 0

    def read(self, messages: Iterable[Message]) -> None:
        """Read on.

        Args:
            messages: The log, or its newest part; what was read already is passed over.
        """
        for message in messages:
            if message.number > self._read:
                self._read = message.number
                for entry in _entries(message):
                    self._entries.setdefault(entry.line.key, entry)
        for key in list(islice(self._entries, max(0, len(self._entries) - KEPT))):
            del self._entries[key]

    def merge(self, posts: Iterable[Post] = ()) -> Transcript:
        """Return all lines, with what became of what the user sent."""
        return _merge(self._entries.values(), list(posts))


def transcript(messages: Iterable[Message], posts: Iterable[Post] = ()) -> Transcript:
    """Make the lines of a chat; a message that came twice, live and as history, is one line.

    Args:
        messages: What was received: frames of ``sockstore serve``, messages of the guide, text.
        posts: What the user sent.

    Returns:
        The lines.

    Source:
        The guide's ``ChatMessages`` component.

    Example:
        >>> message = Message({"sender": "Ann", "content": "hello"}, "json", 1, 0.0)
        >>> [line] = transcript([message]).lines
        >>> line.sender, line.content
        ('Ann', 'hello')
    """
    conversation = Conversation()
    conversation.read(messages)
    return conversation.merge(posts)


def _merge(entries: Iterable[_Entry], posts: list[Post]) -> Transcript:
    """Recognise own messages by text and time; those not back stand where they were sent."""
    waiting: Waiting = defaultdict(deque)
    for post in posts:
        waiting[post.content, post.timestamp].append(post)
    returned: list[Post] = []
    came: list[tuple[float, Line]] = []
    for entry in entries:
        sent = waiting.get(entry.post) if waiting and entry.post is not None else None
        if sent:
            returned.append(sent.popleft())
            # The line that stood for the post becomes this one, instead of being another.
            line = replace(entry.line, key=_key(returned[-1]), mark="acknowledged")
        else:
            line = entry.line
        came.append((entry.number, line))
    back = set(map(id, returned))
    me = next((line.sender for _, line in reversed(came) if line.mark), "You")
    pending = [
        (
            post.after + 0.5,
            # Whole, however long: nobody else may have it.
            Line(_key(post), clean(post.content), me, post.timestamp, mark=post.mark),
        )
        for post in posts
        if not post.returned and id(post) not in back
    ]
    # Both are in order already; sorting is stable and keeps it.
    lines = sorted((*came, *pending), key=lambda placed: placed[0]) if pending else came
    return Transcript(tuple(line for _, line in lines), tuple(returned))


def _key(post: Post) -> str:
    return f"post {id(post)}"


def _entries(message: Message) -> Iterator[_Entry]:
    data = message.data
    if message.publication is not None:
        told = _told(data, message.publication)
        yield _entry(told, str(message.number), message.number)
    elif not isinstance(data, dict):
        yield _Entry(Line(f"number {message.number}", as_text(data)), message.number, None)
    elif data.get("type") == "history" and isinstance(data.get("messages"), list):
        # More would push each other out again.
        for index, past in enumerate(data["messages"][-KEPT:]):
            if isinstance(past, dict):
                yield _entry(past, f"{message.number}.{index}", message.number)
    elif data.get("type") != "presence":
        yield _entry(data, str(message.number), message.number)


def _told(data: Any, publication: Publication) -> dict[str, Any]:
    """Return a message of a room as the chat server's frames have it.

    Only what was said is taken from `data`: it is the sender's, who must not speak for others.
    """
    is_chat = isinstance(data, dict) and "content" in data
    told = {"content": data["content"], "timestamp": data.get("timestamp")} if is_chat else None
    name = {} if publication.id is None else {"id": publication.id}
    return {**(told or {"content": data}), "sender": publication.sender, **name}


def _entry(data: dict[str, Any], place: str, number: int) -> _Entry:
    line = _line(data, place)
    content, timestamp = data.get("content"), data.get("timestamp")
    if line.sender and isinstance(content, str) and isinstance(timestamp, str):
        return _Entry(line, number, (content, timestamp))
    return _Entry(line, number, None)


def _line(data: dict[str, Any], place: str) -> Line:
    key = f"id {data['id']}" if isinstance(data.get("id"), str) else f"number {place}"
    time = _time(data.get("timestamp"))
    match data:
        case {"type": "join", "sender": sender}:
            return Line(key, f"{as_name(sender)} joined", time=time, kind="notice")
        case {"type": "leave", "sender": sender}:
            return Line(key, f"{as_name(sender)} left", time=time, kind="notice")
        case {"type": "error", "message": str(text)}:
            return Line(key, as_text(text), time=time, kind="error")
        case {"content": content}:
            return Line(key, as_text(content), as_name(data.get("sender")), time)
        case _:
            return Line(key, as_text(data), time=time)


def _time(timestamp: object) -> str | None:
    """Read what JavaScript's ``new Date(timestamp)`` would: ISO 8601 or milliseconds."""
    try:
        if isinstance(timestamp, str):
            moment = datetime.fromisoformat(timestamp)
        elif isinstance(timestamp, int | float):
            moment = datetime.fromtimestamp(timestamp / 1000, UTC)
        else:
            return None
        return moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
