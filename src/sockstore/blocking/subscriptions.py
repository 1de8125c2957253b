"""Call callbacks with the values of a connection's stores and with its messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_args

from sockstore.base.checks import require_callable
from sockstore.base.errors import InvalidOption
from sockstore.blocking.callbacks import Callback, MessageCallback, Runner, StoreCallback
from sockstore.blocking.hold import Hold
from sockstore.blocking.streams import CallbackBuffer
from sockstore.connection.view import engine_of
from sockstore.connection.websocket_store import WebSocketStore
from sockstore.messages.buffer import Overflow
from sockstore.messages.message import Message
from sockstore.stores import Readable

__all__ = ["Listener", "Source", "Status", "StoreName", "Subscriptions"]

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

Source: TypeAlias = Callable[[WebSocketStore], Readable[T]]
"""A callable that picks or makes a store of the connection."""

Listener: TypeAlias = Callable[[T], object]
"""A callback for the values of a store, or for messages."""


class Subscriptions:
    """The callbacks that are subscribed to one connection.

    Args:
        store: The connection.
        hold: Calls functions on the thread of the connection.
        runner: Runs the callbacks.
    """

    def __init__(self, store: WebSocketStore, hold: Hold, runner: Runner) -> None:
        self._store = store
        self._hold = hold
        self._runner = runner
        # The callbacks of `on_message`, until they are unsubscribed; a dict keeps their order.
        self._message_callbacks: dict[MessageCallback, None] = {}

    def subscribe(
        self, what: StoreName | Source[Any], listener: Listener[Any]
    ) -> Callable[[], None]:
        """Call a listener with a store's value, now and on every change; return what stops it."""
        require_callable("callback", listener)
        if callable(what):
            require_callable("what", what)
        callback = StoreCallback(listener, self._runner.announce)
        unsubscribe = self._hold.call(lambda: self._pick(what).subscribe(callback.receive))
        return self._stop(callback, unsubscribe)

    def on_message(
        self,
        listener: Listener[Message],
        *,
        where: Callable[[Message], object] | None,
        limit: int,
        overflow: Overflow,
        gaps: bool | None,
    ) -> Callable[[], None]:
        """Call a listener with each message from now on; return what stops it."""
        require_callable("callback", listener)

        def begin() -> MessageCallback:
            buffer = engine_of(self._store).open_buffer(
                CallbackBuffer, where, limit, overflow, gaps=gaps
            )
            callback = MessageCallback(listener, buffer, self._runner.announce)
            self._message_callbacks[callback] = None
            return callback

        callback = self._hold.call(begin)
        return self._stop(callback, lambda: self._message_callbacks.pop(callback, None))

    def follow_new_life(self) -> None:
        """Give `on_message` callbacks the messages of a connection that was connected again."""
        for callback in self._message_callbacks:
            if callback.buffer.is_detached:
                callback.buffer.is_detached = False
                engine_of(self._store).log.add_stream(callback.buffer)

    def _stop(self, callback: Callback, forget: Callable[[], object]) -> Callable[[], None]:
        def stop() -> None:
            callback.stop()
            if not self._hold.is_in_another_process:
                self._hold.call(forget)

        return stop

    def _pick(self, what: StoreName | Source[Any]) -> Readable[Any]:
        if callable(what):
            return what(self._store)
        if what not in NAMES:
            raise InvalidOption("what", what, f"give a callable, or one of {', '.join(NAMES)}")
        store: Readable[Any] = getattr(self._store, what)
        return store
