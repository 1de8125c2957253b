"""Play a script as a server without sockets, so that reconnect stories are deterministic."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeAlias

from sockstore.base.codecs import encode
from sockstore.transports.base import Listener, Target, TransportOptions
from sockstore.transports.memory import MemoryNetwork, MemoryPeer, MemoryTransport

__all__ = [
    "FakeServer",
    "Handshake",
    "Step",
    "accept",
    "close",
    "drop",
    "echo",
    "freeze",
    "hang",
    "pause",
    "receive",
    "refuse",
    "repeat",
    "send",
    "slow",
]


@dataclass(frozen=True, slots=True)
class _Accept:
    subprotocol: str | None
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Refuse:
    status: int | None
    retry_after: float | None
    headers: tuple[tuple[str, str], ...]
    body: bytes


class _Simple(Enum):
    """Steps without arguments."""

    HANG = auto()
    DROP = auto()
    FREEZE = auto()
    RECEIVE = auto()
    ECHO = auto()


@dataclass(frozen=True, slots=True)
class _Send:
    messages: tuple[str | bytes, ...]


@dataclass(frozen=True, slots=True)
class _Close:
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class _Slow:
    latency: float


@dataclass(frozen=True, slots=True)
class _Repeat:
    steps: tuple[Step, ...]


Step: TypeAlias = _Accept | _Refuse | _Simple | _Send | _Close | _Pause | _Slow | _Repeat
"""One step of a script, made by the functions of this module."""


def accept(subprotocol: str | None = None, headers: tuple[tuple[str, str], ...] = ()) -> Step:
    """Accept the next handshake; messages of a `send` right after it come with the answer."""
    return _Accept(subprotocol, headers)


def refuse(
    status: int | None = None,
    *,
    retry_after: float | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    body: str | bytes = b"",
) -> Step:
    """Wait for the next handshake and refuse it.

    Args:
        status: The HTTP status; None refuses the TCP connection.
        retry_after: Seconds for the Retry-After header.
        headers: Headers of the answer.
        body: Its body; text and JSON are shown in the error of the connection.
    """
    content = body.encode() if isinstance(body, str) else body
    return _Refuse(status, retry_after, headers, content)


def hang() -> Step:
    """Wait for the next handshake and never answer it."""
    return _Simple.HANG


def send(*messages: Any) -> Step:
    """Send messages that arrive together: `str`, bytes, or data that becomes JSON."""
    return _Send(tuple(encode(message) for message in messages))


def close(code: int = 1000, reason: str = "") -> Step:
    """Close the connection with a closing handshake."""
    return _Close(code, reason)


def drop(code: int = 1006) -> Step:
    """Break the connection; with another code than 1006, close it with a close frame."""
    return _Simple.DROP if code == 1006 else _Close(code, "")


def freeze() -> Step:
    """Stop answering, like a machine whose cable was pulled."""
    return _Simple.FREEZE


def pause(seconds: float) -> Step:
    """Do nothing for this many seconds."""
    return _Pause(seconds)


def receive() -> Step:
    """Wait for a message from the client."""
    return _Simple.RECEIVE


def echo() -> Step:
    """Send back every message that arrives on this connection from now on."""
    return _Simple.ECHO


def slow(latency: float = 1.0) -> Step:
    """Delay everything by this many seconds from now on, in each direction; 0 ends it."""
    return _Slow(latency)


def repeat(*steps: Step) -> Step:
    """Play these steps repeatedly, without end."""
    return _Repeat(steps)


@dataclass(frozen=True, slots=True)
class Handshake:
    """An attempt that reached the server.

    Args:
        at: When it arrived, in the clock of the loop.
        target: The url, headers and subprotocols.
    """

    at: float
    target: Target


class FakeServer:
    """A server in the same process; give it as ``transport=`` to a `WebSocketStore`.

    Args:
        script: Steps to play in order; after the last one every handshake is accepted.

    Attributes:
        handshakes: Every attempt so far.
        connections: The server's half of every connection that was accepted.

    Example:
        >>> from sockstore import WebSocketStore
        >>> from sockstore.testing import FakeServer, VirtualClock, accept, drop, refuse, send
        >>> async def story() -> None:
        ...     server = FakeServer(accept(), drop(), refuse(503, retry_after=12), accept(),
        ...                         send("back"))
        ...     async with WebSocketStore("ws://fake", transport=server) as connection:
        ...         async for message in connection.stream():
        ...             print(message.data, len(server.handshakes))
        ...             break
        >>> VirtualClock().run(story())
        back 3
    """

    def __init__(self, *script: Step) -> None:
        self.handshakes: list[Handshake] = []
        self.connections: list[MemoryPeer] = []
        self._network = MemoryNetwork(self._handshake_received)
        self._script = _unrolled(script)  # the steps that follow `_step`
        # The present or next step, None after the last one; set by `_play_on` and `_resume`.
        self._step: Step | None = next(self._script, None)
        # Handshakes that no step has answered yet, oldest first; `_answer` and `_accept` remove.
        self._waiting: deque[MemoryPeer] = deque()
        # Set by `go_down`, reset by `come_up`.
        self._is_down = False
        # Whether the timer of a `pause` runs; set by `_pause`, reset by `_resume`.
        self._is_pausing = False

    def __call__(self, listener: Listener, options: TransportOptions, /) -> MemoryTransport:
        """Return a transport to this server."""
        return self._network(listener, options)

    @property
    def connection(self) -> MemoryPeer:
        """The server's half of the newest connection.

        Raises:
            AssertionError: If none was accepted yet.
        """
        if not self.connections:
            raise AssertionError("the fake server has accepted no connection yet")
        return self.connections[-1]

    @property
    def received(self) -> list[str | bytes]:
        """The messages that arrived on all connections, oldest first."""
        return [message for connection in self.connections for message in connection.received]

    @property
    def open_connections(self) -> list[MemoryPeer]:
        """The connections that are open now."""
        return [connection for connection in self.connections if connection.is_open]

    def send(self, *messages: Any) -> None:
        """Send messages on the newest connection; they arrive together."""
        self.connection.send(*(encode(message) for message in messages))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close all open connections with a closing handshake."""
        for connection in self.open_connections:
            connection.close(code, reason)

    def drop(self) -> None:
        """Break all open connections."""
        for connection in self.open_connections:
            connection.drop()

    def freeze(self) -> None:
        """Stop answering on all open connections."""
        for connection in self.open_connections:
            connection.freeze()

    def go_down(self) -> None:
        """Break all connections, and refuse new ones until `come_up`."""
        self._is_down = True
        self.drop()

    def come_up(self) -> None:
        """Accept connections again."""
        self._is_down = False

    # Playing the script

    def _handshake_received(self, peer: MemoryPeer) -> None:
        loop = asyncio.get_running_loop()
        self.handshakes.append(Handshake(loop.time(), peer.target))
        if self._is_down:
            peer.refuse()
            return
        self._waiting.append(peer)
        self._play_on()

    def _play_on(self) -> None:
        while self._step is not None and self._play(self._step):
            self._step = next(self._script, None)
        while self._step is None and self._waiting:
            self._accept(_Accept(None, ()))

    def _play(self, step: Step) -> bool:  # noqa: C901 - a table
        """Play a step; return whether the next one may follow now."""
        match step:
            case _Accept() | _Refuse() | _Simple.HANG:
                return self._answer(step)
            case _Send(messages=messages):
                self.connection.send(*messages)
            case _Close(code=code, reason=reason):
                self.connection.close(code, reason)
            case _Simple.DROP:
                self.connection.drop()
            case _Simple.FREEZE:
                self.connection.freeze()
            case _Slow(latency=latency):
                self._network.latency = latency
            case _Simple.ECHO:
                self.connection.on_message = self.connection.send
            case _Pause(seconds=seconds):
                self._pause(seconds)
                return False
            case _Simple.RECEIVE:
                self.connection.on_message = self._message_received
                return False
            case _Repeat():
                raise AssertionError("repeat() is unrolled before it is played")
        return True

    def _answer(self, step: Step) -> bool:
        """Answer the oldest handshake that is not given up; return False if there is none."""
        while self._waiting and self._waiting[0].has_given_up:
            self._waiting.popleft()
        if not self._waiting:
            return False
        match step:
            case _Accept():
                self._accept(step)
            case _Refuse():
                peer = self._waiting.popleft()
                peer.refuse(step.status, step.retry_after, headers=step.headers, body=step.body)
            case _:
                self._waiting.popleft()
        return True

    def _accept(self, step: _Accept) -> None:
        peer = self._waiting.popleft()
        self.connections.append(peer)
        subprotocol = step.subprotocol
        if subprotocol is None and peer.target.subprotocols:
            subprotocol = peer.target.subprotocols[0]
        peer.accept(subprotocol, step.headers)

    def _message_received(self, message: str | bytes) -> None:
        del message
        self.connection.on_message = None
        self._resume()

    def _pause(self, seconds: float) -> None:
        if not self._is_pausing:
            self._is_pausing = True
            asyncio.get_running_loop().call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._is_pausing = False
        self._step = next(self._script, None)
        self._play_on()


def _unrolled(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Yield the steps, those of `repeat` without end."""
    for step in steps:
        if isinstance(step, _Repeat):
            while True:
                yield from _unrolled(step.steps)
        else:
            yield step
