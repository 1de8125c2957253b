"""Watch a blocking WebSocket: read its state in any thread, and have callbacks called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar, get_args, overload

from sockstore.base.checks import require_callable
from sockstore.base.errors import InvalidOption, SockstoreError
from sockstore.base.records import Message
from sockstore.base.state import ConnectionState, Phase, SocketInfo
from sockstore.blocking.callbacks import Callbacks, Runner, Unsubscriber, make_runner
from sockstore.blocking.hold import Hold
from sockstore.blocking.listeners import Listener, Listeners, Source, Status, StoreName
from sockstore.blocking.streams import CallbackBuffer
from sockstore.blocking.waiting import require_timeout
from sockstore.connection.inspection.observer import Stats
from sockstore.connection.inspection.timeline import TimelineEvent
from sockstore.connection.view import engine_of
from sockstore.connection.websocket_store import WebSocketStore
from sockstore.messages.buffer import Overflow
from sockstore.messages.log import MessageView
from sockstore.stores import Readable

__all__ = ["WatchingSide"]

T = TypeVar("T")

NAMES: Final = get_args(StoreName)


class WatchingSide:
    """The reading side of a blocking WebSocket.

    Args:
        store: The connection.
        callbacks: Where callbacks run.
    """

    def __init__(self, store: WebSocketStore, callbacks: Callbacks) -> None:
        self._store = store
        # Runs the callbacks, where `callbacks` says.
        self._runner = make_runner(callbacks)
        # Calls the store where it lives: on the loop's thread, or in the calling one.
        self._hold = Hold(store, self._runner)
        self._listeners = Listeners(self._hold, self._runner)

    # Callbacks

    @overload
    def on_change(self, what: Literal["status"], callback: Listener[Status]) -> Unsubscriber: ...
    @overload
    def on_change(self, what: Literal["connected"], callback: Listener[bool]) -> Unsubscriber: ...
    @overload
    def on_change(self, what: Literal["phase"], callback: Listener[Phase]) -> Unsubscriber: ...
    @overload
    def on_change(
        self, what: Literal["error"], callback: Listener[SockstoreError | None]
    ) -> Unsubscriber: ...
    @overload
    def on_change(
        self, what: Literal["state"], callback: Listener[ConnectionState]
    ) -> Unsubscriber: ...
    @overload
    def on_change(
        self, what: Literal["socket"], callback: Listener[SocketInfo | None]
    ) -> Unsubscriber: ...
    @overload
    def on_change(
        self, what: Literal["messages"], callback: Listener[MessageView]
    ) -> Unsubscriber: ...
    @overload
    def on_change(
        self, what: Literal["buffered_amount"], callback: Listener[int]
    ) -> Unsubscriber: ...
    @overload
    def on_change(
        self, what: Literal["latency"], callback: Listener[float | None]
    ) -> Unsubscriber: ...
    @overload
    def on_change(
        self, what: Literal["timeline"], callback: Listener[tuple[TimelineEvent, ...]]
    ) -> Unsubscriber: ...
    @overload
    def on_change(self, what: Source[T], callback: Listener[T]) -> Unsubscriber: ...

    def on_change(self, what: StoreName | Source[Any], callback: Listener[Any]) -> Unsubscriber:
        """Call `callback` with a store's value, now and on every change.

        A slow callback gets the newest value only. Its exceptions are logged and stop nothing.

        Args:
            what: The name of one of the connection's stores, or a callable that picks or makes
                one: ``lambda connection: connection.select(len)``.
            callback: Called with one value, where the `callbacks` of this WebSocket run.

        Returns:
            Call it to stop, or use it in a `with` block.

        Raises:
            InvalidOption: If the connection has no such store.

        Example:
            >>> from sockstore.blocking import WebSocket
            >>> ws = WebSocket("ws://localhost", callbacks="pump")
            >>> stop = ws.on_change("status", print)
            >>> ws.pump()
            disconnected
            1
        """
        if callable(what):
            require_callable("what", what)
        elif what not in NAMES:
            raise InvalidOption("what", what, f"give a callable, or one of {', '.join(NAMES)}")

        def pick() -> Readable[Any]:
            store: Readable[Any] = (
                what(self._store) if callable(what) else getattr(self._store, what)
            )
            return store

        return Unsubscriber(self._listeners.on_change(pick, callback), self)

    def on_status(self, callback: Listener[Status]) -> Unsubscriber:
        """Call `callback` with the guide's status, now and on every change: see `status`."""
        return self.on_change("status", callback)

    def on_message(
        self,
        callback: Listener[Message],
        *,
        where: Callable[[Message], object] | None = None,
        limit: int = 256,
        overflow: Overflow = "error",
        gaps: bool = False,
    ) -> Unsubscriber:
        """Call `callback` with each `Message` from now on, in order, over all reconnects.

        The other arguments and the errors are those of `WebSocketStore.stream`. If the callback
        falls behind by more than `limit`, a warning says how many messages it missed, or with
        ``overflow="drop_oldest"`` the oldest are dropped. Its exceptions are logged, and so are
        those of `where`.
        """
        engine = engine_of(self._store)
        stop = self._listeners.on_message(
            lambda: engine.open_buffer(CallbackBuffer, where, limit, overflow, gaps=gaps),
            engine.log.add_stream,
            callback,
        )
        return Unsubscriber(stop, self)

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
