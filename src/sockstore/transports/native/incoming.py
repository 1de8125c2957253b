"""Buffer incoming bytes: adapt the size of reads, and find where frames begin and end."""

from __future__ import annotations

import asyncio
import math
from typing import Any, NamedTuple

__all__ = [
    "BINARY",
    "LARGEST_CONTROL",
    "LEAST_READ",
    "MOST_READ",
    "PING",
    "TEXT",
    "Extent",
    "Incoming",
    "ReadSize",
    "after_frames",
    "extent",
    "header_problem",
    "payload_of",
    "short_messages",
]

TEXT = 0x81
BINARY = 0x82
PING = 0x89
"""The first byte of a whole, uncompressed text or binary message, and of a ping."""

LARGEST_CONTROL = 125
"""Most bytes in the payload of a ping, a pong or a close frame (RFC 6455 section 5.5)."""

SHORTEST_HEADER = 2
"""Fewest bytes of a server frame's header."""

HEADERS = {126: 4, 127: 10}
"""Bytes of the header by the length that its second byte says, where they are more."""

LEAST_READ = 16 * 2**10
MOST_READ = 256 * 2**10
READ_STEP = 4


# Reading


class ReadSize:
    """How many bytes a transport asks the operating system for, by the size of the last reads.

    asyncio makes a new buffer for each read, 256 KiB by default. For a typical message of 300
    bytes that costs as much as the read itself; only a burst needs so large a buffer.

    Args:
        transport: Has a ``max_size`` if it is one of asyncio's selector transports; uvloop's and
            the proactor's reuse their buffer and are not changed.

    Attributes:
        least: Bytes; after a smaller read, less is asked for. Set by `_set`.
        full: Bytes; after a read of so many, more is asked for. Set by `_set`.
    """

    __slots__ = ("_size", "_transport", "full", "least")

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport if hasattr(transport, "max_size") else None
        self._set(LEAST_READ)

    def adapt(self, size: int) -> None:
        """Ask for more after a read that was full, for less after a small one."""
        if size >= self.full:
            self._set(self._size * READ_STEP)
        elif size < self.least:
            self._set(self._size // READ_STEP)

    def _set(self, size: int) -> None:
        self._size = size
        self.full = size if size < MOST_READ else math.inf
        self.least = size // READ_STEP if size > LEAST_READ else 0
        if self._transport is not None:
            self._transport.max_size = size


class Incoming:
    """The bytes that arrived and are not delivered yet.

    Attributes:
        buffer: The joined bytes; replaced by `add`, `wait_for` and `drop`.
        at: Index of the next frame in it; moved by everything that takes a frame.
        later: The reads after the buffer; added by `add`, joined to it by `wait_for`.
    """

    __slots__ = ("_later_bytes", "_need", "at", "buffer", "later")

    def __init__(self) -> None:
        self.buffer: bytes = b""
        self.at: int = 0
        self.later: list[bytes] = []
        self._later_bytes = 0  # their size; changed with them
        self._need = SHORTEST_HEADER  # bytes that the next frame needs; set by `wait_for`

    @property
    def unread(self) -> int:
        """Bytes that are not delivered."""
        return len(self.buffer) - self.at + self._later_bytes

    @property
    def may_have_frame(self) -> bool:
        """Whether there are as many bytes as the next frame is known to need."""
        return self.unread >= self._need

    def add(self, data: bytes) -> bool:
        """Add bytes that were read; return whether the next frame may be complete now."""
        if self.at == len(self.buffer) and not self.later:
            self.buffer, self.at = data, 0
            return len(data) >= self._need
        self.later.append(data)
        self._later_bytes += len(data)
        return self.may_have_frame

    def drop(self) -> None:
        """Forget everything."""
        self.buffer, self.at, self.later, self._later_bytes = b"", 0, [], 0

    def give_back(self, begun: int, taken: int) -> None:
        """Step back to the end of the first `taken` frames that begin at `begun`."""
        self.at = after_frames(self.buffer, begun, taken)

    def next_frame(self) -> Extent | None:
        """Return where the next frame lies, complete or not; None if its header is incomplete."""
        frame = extent(self.buffer, self.at)
        if isinstance(frame, int):
            return self.next_frame() if self.wait_for(frame) else None
        return frame

    def take(self, end: int) -> bytes:
        """Take everything before an index."""
        taken, self.at = self.buffer[self.at : end], end
        return taken

    def wait_for(self, need: int) -> bool:
        """Join the later reads to the buffer; return whether it now has as many bytes as needed."""
        if self.later:
            self.buffer = b"".join((self.buffer[self.at :], *self.later))
            self.at, self.later, self._later_bytes = 0, [], 0
        is_enough = len(self.buffer) - self.at >= need
        self._need = SHORTEST_HEADER if is_enough else need
        return is_enough


# Frames


class Extent(NamedTuple):
    """Where one server frame lies in a buffer.

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
    if available < SHORTEST_HEADER:
        return SHORTEST_HEADER
    masked, length = divmod(buffer[at + 1], 0x80)
    header = HEADERS.get(length, SHORTEST_HEADER)
    if available < header:
        return header
    payload = at + header
    if header > SHORTEST_HEADER:
        length = int.from_bytes(buffer[at + 2 : payload], "big")
    return Extent(payload, payload + length, bool(masked))


def payload_of(frame: bytes) -> bytes:
    """Return the payload of a whole frame, which is not masked.

    Example:
        >>> payload_of(bytes([TEXT, 2]) + b"hi")
        b'hi'
    """
    return frame[HEADERS.get(frame[1], SHORTEST_HEADER) :]


def header_problem(first: int, size: int, *, compressed: bool) -> str | None:
    """Return what is wrong with a frame's header, or None.

    So a frame that breaks the protocol is refused before its payload has arrived.

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
    """Return the index after `count` whole frames, the first of which begins at `at`.

    Example:
        >>> after_frames(bytes([0x81, 0, 0x81, 1]) + b"x" + bytes([0x81, 0]), 0, 2)
        5
    """
    for _ in range(count):
        frame = extent(buffer, at)
        assert isinstance(frame, Extent)  # noqa: S101 - the caller says that they are whole
        at = frame.end
    return at


def short_messages(buffer: bytes, at: int, limit: int, most: int) -> tuple[bool, list[Any], int]:
    """Return whole messages of one kind that follow one another: the hot path.

    Args:
        buffer: The bytes.
        at: Where to begin.
        limit: Most bytes of a message; one of 64 KiB or more is never short.
        most: Most messages.

    Returns:
        Whether they are texts, the messages, and the index after them. The list ends before a
        frame that is not a whole message, is masked or is not valid UTF-8: `frames` handles it.

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
    for _ in range(most):
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
