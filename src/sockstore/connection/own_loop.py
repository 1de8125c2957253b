"""Tie a connection to one event loop and its thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, Protocol, TypeVar

from sockstore.base.plain_calls import refuse_async

__all__ = ["FOREIGN_THREAD", "OwnLoop"]

T = TypeVar("T")
P = ParamSpec("P")

FOREIGN_THREAD = (
    "a connection belongs to the thread of its event loop; from another thread use "
    "connection.call_threadsafe(function, *arguments)"
)


class Movable(Protocol):
    """A connection that may move from one event loop to another."""

    @property
    def at_rest(self) -> bool:
        """Whether it may move now."""

    def discard(self) -> None:
        """Discard what is left, as the loop was closed while the connection was in use."""


class OwnLoop:
    """The event loop that a connection belongs to while it is in use.

    Args:
        connection: The connection; its driver.

    Attributes:
        loop: The loop, and None before the first `bind`.
        thread: The loop's thread.
        now: Returns the loop's time, which is the machine's clock.
        is_closed: Returns whether the loop is closed.
    """

    __slots__ = ("_connection", "is_closed", "loop", "now", "thread")

    def __init__(self, connection: Movable) -> None:
        self._connection = connection
        # All four are set by `bind`.
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: int | None = None
        self.now: Callable[[], float] = _time_without_loop
        self.is_closed: Callable[[], bool] = _not_closed

    def bind(self, action: str) -> bool:
        """Belong to the running loop from now on.

        Args:
            action: The method that the user called.

        Returns:
            Whether it belonged to another loop, or to none.

        Raises:
            RuntimeError: If no loop runs here, or the connection lives on another one.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.check_thread()
            raise RuntimeError(
                f"{action}() needs a running event loop; call it from a coroutine, or from a "
                "callback of the loop"
            ) from None
        if self.loop is loop:
            return False
        if self.loop is not None:
            self.check_thread()
            if not self._connection.at_rest:
                raise RuntimeError(f"{action}(): this connection is in use on another event loop")
        self.loop, self.thread = loop, threading.get_ident()
        self.now, self.is_closed = loop.time, loop.is_closed
        return True

    def check_thread(self) -> None:
        """Refuse a change from another thread than the loop's (ST12), unless the loop is closed."""
        if self.is_closed() and not self._connection.at_rest:
            self._connection.discard()
        is_foreign = self.thread is not None and self.thread != threading.get_ident()
        if is_foreign and not self._connection.at_rest:
            raise RuntimeError(FOREIGN_THREAD)

    def call_soon(self, fn: Callable[[], object]) -> None:
        """Call a function on the loop, from any thread; a closed loop's connection is discarded."""
        if self.loop is None:
            return
        if self.is_closed():
            self._connection.discard()
        else:
            self.loop.call_soon_threadsafe(fn)

    def call_threadsafe(
        self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Call a function on the loop, as `WebSocketStore.call_threadsafe` says."""
        if self.loop is None:
            raise RuntimeError("call_threadsafe() needs a connection that was connected once")
        instead = "use asyncio.run_coroutine_threadsafe(function(), loop)"
        refuse_async(fn, "call_threadsafe()", instead)
        future: Future[T] = Future()

        def call() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                    future.set_exception(error)

        self.loop.call_soon_threadsafe(call)
        return future


def _time_without_loop() -> float:
    """Return the time of the loop that runs here, if there is one."""
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return time.monotonic()


def _not_closed() -> bool:
    """Return False, as long as no loop is bound that could be closed."""
    return False
