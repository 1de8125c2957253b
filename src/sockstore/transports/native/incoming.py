"""What came from the peer and is not delivered yet, as bytes."""

from __future__ import annotations

from typing import Any

from sockstore.transports.native.frames import Extent, after_frames, extent, short_messages

__all__ = ["Incoming"]

LEAST = 2
"""Bytes of a frame's header, at least."""


class Incoming:
    """A buffer of which the beginning is delivered, and what was read after it.

    Attributes:
        buffer: What came.
        at: Where in it the next frame begins.
    """

    __slots__ = ("_later", "_later_bytes", "_need", "at", "buffer")

    def __init__(self) -> None:
        self.buffer = b""
        self.at = 0
        self._later: list[bytes] = []
        self._later_bytes = 0
        self._need = LEAST

    @property
    def unread(self) -> int:
        """Bytes that are not delivered."""
        return len(self.buffer) - self.at + self._later_bytes

    @property
    def is_of_use(self) -> bool:
        """Whether there are as many bytes as the next frame was seen to need."""
        return self.unread >= self._need

    @property
    def is_empty(self) -> bool:
        """Whether everything is delivered."""
        return self.at == len(self.buffer) and not self._later

    def add(self, data: bytes) -> None:
        """Take what was read."""
        if self.is_empty:
            self.buffer, self.at = data, 0
        else:
            self._later.append(data)
            self._later_bytes += len(data)

    def drop(self) -> None:
        """Forget everything."""
        self.buffer, self.at, self._later, self._later_bytes = b"", 0, [], 0

    def take_short_messages(self, limit: int, many: int) -> tuple[bool, list[Any]]:
        """Take the next whole messages, as `short_messages` finds them."""
        is_text, messages, self.at = short_messages(self.buffer, self.at, limit, many)
        return is_text, messages

    def give_back(self, begun: int, taken: int) -> None:
        """Step back to behind the first `taken` frames from `begun` on."""
        self.at = after_frames(self.buffer, begun, taken)

    def next_frame(self) -> Extent | None:
        """Return where the next frame lies; it may not be complete. None: nor is its header."""
        found = extent(self.buffer, self.at)
        if isinstance(found, int):
            return self.next_frame() if self.wait_for(found) else None
        return found

    def take(self, end: int) -> bytes:
        """Take everything up to an index."""
        taken, self.at = self.buffer[self.at : end], end
        return taken

    def wait_for(self, need: int) -> bool:
        """Join what came later; return whether that brought as many bytes as needed."""
        if self._later:
            self.buffer = b"".join((self.buffer[self.at :], *self._later))
            self.at, self._later, self._later_bytes = 0, [], 0
        enough = len(self.buffer) - self.at >= need
        self._need = LEAST if enough else need
        return enough
