"""Build the frames of messages, and write all of one turn of the event loop together.

A call of the operating system costs more than everything else about a small message. So the first
message of a turn is written at once, and those that follow in the same turn leave together at its
end; answers to messages that are being delivered leave together after these.
"""

from __future__ import annotations

import asyncio
import os
from struct import Struct

from websockets.protocol import Protocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without its compiled part
    from websockets.utils import apply_mask

__all__ = ["Writer", "masked_frame"]

MOST_GATHERED_BYTES = 64 * 2**10
"""Most bytes to gather; more would hide from the sender that the peer does not read."""

MASKS_AT_ONCE = 64
"""Masks that are drawn together; the operating system takes as long for 64 as for one."""

_SHORT, _MEDIUM, _LONG = Struct("!BB"), Struct("!BBH"), Struct("!BBQ")


class Writer:
    """Writes the frames of one WebSocket to its TCP connection.

    Attributes:
        gathered: The frames that wait for `flush`; added by `send`, taken by `flush` and `drop`.
        holds: Whether everything that is sent is gathered until `flush`; set by `Slices`.
        is_paused: Whether the transport's send buffer is above its high-water mark; set by `Wire`.
    """

    __slots__ = (
        "_bytes", "_loop", "_masks", "_transport", "_turn", "gathered", "holds", "is_paused",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._loop = loop
        self._transport = transport
        self.holds: bool = False
        self.is_paused: bool = False
        self.gathered: list[bytes] = []
        self._bytes = 0  # their size
        # The end of a turn in which something was sent; set by `send`, reset by `_end_turn`.
        self._turn: asyncio.Handle | None = None
        self._masks = b""  # masks that are not used yet, four bytes each; taken by `send`

    @property
    def buffered_amount(self) -> int:
        """Bytes that were not given to the network yet."""
        return self._transport.get_write_buffer_size() + self._bytes

    def send(self, first: int, payload: bytes) -> None:
        """Write a whole message in this turn of the loop; `first` begins its frame."""
        if self._transport.is_closing():
            return
        masks = self._masks or os.urandom(4 * MASKS_AT_ONCE)
        self._masks = masks[4:]
        frame = masked_frame(first, payload, masks[:4])
        if not self.holds and self._turn is None:
            self._turn = self._loop.call_soon(self._end_turn)
            self._transport.write(frame)
            return
        self.gathered.append(frame)
        self._bytes += len(frame)
        if self._bytes > MOST_GATHERED_BYTES:
            self.flush()

    def write(self, data: bytes) -> None:
        """Write bytes at once, behind everything that was sent before."""
        if self.gathered:
            self.flush()
        if not self._transport.is_closing():  # then uvloop would raise
            self._transport.write(data)

    def write_output(self, protocol: Protocol) -> None:
        """Write the protocol's pending output at once."""
        for data in protocol.data_to_send():
            if data:
                self.write(data)

    def flush(self) -> None:
        """Write the gathered frames."""
        data = b"".join(self.gathered)
        self.drop()
        if not self._transport.is_closing():
            self._transport.write(data)

    def drop(self) -> None:
        """Forget the gathered frames."""
        self.gathered.clear()
        self._bytes = 0

    def _end_turn(self) -> None:
        self._turn = None
        if self.gathered:
            self.flush()


def masked_frame(first: int, payload: bytes, mask: bytes) -> bytes:
    r"""Return the frame that a client sends (RFC 6455 sections 5.2 and 5.3).

    The mask is four bytes that cannot be predicted.

    Example:
        >>> masked_frame(0x81, b"Hello", b"7\xfa!=").hex()
        '818537fa213d7f9f4d5158'
    """
    length = len(payload)
    if length < 126:
        header = _SHORT.pack(first, 0x80 | length)
    elif length < 2**16:
        header = _MEDIUM.pack(first, 0x80 | 126, length)
    else:
        header = _LONG.pack(first, 0x80 | 127, length)
    return b"".join((header, mask, apply_mask(payload, mask)))
