"""A WebSocket with methods that block, for scripts and for threads of user interfaces."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Self, TypeVar, Unpack, overload

from sockstore.base.close import check_close
from sockstore.base.errors import ConnectionEnded
from sockstore.base.options import Reconnect
from sockstore.base.positions import Position
from sockstore.base.records import Message
from sockstore.base.state import Hint
from sockstore.blocking.callbacks import Callbacks, Unsubscriber
from sockstore.blocking.handlers import answering
from sockstore.blocking.hold import not_connected
from sockstore.blocking.receipts import Receipt, check_wait
from sockstore.blocking.streams import Buffer, MessageStream
from sockstore.blocking.subscription import Subscription
from sockstore.blocking.waiting import require_timeout
from sockstore.blocking.watching import WatchingSide
from sockstore.connection.connection import begin
from sockstore.connection.endpoint import PerAttempt
from sockstore.connection.engine import caller
from sockstore.connection.options import ConnectionOptions
from sockstore.connection.talking import NO_PARAMS, Token, subscribe_from
from sockstore.connection.view import engine_of
from sockstore.connection.websocket_store import WebSocketStore
from sockstore.messages.buffer import Overflow

__all__ = ["WebSocket"]

T = TypeVar("T")


class WebSocket(WatchingSide):
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
        linger: As for `WebSocketStore`.
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
        linger: float = 0.0,
        **options: Unpack[ConnectionOptions],
    ) -> None:
        store = WebSocketStore(url, reconnect=reconnect, linger=linger, **options)
        super().__init__(store, callbacks)
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

    def __enter__(self) -> Self:
        self._hold.begin("connect", lambda: self._start(lambda: begin(self._store)))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._hold.hand_over(self._store)
        finally:
            self.close()

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

    def lose(self, why: str) -> None:
        """End the live connection as a loss, as `WebSocketStore.lose`."""
        self._hold.call(self._store.lose, why)

    def hint(self, hint: Hint) -> None:
        """Pass on a hint of the platform about the network, as `WebSocketStore.hint`."""
        self._hold.call(self._store.hint, hint)

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

    # Messages

    def send(  # noqa: PLR0917 - as `WebSocketStore.send`
        self,
        data: Any,
        ttl: float | None = None,
        key: Hashable = None,
        urgent: bool = False,  # noqa: FBT001, FBT002 - as `WebSocketStore.send`
        now: bool = False,  # noqa: FBT001, FBT002 - as `WebSocketStore.send`
        id: str | None = None,  # noqa: A002 - as `WebSocketStore.send`
        *,
        wait: bool = False,
    ) -> Receipt:
        """Send a message now, or as soon as the connection is open, and return its receipt.

        Args:
            data: As for `WebSocketStore.send`, and so are the errors; `Receipt.wait` blocks.
            ttl: As for `WebSocketStore.send`.
            key: As for `WebSocketStore.send`.
            urgent: As for `WebSocketStore.send`.
            now: As for `WebSocketStore.send`.
            id: As for `WebSocketStore.send`.
            wait: Whether to wait while the outbox has no room, as `WebSocketStore.asend` does;
                otherwise the receipt is refused then. Not with `now`.

        Raises:
            RuntimeError: If the wait would never return: before `connect`, or on the loop's thread.
        """
        check_wait(wait=wait, now=now)
        if wait:
            asend = self._store.asend
            receipt = self._hold.run("send", asend, data, ttl=ttl, key=key, urgent=urgent, id=id)
        else:
            receipt = self._hold.call(self._store.send, data, ttl, key, urgent, now, id)
        return Receipt(receipt, self._hold.wait_for, self._hold.call, websocket=self)

    def clear_outbox(self) -> list[Any]:
        """Take back everything that waits to be sent, as `WebSocketStore.clear_outbox`."""
        return self._hold.call(self._store.clear_outbox)

    def recv(self, timeout: float | None = None) -> Message:
        """Wait for the next message; from `connect` on, each is returned once, in order.

        A lazy connection is in use from the first call on.

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
        if self._hold.awaits_use:
            self._hold.call(engine_of(self._store).log.note_use, self._buffer)
        return MessageStream(self._buffer, self._hold.check_may_wait, self._why_over)

    def stream(
        self,
        where: Callable[[Message], object] | None = None,
        *,
        limit: int = 256,
        overflow: Overflow = "error",
        gaps: bool = False,
    ) -> MessageStream:
        """Return one more blocking iterator over the messages, from now on.

        The arguments and errors are those of `WebSocketStore.stream`.
        """
        open_buffer = engine_of(self._store).open_buffer
        buffer = self._hold.call(open_buffer, Buffer, where, limit, overflow, gaps=gaps)
        return MessageStream(buffer, self._hold.check_may_wait, self._why_over)

    def request(self, data: Any, timeout: float | None = 10.0, *, idempotent: bool = False) -> Any:
        """Send a request, and return the answer with its id.

        The arguments and errors are those of `WebSocketStore.request`.

        Raises:
            RuntimeError: If it would never return: before `connect`, or on the loop's thread.
        """
        return self._hold.run("request", self._store.request, data, timeout, idempotent=idempotent)

    def drain(self, timeout: float | None = None) -> None:
        """Wait until all that was sent so far was handed over; in rooms of `Centrifuge`, is stored.

        Args:
            timeout: Seconds to wait at most; None sets no limit.

        Raises:
            TimeoutError: If it took longer.
            DeliveryError: If the connection ended, or the last message expired.
            RuntimeError: If it would never return: before `connect`, or on the loop's thread.
        """
        require_timeout(timeout)
        self._hold.run("drain", self._store.drain, timeout)

    def reply(self, message: Message, data: Any) -> Receipt:
        """Answer a message on the connection that it came on, or not at all.

        The arguments and errors are those of `WebSocketStore.reply`.
        """
        receipt = self._hold.call(self._store.reply, message, data)
        return Receipt(receipt, self._hold.wait_for, self._hold.call, websocket=self)

    # What the server is asked to tell, and what it asks

    @overload
    def subscribe(
        self,
        key: Hashable,
        params: Mapping[str, Any] = NO_PARAMS,
        *,
        type: type[T],
        history: int | None = 100,
        limit: int = 256,
        snapshot: Callable[[], object] | None = None,
        linger: float = 0.0,
        token: Token = None,
        since: Position | None = None,
    ) -> Subscription[T]: ...
    @overload
    def subscribe(
        self,
        key: Hashable,
        params: Mapping[str, Any] = NO_PARAMS,
        *,
        type: Any = None,
        history: int | None = 100,
        limit: int = 256,
        snapshot: Callable[[], object] | None = None,
        linger: float = 0.0,
        token: Token = None,
        since: Position | None = None,
    ) -> Subscription[Any]: ...
    def subscribe(
        self,
        key: Hashable,
        params: Mapping[str, Any] = NO_PARAMS,
        *,
        type: Any = None,  # noqa: A002 - as `WebSocketStore.subscribe`
        history: int | None = 100,
        limit: int = 256,
        snapshot: Callable[[], object] | None = None,
        linger: float = 0.0,
        token: Token = None,
        since: Position | None = None,
    ) -> Subscription[Any]:
        """Ask the server to tell about something, now and on each connection that follows.

        The arguments and errors are those of `WebSocketStore.subscribe`. `snapshot` and a callable
        `token` run on the thread of the event loop, as the callables of the connection do: let one
        that takes time be a coroutine function.

        Example:
            >>> from sockstore.protocols import Topics
            >>> from sockstore.testing import FakeServer, accept, pause, send
            >>> by_type = Topics(key=lambda data: data.get("type"))
            >>> server = FakeServer(accept(), pause(0.1), send({"type": "price", "value": 101}))
            >>> with WebSocket("ws://localhost", protocol=by_type, transport=server) as ws:
            ...     with ws.subscribe("price") as prices:
            ...         for message in prices:
            ...             print(message.data["value"])
            ...             break
            101
        """
        inner = self._hold.call(
            subscribe_from,
            caller(),
            self._store,
            key,
            params,
            type=type,
            history=history,
            limit=limit,
            snapshot=snapshot,
            linger=linger,
            token=token,
            since=since,
        )
        return Subscription(inner, self._hold, self._runner, self._listeners, self)

    def handle(self, name: str, fn: Callable[..., object]) -> Unsubscriber:
        """Answer the server's calls of this name with what a function returns.

        Args:
            name: The name of the method or event.
            fn: A function, which is called where the callbacks of this WebSocket run; or a
                coroutine function, which runs on the thread of the event loop. All else is as for
                `WebSocketStore.handle`, the errors too.

        Returns:
            Call it to stop, or use it in a `with` block.

        Example:
            >>> from sockstore.protocols import JsonRpc
            >>> ws = WebSocket("ws://localhost", protocol=JsonRpc())
            >>> stop = ws.handle("add", lambda a, b: a + b)
        """
        stop = self._hold.call(self._store.handle, name, answering(fn, self._runner))
        return Unsubscriber(self._hold.bind(stop), self)

    def _why_over(self) -> Exception:
        state = self.state
        return ConnectionEnded(f"the connection is {state.phase}", close=state.close)

    def _start(self, connect: Callable[[], None]) -> None:
        connect()
        engine = engine_of(self._store)
        if self._buffer is None or self._buffer.has_ended:
            self._buffer = engine.open_buffer(Buffer, None, 256, "error", gaps=False, is_use=False)
        self._listeners.follow_new_life()
