"""Parse the commands of a session, which PROTOCOL.md lists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from sockstore.server.session.unreadable import read_outline, what_is_wrong

__all__ = [
    "Command",
    "Connect",
    "Disregarded",
    "History",
    "Invalid",
    "Line",
    "Parsed",
    "Ping",
    "Pong",
    "PresenceCommand",
    "PresenceStats",
    "Publish",
    "Refresh",
    "Send",
    "Since",
    "SubRefresh",
    "Subscribe",
    "Unsubscribe",
    "Violation",
    "parse",
]

HIGHEST_NUMBER = 2**53 - 1
"""The highest integer that every JSON parser reads exactly."""

DEEPEST_DATA = 100
"""Levels of nesting that every JSON parser reads, with those of the frame around them."""

STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
TO_BRACKETS = bytes.maketrans(b"{}", b"[]")
NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,64}")

Number: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=HIGHEST_NUMBER)]
Offset: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=HIGHEST_NUMBER)]
Token: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]


class Connect(msgspec.Struct, frozen=True):
    """The first command."""

    token: str | None = None


class Last(msgspec.Struct, frozen=True):
    """The `data` of a `Subscribe` that recovers: the id of the message at its offset."""

    last: str | None = None


class Subscribe(msgspec.Struct, frozen=True):
    """Subscribes to a room; `data` is any JSON, for P27 an object with `last`."""

    channel: str
    recover: bool = False
    epoch: str = ""
    offset: Offset = 0
    data: msgspec.Raw = msgspec.Raw()
    join_leave: bool = False

    @property
    def last(self) -> str | None:
        """The id of the message at `offset`; None if the client does not give it."""
        try:
            return msgspec.json.decode(self.data, type=Last).last
        except msgspec.DecodeError:
            return None


class Unsubscribe(msgspec.Struct, frozen=True):
    """Leaves a room."""

    channel: str


class Send(msgspec.Struct, frozen=True):
    """Stores a message once."""

    channel: str
    id: str
    data: msgspec.Raw


class Publish(msgspec.Struct, frozen=True):
    """Stores a message."""

    channel: str
    data: msgspec.Raw


class Since(msgspec.Struct, frozen=True):
    """A place in a log."""

    offset: Offset = 0
    epoch: str = ""


class History(msgspec.Struct, frozen=True):
    """Asks for messages of a room."""

    channel: str
    since: Since | None = None
    limit: Annotated[int, msgspec.Meta(ge=-1, le=HIGHEST_NUMBER)] = 0
    reverse: bool = False


class PresenceCommand(msgspec.Struct, frozen=True):
    """Asks who is in a room."""

    channel: str


class PresenceStats(msgspec.Struct, frozen=True):
    """Asks how many are in a room."""

    channel: str


class Refresh(msgspec.Struct, frozen=True):
    """Shows another token of the connection."""

    token: Token


class SubRefresh(msgspec.Struct, frozen=True):
    """Shows another token of a subscription."""

    channel: str
    token: Token


class Ping(msgspec.Struct, frozen=True):
    """Asks for a reply, to see whether the connection works."""


class Disregarded(msgspec.Struct, frozen=True):
    """A message to the server itself, which ignores it."""


class _Rpc(msgspec.Struct, frozen=True):
    data: msgspec.Raw = msgspec.Raw()
    method: str = ""


Command: TypeAlias = (
    Connect
    | Subscribe
    | Unsubscribe
    | Send
    | Publish
    | History
    | PresenceCommand
    | PresenceStats
    | Refresh
    | SubRefresh
    | Ping
    | Disregarded
)

COMMANDS: dict[str, type[Any]] = {
    "connect": Connect,
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "rpc": _Rpc,
    "publish": Publish,
    "history": History,
    "presence": PresenceCommand,
    "presence_stats": PresenceStats,
    "refresh": Refresh,
    "sub_refresh": SubRefresh,
    "ping": Ping,
}


@dataclass(frozen=True, slots=True)
class Line:
    """A command and its number, which its reply repeats."""

    number: int
    command: Command


@dataclass(frozen=True, slots=True)
class Invalid:
    """A command that cannot be done, and the error of its reply."""

    number: int
    name: str
    code: Literal[104, 107]
    message: str


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Input that ends the connection, because the state of the client is unknown after it."""

    reason: str


Parsed: TypeAlias = Line | Invalid | Pong | Violation

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_number = msgspec.json.Decoder(Number)
_decoders = {name: msgspec.json.Decoder(kind) for name, kind in COMMANDS.items()}
_send = msgspec.json.Decoder(Send)


def parse(message: str | bytes) -> Iterator[Parsed]:
    """Parse one message of the WebSocket, command by command.

    A message may have thousands of commands, so the caller can stop before the end.

    Args:
        message: The text, or the bytes of a binary message.

    Yields:
        One value for each command, at least one in all; a `Violation` is the last one.
    """
    if isinstance(message, bytes):
        yield Violation("a binary message")
        return
    is_empty = True
    for line in message.split("\n"):
        if not line or line.isspace():
            continue
        is_empty = False
        parsed = _parse_line(line)
        yield parsed
        if isinstance(parsed, Violation):
            return
    if is_empty:
        yield Violation("an empty message")


def _parse_line(line: str) -> Parsed:
    try:
        # `data` is passed on as it is, so all of it must be valid JSON.
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        return _parse_unreadable(line, error)
    if not isinstance(value, dict):
        return Violation("a message that is not an object")
    if not value:
        return Pong()
    return _parse_command(_fields.decode(line))


def _parse_unreadable(line: str, error: Exception) -> Parsed:
    """Refuse a command that is JSON, but that clients of the room may not be able to read."""
    try:
        outline = read_outline(line)
    except (ValueError, RecursionError):
        return Violation("a message that is not valid JSON")
    if not isinstance(outline, dict):
        return Violation("a message that is not an object")
    if _is_disregarded(outline):
        return Line(0, Disregarded())
    number = outline.get("id")
    named = _name_command(outline, number if type(number) is int else 0)
    if not isinstance(named, str):
        return named
    message = f"The command {named} cannot be understood: {what_is_wrong(error)}."
    return Invalid(outline["id"], named, 107, message)


def _parse_command(fields: dict[str, msgspec.Raw]) -> Parsed:
    if _is_disregarded(fields):
        return Line(0, Disregarded())
    try:
        number = _number.decode(fields["id"])
    except (KeyError, msgspec.ValidationError):
        number = 0
    named = _name_command(fields, number)
    if not isinstance(named, str):
        return named
    return _parse_fields(number, named, fields[named])


def _is_disregarded(fields: Mapping[str, object]) -> bool:
    return "send" in fields and not fields.keys() & COMMANDS.keys()


def _name_command(fields: Mapping[str, object], number: int) -> str | Invalid | Violation:
    """Return the name of the command, or what is wrong with the object.

    Args:
        fields: The fields of the object.
        number: Its `id`; 0 if that is missing or invalid.
    """
    names = [name for name in fields if name in COMMANDS]
    if not 1 <= number <= HIGHEST_NUMBER:
        return Violation("a command without an id of 1 or more")
    if len(names) > 1 or fields.keys() == {"id"}:
        return Violation("an object that is not a command")
    if not names:
        return Invalid(number, "", 104, "There is no such command.")
    return names[0]


def _parse_fields(number: int, name: str, raw: msgspec.Raw) -> Parsed:
    try:
        command = _decoders[name].decode(raw)
        if isinstance(command, _Rpc):
            if command.method != "send":
                return Invalid(number, name, 104, "There is no such method; send is one.")
            command = _send.decode(bytes(command.data) or b"null")
        _check(command)
    except msgspec.ValidationError as error:
        return Invalid(number, name, 107, f"The command {name} cannot be understood: {error}.")
    return Line(number, command)


def _check(command: Command) -> None:
    """Check what the types cannot check.

    Raises:
        ValidationError: If the command is invalid.
    """
    if isinstance(command, Send) and not MESSAGE_ID.fullmatch(command.id):
        raise msgspec.ValidationError("`id` must have 1 to 64 visible ASCII characters")
    if isinstance(command, Send | Publish) and _is_deep(bytes(command.data)):
        raise msgspec.ValidationError(
            f"`data` is nested too deeply (more than {DEEPEST_DATA} levels)"
        )


def _is_deep(text: bytes) -> bool:
    """Whether a JSON text is nested too deeply; it counts brackets and decodes nothing."""
    if text.count(b"[") + text.count(b"{") <= DEEPEST_DATA:
        return False
    brackets = STRING.sub(b"", text).translate(TO_BRACKETS, NOT_BRACKETS)
    for _ in range(DEEPEST_DATA):
        brackets = brackets.replace(b"[]", b"")  # the innermost level
        if not brackets:
            return False
    return True
