"""The blocking WebSocket: a connection for scripts and for threads of user interfaces."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Literal, Self, Unpack

from sockstore.base.close import check_close
from sockstore.base.errors import DeliveryError, SockstoreError
from sockstore.base.options import Reconnect
from sockstore.base.state import ConnectionState, Phase, SocketInfo
from sockstore.blocking.callbacks import Callbacks, make_runner
from sockstore.blocking.hold import Hold
from sockstore.blocking.receipts import Receipt
from sockstore.blocking.streams import Buffer, MessageStream, require_timeout
from sockstore.blocking.subscribing import Subscribing
from sockstore.blocking.waiting import refuse_inside_a_loop
from sockstore.connection import receipts
from sockstore.connection.connection_stores import engine_of
from sockstore.connection.endpoint import PerAttempt
from sockstore.connection.inspection.observer import Stats
from sockstore.connection.options import ConnectionOptions
from sockstore.connection.websocket_store import WebSocketStore
from sockstore.messages.log import MessageView
from sockstore.messages.message import Message
from sockstore.messages.stream import Overflow

__all__ = ["WebSocket"]

logger = logging.getLogger("sockstore")

CLOSE_TIMEOUT: Final = 5.0
"""Seconds; what `WebSocketStore` takes if nobody says otherwise."""


class WebSocket(Subscribing):
    """A `WebSocketStore` for code that blocks: scripts, threads, user interfaces.

    Its methods may be called from any thread. The connection lives on a thread of its own; what
    waits can be left with Ctrl-C. Entering the ``with`` block connects and does not wait.

    Leaving it without an exception first hands over what was sent, for at most `close_timeout`,
    then closes. At the interpreter's exit what is open is closed within a second.

    Args:
        url: As for `WebSocketStore`.
        callbacks: Where callbacks run, one at a time and in order: ``"thread"``, a thread of
            their own; ``"pump"``, wherever you call `pump`, for timers of user interfaces and
            loops of games; an `concurrent.futures.Executor`; or a callable that schedules from
            any thread (``wx.CallAfter``, ``GLib.idle_add``). For Tk take ``"pump"`` and
            ``root.after``: its other methods must not be called from another thread.
        reconnect: As for `WebSocketStore`.
        options: All other options of `WebSocketStore`. Callables among them run on the thread of
            the event loop that all blocking WebSockets share.

    Raises:
        InvalidURI: If the url cannot be used.
        InvalidOption: If another option cannot be used.

    Example:
        >>> from sockstore.testing import FakeServer, accept, echo
        >>> with WebSocket("ws://localhost", transport=FakeServer(accept(), echo())) as ws:
        ...     receipt = ws.send({"content": "hello"})
        ...     for message in ws:
        ...         print(message.data)
        ...         break
        {'content': 'hello'}
    """

    def __init__(
        self,
        url: PerAttempt[str] | None = None,
        *,
        callbacks: Callbacks = "thread",
        reconnect: bool | Reconnect = True,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        store = WebSocketStore(url, reconnect=reconnect, **options)
        super().__init__(store, Hold(store), make_runner(callbacks))
        self._close_timeout = options.get("close_timeout", CLOSE_TIMEOUT)
        self._buffer: Buffer | None = None
        dropped = engine_of(store).finalizer
        finalizer = weakref.finalize(self, _forsaken, dropped, self._hold, self._runner)
        finalizer.atexit = False

    # Connecting and closing

    def connect(self, url: PerAttempt[str] | None = None) -> None:
        """Connect and stay connected; returns at once.

        Args:
            url: Where to, if it is not the url given before.

        Raises:
            InvalidURI: If the url cannot be used.
            InvalidOption: If there is no url at all.
            RuntimeError: If an asyncio event loop runs here: use `WebSocketStore` there. In a
                notebook, whose cells block their loop anyway, it works.
        """
        self._begin("connect", lambda: self._store.connect(url))

    def reconnect(self) -> None:
        """Open a new connection now, as `WebSocketStore.reconnect`.

        Raises:
            InvalidOption: If there is no url.
            RuntimeError: If an asyncio event loop runs here.
        """
        self._begin("reconnect", self._store.reconnect)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close and stay closed; wait until nothing is left, at most `close_timeout`.

        It may be called from every thread and callback, again, and at the same time. In a callable
        that runs on the event loop's thread (``on_open``) it returns at once.

        Args:
            code: The close code: 1000, or 3000 to 4999.
            reason: The close reason, at most 123 UTF-8 bytes.

        Raises:
            ValueError: If code or reason cannot be sent; nothing has happened then.
        """
        check_close(code, reason)
        if self._hold.is_in_another_process:
            return
        is_waiting = not self._hold.is_here
        self._hold.close(self._store, code, reason, self._close_timeout)
        self._runner.finish(self._close_timeout if is_waiting else 0.0)

    disconnect = close

    def ready(self, timeout: float | None = None) -> None:
        """Wait until the connection is open.

        Args:
            timeout: Seconds to wait at most; None waits through all attempts.

        Raises:
            ConnectionEnded: If it is closed, or failed.
            TimeoutError: If it did not open in time; it goes on trying.
            RuntimeError: If waiting would never end: before `connect`, or on the loop's thread.
        """
        require_timeout(timeout)
        self._check_may_wait("ready")
        self._hold.run("ready", self._store.ready, timeout)

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._hand_over()
        finally:
            self.close()

    # Messages

    def send(self, data: Any) -> Receipt:
        """Send a message now, or as soon as the connection is open.

        Args:
            data: As for `WebSocketStore.send`.

        Returns:
            A receipt; it is true if the message was handed over or queued. ``wait()`` waits until
            it was handed over; with a session, until it is stored.

        Raises:
            TypeError: If the data cannot be encoded; nothing was sent.
        """
        return Receipt(self._hold.call(self._store.send, data), self._wait_for_receipt)

    def recv(self, timeout: float | None = None) -> Message:
        """Wait for the next message; from `connect` on, none is left out.

        Args:
            timeout: Seconds to wait at most; None waits for ever.

        Returns:
            The message.

        Raises:
            TimeoutError: If none came in time.
            Lagged: If more than 256 messages waited to be read.
            ConnectionEnded: If the connection was closed or failed, and all was read.
            RuntimeError: If waiting would never end: before `connect`, or on the loop's thread.
        """
        return iter(self).recv(timeout)

    def __iter__(self) -> MessageStream:
        """Iterate over the messages from `connect` on, each as `recv` returns it."""
        self._hold.check_process()
        if self._buffer is None:
            raise _not_connected("recv")
        return MessageStream(self, self._buffer)

    def stream(
        self,
        where: Callable[[Message], object] | None = None,
        *,
        limit: int = 256,
        overflow: Overflow = "error",
        gaps: bool | None = None,
    ) -> MessageStream:
        """Return one more blocking iterator over the messages, from now on.

        Args:
            where: Which messages to take; None takes all.
            limit: Messages that may wait for the reader.
            overflow: Above that, ``"error"`` raises `Lagged` in the reader, ``"drop_oldest"``
                counts in `MessageStream.dropped`.
            gaps: Whether to be told where messages are missing, as for `WebSocketStore.stream`.

        Returns:
            The iterator.

        Raises:
            InvalidOption: If `limit` or `overflow` cannot be used.
        """
        open_stream = engine_of(self._store).open_stream
        buffer = self._hold.call(open_stream, Buffer, where, limit, overflow, gaps=gaps)
        return MessageStream(self, buffer)

    def request(self, data: Any, timeout: float = 10.0, *, idempotent: bool = False) -> Any:
        """Send a request, and wait for the answer that carries its id.

        Args:
            data: What to ask; a dict for the formats that come with this package.
            timeout: Seconds to wait at most. What was not sent by then is never sent.
            idempotent: Whether it may be done twice: then it is sent again after a loss.

        Returns:
            The answer, as from `WebSocketStore.request`.

        Raises:
            TimeoutError: If no answer came in time.
            OutcomeUnknown: If the connection was lost after it was handed over.
            RequestFailed: If the answer is an error (`JsonRpc`).
            DeliveryError: If it could not be sent.
            TypeError: If the data cannot be encoded, or cannot carry an id.
            RuntimeError: If the connection has a session, or waiting would never end.
        """
        self._check_may_wait("request")
        return self._hold.run("request", self._store.request, data, timeout, idempotent=idempotent)

    def drain(self, timeout: float | None = None) -> None:
        """Wait until everything that was sent so far was handed over; with a session, is stored.

        Args:
            timeout: Seconds to wait at most; None waits for ever.

        Raises:
            TimeoutError: If it took longer.
            DeliveryError: If the connection ended, or the last message expired.
            RuntimeError: If waiting would never end: before `connect`, or on the loop's thread.
        """
        require_timeout(timeout)
        self._check_may_wait("drain")
        self._hold.run("drain", self._store.drain, timeout)

    # What can be read, in any thread

    @property
    def connection(self) -> WebSocketStore:
        """The connection beneath; `call_threadsafe` is how to change it from here."""
        return self._store

    @property
    def state(self) -> ConnectionState:
        """The snapshot that everything else is part of."""
        return self._store.state.value

    @property
    def status(self) -> Literal["connected", "disconnected", "error"]:
        """The guide's status: ``"error"`` if there is one, else connected or disconnected."""
        return self.state.status

    @property
    def connected(self) -> bool:
        """Whether the connection is open."""
        return self.state.connected

    @property
    def phase(self) -> Phase:
        """The fine state: idle, connecting, open, waiting, closing, closed or failed."""
        return self.state.phase

    @property
    def error(self) -> SockstoreError | None:
        """The last attempt's or connection's error, until one opens; its text is the sentence."""
        return self.state.exception

    @property
    def socket(self) -> SocketInfo | None:
        """The open socket, or None."""
        return self.state.socket

    @property
    def messages(self) -> MessageView:
        """The last `history` messages, as of now."""
        return self._hold.call(lambda: self._store.messages.value)

    def explain(self) -> str:
        """Say in one paragraph what the connection is doing, and why."""
        return self._hold.call(self._store.explain)

    def stats(self) -> Stats:
        """Return the figures of the connection."""
        return self._hold.call(self._store.stats)

    def __repr__(self) -> str:
        return repr(self._store).replace("WebSocketStore", "WebSocket", 1)

    # Inside

    def _begin(self, action: str, connect: Callable[[], None]) -> None:
        if not self._hold.is_here:
            refuse_inside_a_loop(action)
        self._runner.open()
        self._hold.begin(lambda: self._start(connect))

    def _start(self, connect: Callable[[], None]) -> None:
        connect()
        if self._buffer is None or self._buffer.has_ended:
            self._buffer = engine_of(self._store).open_stream(Buffer, None, 256, "error", gaps=None)
        self._follow_new_life()

    def _check_may_wait(self, action: str) -> None:
        self._hold.check_may_block(action)
        if self.phase == "idle":
            raise _not_connected(action)

    def _wait_for_receipt(self, receipt: receipts.Receipt, timeout: float | None) -> None:
        async def wait() -> None:
            async with asyncio.timeout(timeout):
                await receipt

        if receipt.is_pending:
            self._check_may_wait("wait")
        self._hold.run("wait", wait)

    def _hand_over(self) -> None:
        if self._hold.is_in_another_process or self.phase not in {"connecting", "open", "waiting"}:
            return
        try:
            self._hold.run("close", self._store.drain, self._close_timeout)
        except (TimeoutError, DeliveryError) as error:
            waiting = self.stats().messages_waiting
            logger.warning("%d messages were not sent before closing: %s", waiting, error)


def _not_connected(action: str) -> RuntimeError:
    return RuntimeError(
        f"{action}() would wait for ever: connect() first, or use `with WebSocket(url) as ws`"
    )


def _forsaken(drop: Callable[[], object], hold: Hold, runner: Any) -> None:
    """The last reference to a WebSocket is gone: end what it left open."""
    # The connection's own finaliser warns; left to itself it may find the end come already.
    drop()
    hold.forsake()
    runner.finish(0.0)
