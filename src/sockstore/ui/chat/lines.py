"""Read one message of a connection as the lines of a chat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from sockstore.base.records import Message, Publication
from sockstore.ui.text import as_name, as_text

__all__ = [
    "HistoryFrame",
    "Kind",
    "Line",
    "Mark",
    "Page",
    "ParsedLine",
    "history_of",
    "parse_lines",
]

Kind: TypeAlias = Literal["message", "notice", "error", "gap"]
Mark: TypeAlias = Literal["queued", "sent", "acknowledged", "failed"]
"""The delivery mark of an own message."""

MOST_IN_A_FRAME = 1000
"""Newest messages of one history frame that are read; more would push each other out again."""

HIGHEST_OFFSET = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chat.

    Args:
        key: Tells lines apart; the same line keeps its key.
        content: The text, which is never markup.
        sender: The name of the sender; None for text that came without.
        time: When, in ISO 8601 with its offset, to be shown in the reader's own time; or None.
        kind: A message, a notice about the room, an error that the server reports, or a gap: a
            place where messages are missing.
        mark: The delivery mark of an own message; None for the messages of others.
        offset: Its place in the room, or None. The offset of a gap is that of the line after it.
    """

    key: str
    content: str
    sender: str | None = None
    time: str | None = None
    kind: Kind = "message"
    mark: Mark | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class ParsedLine:
    """A line, and the facts by which a post of the user is recognised in it.

    Args:
        line: The line.
        post: The text and the time, as they were sent; None if a user cannot have sent it.
        id: The id of a message of a room; None without one.
    """

    line: Line
    post: tuple[str, str] | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Older messages of a room that were asked for; they do not stand in its log.

    Args:
        messages: Oldest first.
        before: The offset that was asked for; None for the newest messages.
    """

    messages: tuple[Message, ...]
    before: int | None

    @property
    def more(self) -> bool:
        """Whether there may be older ones: a page that is empty is the last one."""
        return bool(self.messages)

    @property
    def offsets(self) -> list[int]:
        """The offsets of the messages that have one."""
        known = (message.publication for message in self.messages)
        return [each.offset for each in known if each is not None and each.offset is not None]


@dataclass(frozen=True, slots=True)
class HistoryFrame:
    """A frame of a server with earlier messages.

    Args:
        messages: Oldest first.
        before: The offset that was asked for; None for the history on entry.
        more: Whether the server keeps older ones; None if it does not say, and cannot be asked.
    """

    messages: tuple[dict[str, Any], ...]
    before: int | None
    more: bool | None

    @property
    def offsets(self) -> list[int]:
        """The offsets of the messages that have one."""
        chat = (each for each in self.messages if each.get("type") == "message")
        offsets = (_integer(each.get("offset")) for each in chat)
        return [offset for offset in offsets if offset is not None]


def history_of(message: Message) -> HistoryFrame | None:
    """Return the history in a message; None if it is not a history frame."""
    data = message.data
    if message.publication is not None or not isinstance(data, dict):
        return None
    if data.get("type") != "history" or not isinstance(data.get("messages"), list):
        return None
    messages = (each for each in data["messages"][-MOST_IN_A_FRAME:] if isinstance(each, dict))
    more = data.get("more")
    return HistoryFrame(
        tuple(messages), _integer(data.get("before")), more if isinstance(more, bool) else None
    )


def parse_lines(message: Message, history: HistoryFrame | None) -> list[ParsedLine]:
    """Return the lines of a chat that a message holds.

    Args:
        message: The message.
        history: The result of `history_of` for it.

    Example:
        >>> message = Message({"sender": "Ann", "content": "hello"}, "json", 1, 0.0)
        >>> [(each.line.sender, each.line.content) for each in parse_lines(message, None)]
        [('Ann', 'hello')]
    """
    data = message.data
    number = str(message.number)
    if message.publication is not None:
        return [_parse_published(data, message.publication, number)]
    if not isinstance(data, dict):
        return [ParsedLine(Line(f"number {number}", as_text(data)))]
    if history is not None:
        return [_parse_line(past, f"{number}.{n}") for n, past in enumerate(history.messages)]
    return [] if data.get("type") == "presence" else [_parse_line(data, number)]


def _parse_published(data: Any, publication: Publication, place: str) -> ParsedLine:
    """Return the line of a message of a room.

    Only content and timestamp are taken from `data`: a sender must not speak for others.
    """
    is_chat = isinstance(data, dict) and "content" in data
    said = {"content": data["content"], "timestamp": data.get("timestamp")} if is_chat else None
    shown = {**(said or {"content": data}), "sender": publication.sender}
    parsed = _parse_line(shown, place)
    offset = publication.offset
    if offset is None:
        return replace(parsed, id=publication.id)
    # An id alone would let a message be hidden by another one that copies it.
    key = f"offset {publication.epoch}.{offset} {publication.id}"
    return replace(parsed, line=replace(parsed.line, key=key, offset=offset), id=publication.id)


def _parse_line(data: dict[str, Any], place: str) -> ParsedLine:
    key = f"id {data['id']}" if isinstance(data.get("id"), str) else f"number {place}"
    timestamp = data.get("timestamp")
    time = _time(timestamp)
    match data:
        case {"type": "join", "sender": sender}:
            return ParsedLine(Line(key, f"{as_name(sender)} joined", time=time, kind="notice"))
        case {"type": "leave", "sender": sender}:
            return ParsedLine(Line(key, f"{as_name(sender)} left", time=time, kind="notice"))
        case {"type": "error", "message": str(text)}:
            return ParsedLine(Line(key, as_text(text), time=time, kind="error"))
        case {"content": content}:
            offset = _integer(data.get("offset")) if data.get("type") == "message" else None
            line = Line(key, as_text(content), as_name(data.get("sender")), time, offset=offset)
            if isinstance(content, str) and isinstance(timestamp, str):
                return ParsedLine(line, (content, timestamp))
            return ParsedLine(line)
        case _:
            return ParsedLine(Line(key, as_text(data), time=time))


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 1 <= value <= HIGHEST_OFFSET else None


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
