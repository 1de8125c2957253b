"""Subscribing: callbacks for stores and messages, on the thread that was chosen for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_args, overload

from sockstore.base.checks import require_callable
from sockstore.base.errors import InvalidOption, SockstoreError
from sockstore.base.state import ConnectionState, Phase, SocketInfo
from sockstore.blocking.callbacks import MessageCallback, Runner, StoreCallback, Subscription
from sockstore.blocking.hold import Hold
from sockstore.blocking.streams import CallbackBuffer, require_timeout
from sockstore.connection.connection_stores import engine_of
from sockstore.connection.inspection.timeline import TimelineEvent
from sockstore.connection.websocket_store import WebSocketStore
from sockstore.messages.log import MessageView
from sockstore.messages.message import Message
from sockstore.messages.stream import Overflow
from sockstore.stores import Readable

__all__ = ["StoreName", "Subscribing"]

T = TypeVar("T")

StoreName: TypeAlias = Literal[
    "buffered_amount",
    "connected",
    "error",
    "latency",
    "messages",
    "phase",
    "socket",
    "state",
    "status",
    "timeline",
]

NAMES: Final = get_args(StoreName)

Status: TypeAlias = Literal["connected", "disconnected", "error"]


class Subscribing:
    """What a blocking WebSocket can tell callbacks.

    Args:
        store: The connection beneath.
        hold: How to reach it.
        runner: Runs the callbacks.
    """

    def __init__(self, store: WebSocketStore, hold: Hold, runner: Runner) -> None:
        self._store = store
        self._hold = hold
        self._runner = runner
        self._message_callbacks: dict[MessageCallback, None] = {}

    @overload
    def subscribe(
        self, what: Literal["status"], callback: Callable[[Status], object]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["connected"], callback: Callable[[bool], object]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["phase"], callback: Callable[[Phase], object]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["error"], callback: Callable[[SockstoreError | None], object]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["state"], callback: Callable[[ConnectionState], object]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["socket"], callback: Callable[[SocketInfo | None], object]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["messages"], callback: Callable[[MessageView], object]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["buffered_amount"], callback: Callable[[int], object]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Literal["latency"], callback: Callable[[float | None], object]
    ) -> Subscription: ...
    @overload
    def subscribe(
        self,
        what: Literal["timeline"],
        callback: Callable[[tuple[TimelineEvent, ...]], object],
    ) -> Subscription: ...
    @overload
    def subscribe(
        self, what: Callable[[WebSocketStore], Readable[T]], callback: Callable[[T], object]
    ) -> Subscription: ...

    def subscribe(
        self,
        what: StoreName | Callable[[WebSocketStore], Readable[Any]],
        callback: Callable[[Any], object],
    ) -> Subscription:
        """Call `callback` with a store's value, now and on every change.

        If it is slow, it gets the newest value. What it raises is logged and stops nothing.

        Args:
            what: The name of one of the connection's stores, or a callable that picks or makes
                one: ``lambda connection: connection.topic("price")``.
            callback: Called with one value, where the `callbacks` of this WebSocket run.

        Returns:
            The subscription: call it to unsubscribe, or use it in a `with` block.

        Raises:
            InvalidOption: If there is no such store.

        Example:
            >>> from sockstore.blocking import WebSocket
            >>> ws = WebSocket("ws://localhost", callbacks="pump")
            >>> unsubscribe = ws.subscribe("status", print)
            >>> ws.pump()
            disconnected
            1
        """
        require_callable("callback", callback)
        if callable(what):
            require_callable("what", what)
        told = StoreCallback(callback, self._runner.announce)
        leave = self._hold.call(lambda: self._pick(what).subscribe(told.receive))

        def stop() -> None:
            told.stop()
            if not self._hold.is_in_another_process:
                self._hold.call(leave)

        return Subscription(stop)

    def on_status(self, callback: Callable[[Status], object]) -> Subscription:
        """Call `callback` with the guide's status, now and on every change.

        Args:
            callback: Called with ``"connected"``, ``"disconnected"`` or ``"error"``.

        Returns:
            The subscription, as from `subscribe`.
        """
        return self.subscribe("status", callback)

    def on_message(
        self,
        callback: Callable[[Message], object],
        *,
        where: Callable[[Message], object] | None = None,
        limit: int = 256,
        overflow: Overflow = "error",
        gaps: bool | None = None,
    ) -> Subscription:
        """Call `callback` with each message from now on, in order, over all reconnects.

        If it falls behind by more than `limit`, a warning says how many it missed, or with
        ``overflow="drop_oldest"`` the oldest are dropped. What it raises is logged.

        Args:
            callback: Called with each `Message`, where the `callbacks` of this WebSocket run.
            where: As for `stream`.
            limit: The same.
            overflow: The same.
            gaps: The same.

        Returns:
            The subscription, as from `subscribe`.

        Raises:
            InvalidOption: If an argument cannot be used.
        """
        require_callable("callback", callback)

        def begin() -> MessageCallback:
            open_stream = engine_of(self._store).open_stream
            buffer = open_stream(CallbackBuffer, where, limit, overflow, gaps=gaps)
            told = MessageCallback(callback, buffer, self._runner.announce)
            self._message_callbacks[told] = None
            return told

        told = self._hold.call(begin)

        def stop() -> None:
            told.stop()
            if not self._hold.is_in_another_process:
                self._hold.call(self._message_callbacks.pop, told, None)

        return Subscription(stop)

    def pump(self, timeout: float | None = 0.0) -> int:
        """Run the callbacks that are due, on the calling thread; with ``callbacks="pump"``.

        Args:
            timeout: Seconds to wait if none is due; None waits for ever.

        Returns:
            How many calls were made.

        Raises:
            RuntimeError: If callbacks run somewhere else, or waiting would never end.

        Example:
            Tk::

                def pump():
                    ws.pump()
                    root.after(50, pump)
        """
        require_timeout(timeout)
        if type(self._runner) is not Runner:
            raise RuntimeError('pump() is for WebSocket(..., callbacks="pump")')
        if timeout != 0:
            self._hold.check_may_block("pump")
            if not self._runner.wait(timeout):
                return 0
        return self._runner.run_due()

    def _follow_new_life(self) -> None:
        """Give callbacks the messages of the life that has begun."""
        for told in self._message_callbacks:
            if told.buffer.is_detached:
                told.buffer.is_detached = False
                engine_of(self._store).log.add_stream(told.buffer)

    def _pick(self, what: StoreName | Callable[[WebSocketStore], Readable[Any]]) -> Readable[Any]:
        if callable(what):
            return what(self._store)
        if what not in NAMES:
            raise InvalidOption("what", what, f"give a callable, or one of {', '.join(NAMES)}")
        store: Readable[Any] = getattr(self._store, what)
        return store
