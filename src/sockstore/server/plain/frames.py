"""Parse and build the plain JSON frames of section 3 of PROTOCOL.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from sockstore.server.history.base import StoredMessage

__all__ = [
    "ChatMessage",
    "Draft",
    "ErrorCode",
    "FrameError",
    "HistoryRequest",
    "encode_error",
    "encode_history",
    "encode_join",
    "encode_leave",
    "encode_message",
    "encode_presence",
    "parse",
    "to_chat_message",
    "to_data",
]

LONGEST_TIMESTAMP = 64
MOST_IN_A_PAGE = 100
HIGHEST_OFFSET = 2**53 - 1
"""The highest integer that every JSON parser reads exactly."""

ErrorCode: TypeAlias = Literal[
    "binary_message",
    "empty_content",
    "history_unavailable",
    "invalid_json",
    "invalid_message",
    "not_stored",
]


class FrameError(Exception):
    """A room does not accept the frame of a client.

    Args:
        code: The error, for programs.
        message: The error and its remedy, for people.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(code, message)
        self.code: ErrorCode = code
        self.message = message


class Draft(msgspec.Struct, frozen=True):
    """A message of a client; other keys are ignored."""

    content: str
    timestamp: str | None = None


class HistoryRequest(msgspec.Struct, frozen=True):
    """A request for the last messages before an offset; other keys are ignored."""

    before: Annotated[int, Meta(ge=1, le=HIGHEST_OFFSET)]
    limit: Annotated[int, Meta(ge=1, le=MOST_IN_A_PAGE)] = MOST_IN_A_PAGE


class _Outline(msgspec.Struct, frozen=True):
    """The keys that tell a request from an invalid message."""

    type: object = None
    content: object = UNSET


class ChatMessage(msgspec.Struct, frozen=True, tag_field="type", tag="message"):
    """A stored message, as the clients of the room get it."""

    sender: str | None
    content: str
    timestamp: str
    id: str
    offset: int


class _Join(msgspec.Struct, frozen=True, tag_field="type", tag="join"):
    sender: str | None
    timestamp: str
    count: int


class _Leave(msgspec.Struct, frozen=True, tag_field="type", tag="leave"):
    sender: str | None
    timestamp: str
    count: int


class _Presence(msgspec.Struct, frozen=True, tag_field="type", tag="presence"):
    members: Sequence[str | None]
    count: int


class _History(msgspec.Struct, frozen=True, tag_field="type", tag="history"):
    before: int | UnsetType
    messages: Sequence[ChatMessage]
    more: bool


class _Error(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    code: ErrorCode
    message: str


_decoder = msgspec.json.Decoder(Draft)
_outlines = msgspec.json.Decoder(_Outline)
_requests = msgspec.json.Decoder(HistoryRequest)
_encoder = msgspec.json.Encoder()


def parse(frame: str | bytes) -> Draft | HistoryRequest:
    """Parse one message of the WebSocket.

    Args:
        frame: The text, or the bytes of a binary message.

    Raises:
        FrameError: If it is neither a `{"content": ..., "timestamp": ...}` that a room accepts, nor
            a `{"type": "history", "before": ...}`.
    """
    if isinstance(frame, bytes):
        raise FrameError("binary_message", "A room takes text messages only, not binary ones.")
    try:
        decoded = _decode(frame)
    except RecursionError:
        raise FrameError("invalid_json", "The JSON is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeError):
        raise FrameError(
            "invalid_json", 'The message is not valid JSON; send {"content": "hello"}.'
        ) from None
    return _check(decoded) if isinstance(decoded, Draft) else decoded


def _decode(frame: str) -> Draft | HistoryRequest:
    """Decode a message or a request; try the more frequent message first.

    Raises:
        FrameError: If it is JSON, and neither of them.
        msgspec.DecodeError: If it is not valid JSON.
    """
    try:
        return _decoder.decode(frame)
    except msgspec.ValidationError as error:
        if not _is_request(frame):
            raise FrameError(
                "invalid_message", f'Send {{"content": text, "timestamp": text}}; here: {error}.'
            ) from None
    try:
        return _requests.decode(frame)
    except msgspec.ValidationError as error:
        raise FrameError(
            "invalid_message",
            f'Send {{"type": "history", "before": offset, "limit": 1 to {MOST_IN_A_PAGE}}}; '
            f"here: {error}.",
        ) from None


def _is_request(frame: str) -> bool:
    try:
        outline = _outlines.decode(frame)
    except msgspec.ValidationError:
        return False
    return outline.type == "history" and outline.content is UNSET


def _check(draft: Draft) -> Draft:
    if not draft.content.strip():
        raise FrameError("empty_content", "The content is empty; send some text.")
    if draft.timestamp is not None and not 0 < len(draft.timestamp) <= LONGEST_TIMESTAMP:
        raise FrameError(
            "invalid_message",
            f"The timestamp must have 1 to {LONGEST_TIMESTAMP} characters; "
            "send the time in ISO 8601, or none.",
        )
    return draft


def to_data(draft: Draft, now: str) -> str:
    """Return the data to store for a message of a client, as JSON text.

    Args:
        draft: The message.
        now: The time for a message without a timestamp.
    """
    return _encode(Draft(draft.content, draft.timestamp or now))


def to_chat_message(stored: StoredMessage) -> ChatMessage:
    """Return a stored message as clients of plain JSON see it, also one of a session (P23)."""
    content, timestamp = _read(stored.data)
    return ChatMessage(
        stored.sender, content, timestamp or stored.stored_at, stored.id, stored.offset
    )


def encode_message(message: ChatMessage) -> str:
    """Build the frame of a message."""
    return _encode(message)


def encode_join(sender: str | None, timestamp: str, count: int) -> str:
    """Build the frame that says who came, and how many are there now."""
    return _encode(_Join(sender, timestamp, count))


def encode_leave(sender: str | None, timestamp: str, count: int) -> str:
    """Build the frame that says who left, and how many are there now."""
    return _encode(_Leave(sender, timestamp, count))


def encode_presence(members: Sequence[str | None], count: int) -> str:
    """Build the frame that lists the members."""
    return _encode(_Presence(members, count))


def encode_history(
    messages: Sequence[ChatMessage], *, more: bool, before: int | None = None
) -> str:
    """Build the frame with earlier messages, oldest first.

    Args:
        messages: The messages.
        more: Whether the history has older ones.
        before: The offset that the client asked for; None on entry.
    """
    return _encode(_History(UNSET if before is None else before, messages, more))


def encode_error(code: ErrorCode, message: str) -> str:
    """Build the frame that tells one client what did not work."""
    return _encode(_Error(code, message))


def _read(data: str) -> tuple[str, str | None]:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return data, None  # stored by another server, and not valid JSON for ours
    if isinstance(value, str):
        return value, None
    if isinstance(value, dict) and isinstance(content := value.get("content"), str):
        timestamp = value.get("timestamp")
        is_valid = isinstance(timestamp, str) and 0 < len(timestamp) <= LONGEST_TIMESTAMP
        return content, timestamp if is_valid else None
    return data, None


def _encode(frame: msgspec.Struct) -> str:
    return _encoder.encode(frame).decode()
