"""Build the replies and pushes of a session, which PROTOCOL.md lists.

The data of a message is JSON text already, and is copied as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sockstore.server.history.base import StoredMessage
from sockstore.server.rooms.presence import Member

__all__ = [
    "NOT_NOW",
    "PING",
    "ErrorReply",
    "encode_error",
    "encode_push",
    "encode_reply",
    "to_client",
    "to_publication",
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


NOT_NOW = ErrorReply(100, "The server cannot do it now; try later.", is_temporary=True)


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


def encode_reply(number: int, name: str, result: Mapping[str, Any] | msgspec.Struct) -> str:
    """Build the reply to a command.

    Args:
        number: The command's number.
        name: The command's name.
        result: The value of the field with that name.
    """
    return _encoder.encode({"id": number, name: result}).decode()


def encode_error(number: int, error: ErrorReply) -> str:
    """Build the reply to a command that was not done."""
    return encode_reply(number, "error", _Error(error.code, error.message, error.is_temporary))


def encode_push(channel: str, name: str, content: object) -> str:
    """Build a push.

    Args:
        channel: The channel of the room.
        name: What has happened: ``pub``, ``join``, ``leave`` or ``unsubscribe``.
        content: The value of the field with that name.
    """
    return _encoder.encode({"push": {"channel": channel, name: content}}).decode()


def to_client(member: Member) -> msgspec.Struct:
    """Return a member in the form of replies and pushes."""
    return _Info(user=member.name or "", client=member.client)


def to_publication(message: StoredMessage) -> msgspec.Struct:
    """Return a message in the form of replies and pushes."""
    data = msgspec.Raw(message.data.encode())
    info = _Info(user=message.sender or "", client="")
    return _Publication(message.offset, data, info, _Tags(message.id))
