"""Call callbacks with the values of stores and with messages, where callbacks run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypeVar

from sockstore.base.checks import require_callable
from sockstore.base.records import Message
from sockstore.blocking.callbacks import MessageCallback, Runner, StoreCallback
from sockstore.blocking.hold import Hold
from sockstore.blocking.streams import CallbackBuffer
from sockstore.connection.websocket_store import WebSocketStore
from sockstore.stores import Readable

__all__ = ["Listener", "Listeners", "Source", "Status", "StoreName"]

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

Status: TypeAlias = Literal["connected", "disconnected", "error"]

Source: TypeAlias = Callable[[WebSocketStore], Readable[T]]
"""A callable that picks or makes a store of the connection."""

Listener: TypeAlias = Callable[[T], object]
"""A callback for the values of a store, or for messages."""

Join: TypeAlias = Callable[[CallbackBuffer], object]
"""Gives a buffer every message from now on."""


class Listeners:
    """The callbacks of one WebSocket, those of its subscriptions included.

    Args:
        hold: Calls functions on the thread of the connection.
        runner: Runs the callbacks.
    """

    def __init__(self, hold: Hold, runner: Runner) -> None:
        self._hold = hold
        self._runner = runner
        # The callbacks of `on_message`, and where they get messages from, until they are
        # unsubscribed; a dict keeps their order.
        self._message_callbacks: dict[MessageCallback, Join] = {}

    def on_change(
        self, pick: Callable[[], Readable[Any]], listener: Listener[Any]
    ) -> Callable[[], None]:
        """Call a listener with a store's value, now and on every change; return what stops it."""
        require_callable("callback", listener)
        callback = StoreCallback(listener, self._runner.announce)
        unsubscribe = self._hold.call(lambda: pick().subscribe(callback.receive))
        return self._stop(callback, unsubscribe)

    def on_message(
        self, make: Callable[[], CallbackBuffer], join: Join, listener: Listener[Message]
    ) -> Callable[[], None]:
        """Call a listener with each message from now on.

        Args:
            make: Makes the buffer, which gets messages already.
            join: Gives it messages again, when the connection is connected again.
            listener: Called with each message.

        Returns:
            What stops it.
        """
        require_callable("callback", listener)

        def begin() -> MessageCallback:
            callback = MessageCallback(listener, make(), self._runner.announce)
            self._message_callbacks[callback] = join
            return callback

        callback = self._hold.call(begin)
        return self._stop(callback, lambda: self._message_callbacks.pop(callback, None))

    def follow_new_life(self) -> None:
        """Give `on_message` callbacks the messages of a connection that was connected again."""
        for callback, join in self._message_callbacks.items():
            if callback.buffer.is_detached:
                callback.buffer.is_detached = False
                join(callback.buffer)

    def _stop(
        self, callback: StoreCallback | MessageCallback, forget: Callable[[], object]
    ) -> Callable[[], None]:
        def stop() -> None:
            callback.stop()
            if not self._hold.is_in_another_process:
                self._hold.call(forget)

        return stop
