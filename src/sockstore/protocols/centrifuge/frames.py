"""Read the frames of a server: replies, pushes and pings.

Everything is checked here, so what other modules are given has the types that it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from sockstore.base.codecs import decode_json
from sockstore.base.frozen import frozen
from sockstore.protocols.centrifuge.errors import ErrorReply
from sockstore.protocols.outputs import Member

__all__ = [
    "FrameError",
    "JoinedOrLeft",
    "NotUnderstood",
    "Other",
    "Ping",
    "Published",
    "Reply",
    "Said",
    "Unsubscribed",
    "lines_of",
    "member_of",
    "number_in",
    "offset_in",
    "published_by",
    "quoted",
    "read",
    "text_in",
]

MOST_QUOTED = 80
"""Characters of a frame that cannot be understood, in the sentence about it."""


class FrameError(Exception):
    """The server said something that is not part of the protocol; the text says what."""


class NotUnderstood(FrameError):
    """A line is not one of the protocol's; the text is all of it, which may repeat a token."""


@frozen
class Published:
    """A message of a room.

    Args:
        channel: The room.
        data: The payload; `Unreadable` if that cannot be decoded.
        offset: Its place; None where no history is kept.
        id: Its id; None if the server does not say.
        sender: The name of the sender, or None.
        epoch: The room's log, which only its very first message tells; else empty.
    """

    channel: str
    data: Any
    offset: int | None = None
    id: str | None = None
    sender: str | None = None
    epoch: str = ""


@frozen
class JoinedOrLeft:
    """A connection has come into a room, or has left it."""

    channel: str
    member: Member
    has_joined: bool


@frozen
class Unsubscribed:
    """The server has ended a subscription; from 2500 on it may be asked for again."""

    channel: str
    code: int
    reason: str


@frozen
class Reply:
    """The answer to a command."""

    id: int
    result: Mapping[str, Any]
    error: ErrorReply | None = None


@frozen
class Ping:
    """The server asks for a sign of life."""


@frozen
class Other:
    """An object that this client does not know: another push, or no part of the protocol.

    Args:
        is_push: Whether it is a push.
        text: All of it, which may repeat a token.
    """

    is_push: bool
    text: str


Said: TypeAlias = Published | JoinedOrLeft | Unsubscribed | Reply | Ping | Other


def lines_of(frame: str | bytes) -> Iterator[str]:
    """Return the lines of one message of the WebSocket; each is an object of its own.

    Raises:
        FrameError: If it is not one of the protocol's.
    """
    if isinstance(frame, bytes):
        raise FrameError("a binary message")
    return (line for line in frame.split("\n") if line and not line.isspace())


def read(line: str) -> Said:
    """Return what one line says.

    Raises:
        NotUnderstood: If it is not one of the protocol's.
    """
    try:
        body = decode_json(line)
    except (ValueError, RecursionError):
        body = _decode_around_payloads(line)
    if not isinstance(body, dict):
        raise NotUnderstood(line)
    if not body:
        return Ping()
    try:
        if (push := body.get("push")) is not None:
            return _push(push) or Other(is_push=True, text=line)
        return _reply(body) or Other(is_push=False, text=line)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError):
        raise NotUnderstood(line) from None


def _decode_around_payloads(line: str) -> Any:
    from sockstore.protocols.centrifuge.payloads import decode_frame  # noqa: PLC0415 - hardly ever needed

    try:
        return decode_frame(line)
    except (ValueError, LookupError, TypeError, RecursionError):
        raise NotUnderstood(line) from None


def quoted(line: str) -> str:
    """Return how a line begins, for a sentence about it."""
    return repr(line[:MOST_QUOTED]) + ("" if len(line) <= MOST_QUOTED else "…")


def _push(push: Mapping[str, Any]) -> Said | None:
    channel = push.get("channel", "")
    if not isinstance(channel, str):
        raise TypeError
    if (publication := push.get("pub")) is not None:
        return published_by(channel, publication)
    for name in ("join", "leave"):
        if (news := push.get(name)) is not None:
            return JoinedOrLeft(channel, member_of(news["info"]), name == "join")
    if (ended := push.get("unsubscribe")) is not None:
        return Unsubscribed(channel, int(ended.get("code", 0)), str(ended.get("reason", "")))
    return None


def published_by(channel: str, publication: Mapping[str, Any]) -> Published:
    """Return a publication of a push, or of a reply.

    Raises:
        KeyError: If it has no payload.
        TypeError, AttributeError, ValueError: If a field has another type.
    """
    # Most of it is left out by most servers; this is done for each message.
    tags, info, epoch = publication.get("tags"), publication.get("info"), publication.get("epoch")
    return Published(
        channel,
        publication["data"],
        offset_in(publication, "offset") or None,
        text_in(tags, "id") if tags else None,
        text_in(info, "user") if info else None,
        (text_in(publication, "epoch") if epoch else None) or "",
    )


def member_of(info: Mapping[str, Any]) -> Member:
    """Return who a client is.

    Raises:
        TypeError: If it has no name.
    """
    client = info["client"]
    if not isinstance(client, str):
        raise TypeError
    return Member(client, text_in(info, "user"))


def _reply(body: Mapping[str, Any]) -> Reply | None:
    number = body.get("id", 0)
    if type(number) is not int:
        raise TypeError
    if number <= 0:
        return None
    if (error := body.get("error")) is not None:
        said = ErrorReply(
            int(error["code"]), str(error.get("message", "")), bool(error.get("temporary"))
        )
        return Reply(number, {}, said)
    results = [value for key, value in body.items() if key != "id"]
    result = results[0] if results else {}
    if not isinstance(result, dict):
        raise TypeError
    return Reply(number, result)


def offset_in(fields: Mapping[str, Any], name: str) -> int:
    """Return an offset; 0 if it is left out.

    Raises:
        ValueError: If it is not a whole number of at least 0.
    """
    value = fields.get(name)
    if value is None:
        return 0
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def text_in(fields: Mapping[str, Any], name: str) -> str | None:
    """Return a text; None if it is left out, empty, or none."""
    value = fields.get(name)
    return value if isinstance(value, str) and value else None


def number_in(fields: Mapping[str, Any], name: str) -> float | None:
    """Return a positive number; None if it is left out, or none."""
    value = fields.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return value if value > 0 else None
