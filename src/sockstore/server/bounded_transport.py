"""A transport that hands input over in slices, and whose every end has a deadline.

An event loop reads up to 256 KiB at once, which may be 40,000 frames. Here a parser gets them in
slices, and each turn of the loop parses what a bounded number of frames cost; all other clients
have their turn in between. What a peer sends behind the end is read slowly and thrown away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sockstore.server.connections import Visit

__all__ = ["SECONDS_TO_CLOSE", "BoundedTransport", "Parse"]

SECONDS_TO_CLOSE = 5.0
"""How long a peer may take to read what is left and to end the connection."""

SLICE_BYTES = 1024
COST_OF_A_TURN = 64
"""What one turn of the loop may parse of one connection; a frame of a WebSocket costs 1."""

MOST_HELD_BYTES = 16 * 1024
"""What is read ahead while the parser is on hold; reading is paused above it."""

MOST_DISCARDED_BYTES = 16 * 1024 * 1024
"""What is thrown away, so that a peer in the middle of a long message sees why it ends."""

DISCARDED_AT_ONCE = 256 * 1024
SECONDS_BETWEEN_DISCARDS = 0.01

Parse = Callable[[bytes], int]
"""Takes a slice of the input, and returns what that cost."""


class BoundedTransport(asyncio.Transport):
    """What uvicorn's protocols are given in place of the real transport.

    The protocol that owns it gives everything that it receives to `feed`, and gets it back in
    slices through `parse`.

    Args:
        inner: The real transport.
        loop: The event loop.
        parse: Takes the slices.
    """

    def __init__(
        self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop, parse: Parse
    ) -> None:
        super().__init__()
        self.inner = inner
        self._loop = loop
        self._parse = parse
        self._held = b""  # what came and is not parsed yet, from _at on; set by feed
        self._at = 0
        self._is_paused = False  # by the protocol, through pause_reading
        self._is_on_hold = False  # by hold
        self._is_discarding = False  # from end_input on
        self._discarded = 0  # bytes, and those of them since the last pause
        self._discarded_lately = 0
        self._may_discard = MOST_DISCARDED_BYTES
        self._inner_is_paused = False
        self._turn: asyncio.Handle | None = None  # goes on with what is held, or reads again
        self._deadline: asyncio.Handle | None = None  # aborts; set when the end has begun
        # How the connection is counted; set by the HTTP protocol, taken by ours for WebSockets.
        self.visit: Visit | None = None

    # Input

    def hand_over(self, parse: Parse) -> None:
        """Let another protocol parse from now on; what is held is thrown away."""
        self._parse = parse
        self._held, self._at = b"", 0

    def feed(self, data: bytes) -> None:
        """Take what the real transport has read."""
        if self._is_discarding:
            self._discard(len(data))
        elif self._held or self._is_paused or self._is_on_hold:
            self._held, self._at = self._held[self._at :] + data, 0
            if len(self._held) >= MOST_HELD_BYTES:
                self._pause_inner()
        elif len(data) <= SLICE_BYTES:
            self._parse(data)
        else:
            self._held, self._at = data, 0
            self._parse_some()

    @property
    def holds_back(self) -> bool:
        """Whether it is up to us, and not to the peer, that no more input comes."""
        return bool(self._held) or self._is_paused or self._is_on_hold

    @property
    def is_ending(self) -> bool:
        """Whether nothing more is parsed."""
        return self._is_discarding or self.inner.is_closing()

    def pause_reading(self) -> None:
        """Parse nothing, and read nothing, until `resume_reading`."""
        self._is_paused = True
        self._pause_inner()

    def resume_reading(self) -> None:
        """Go on with what came before, then read again."""
        self._is_paused = False
        self._go_on()

    def hold(self) -> None:
        """Parse nothing until `release`; a little is read ahead, so that an end is noticed."""
        self._is_on_hold = True

    def release(self) -> None:
        """Go on after `hold`."""
        if self._is_on_hold:
            self._is_on_hold = False
            self._go_on()

    def end_input(self) -> None:
        """Throw away what came and what comes from now on."""
        self._is_discarding = True
        self._held, self._at = b"", 0
        self._resume_inner()

    def _go_on(self) -> None:
        if self._is_paused or self._is_on_hold:
            return
        if not self._held:
            self._resume_inner()
        elif self._turn is None:
            self._turn = self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        if not self._is_discarding:
            self._parse_some()

    def _parse_some(self) -> None:
        """Parse as much as one turn of the loop may cost."""
        cost = 0
        while not (self._is_paused or self._is_on_hold) and self._at < len(self._held):
            if cost >= COST_OF_A_TURN:
                self._pause_inner()
                self._go_on()
                return
            part = self._held[self._at : self._at + SLICE_BYTES]
            self._at += len(part)
            cost += self._parse(part)
            if self.is_ending:
                self._held, self._at = b"", 0
                return
        if self._at >= len(self._held):
            self._held, self._at = b"", 0
            if not (self._is_paused or self._is_on_hold):
                self._resume_inner()
        elif len(self._held) - self._at >= MOST_HELD_BYTES:
            self._pause_inner()

    def _discard(self, size: int) -> None:
        self._discarded += size
        self._discarded_lately += size
        if self._discarded > self._may_discard:
            self.inner.abort()
        elif self._discarded_lately >= DISCARDED_AT_ONCE and self._turn is None:
            self._discarded_lately = 0
            self._pause_inner()
            self._turn = self._loop.call_later(SECONDS_BETWEEN_DISCARDS, self._discard_more)

    def _discard_more(self) -> None:
        self._turn = None
        self._resume_inner()

    def _pause_inner(self) -> None:
        if not (self._inner_is_paused or self.inner.is_closing()):
            self._inner_is_paused = True
            self.inner.pause_reading()

    def _resume_inner(self) -> None:
        if self._inner_is_paused and not self.inner.is_closing():
            self._inner_is_paused = False
            self.inner.resume_reading()

    # The end

    def end(self, answer: bytes = b"", most_discarded: int = MOST_DISCARDED_BYTES) -> None:
        """Say a last thing and that nothing follows, then read until the peer ends, too.

        Closing with unread data would reset the connection, and the peer might lose the answer.

        Args:
            answer: What is said.
            most_discarded: Bytes that the peer may still send; more aborts the connection.
        """
        if self.inner.is_closing():
            return
        self._may_discard = most_discarded
        self.end_input()
        self.abort_soon()
        if answer:
            self.inner.write(answer)
        with suppress(OSError):  # it has left already
            if self.inner.can_write_eof():
                self.inner.write_eof()

    def abort_soon(self) -> None:
        """Abort the connection if it has not ended within some seconds."""
        if self._deadline is None:
            self._deadline = self._loop.call_later(SECONDS_TO_CLOSE, self.inner.abort)

    def close(self) -> None:
        """Close, at the latest after some seconds, whether or not the peer reads."""
        if not self.inner.is_closing() and self.inner.get_write_buffer_size():
            self.abort_soon()
        self.inner.close()

    def abort(self) -> None:
        """Close at once."""
        self.inner.abort()

    def lost(self) -> None:
        """The connection has ended: leave no timer behind."""
        for handle in (self._turn, self._deadline):
            if handle is not None:
                handle.cancel()
        self._held, self._at = b"", 0
        self._parse = _parse_nothing  # break the reference cycle with the protocol

    # All else is the real transport's.

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what the real transport knows."""
        return self.inner.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who receives."""
        return self.inner.get_protocol()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another protocol receive."""
        self.inner.set_protocol(protocol)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write, without waiting."""
        self.inner.write(data)

    def is_closing(self) -> bool:
        """Whether the end has begun."""
        return self.inner.is_closing()

    def can_write_eof(self) -> bool:
        """Whether one direction can be closed alone; not with TLS."""
        return self.inner.can_write_eof()

    def write_eof(self) -> None:
        """Close our direction."""
        self.inner.write_eof()


def _parse_nothing(data: bytes) -> int:
    del data
    return 0
