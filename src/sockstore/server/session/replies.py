"""Build the replies and pushes of a session, which PROTOCOL.md lists.

The data of a message is JSON text already, and is copied as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from sockstore.server.history.base import StoredMessage
from sockstore.server.rooms.presence import Member

__all__ = [
    "PING",
    "ErrorReply",
    "encode_error",
    "encode_join",
    "encode_leave",
    "encode_publication",
    "encode_reply",
    "encode_unsubscribe",
    "to_client",
    "to_publications",
]

PING = "{}"

_encoder = msgspec.json.Encoder()


class ErrorReply(Exception):
    """A command cannot be done.

    Args:
        code: The error, for programs: one of PROTOCOL.md's codes.
        message: The error and its remedy, for people.
        is_temporary: Whether the client should try again.
    """

    def __init__(self, code: int, message: str, *, is_temporary: bool = False) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.is_temporary = is_temporary


class _Info(msgspec.Struct, frozen=True):
    user: str
    client: str


class _Tags(msgspec.Struct, frozen=True):
    id: str


class _Publication(msgspec.Struct, frozen=True):
    offset: int
    data: msgspec.Raw
    info: _Info
    tags: _Tags


class _Error(msgspec.Struct, frozen=True, omit_defaults=True):
    code: int
    message: str
    temporary: bool = False


def encode_reply(number: int, name: str, result: Mapping[str, Any]) -> str:
    """Build the reply to a command.

    Args:
        number: The command's number.
        name: The command's name.
        result: The value of the field with that name.
    """
    return _encode({"id": number, name: result})


def encode_error(number: int, error: ErrorReply) -> str:
    """Build the reply to a command that was not done."""
    fields = _Error(error.code, error.message, error.is_temporary)
    return _encode({"id": number, "error": fields})


def encode_publication(channel: str, message: StoredMessage) -> str:
    """Build the push of a message."""
    return _push(channel, "pub", _to_publication(message))


def encode_join(channel: str, member: Member) -> str:
    """Build the push that says who came."""
    return _push(channel, "join", {"info": to_client(member)})


def encode_leave(channel: str, member: Member) -> str:
    """Build the push that says who left."""
    return _push(channel, "leave", {"info": to_client(member)})


def encode_unsubscribe(channel: str, code: int, reason: str) -> str:
    """Build the push that ends a subscription."""
    return _push(channel, "unsubscribe", {"code": code, "reason": reason})


def to_publications(messages: Iterable[StoredMessage]) -> Sequence[object]:
    """Return messages in the form of replies."""
    return [_to_publication(message) for message in messages]


def to_client(member: Member) -> object:
    """Return a member in the form of replies and pushes."""
    return _Info(user=member.name or "", client=member.client)


def _to_publication(message: StoredMessage) -> _Publication:
    return _Publication(
        message.offset,
        msgspec.Raw(message.data.encode()),
        _Info(user=message.sender or "", client=""),
        _Tags(message.id),
    )


def _push(channel: str, name: str, content: object) -> str:
    return _encode({"push": {"channel": channel, name: content}})


def _encode(frame: Mapping[str, Any]) -> str:
    return _encoder.encode(frame).decode()
