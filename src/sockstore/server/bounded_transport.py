"""A transport that delivers input in slices, and that aborts if a close takes too long.

An event loop reads up to 256 KiB at once, which may be 40,000 frames. This transport gives them to
a parser in slices, and parses a bounded number of frames in each turn of the loop, so that all
other clients have their turn in between. Input after the end is read slowly and discarded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from sockstore.server.connections import Visit

__all__ = ["SECONDS_TO_CLOSE", "BoundedTransport", "Parse"]

SECONDS_TO_CLOSE = 5.0
"""How long a peer may take to read what is left and to end the connection."""

SLICE_BYTES = 1024
COST_OF_A_TURN = 64
"""The most that one turn of the loop parses of one connection; a WebSocket frame costs 1."""

MOST_HELD_BYTES = 16 * 1024
"""Bytes that are read ahead while the parser is on hold; then reading is paused."""

MOST_DISCARDED_BYTES = 16 * 1024 * 1024
"""Bytes that are read and discarded, so that a peer that is sending gets the close frame."""

DISCARDED_AT_ONCE = 256 * 1024
SECONDS_BETWEEN_DISCARDS = 0.01

Parse = Callable[[bytes], int]
"""Parses a slice of the input, and returns the cost of it."""


class BoundedTransport:
    """Stands between one of uvicorn's protocols and the real transport.

    The protocol passes all input to `feed`, and gets it back in slices through `parse`.

    Args:
        inner: The real transport.
        loop: The event loop.
        parse: Parses a slice.
    """

    def __init__(
        self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop, parse: Parse
    ) -> None:
        self.inner = inner
        # uvicorn also uses these, which are the real transport's own.
        self.get_extra_info: Final = inner.get_extra_info
        self.get_protocol, self.set_protocol = inner.get_protocol, inner.set_protocol
        self.can_write_eof, self.write_eof = inner.can_write_eof, inner.write_eof
        self.write, self.writelines = inner.write, inner.writelines
        self.is_closing, self.abort = inner.is_closing, inner.abort
        self._loop = loop
        self._parse = parse
        # Input that is not parsed yet begins at `_at`; `feed` and `_parse_some` set both.
        self._held = b""
        self._at = 0
        # Whether the protocol has paused reading (`pause_reading`), or parsing (`hold`).
        self._is_paused = False
        self._is_on_hold = False
        # Set by `end_input`: input is discarded from then on.
        self._is_discarding = False
        # Discarded bytes, in all and since the last pause, and the most in all (`end` sets it).
        self._discarded = 0
        self._discarded_lately = 0
        self._may_discard = MOST_DISCARDED_BYTES
        # Parses the held input in the next turn, or reads again after a pause.
        self._turn: asyncio.Handle | None = None
        # Aborts the connection; set by `abort_soon`.
        self._deadline: asyncio.Handle | None = None
        # How the connection is counted; the HTTP protocol sets it, the WebSocket protocol takes it.
        self.visit: Visit | None = None

    # Input

    def hand_over(self, parse: Parse) -> None:
        """Let another protocol parse from now on; discard the held input."""
        self._parse = parse
        self._held, self._at = b"", 0

    def feed(self, data: bytes) -> None:
        """Take input from the real transport."""
        if self._is_discarding:
            self._discard(len(data))
        elif self._held or self._is_paused or self._is_on_hold:
            self._held, self._at = self._held[self._at :] + data, 0
            if len(self._held) >= MOST_HELD_BYTES:
                self.inner.pause_reading()
        elif len(data) <= SLICE_BYTES:
            self._parse(data)
        else:
            self._held, self._at = data, 0
            self._parse_some()

    @property
    def holds_back(self) -> bool:
        """Whether we, and not the peer, are the reason that no more input is parsed."""
        return bool(self._held) or self._is_paused or self._is_on_hold

    @property
    def is_ending(self) -> bool:
        """Whether parsing has ended."""
        return self._is_discarding or self.inner.is_closing()

    def pause_reading(self) -> None:
        """Stop parsing and reading until `resume_reading`."""
        self._is_paused = True
        self.inner.pause_reading()

    def resume_reading(self) -> None:
        """Parse the held input, then read again."""
        self._is_paused = False
        self._go_on()

    def hold(self) -> None:
        """Stop parsing until `release`; a little is read ahead, to notice the peer's end."""
        self._is_on_hold = True

    def release(self) -> None:
        """Continue parsing after `hold`."""
        if self._is_on_hold:
            self._is_on_hold = False
            self._go_on()

    def end_input(self) -> None:
        """Discard the held input, and all input from now on."""
        self._is_discarding = True
        self._held, self._at = b"", 0
        self.inner.resume_reading()

    def _go_on(self) -> None:
        if self._is_paused or self._is_on_hold:
            return
        if not self._held:
            self.inner.resume_reading()
        elif self._turn is None:
            self._turn = self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        if self._is_discarding:
            self.inner.resume_reading()
        else:
            self._parse_some()

    def _parse_some(self) -> None:
        """Parse up to the cost of one turn of the loop."""
        cost = 0
        while not (self._is_paused or self._is_on_hold) and self._at < len(self._held):
            if cost >= COST_OF_A_TURN:
                self.inner.pause_reading()
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
                self.inner.resume_reading()
        elif len(self._held) - self._at >= MOST_HELD_BYTES:
            self.inner.pause_reading()

    def _discard(self, size: int) -> None:
        self._discarded += size
        self._discarded_lately += size
        if self._discarded > self._may_discard:
            self.inner.abort()
        elif self._discarded_lately >= DISCARDED_AT_ONCE and self._turn is None:
            self._discarded_lately = 0
            self.inner.pause_reading()
            self._turn = self._loop.call_later(SECONDS_BETWEEN_DISCARDS, self._take_turn)

    # The end

    def end(self, answer: bytes = b"", most_discarded: int = MOST_DISCARDED_BYTES) -> None:
        """Write an answer and close our direction, then read until the peer closes, too.

        Closing with unread data would reset the connection, and the peer might lose the answer.

        Args:
            answer: The last bytes to write.
            most_discarded: The bytes that the peer may still send; more aborts the connection.
        """
        if self.inner.is_closing():
            return
        self._may_discard = most_discarded
        self.end_input()
        self.abort_soon()
        if answer:
            self.inner.write(answer)
        with suppress(OSError):  # the peer has left already
            if self.inner.can_write_eof():
                self.inner.write_eof()

    def abort_soon(self) -> None:
        """Abort the connection if it has not ended within some seconds."""
        if self._deadline is None:
            self._deadline = self._loop.call_later(SECONDS_TO_CLOSE, self.inner.abort)

    def close(self) -> None:
        """Close; abort if the peer has not read everything within some seconds."""
        if self.inner.is_closing():
            return  # after a second `close`, asyncio's TLS transport cannot resume reading
        if self.inner.get_write_buffer_size():
            self.abort_soon()
        self.inner.close()

    def lost(self) -> None:
        """Stop the timers, because the connection has ended."""
        for handle in (self._turn, self._deadline):
            if handle is not None:
                handle.cancel()
        self._held, self._at = b"", 0
        self._parse = _parse_nothing  # break the reference cycle with the protocol


def _parse_nothing(data: bytes) -> int:
    del data
    return 0
