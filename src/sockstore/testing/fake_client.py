"""Converse with the clients of a fake server: what a handler is given, and how it is run."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from sockstore.base.close import Close
from sockstore.base.codecs import encode
from sockstore.base.tasks import start_task
from sockstore.base.urls import redact_url
from sockstore.transports.memory_peer import MemoryPeer
from sockstore.transports.pipes import ClientGone

__all__ = ["ClientGone", "Conversations", "FakeClient", "Handler"]

MOST_UNREAD = 16
"""Messages that wait for a handler, above which its client's writes are not read any more; below a
quarter of it they are read again. `websockets` begins with the same numbers."""

TURNS_TO_LEAVE = 10
"""Turns of the loop that a handler may take to notice that its client has gone."""

LONGEST_REASON = 123
"""Most bytes of a close reason (RFC 6455 section 5.5.1)."""


@dataclass(eq=False, repr=False)
class FakeClient(MemoryPeer):
    """A conversation of a fake server with one client; ``async for`` yields what the client sends.

    A handler that has not refused the client before it first waits has accepted it. When it
    returns, the connection is closed with 1000. When the client goes, ``async for`` ends, and a
    handler that waits for anything else is cancelled.

    Attributes:
        is_decided: Whether its handshake was answered; set by `accept` and `refuse`.
        has_gone: Whether it was refused, has ended, or gave its handshake up; set by `end`.
        close_sent: The server's own close frame, if it has closed first; set by `close`.

    Example:
        >>> from sockstore import WebSocketStore
        >>> from sockstore.testing import FakeServer, VirtualClock
        >>> async def shout(client: FakeClient) -> None:
        ...     if client.path != "/shout":
        ...         client.refuse(404)
        ...         return
        ...     await client.send("ready")
        ...     async for message in client:
        ...         await client.send(message.upper())
        >>> async def story() -> None:
        ...     server = FakeServer(shout)
        ...     async with WebSocketStore("ws://fake/shout", transport=server) as connection:
        ...         connection.send("hello")
        ...         stream = connection.stream()
        ...         print((await anext(stream)).data, (await anext(stream)).data)
        >>> VirtualClock().run(story())
        ready HELLO
    """

    # Messages that the handler has not taken, oldest first; `message_received` adds, `receive` and
    # `__anext__` take.
    _unread: deque[str | bytes] = field(default_factory=deque)
    # Set when a message has come or the client has gone, cleared before waiting for that.
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    is_decided: bool = False
    has_gone: bool = False
    close_sent: Close | None = None
    _is_full: bool = False  # whether too much is unread; set with `_unread`
    _is_heard: bool = False  # whether a handler takes the messages; set by `begin`
    # Called if the handshake is refused; set by `begin`.
    _on_refusal: Callable[[], object] | None = None

    def __repr__(self) -> str:
        state = "open" if self.is_open else "gone" if self.has_gone else "waiting"
        return f"<FakeClient {redact_url(self.target.url)} {state}>"

    @property
    def path(self) -> str:
        """The path of the url, without its query: ``"/chat/tea room"``."""
        return unquote(urlsplit(self.target.url).path) or "/"

    @property
    def query(self) -> dict[str, str]:
        """The parameters in the url's query; of one that stands there twice, the last value."""
        return dict(parse_qsl(urlsplit(self.target.url).query, keep_blank_values=True))

    @property
    def headers(self) -> dict[str, str]:
        """The handshake's headers that the connection was given; names are in lower case."""
        return {name.lower(): value for name, value in self.target.headers}

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """The subprotocols that it offers, the preferred one first."""
        return self.target.subprotocols

    @property
    def reads(self) -> bool:
        """Whether the server reads from the client."""
        return super().reads and not self._is_full

    # The handshake

    def accept(
        self, subprotocol: str | None = None, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Answer the handshake with 101; what is sent next comes in the same read.

        Args:
            subprotocol: The chosen one; None for the first that the client offers, if any.
            headers: Headers of the answer, as (name, value) pairs.

        Raises:
            RuntimeError: If it is answered already.
        """
        self._decide()
        if subprotocol is None and self.target.subprotocols:
            subprotocol = self.target.subprotocols[0]
        super().accept(subprotocol, headers)

    def refuse(
        self,
        status: int | None = None,
        retry_after: float | None = None,
        *,
        reason: str = "",
        headers: tuple[tuple[str, str], ...] = (),
        body: str | bytes = b"",
    ) -> None:
        """Refuse the handshake.

        Args:
            status: The HTTP status; None refuses the TCP connection.
            retry_after: Seconds for the Retry-After header.
            reason: The reason phrase, such as "Forbidden".
            headers: Headers of the answer, as (name, value) pairs.
            body: Its body; text and JSON are shown in the error of the connection.

        Raises:
            RuntimeError: If it is answered already.
        """
        self._decide()
        if self._on_refusal is not None:
            self._on_refusal()
        content = body.encode() if isinstance(body, str) else body
        super().refuse(status, retry_after, reason=reason, headers=headers, body=content)

    def _decide(self) -> None:
        if self.is_decided:
            raise RuntimeError("the handshake of this client is answered already")
        self.is_decided = True

    def hang(self) -> None:
        """Never answer the handshake.

        Raises:
            RuntimeError: If it is answered already.
        """
        self._decide()

    def accept_if_undecided(self) -> None:
        """Accept the handshake, unless it is answered already."""
        if not self.is_decided:
            self.accept()

    # The conversation

    async def receive(self) -> str | bytes:
        """Return the next message of the client.

        Raises:
            ClientGone: If the client has gone, and everything that it sent was taken.
        """
        self.accept_if_undecided()
        return await self.take()

    async def take(self) -> str | bytes:
        """Return the next message as `receive` does, but leave the handshake unanswered."""
        while not self._unread:
            if self.has_gone:
                raise ClientGone
            self._changed.clear()
            await self._changed.wait()
        message = self._unread.popleft()
        if self._is_full and len(self._unread) <= MOST_UNREAD // 4:
            self._is_full = False
            self.transport.to_server.post(self.transport.flush)
        return message

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Iterate over the messages of the client until it has gone."""
        return self

    async def __anext__(self) -> str | bytes:
        """Return the next message of the client."""
        try:
            return await self.receive()
        except ClientGone:
            raise StopAsyncIteration from None

    def send(self, *messages: Any) -> Awaitable[None]:
        """Send messages that arrive together: `str`, bytes, or data that becomes JSON.

        Returns:
            An awaitable that waits until the client has read enough to send more; it raises
            `ClientGone` if the client has gone.
        """
        self.accept_if_undecided()
        return super().send(*map(encode, messages))

    def ping(self, payload: bytes = b"") -> None:
        """Send a ping."""
        self.accept_if_undecided()
        super().ping(payload)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close with a closing handshake; do nothing if the connection has ended."""
        self.accept_if_undecided()
        if self.is_open:
            self.close_sent = Close(code, reason, clean=True)
            super().close(code, reason)

    def drop(self) -> None:
        """Break the connection without a close frame."""
        self.accept_if_undecided()
        super().drop()

    def freeze(self) -> None:
        """Neither read nor write any more, like a machine whose cable was pulled."""
        self.accept_if_undecided()
        super().freeze()

    async def wait_closed(self) -> None:
        """Wait until the client has gone, or the connection was closed."""
        self.accept_if_undecided()
        while not self.has_gone:
            self._changed.clear()
            await self._changed.wait()

    # Called by the network and the server

    def message_received(self, message: str | bytes) -> None:
        """The client sent a message."""
        super().message_received(message)
        if self._is_heard:
            self._unread.append(message)
            self._is_full = len(self._unread) > MOST_UNREAD
            self._changed.set()

    def end(self) -> None:
        """Note that it has ended; a second call changes nothing."""
        self.has_gone = True
        super().end()
        self._changed.set()

    def begin(self, on_refusal: Callable[[], object], on_end: Callable[[], object]) -> None:
        """Keep the messages for a handler, and say when there is nothing to handle any more."""
        self._is_heard = True
        self._on_refusal, self.on_end = on_refusal, on_end


Handler: TypeAlias = Callable[[FakeClient], Coroutine[Any, Any, object]]
"""An async function that serves one client of a `FakeServer`."""


class Conversations:
    """Runs the handlers of one server, each in a task of its own that ends with its client.

    Args:
        patience: Seconds after which a handler whose client has gone is cancelled; 0 for a few
            turns of the loop.
        what: What the handlers are, for the message about one that raises.

    Attributes:
        failures: What handlers raised, oldest first; `_run` adds.
    """

    def __init__(self, patience: float, what: str) -> None:
        self.failures: list[BaseException] = []
        self._patience = patience
        self._what = what
        self._tasks: set[asyncio.Task[None]] = set()  # `begin` adds, the end of a task removes

    def begin(self, client: FakeClient, handler: Handler, on_refusal: Callable[[], object]) -> None:
        """Run a handler from the next turn of the loop on."""
        loop = asyncio.get_running_loop()
        task = start_task(self._run(client, handler), name=f"handler of {client.path}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def client_gone() -> None:
            if self._patience:
                timer = loop.call_later(self._patience, task.cancel)
                task.add_done_callback(lambda _: timer.cancel())
            else:
                _cancel_later(task, loop, TURNS_TO_LEAVE)

        client.begin(on_refusal, client_gone)

    async def finish(self) -> None:
        """Wait until all handlers have ended; no client is there any more, or is let in."""
        if not self._patience:
            loop = asyncio.get_running_loop()
            for task in self._tasks:
                _cancel_later(task, loop, TURNS_TO_LEAVE)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def raise_failures(self) -> None:
        """Raise what the handlers raised: one error as it is, several as a group."""
        failures, self.failures = self.failures, []
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise BaseExceptionGroup(f"{self._what} raised several times", failures)

    async def _run(self, client: FakeClient, handler: Handler) -> None:
        try:
            await handler(client)
        except (KeyboardInterrupt, SystemExit, asyncio.CancelledError):
            raise
        except BaseException as error:  # noqa: BLE001 - also what `pytest.fail` raises
            failure = _without_departures(error)
        else:
            failure = None
        if failure is not None:
            self._report(client, failure)
        else:
            client.close(1000)

    def _report(self, client: FakeClient, failure: BaseException) -> None:
        """Tell the program and the client that a handler failed."""
        self.failures.append(failure)
        words = f"{type(failure).__name__}: {failure}".encode()[:LONGEST_REASON]
        if not client.is_decided:
            client.refuse(500, body=words)
        else:
            client.close(1011, words.decode(errors="ignore"))
        context = {"message": f"{self._what} raised", "exception": failure}
        asyncio.get_running_loop().call_exception_handler(context)


def _cancel_later(task: asyncio.Task[None], loop: asyncio.AbstractEventLoop, turns: int) -> None:
    if turns and not task.done():
        loop.call_soon(_cancel_later, task, loop, turns - 1)
    else:
        task.cancel()


def _without_departures(error: BaseException) -> BaseException | None:
    """Return an error without `ClientGone`, also within groups; None if nothing is left."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(ClientGone)[1]
    return None if isinstance(error, ClientGone) else error
