"""Read and write the frames of a session, and compare an answer with what was seen.

The frames are a part of Centrifugo's protocol, in section 6 of PROTOCOL.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, cast

from sockstore.base.codecs import decode_json, encode_json
from sockstore.base.frozen import frozen
from sockstore.base.positions import Gap, GapReason, Position

__all__ = [
    "PONG",
    "RECONNECTED",
    "Announced",
    "ErrorReply",
    "FrameError",
    "Joined",
    "Ping",
    "Published",
    "Reply",
    "Said",
    "Subscribed",
    "Unsubscribed",
    "announced_by",
    "connect_command",
    "joined_at",
    "publish_command",
    "read",
    "send_command",
    "subscribe_command",
    "subscribed_by",
]

PONG = "{}"


class FrameError(Exception):
    """The server sent something that is not part of PROTOCOL.md; the text names it."""


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
    offset: int | None
    id: str | None
    sender: str | None
    epoch: str = ""


@frozen
class ErrorReply:
    """Why a command did not work."""

    code: int
    message: str
    temporary: bool = False


@frozen
class Reply:
    """The answer to a command."""

    id: int
    result: Mapping[str, Any]
    error: ErrorReply | None = None


@frozen
class Unsubscribed:
    """The server has ended a subscription; from 2500 on it may be asked for again."""

    channel: str
    code: int
    reason: str


@frozen
class Ping:
    """The server asks for a sign of life."""


Said: TypeAlias = Published | Reply | Unsubscribed | Ping


@frozen
class Announced:
    """The server's facts about itself in its reply to ``connect``; None for those it leaves out.

    Args:
        stores_once: Whether it knows the method ``send`` (P29).
        rate: Commands a second that it takes in the long run.
        burst: Commands that it takes at once.
        max_message_bytes: The largest WebSocket message it takes.
        remembers: Seconds for which it knows the id of a message again.
    """

    stores_once: bool = False
    rate: float | None = None
    burst: int | None = None
    max_message_bytes: int | None = None
    remembers: float | None = None


@frozen
class Subscribed:
    """The answer to a subscription.

    Args:
        epoch: The room's log.
        offset: The offset that was asked from if all is recovered, otherwise the newest.
        is_recoverable: Whether the room keeps a history.
        recovered: Whether everything since the asked position comes: `publications`, then pushes.
        publications: The missed messages, by rising offset.
        last: The id of the message at `offset`, if the server says it.
        reason: Why it could not recover, if the server says it.
    """

    epoch: str
    offset: int
    is_recoverable: bool
    recovered: bool
    publications: tuple[Published, ...]
    last: str | None = None
    reason: str | None = None


def read(frame: str | bytes) -> Iterator[Said]:
    """Yield what one WebSocket message says; unknown pushes are ignored.

    Raises:
        FrameError: If it is not one of the protocol's.
    """
    if isinstance(frame, bytes):
        raise FrameError("a binary message")
    for line in frame.split("\n"):
        if line and not line.isspace():
            said = _read_line(line)
            if said is not None:
                yield said


def _read_line(line: str) -> Said | None:
    try:
        body = decode_json(line)
    except (ValueError, RecursionError):
        body = _decode_around_payloads(line)
    if not isinstance(body, dict):
        raise FrameError(f"no object: {line[:80]!r}")
    if not body:
        return Ping()
    push = body.get("push")
    try:
        return _push(push) if push is not None else _reply(body)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise FrameError(f"an object that cannot be understood: {line[:80]!r}") from None


def _decode_around_payloads(line: str) -> Any:
    from sockstore.machine.session_payloads import decode_frame  # noqa: PLC0415 - hardly ever needed

    try:
        return decode_frame(line)
    except (ValueError, LookupError, TypeError, RecursionError):
        raise FrameError(f"no JSON: {line[:80]!r}") from None


def _push(push: Mapping[str, Any]) -> Said | None:
    channel = push.get("channel", "")
    if (publication := push.get("pub")) is not None:
        return _published(channel, publication)
    if (ended := push.get("unsubscribe")) is not None:
        return Unsubscribed(channel, int(ended.get("code", 0)), str(ended.get("reason", "")))
    return None


def _published(channel: str, publication: Mapping[str, Any]) -> Published:
    # Most of it is left out by most servers; this is done for each message.
    tags, info, epoch = publication.get("tags"), publication.get("info"), publication.get("epoch")
    return Published(
        channel,
        publication["data"],
        _offset(publication.get("offset")) or None,
        _text(tags.get("id")) if tags else None,
        _text(info.get("user")) if info else None,
        (_text(epoch) if epoch else None) or "",
    )


def _reply(body: Mapping[str, Any]) -> Reply | None:
    number = body.get("id", 0)
    if type(number) is not int:
        raise TypeError
    if not number:
        return None
    if (error := body.get("error")) is not None:
        code, message = int(error["code"]), str(error.get("message", ""))
        return Reply(number, {}, ErrorReply(code, message, _is_temporary(error)))
    results = [value for key, value in body.items() if key != "id"]
    result = results[0] if results else {}
    if not isinstance(result, dict):
        raise TypeError
    return Reply(number, result)


def _is_temporary(error: Mapping[str, Any]) -> bool:
    return bool(error.get("temporary")) or error["code"] in {100, 111}


def announced_by(result: Mapping[str, Any]) -> Announced:
    """Return what the reply to ``connect`` says of the server (P30).

    Raises:
        FrameError: If it cannot be understood.
    """
    if _text(result.get("client")) is None:
        raise FrameError("a reply to connect that names no client, as an echo does")
    data = result.get("data")
    limits = data.get("sockstore") if isinstance(data, dict) else None
    if not isinstance(limits, dict):
        return Announced()
    numbers = {
        name: _positive(limits.get(name))
        for name in ("rate", "burst", "max_message_bytes", "remembers")
    }
    if None in numbers.values():
        raise FrameError("a reply to connect without the server's limits")
    return Announced(stores_once=True, **cast("dict[str, Any]", numbers))


def subscribed_by(channel: str, result: Mapping[str, Any]) -> Subscribed:
    """Return what the reply to ``subscribe`` says.

    Raises:
        FrameError: If it cannot be understood.
    """
    data = result.get("data")
    details: Mapping[str, Any] = data if isinstance(data, dict) else {}
    try:
        return Subscribed(
            str(result.get("epoch", "")),
            _offset(result.get("offset", 0)),
            bool(result.get("recoverable") or result.get("recovered")),
            bool(result.get("recovered")),
            tuple(_published(channel, each) for each in result.get("publications") or ()),
            _text(details.get("last")),
            _text(details.get("reason")),
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        raise FrameError("a reply to subscribe that cannot be understood") from None


def connect_command(number: int, token: str | None) -> str:
    """Write the first command."""
    fields = {"name": "sockstore"} if token is None else {"name": "sockstore", "token": token}
    return encode_json({"id": number, "connect": fields})


def subscribe_command(number: int, channel: str, position: Position | None) -> str:
    """Write the command that asks for a room, from a position on if there is one."""
    fields: dict[str, Any] = {"channel": channel}
    if position is not None:
        fields |= {"recover": True, "epoch": position.epoch, "offset": position.offset}
        if position.id is not None:
            fields["data"] = {"last": position.id}
    return encode_json({"id": number, "subscribe": fields})


def send_command(number: int, channel: str, message_id: str, data: str) -> str:
    """Write the command that stores a message once; `data` is JSON text."""
    return (
        f'{{"id":{number},"rpc":{{"method":"send","data":{{"channel":{encode_json(channel)},'
        f'"id":{encode_json(message_id)},"data":{data}}}}}}}'
    )


def publish_command(number: int, channel: str, data: str) -> str:
    """Write the command that any Centrifugo server knows; `data` is JSON text."""
    return f'{{"id":{number},"publish":{{"channel":{encode_json(channel)},"data":{data}}}}}'


def _offset(value: Any) -> int:
    if value is None:
        return 0
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _positive(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and value > 0 else None


RECONNECTED = Gap(None, None, "reconnected")
"""The gap after a reconnection where messages have no numbers."""


@frozen
class Joined:
    """Where a reader of a room is once its subscription was answered.

    Args:
        start: Its position before `publications`; None in a room that keeps no history.
        publications: The messages it missed, in order, without those it has seen already.
        gap: The messages missing before `publications`, if any are.
    """

    start: Position | None
    publications: tuple[Published, ...]
    gap: Gap | None = None


def joined_at(seen: Position | None, answer: Subscribed) -> Joined:
    """Compare what a reader has seen with what the server answers.

    The answer's `offset` is not where the reader is: if all is recovered it repeats the offset
    that was asked from, and the publications carry the rest; otherwise it is the newest.

    Args:
        seen: The last position of the reader; None if it has no position.
        answer: The answer.
    """
    if seen is None:
        return Joined(_before(answer, answer.publications), answer.publications)
    is_same_log = not seen.epoch or seen.epoch == answer.epoch
    publications = answer.publications
    if is_same_log:
        publications = tuple(each for each in publications if not _was_seen(each, seen))
    if answer.recovered and is_same_log and _follows(seen, answer, publications):
        last = answer.last if seen.id is None and not publications else seen.id
        return Joined(Position(seen.offset, answer.epoch, last), publications)
    start = _before(answer, publications)
    until = answer.offset if start is None else start.offset
    gap = Gap(seen.offset, until, _reason(seen, answer, is_same_log=is_same_log))
    return Joined(start, publications, gap)


def _follows(seen: Position, answer: Subscribed, publications: tuple[Published, ...]) -> bool:
    """Whether nothing is missing; the server's claim alone is not enough."""
    first = _first_offset(publications)
    if first is None:
        return answer.is_recoverable and answer.offset <= seen.offset
    return answer.is_recoverable and first == seen.offset + 1


def _before(answer: Subscribed, publications: tuple[Published, ...]) -> Position | None:
    if not answer.is_recoverable:
        return None
    first = _first_offset(publications)
    if first is None:
        return Position(answer.offset, answer.epoch, answer.last)
    return Position(max(0, first - 1), answer.epoch)


def _first_offset(publications: tuple[Published, ...]) -> int | None:
    return next((each.offset for each in publications if each.offset is not None), None)


def _was_seen(publication: Published, seen: Position) -> bool:
    return publication.offset is not None and publication.offset <= seen.offset


def _reason(seen: Position, answer: Subscribed, *, is_same_log: bool) -> GapReason:
    if answer.reason == "trimmed":
        return "trimmed"
    if not is_same_log:
        return "epoch"
    if answer.reason == "forked" or answer.offset < seen.offset:
        return "forked"
    return "unavailable"
