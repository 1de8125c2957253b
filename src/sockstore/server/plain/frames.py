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
    "Error",
    "ErrorCode",
    "FrameError",
    "History",
    "HistoryRequest",
    "Join",
    "Leave",
    "Presence",
    "encode",
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


class Join(msgspec.Struct, frozen=True, tag_field="type", tag="join"):
    """Says who came, and how many are there now."""

    sender: str | None
    timestamp: str
    count: int


class Leave(msgspec.Struct, frozen=True, tag_field="type", tag="leave"):
    """Says who left, and how many are there now."""

    sender: str | None
    timestamp: str
    count: int


class Presence(msgspec.Struct, frozen=True, tag_field="type", tag="presence"):
    """Lists the members, or the first of them, and says how many there are."""

    members: Sequence[str | None]
    count: int


class History(msgspec.Struct, frozen=True, tag_field="type", tag="history"):
    """Earlier messages, oldest first; on entry without the offset that a client asked for."""

    before: int | UnsetType
    messages: Sequence[ChatMessage]
    more: bool


class Error(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """Tells one client what did not work."""

    code: ErrorCode
    message: str


_drafts = msgspec.json.Decoder(Draft)
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
        try:
            draft = _drafts.decode(frame)
        except msgspec.ValidationError as error:
            return _parse_request(frame, error)
    except RecursionError:
        raise FrameError("invalid_json", "The JSON is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeError):
        raise FrameError(
            "invalid_json", 'The message is not valid JSON; send {"content": "hello"}.'
        ) from None
    if not draft.content.strip():
        raise FrameError("empty_content", "The content is empty; send some text.")
    if draft.timestamp is not None and not 0 < len(draft.timestamp) <= LONGEST_TIMESTAMP:
        raise FrameError(
            "invalid_message",
            f"The timestamp must have 1 to {LONGEST_TIMESTAMP} characters; "
            "send the time in ISO 8601, or none.",
        )
    return draft


def _parse_request(frame: str, not_a_draft: msgspec.ValidationError) -> HistoryRequest:
    """Parse JSON that is not a message.

    Args:
        frame: The text.
        not_a_draft: Why it is not a message.

    Raises:
        FrameError: If it is not a request, either.
        msgspec.DecodeError: If it is not valid JSON.
    """
    try:
        outline = _outlines.decode(frame)
    except msgspec.ValidationError:
        outline = _Outline()
    if outline.type != "history" or outline.content is not UNSET:
        raise FrameError(
            "invalid_message", f'Send {{"content": text, "timestamp": text}}; here: {not_a_draft}.'
        )
    try:
        return _requests.decode(frame)
    except msgspec.ValidationError as error:
        raise FrameError(
            "invalid_message",
            f'Send {{"type": "history", "before": offset, "limit": 1 to {MOST_IN_A_PAGE}}}; '
            f"here: {error}.",
        ) from None


def to_data(draft: Draft, now: str) -> str:
    """Return the data to store for a message of a client, as JSON text.

    Args:
        draft: The message.
        now: The time for a message without a timestamp.
    """
    return encode(Draft(draft.content, draft.timestamp or now))


def to_chat_message(stored: StoredMessage) -> ChatMessage:
    """Return a stored message as clients of plain JSON see it, also one of a session (P23)."""
    content, timestamp = stored.data, stored.stored_at
    try:
        value = msgspec.json.decode(stored.data)
    except (msgspec.DecodeError, RecursionError, ValueError):
        value = None  # stored by another server, and not valid JSON for ours
    if isinstance(value, str):
        content = value
    elif isinstance(value, dict) and isinstance(value.get("content"), str):
        content, given = value["content"], value.get("timestamp")
        if isinstance(given, str) and 0 < len(given) <= LONGEST_TIMESTAMP:
            timestamp = given
    return ChatMessage(stored.sender, content, timestamp, stored.id, stored.offset)


def encode(frame: msgspec.Struct) -> str:
    """Return a frame as JSON text."""
    return _encoder.encode(frame).decode()
