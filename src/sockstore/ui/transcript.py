"""From the messages of a connection to the lines that a chat shows: pure, for every interface."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from sockstore.streams import Message
from sockstore.ui.posts import Mark, Post

__all__ = ["ANONYMOUS", "Line", "Transcript", "as_text", "members", "transcript"]

ANONYMOUS = "Anonymous"


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
        lines: Oldest first; own messages that have not come back yet are the last ones.
        returned: The posts that came back from the server.
    """

    lines: tuple[Line, ...]
    returned: tuple[Post, ...] = field(default=())


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
    lines: dict[str, Line] = {}
    waiting: defaultdict[tuple[str, str], deque[Post]] = defaultdict(deque)
    for post in posts:
        waiting[post.content, post.timestamp].append(post)
    returned: list[Post] = []
    for line, data in _lines(messages):
        if line.key in lines:
            continue
        sent = waiting.get((line.content, str(data.get("timestamp")))) if line.sender else None
        if sent:
            returned.append(sent.popleft())
        lines[line.key] = replace(line, mark="acknowledged") if sent is not None else line
    pending = (
        Line(f"post {id(post)}", post.content, "You", post.timestamp, mark=post.mark)
        for post in _in_order(waiting.values())
        if not post.returned
    )
    return Transcript((*lines.values(), *pending), tuple(returned))


def members(messages: Iterable[Message]) -> tuple[str, ...]:
    """Return who is in the room, as the server's presence, join and leave frames tell it.

    Args:
        messages: What was received.

    Returns:
        The names, sorted.
    """
    present: list[str] = []
    for message in messages:
        match message.data:
            case {"type": "presence", "members": list() as names}:
                present = [_name(name) for name in names]
            case {"type": "join", "sender": sender}:
                present.append(_name(sender))
            case {"type": "leave", "sender": sender} if _name(sender) in present:
                present.remove(_name(sender))
    return tuple(sorted(present))


def as_text(data: object) -> str:
    """Return JSON as indented text, and text as it is."""
    if isinstance(data, bytes):
        return f"{len(data)} bytes"
    if isinstance(data, str):
        return data
    return json.dumps(data, indent=2, ensure_ascii=False)


def _lines(messages: Iterable[Message]) -> Iterator[tuple[Line, dict[str, Any]]]:
    for message in messages:
        data = message.data
        if not isinstance(data, dict):
            yield Line(f"number {message.number}", as_text(data)), {}
        elif data.get("type") == "history" and isinstance(data.get("messages"), list):
            for index, past in enumerate(data["messages"]):
                if isinstance(past, dict):
                    yield _line(past, f"{message.number}.{index}"), past
        elif data.get("type") != "presence":
            yield _line(data, str(message.number)), data


def _line(data: dict[str, Any], number: str) -> Line:
    key = f"id {data['id']}" if isinstance(data.get("id"), str) else f"number {number}"
    time = _time(data.get("timestamp"))
    match data:
        case {"type": "join", "sender": sender}:
            return Line(key, f"{_name(sender)} joined", time=time, kind="notice")
        case {"type": "leave", "sender": sender}:
            return Line(key, f"{_name(sender)} left", time=time, kind="notice")
        case {"type": "error", "message": str(text)}:
            return Line(key, text, time=time, kind="error")
        case {"content": content}:
            return Line(key, as_text(content), _name(data.get("sender")), time)
        case _:
            return Line(key, as_text(data), time=time)


def _name(sender: object) -> str:
    return sender if isinstance(sender, str) and sender else ANONYMOUS


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


def _in_order(waiting: Iterable[deque[Post]]) -> list[Post]:
    return sorted((post for posts in waiting for post in posts), key=lambda post: post.timestamp)
