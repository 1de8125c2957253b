"""A WebSocket with methods that block, for scripts and for threads of user interfaces."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Any, Literal, Self, TypeVar, Unpack, overload

from sockstore.base.close import check_close
from sockstore.base.errors import SockstoreError
from sockstore.base.options import Reconnect
from sockstore.base.state import ConnectionState, Phase, SocketInfo
from sockstore.blocking.callbacks import Callbacks, Runner, Subscription, make_runner
from sockstore.blocking.hold import Hold, not_connected
from sockstore.blocking.receipts import Receipt
from sockstore.blocking.streams import Buffer, MessageStream
from sockstore.blocking.subscriptions import Listener, Source, Status, StoreName, Subscriptions
from sockstore.blocking.waiting import require_timeout
from sockstore.connection.endpoint import PerAttempt
from sockstore.connection.inspection.observer import Stats
from sockstore.connection.inspection.timeline import TimelineEvent
from sockstore.connection.options import ConnectionOptions
from sockstore.connection.view import engine_of
from sockstore.connection.websocket_store import WebSocketStore
from sockstore.messages.buffer import Overflow
from sockstore.messages.log import MessageView
from sockstore.messages.message import Message

__all__ = ["WebSocket"]

T = TypeVar("T")


class WebSocket:
    """A `WebSocketStore` for code that blocks: scripts, threads, user interfaces.

    Its methods may be called from any thread. The connection lives on a thread of its own, and
    Ctrl-C interrupts every wait. Entering the ``with`` block connects and does not wait.

    Leaving it without an exception first hands over what was sent, for at most `close_timeout`,
    then closes. When the interpreter exits, open connections are closed within a second.

    Args:
        url: As for `WebSocketStore`.
        callbacks: Where callbacks run, one at a time and in order: ``"thread"``, a thread of
            their own; ``"pump"``, wherever you call `pump`, for timers of user interfaces and
            loops of games; a `concurrent.futures.Executor`; or a callable that schedules from
            any thread (``wx.CallAfter``, ``GLib.idle_add``). For Tk take ``"pump"`` and
            ``root.after``: Tk must not be called from another thread.
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
        self._store = store
        # Runs the callbacks, where `callbacks` says.
        self._runner = make_runner(callbacks)
        # Calls the store where it lives: on the loop's thread, or in the calling one.
        self._hold = Hold(store, self._runner)
        self._subscriptions = Subscriptions(store, self._hold, self._runner)
        # The messages that `recv` returns; set by `connect`, and again after an end.
        self._buffer: Buffer | None = None
        weakref.finalize(self, self._hold.drop).atexit = False

    # Connecting and closing

    def connect(self, url: PerAttempt[str] | None = None) -> None:
        """Connect and stay connected; returns at once.

        Args:
            url: The url, if it differs from the one given before.

        Raises:
            InvalidURI: If the url cannot be used.
            InvalidOption: If there is no url at all.
            RuntimeError: If an event loop runs here that is not a notebook's: use `WebSocketStore`.
        """
        self._hold.begin("connect", lambda: self._start(lambda: self._store.connect(url)))

    def reconnect(self) -> None:
        """Open a new connection now, as `WebSocketStore.reconnect`.

        Raises:
            InvalidOption: If there is no url.
            RuntimeError: If an asyncio event loop runs here.
        """
        self._hold.begin("reconnect", lambda: self._start(self._store.reconnect))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close and stay closed; wait until nothing is left, at most `close_timeout`.

        The arguments and errors are those of `WebSocketStore.close`. It may be called from every
        thread and callback, and more than once. In a callable that runs on the event loop's thread
        (``on_open``) it returns at once.
        """
        check_close(code, reason)
        self._hold.close(self._store, code, reason)

    disconnect = close

    def ready(self, timeout: float | None = None) -> None:
        """Wait until the connection is open.

        Args:
            timeout: Seconds to wait at most; None waits through all attempts.

        Raises:
            ConnectionEnded: If it is closed, or failed.
            TimeoutError: If it did not open in time; the attempts continue.
            RuntimeError: If it would never return: before `connect`, or on the loop's thread.
        """
        require_timeout(timeout)
        self._hold.run("ready", self._store.ready, timeout)

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._hold.hand_over(self._store)
        finally:
            self.close()

    # Messages

    def send(  # noqa: PLR0917 - as `WebSocketStore.send`
        self,
        data: Any,
        ttl: float | None = None,
        key: Hashable = None,
        urgent: bool = False,  # noqa: FBT001, FBT002 - as `WebSocketStore.send`
        now: bool = False,  # noqa: FBT001, FBT002 - as `WebSocketStore.send`
        id: str | None = None,  # noqa: A002 - as `WebSocketStore.send`
    ) -> Receipt:
        """Send a message now, or as soon as the connection is open, and return its receipt.

        The arguments and errors are those of `WebSocketStore.send`; `Receipt.wait` blocks.
        """
        receipt = self._hold.call(self._store.send, data, ttl, key, urgent, now, id)
        return Receipt(receipt, self._hold.wait_for, self._hold.call, websocket=self)

    def clear_outbox(self) -> list[Any]:
        """Take back everything that waits to be sent, as `WebSocketStore.clear_outbox`."""
        return self._hold.call(self._store.clear_outbox)

    def recv(self, timeout: float | None = None) -> Message:
        """Wait for the next message; from `connect` on, each is returned once, in order.

        Args:
            timeout: Seconds to wait at most; None sets no limit.

        Raises:
            TimeoutError: If none came in time.
            Lagged: If more than 256 messages waited to be read.
            ConnectionEnded: If the connection was closed or failed, and all was read.
            RuntimeError: If it would never return: before `connect`, or on the loop's thread.
        """
        return iter(self).recv(timeout)

    def __iter__(self) -> MessageStream:
        """Iterate over the messages that `recv` returns."""
        self._hold.check_process()
        if self._buffer is None:
            raise not_connected("recv")
        return MessageStream(self._buffer, self._hold.check_may_wait, lambda: self.state)

    def stream(
        self,
        where: Callable[[Message], object] | None = None,
        *,
        limit: int = 256,
        overflow: Overflow = "error",
        gaps: bool | None = None,
    ) -> MessageStream:
        """Return one more blocking iterator over the messages, from now on.

        The arguments and errors are those of `WebSocketStore.stream`.
        """
        open_buffer = engine_of(self._store).open_buffer
        buffer = self._hold.call(open_buffer, Buffer, where, limit, overflow, gaps=gaps)
        return MessageStream(buffer, self._hold.check_may_wait, lambda: self.state)

    def request(self, data: Any, timeout: float = 10.0, *, idempotent: bool = False) -> Any:
        """Send a request, and return the answer with its id.

        The arguments and errors are those of `WebSocketStore.request`.

        Raises:
            RuntimeError: If it would never return: before `connect`, or on the loop's thread.
        """
        return self._hold.run("request", self._store.request, data, timeout, idempotent=idempotent)

    def drain(self, timeout: float | None = None) -> None:
        """Wait until everything that was sent so far was handed over; with a session, is stored.

        Args:
            timeout: Seconds to wait at most; None sets no limit.

        Raises:
            TimeoutError: If it took longer.
            DeliveryError: If the connection ended, or the last message expired.
            RuntimeError: If it would never return: before `connect`, or on the loop's thread.
        """
        require_timeout(timeout)
        self._hold.run("drain", self._store.drain, timeout)

    # Callbacks

    @overload
    def subscribe(self, what: Literal["status"], callback: Listener[Status]) -> Subscription: ...
    @overload
    def subscribe(self, what: Literal["connected"], callback: Listener[bool]) -> Subscription: ...
    @overload
    def subscribe(self, what: Literal["phase"], callback: Listener[Phase]) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["error"], callback: Listener[SockstoreError | None]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["state"], callback: Listener[ConnectionState]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["socket"], callback: Listener[SocketInfo | None]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["messages"], callback: Listener[MessageView]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["buffered_amount"], callback: Listener[int]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["latency"], callback: Listener[float | None]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["timeline"], callback: Listener[tuple[TimelineEvent, ...]]
    ) -> Subscription: ...
    @overload
    def subscribe(self, what: Source[T], callback: Listener[T]) -> Subscription: ...

    def subscribe(self, what: StoreName | Source[Any], callback: Listener[Any]) -> Subscription:
        """Call `callback` with a store's value, now and on every change.

        A slow callback gets the newest value only. Its exceptions are logged and stop nothing.

        Args:
            what: The name of one of the connection's stores, or a callable that picks or makes
                one: ``lambda connection: connection.select(len)``.
            callback: Called with one value, where the `callbacks` of this WebSocket run.

        Returns:
            The subscription: call it to unsubscribe, or use it in a `with` block.

        Raises:
            InvalidOption: If the connection has no such store.

        Example:
            >>> from sockstore.blocking import WebSocket
            >>> ws = WebSocket("ws://localhost", callbacks="pump")
            >>> unsubscribe = ws.subscribe("status", print)
            >>> ws.pump()
            disconnected
            1
        """
        return Subscription(self._subscriptions.subscribe(what, callback), self)

    def on_status(self, callback: Listener[Status]) -> Subscription:
        """Call `callback` with the guide's status, now and on every change: see `status`."""
        return self.subscribe("status", callback)

    def on_message(
        self,
        callback: Listener[Message],
        *,
        where: Callable[[Message], object] | None = None,
        limit: int = 256,
        overflow: Overflow = "error",
        gaps: bool | None = None,
    ) -> Subscription:
        """Call `callback` with each `Message` from now on, in order, over all reconnects.

        The other arguments and the errors are those of `WebSocketStore.stream`. If the callback
        falls behind by more than `limit`, a warning says how many messages it missed, or with
        ``overflow="drop_oldest"`` the oldest are dropped. Its exceptions are logged, and so are
        those of `where`.
        """
        stop = self._subscriptions.on_message(
            callback, where=where, limit=limit, overflow=overflow, gaps=gaps
        )
        return Subscription(stop, self)

    def pump(self, timeout: float | None = 0.0) -> int:
        """Run the callbacks that are due, on the calling thread; with ``callbacks="pump"``.

        Args:
            timeout: Seconds to wait if none is due; None sets no limit.

        Returns:
            How many calls were made.

        Raises:
            RuntimeError: If callbacks run somewhere else, or it would never return.
        """
        require_timeout(timeout)
        if type(self._runner) is not Runner:
            raise RuntimeError('pump() is for WebSocket(..., callbacks="pump")')
        if timeout != 0:
            self._hold.check_may_block("pump")
            if not self._runner.wait(timeout):
                return 0
        return self._runner.run_due()

    # Reading the state, in any thread

    @property
    def connection(self) -> WebSocketStore:
        """The `WebSocketStore` beneath; change it through its `call_threadsafe`."""
        return self._store

    @property
    def state(self) -> ConnectionState:
        """The whole state, as one snapshot."""
        return self._store.state.value

    @property
    def status(self) -> Status:
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
        """The error of the last attempt or connection; None once one opens."""
        return self.state.exception

    @property
    def socket(self) -> SocketInfo | None:
        """The open socket, or None."""
        return self.state.socket

    @property
    def messages(self) -> MessageView:
        """The last `history` messages."""
        return self._hold.call(lambda: self._store.messages.value)

    def explain(self) -> str:
        """Say in one paragraph what the connection is doing, and why."""
        return self._hold.call(self._store.explain)

    def stats(self) -> Stats:
        """Return the figures of the connection."""
        return self._hold.call(self._store.stats)

    def __repr__(self) -> str:
        return repr(self._store).replace("WebSocketStore", "WebSocket", 1)

    def _start(self, connect: Callable[[], None]) -> None:
        connect()
        if self._buffer is None or self._buffer.has_ended:
            self._buffer = engine_of(self._store).open_buffer(Buffer, None, 256, "error", gaps=None)
        self._subscriptions.follow_new_life()
