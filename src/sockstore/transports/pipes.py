"""Carry the frames of the memory transport in order, through pipes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sockstore.base.close import Close
from sockstore.base.state import SocketInfo

__all__ = ["Accepted", "Arrival", "CloseFrame", "Frame", "Ping", "Pipe", "Pong", "payload_size"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer 101 to the handshake."""

    socket: SocketInfo


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping of the server."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping of the client."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class CloseFrame:
    """A close frame, and the sentence that the client reports."""

    close: Close
    why: str


Frame: TypeAlias = Accepted | Ping | Pong | CloseFrame | str | bytes
"""A write of a server: the answer to the handshake, then frames; str and bytes are messages."""


def payload_size(frame: Frame) -> int:
    """Return the bytes of a message; 0 for other frames, which no limit counts."""
    match frame:
        case str():
            return len(frame.encode())
        case bytes():
            return len(frame)
        case _:
            return 0


class Arrival:
    """Frames that arrive together; those that `read` leaves are posted again."""

    def __init__(self, read: Callable[[deque[Frame]], None], frames: deque[Frame]) -> None:
        self._read = read
        self._frames = frames  # taken by the reader, added by `join`

    @property
    def answers_handshake(self) -> bool:
        """Whether the first of them is the answer to the handshake."""
        return bool(self._frames) and isinstance(self._frames[0], Accepted)

    def join(self, later: Arrival) -> None:
        """Append the frames of a later arrival that is due by now."""
        self._frames += later._frames

    def __call__(self) -> None:
        """Give the frames to the reader."""
        if self._frames:
            self._read(self._frames)


class Pipe:
    """Carries events one way, in order, each after the latency of its moment, in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, latency: Callable[[], float]) -> None:
        self._loop = loop
        self._latency = latency
        # What is under way, and when it arrives; added by the posts, taken by `_run` and `clear`.
        self._events: deque[tuple[float, Callable[[], None]]] = deque()
        self._timer: asyncio.TimerHandle | None = None  # for the first event; set by `_arm`
        self._closed = False  # set by `close`

    def post(self, event: Callable[[], None]) -> None:
        """Deliver an event after the latency, unless the pipe is closed."""
        if not self._closed:
            self._events.append((self._loop.time() + self._latency(), event))
            self._arm()

    def post_first(self, event: Callable[[], None]) -> None:
        """Deliver an event next, in a turn of its own, even if the pipe is closed."""
        self._events.appendleft((self._loop.time(), event))
        self._arm()

    def clear(self) -> None:
        """Forget the events that are not delivered."""
        self._events.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Forget the events that are not delivered, and ignore later ones."""
        self._closed = True
        self.clear()

    def _arm(self) -> None:
        if self._timer is None and self._events:
            due = max(0.0, self._events[0][0] - self._loop.time())
            self._timer = self._loop.call_later(due, self._run)

    def _run(self) -> None:
        self._timer = None
        if self._events:
            _, event = self._events.popleft()
            try:
                if isinstance(event, Arrival) and event.answers_handshake:
                    self._join_what_is_due(event)
                event()
            finally:
                self._arm()

    def _join_what_is_due(self, arrival: Arrival) -> None:
        now = self._loop.time()
        while self._events and self._events[0][0] <= now:
            _, event = self._events[0]
            if not isinstance(event, Arrival):
                break
            arrival.join(event)
            self._events.popleft()
