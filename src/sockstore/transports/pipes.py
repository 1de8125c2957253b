"""Carry the frames of the memory transport in order, through pipes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from sockstore.base.close import Close
from sockstore.base.state import SocketInfo
from sockstore.transports.base import HIGH_WATER

__all__ = [
    "Accepted",
    "Arrival",
    "Backlog",
    "ClientGone",
    "CloseFrame",
    "Frame",
    "Ping",
    "Pipe",
    "Pong",
    "Sent",
    "frame_size",
    "payload_size",
]

HEADER_BYTES = 2
"""Fewest bytes of a frame before its payload (RFC 6455 section 5.2)."""


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


def frame_size(frame: Frame) -> int:
    """Return the fewest bytes that a frame takes on the wire."""
    return HEADER_BYTES + payload_size(frame)


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


class ClientGone(ConnectionError):
    """The client of a fake server has gone: nothing comes from it, and nothing reaches it."""

    def __init__(self) -> None:
        super().__init__("the client has gone")


class Backlog:
    """Counts what a client has not read yet, so that its server can wait before it sends more.

    As with a socket, a server is held back above 64 KiB, until a quarter of it is left.
    """

    def __init__(self) -> None:
        self._bytes = 0  # not read by the client; changed by `add` and `take`
        self._is_over = False  # whether the connection has ended; set by `end`
        # Set while there is room, and at the end; changed by `add`, `take` and `end`.
        self._room: asyncio.Event | None = None

    def add(self, frames: Iterable[Frame]) -> None:
        """Count frames that were sent."""
        self._bytes += sum(frame_size(frame) for frame in frames)
        if self._bytes > HIGH_WATER and not self._is_over and self._room is None:
            self._room = asyncio.Event()

    def take(self, frame: Frame) -> None:
        """Count a frame that the client has read."""
        self._bytes -= frame_size(frame)
        if self._bytes <= HIGH_WATER // 4:
            self._release()

    def end(self) -> None:
        """Nobody waits any more: the connection has ended."""
        self._is_over = True
        self._release()

    async def room(self) -> None:
        """Wait until the client has read enough.

        Raises:
            ClientGone: If the connection has ended.
        """
        if self._room is not None:
            await self._room.wait()
        if self._is_over:
            raise ClientGone

    def _release(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None


class Sent:
    """What `send` of a server returns: await it, and the server does not outrun its client."""

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog

    def __await__(self) -> Generator[object, None, None]:
        """Wait until there is room to send more.

        Raises:
            ClientGone: If the connection has ended.
        """
        return self._backlog.room().__await__()
