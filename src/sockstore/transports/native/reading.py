"""How much to ask the operating system for: a little, and more while more is there.

asyncio makes a new buffer for each read, 256 KiB at first; for the 300 bytes of a typical message
that costs as much as the read itself. A burst wants it so large.
"""

from __future__ import annotations

import asyncio

__all__ = ["MOST_BYTES", "Reading"]

LEAST_BYTES = 16 * 2**10
MOST_BYTES = 256 * 2**10
STEP = 4


class Reading:
    """Set the size of a transport's reads by what the last ones brought.

    Args:
        transport: asyncio's selector transports have a ``max_size``; uvloop's and the proactor's
            reuse their buffer, and are left alone.
    """

    __slots__ = ("_size", "_transport")

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport if hasattr(transport, "max_size") else None
        self._set(LEAST_BYTES)

    def brought(self, size: int) -> None:
        """A read brought so many bytes."""
        if size >= self._size < MOST_BYTES:
            self._set(self._size * STEP)
        elif size * STEP < self._size > LEAST_BYTES:
            self._set(self._size // STEP)

    def _set(self, size: int) -> None:
        self._size = size
        if self._transport is not None:
            self._transport.max_size = size
