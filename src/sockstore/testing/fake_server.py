"""Be a server without sockets, so that stories are deterministic: by a script, or by a handler."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sockstore.testing.fake_client import Conversations, FakeClient, Handler
from sockstore.testing.script import (
    Accept,
    Close,
    Pause,
    Refuse,
    Send,
    Simple,
    Slow,
    Step,
    accept,
    checked,
    unrolled,
)
from sockstore.transports.base import Listener, Target, TransportOptions
from sockstore.transports.memory import MemoryNetwork, MemoryTransport

__all__ = ["FakeServer", "Handshake"]


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

    A handler is an async function that converses with one client (`FakeClient`). As a step, it
    waits for the next handshake and serves that client while the script goes on.

    What a handler raises closes its client with 1011, and goes to the event loop's exception
    handler. ``async with FakeServer(...)`` raises it, too, at the end of the block: it closes all
    connections with 1001, and waits for the handlers.

    Args:
        script: Steps to play in order, and handlers. After the last step every handshake is
            accepted; a handler that is the last step serves every client that follows.

    Attributes:
        handshakes: Every attempt so far.
        connections: The server's half of every connection that was accepted.

    Raises:
        TypeError: If something in the script is neither a step nor an async function.

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
        >>> async def shout(client: FakeClient) -> None:
        ...     async for message in client:
        ...         await client.send(message.upper())
        >>> async def conversation() -> None:
        ...     async with WebSocketStore("ws://fake", transport=FakeServer(shout)) as connection:
        ...         connection.send("hello")
        ...         print((await anext(connection.stream())).data)
        >>> VirtualClock().run(conversation())
        HELLO
    """

    def __init__(self, *script: Step) -> None:
        self.handshakes: list[Handshake] = []
        self.connections: list[FakeClient] = []
        self._network = MemoryNetwork(self._handshake_received, make_peer=FakeClient)
        self._script = unrolled(checked(script))  # the steps that follow `_step`
        # The present or next step, None after the last one; set by `_play_on` and `_resume`.
        self._step: Step | None = next(self._script, None)
        # What answers the handshakes after the last step.
        self._last = script[-1] if script and callable(script[-1]) else accept()
        self._conversations = Conversations(0.0, "the handler of a FakeServer")
        # Handshakes that no step has answered yet, oldest first; `_answer` removes.
        self._waiting: deque[FakeClient] = deque()
        # Set by `go_down` and at the end of the block, reset by `come_up`.
        self._is_down = False
        # Whether the timer of a `pause` runs; set by `_pause`, reset by `_resume`.
        self._is_pausing = False

    def __call__(self, listener: Listener, options: TransportOptions, /) -> MemoryTransport:
        """Return a transport to this server."""
        return self._network(listener, options)

    async def __aenter__(self) -> Self:
        """Return the server."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections, wait for the handlers, and raise what they raised."""
        self._is_down = True
        self.close(1001, "the server is shutting down")
        await self._conversations.finish()
        if error is None:
            self._conversations.raise_failures()

    @property
    def connection(self) -> FakeClient:
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
    def open_connections(self) -> list[FakeClient]:
        """The connections that are open now."""
        return [connection for connection in self.connections if connection.is_open]

    def send(self, *messages: Any) -> None:
        """Send messages on the newest connection; they arrive together."""
        self.connection.send(*messages)

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

    def _handshake_received(self, peer: FakeClient) -> None:
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
            self._answer(self._last)

    def _play(self, step: Step) -> bool:
        """Play a step; return whether the next one may follow now."""
        match step:
            case Send(messages=messages):
                self.connection.send(*messages)
            case Close(code=code, reason=reason):
                self.connection.close(code, reason)
            case Simple.DROP:
                self.connection.drop()
            case Simple.FREEZE:
                self.connection.freeze()
            case Slow(latency=latency):
                self._network.latency = latency
            case Simple.ECHO:
                self.connection.on_message = self.connection.send
            case Pause(seconds=seconds):
                self._pause(seconds)
                return False
            case Simple.RECEIVE:
                self.connection.on_message = self._message_received
                return False
            case _:
                return self._answer(step)
        return True

    def _answer(self, step: Step) -> bool:
        """Answer the oldest handshake that is not given up; return False if there is none."""
        while self._waiting and self._waiting[0].has_given_up:
            self._waiting.popleft()
        if not self._waiting:
            return False
        match step:
            case Accept():
                self._accept(step)
            case Refuse():
                peer = self._waiting.popleft()
                peer.refuse(step.status, step.retry_after, headers=step.headers, body=step.body)
            case _ if callable(step):
                self._hand_over(self._waiting.popleft(), step)
            case _:
                self._waiting.popleft()
        return True

    def _accept(self, step: Accept) -> None:
        peer = self._waiting.popleft()
        self.connections.append(peer)
        peer.accept(step.subprotocol, step.headers)

    def _hand_over(self, client: FakeClient, handler: Handler) -> None:
        self.connections.append(client)
        self._conversations.begin(client, handler, lambda: self.connections.remove(client))
        # The handler is in the first place of the next turn, this in the second.
        asyncio.get_running_loop().call_soon(client.accept_if_undecided)

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
