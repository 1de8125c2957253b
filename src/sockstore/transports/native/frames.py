"""Where a frame begins and ends (RFC 6455 section 5.2); its meaning is decided elsewhere."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = [
    "BINARY",
    "LARGEST_CONTROL",
    "PING",
    "TEXT",
    "Extent",
    "after_frames",
    "extent",
    "header_problem",
    "short_messages",
]

TEXT = 0x81
BINARY = 0x82
PING = 0x89
"""The first byte of a whole, uncompressed text or binary message, and of a ping."""

LARGEST_CONTROL = 125
"""Bytes of payload of a ping, a pong or a close frame (RFC 6455 section 5.5)."""


class Extent(NamedTuple):
    """One server frame in a buffer.

    Args:
        payload: Index of the first payload byte.
        end: Index after the last one; it may lie beyond the buffer.
        masked: Whether the frame claims to be masked, which a server must not do.
    """

    payload: int
    end: int
    masked: bool


def extent(buffer: bytes, at: int) -> Extent | int:
    """Return where the frame at `at` lies, or how many bytes its header needs.

    Example:
        >>> extent(bytes([0x81, 2]) + b"hi", 0)
        Extent(payload=2, end=4, masked=False)
    """
    available = len(buffer) - at
    if available < 2:
        return 2
    masked, length = divmod(buffer[at + 1], 0x80)
    header = {126: 4, 127: 10}.get(length, 2)
    if available < header:
        return header
    payload = at + header
    if header > 2:
        length = int.from_bytes(buffer[at + 2 : payload], "big")
    return Extent(payload, payload + length, bool(masked))


def header_problem(first: int, size: int, *, compressed: bool) -> str | None:
    """Say what is wrong with a frame of which nothing but its header needs to be known.

    So a server that breaks the protocol in a header is not waited for.

    Args:
        first: The frame's first byte.
        size: Bytes of its payload.
        compressed: Whether permessage-deflate is in force, which uses the first reserved bit.

    Source:
        RFC 6455 sections 5.2 and 5.5.

    Example:
        >>> header_problem(PING, 2**20, compressed=False)
        'control frame too long'
    """
    opcode = first & 0x0F
    if opcode not in {0, 1, 2, 8, 9, 10}:
        return "invalid opcode"
    if first & (0x30 if compressed and opcode < 8 else 0x70):
        return "reserved bits must be 0"
    if opcode >= 8 and size > LARGEST_CONTROL:
        return "control frame too long"
    if opcode >= 8 and not first & 0x80:
        return "fragmented control frame"
    return None


def after_frames(buffer: bytes, at: int, count: int) -> int:
    """Return where the `count` whole frames end that begin at `at`.

    Example:
        >>> after_frames(bytes([0x81, 0, 0x81, 1]) + b"x" + bytes([0x81, 0]), 0, 2)
        5
    """
    for _ in range(count):
        found = extent(buffer, at)
        assert isinstance(found, Extent)  # noqa: S101 - they are whole
        at = found.end
    return at


def short_messages(buffer: bytes, at: int, limit: int, many: int) -> tuple[bool, list[Any], int]:
    """Return whole messages of one kind that lie one after the other: the hot path.

    Args:
        buffer: What came.
        at: Where to begin.
        limit: Bytes of a message, at most; one of 64 KiB and more is never short.
        many: Messages, at most.

    Returns:
        Whether they are texts, the messages, and where what follows them begins. What is not a
        whole message, is masked or not valid UTF-8 ends the list, and is for others to judge.

    Example:
        >>> short_messages(bytes([TEXT, 2]) + b"hi" + bytes([TEXT, 3]), 0, 100, 10)
        (True, ['hi'], 4)
    """
    size, limit = len(buffer), min(limit, 0xFFFF)
    first = buffer[at] if at < size else 0
    is_text = first == TEXT
    messages: list[Any] = []
    if not is_text and first != BINARY:
        return is_text, messages, at
    for _ in range(many):
        if at > size - 4 or buffer[at] != first:
            break
        length, start = buffer[at + 1], at + 2
        if length > 125:
            if length > 126:
                break
            length = buffer[at + 2] << 8 | buffer[at + 3]
            start = at + 4
        end = start + length
        if end > size or length > limit:
            break
        payload = buffer[start:end]
        try:
            messages.append(payload.decode() if is_text else payload)
        except UnicodeDecodeError:
            break
        at = end
    return is_text, messages, at
