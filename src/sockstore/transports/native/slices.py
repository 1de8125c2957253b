"""Deliver messages in slices, and pause reading while too much waits to be delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from operator import length_hint
from time import monotonic
from typing import Any, Final

from sockstore.transports.base import SLICE_SECONDS, Deliver, Listener
from sockstore.transports.native.frames import DISCARD, FrameHandler
from sockstore.transports.native.incoming import Incoming, short_messages
from sockstore.transports.native.writer import Writer

__all__ = ["UNDELIVERED_HIGH", "UNDELIVERED_LOW", "Slices"]

MOST_AT_ONCE = 64
"""Most messages between two looks at the clock: one at first, then twice as many each time.

So a slow callback ends the slice soon, and a fast one pays little for the clock.
"""

UNDELIVERED_HIGH = 4 * 2**20
UNDELIVERED_LOW = 1 * 2**20
"""Bytes that wait to be delivered, above which reading pauses and below which it resumes (MS2)."""


class Slices:
    """Delivers the messages of one open WebSocket, a slice in a turn of the event loop.

    Whole text and binary messages take a short cut past the protocol while that is safe.

    Attributes:
        frames: Handles every frame that does not take the short cut.
        reading_paused: Whether too much waits; set by `take` and `hold`, reset by `_after_slice`.
    """

    __slots__ = (
        "_delivered_for", "_incoming", "_is_held", "_listener", "_loop", "_messages", "_next_turn",
        "_on_delivered", "_transport", "_writer", "frames", "reading_paused",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        listener: Listener,
        frames: FrameHandler,
        writer: Writer,
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._listener = listener
        self.frames: Final = frames
        self._writer = writer
        self._incoming = Incoming()
        self.reading_paused: bool = False
        # The messages that the listener is taking; set by `_deliver_short_messages`, emptied by
        # `drop`.
        self._messages: list[Any] = []
        self._is_held = False  # whether nothing may be delivered; set by `hold` and `go_on`
        # Seconds of delivering since the loop's last turn; grown by `_deliver`, reset by `_go_on`.
        self._delivered_for = 0.0
        # Called after the last slice, since no more bytes come; set by `finish`.
        self._on_delivered: Callable[[], None] | None = None
        # The call of `_go_on` in the loop's next turn, before which nothing is delivered; set by
        # `begin`, `hold` and `_deliver`, reset by `_go_on` (a call that is over stays while held).
        self._next_turn: asyncio.Handle | None = None

    @property
    def unread(self) -> int:
        """Bytes that wait to be delivered."""
        return self._incoming.unread

    def begin(self, data: bytes) -> None:
        """Take bytes read with the handshake's answer, and deliver from the next turn on.

        Tasks woken by the open WebSocket run first; uvloop may read on in the same turn.
        """
        self._next_turn = self._loop.call_soon(self._go_on)
        if data:
            self.take(data)

    def take(self, data: bytes) -> None:
        """Take bytes that were read; deliver them now, or from the loop's next turn on."""
        may_have_frame = self._incoming.add(data)
        if self._next_turn is None:
            if may_have_frame:
                self._deliver()
        elif self._incoming.unread > UNDELIVERED_HIGH and not self.reading_paused:
            self.reading_paused = True
            self._transport.pause_reading()

    def drop(self) -> None:
        """Forget everything that is not delivered; a listener that takes messages gets no more."""
        self._incoming.drop()
        self._messages.clear()

    def finish(self, on_delivered: Callable[[], None]) -> None:
        """No more bytes come: call a function once everything is delivered."""
        self._on_delivered = on_delivered
        if self._next_turn is None:
            self._after_slice()

    def hold(self) -> None:
        """Deliver nothing, and read nothing, until `go_on`."""
        self._is_held = True
        if not self.reading_paused:
            self.reading_paused = True
            self._transport.pause_reading()
        if self._next_turn is None:
            self._next_turn = self._loop.call_soon(self._go_on)

    def go_on(self) -> None:
        """Deliver again, from the next turn on."""
        if self._is_held:
            self._is_held = False
            self._next_turn = self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Deliver the next slice, now that the loop has taken a turn."""
        if self._is_held:
            return
        self._next_turn = None
        self._delivered_for = 0.0
        if self._incoming.may_have_frame:
            self._deliver()
        else:
            self._after_slice()

    def _deliver(self) -> None:
        """Deliver one slice; the rest, if any, in the loop's next turn."""
        begun = monotonic()
        deliver = self._listener.begin_slice()
        self._writer.holds = True  # answers may leave together
        try:
            has_more = self._deliver_until(deliver or DISCARD, begun + SLICE_SECONDS)
        finally:
            if deliver is not None:
                self._listener.end_slice()
            self._writer.holds = False
            if self._writer.gathered:
                self._writer.flush()
        # uvloop reads up to 32 times in one turn, 250 KiB each: many slices that are short enough
        # alone, and together block the loop for long.
        self._delivered_for += monotonic() - begun
        if has_more or self._delivered_for > SLICE_SECONDS:
            self._next_turn = self._loop.call_soon(self._go_on)
        if self.reading_paused or self._on_delivered is not None:
            self._after_slice()

    def _after_slice(self) -> None:
        if self._is_held:
            return
        if self.reading_paused and (
            self._next_turn is None or self._incoming.unread < UNDELIVERED_LOW
        ):
            # Bytes that no slice can deliver begin a message: its end must be read.
            self.reading_paused = False
            self._transport.resume_reading()
        if self._next_turn is None and self._on_delivered is not None:
            on_delivered, self._on_delivered = self._on_delivered, None
            on_delivered()

    def _deliver_until(self, deliver: Deliver, until: float) -> bool:
        """Deliver until the slice is over; return whether complete frames may remain."""
        incoming = self._incoming
        while True:
            if self.frames.short_cut_is_safe and self._deliver_short_messages(deliver, until):
                return True
            if incoming.at == len(incoming.buffer) and not incoming.later:
                return False  # nearly always: everything is delivered
            frame = self.frames.next_frame(incoming)
            if frame is None and not incoming.may_have_frame:
                return False
            if (frame and self.frames.handle(frame, deliver)) or monotonic() > until:
                return True

    def _deliver_short_messages(self, deliver: Deliver, until: float) -> bool:
        """Deliver whole messages below 64 KiB, the hot path; return whether the slice is over."""
        most, incoming, buffer = 1, self._incoming, self._incoming.buffer
        limit = self.frames.max_message_bytes
        while (begun := incoming.at) < len(buffer):
            is_text, messages, incoming.at = short_messages(buffer, begun, limit, most)
            self._messages = messages
            if not messages:
                return False
            remaining, offered = iter(messages), len(messages)
            try:
                is_over = (deliver.texts if is_text else deliver.binaries)(remaining)
            finally:
                taken = offered - length_hint(remaining)
                if taken < offered and incoming.buffer is buffer:
                    incoming.give_back(begun, taken)
                messages.clear()
            # The buffer is another one if the transport was aborted meanwhile.
            if is_over or incoming.buffer is not buffer or monotonic() > until:
                return True
            most = min(2 * max(1, taken), MOST_AT_ONCE)
        return False
