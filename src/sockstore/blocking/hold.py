"""Keep the threads of one WebSocket running, from `connect` until nothing is left of it."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, ParamSpec, TypeVar

from sockstore.base.errors import ConnectionEnded, DeliveryError
from sockstore.blocking.callbacks import Runner
from sockstore.blocking.loop_thread import GRACE, LoopThread, shared
from sockstore.blocking.waiting import refuse_inside_a_loop
from sockstore.connection import receipts
from sockstore.connection.view import engine_of
from sockstore.connection.websocket_store import WebSocketStore

__all__ = ["Hold", "not_connected"]

T = TypeVar("T")
P = ParamSpec("P")

logger: Final = logging.getLogger("sockstore")

FORKED: Final = (
    "this WebSocket was made before os.fork(), and its connection belongs to the parent process; "
    "make a new WebSocket in this process"
)


class Hold:
    """One WebSocket's claim on the loop's thread.

    While the thread is held, everything that changes the connection happens there. Otherwise the
    connection is at rest, and each call happens in the calling thread, one at a time.

    Args:
        store: The connection; it is not kept alive.
        runner: Runs the callbacks as long as the connection is in use.

    Attributes:
        awaits_use: Whether it is lazy and connects when it is used; set by `begin`, reset by what
            closes it.
    """

    def __init__(self, store: WebSocketStore, runner: Runner) -> None:
        engine = engine_of(store)
        self._store = weakref.ref(store)
        self._driver = engine.driver
        self._runner = runner
        # Seconds that closing may take.
        self._close_timeout = engine.machine.settings.close_timeout
        self.awaits_use: bool = False
        self._is_lazy = engine.users is not None
        # Warns if the connection is in use when it is dropped.
        self._finalizer = engine.finalizer
        self._process = os.getpid()
        # Guards `_thread`, and calls in the calling thread.
        self._lock = threading.RLock()
        # The thread that is held; set by what connects or waits, reset once the connection rests.
        self._thread: LoopThread | None = None

    @property
    def is_in_another_process(self) -> bool:
        """Whether this process is a fork of the one that made the WebSocket."""
        return os.getpid() != self._process

    def check_process(self) -> None:
        """Refuse a WebSocket that belongs to the parent process."""
        if self.is_in_another_process:
            raise RuntimeError(FORKED)

    @property
    def is_here(self) -> bool:
        """Whether the caller runs on the thread that is held."""
        thread = self._thread
        return thread is not None and thread.is_current

    def check_may_block(self, action: str) -> None:
        """Refuse to wait where it would never end, or block other tasks.

        Raises:
            RuntimeError: On the loop's own thread, in another event loop, or after a fork.
        """
        self.check_process()
        if self.is_here:
            raise RuntimeError(
                f"{action}() cannot wait here, on the thread of the event loop that it waits for; "
                "use the WebSocketStore that on_open is given, or a callback of subscribe()"
            )
        refuse_inside_a_loop(action)

    def check_may_wait(self, action: str) -> None:
        """Refuse to wait for the connection where it would never end, or block other tasks.

        Raises:
            RuntimeError: As `check_may_block`, and before `connect`.
        """
        self.check_may_block(action)
        store = self._store()
        if store is not None and store.state.value.phase == "idle" and not self.awaits_use:
            raise not_connected(action)

    def call(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function where the connection lives, and return what it returns."""
        self.check_process()
        with self._lock:
            thread = self._living_thread()
            if thread is None:
                if (store := self._store()) is not None:
                    engine_of(store).adopt()
                return fn(*args, **kwargs)
            if thread.is_current:
                return fn(*args, **kwargs)
            pending = thread.post(fn, *args, **kwargs)
        return thread.wait(pending)

    def bind(self, fn: Callable[[], object]) -> Callable[[], None]:
        """Return a function that calls another one where the connection lives, if it is ours."""

        def call() -> None:
            if not self.is_in_another_process:
                self.call(fn)

        return call

    def begin(self, action: str, fn: Callable[[], None]) -> None:
        """Hold the thread, and call a function that connects on it.

        Raises:
            RuntimeError: In another event loop, or after a fork.
        """
        self.check_process()
        if not self.is_here:
            refuse_inside_a_loop(action)
        self._runner.open()
        with self._lock:
            thread = self._living_thread()
            if thread is None:
                thread = self._thread = shared.hold(self)
            if thread.is_current:
                self.awaits_use = self._is_lazy
                fn()
                return
            pending = thread.post(self._begin, thread, fn)
        thread.wait(pending)

    def _begin(self, thread: LoopThread, fn: Callable[[], None]) -> None:
        with self._lock:
            # An earlier call in the thread's queue may have released it.
            self._thread = thread
            with shared.lock:
                thread.users.add(self)
        self.awaits_use = self._is_lazy
        try:
            fn()
        finally:
            self._release_at_rest()

    def run(
        self,
        action: str,
        fn: Callable[P, Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a coroutine function of the connection, and wait for it.

        Raises:
            RuntimeError: If the caller may not wait here and now.
            ConnectionEnded: If the connection was closed meanwhile.
        """
        self.check_may_wait(action)
        return self._run(fn, *args, **kwargs)

    def _run(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock:
            thread = self._living_thread()
            if thread is None:
                thread = self._thread = shared.hold(self)
            pending = thread.run(lambda: self._visit(fn, *args, **kwargs))
        try:
            return thread.wait(pending)
        except asyncio.CancelledError:
            raise ConnectionEnded("the connection is closed") from None

    async def _visit(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it on the thread, then release the thread if the connection is at rest."""
        if self._driver.at_rest and (store := self._store()) is not None:
            # Its stores may belong to a thread that has ended.
            engine_of(store).adopt()
        try:
            return await fn(*args, **kwargs)
        finally:
            self._release_at_rest()

    def wait_for(self, receipt: receipts.Receipt, timeout: float | None) -> None:
        """Wait until a message is delivered."""
        # The fate of a message may be known before `connect`.
        is_pending = receipts.delivery_of(receipt).is_pending
        check = self.check_may_wait if is_pending else self.check_may_block
        check("wait")

        async def wait() -> None:
            async with asyncio.timeout(timeout):
                await receipt

        self._run(wait)

    def hand_over(self, store: WebSocketStore) -> None:
        """Before closing, wait until everything that was sent is handed over; warn if it is not."""
        may_send = store.state.value.phase in {"connecting", "open", "waiting"}
        if self.is_in_another_process or not may_send:
            return
        try:
            self.run("close", store.drain, self._close_timeout)
        except (TimeoutError, DeliveryError) as error:
            waiting = self.call(store.stats).messages_waiting
            logger.warning("%d messages were not sent before closing: %s", waiting, error)

    def close(self, store: WebSocketStore, code: int, reason: str) -> None:
        """Close, and wait until nothing is left; on the loop's thread without waiting."""
        if self.is_in_another_process:
            return
        is_waiting = not self.is_here
        self.awaits_use = False
        self._close(store, code, reason)
        self._runner.finish(self._close_timeout if is_waiting else 0.0)

    def _close(self, store: WebSocketStore, code: int, reason: str) -> None:
        with self._lock:
            thread = self._living_thread()
            if thread is None:
                self.call(store.close, code, reason)
                return
            if thread.is_current:
                store.close(code, reason)
                thread.run(self.end)
                return
            pending = thread.run(self._close_there, thread, store, code, reason)
        try:
            is_last = pending.wait(self._close_timeout + GRACE)
        except TimeoutError:
            shared.give_up(thread)
            logger.warning(
                "close() gave up after %g s: a callable of yours blocks the event loop",
                self._close_timeout + GRACE,
            )
            return
        except asyncio.CancelledError:
            is_last = thread.is_ending
        if is_last:
            thread.join()

    async def _close_there(
        self, thread: LoopThread, store: WebSocketStore, code: int, reason: str
    ) -> bool:
        await store.aclose(code, reason)
        await self._release()
        return thread.is_ending

    async def end(self, seconds: float | None = None) -> None:
        """Close within these seconds, and release the thread; the WebSocket may be gone."""
        self.awaits_use = False
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                if (store := self._store()) is not None:
                    await store.aclose()
        await self._abort()

    def drop(self) -> None:
        """Abort the connection of a WebSocket that was dropped; called by the garbage collector."""
        self._finalizer()
        thread = self._thread
        if thread is not None and thread.is_alive and not self.is_in_another_process:
            thread.run(self._abort)
        self._runner.finish(0.0)

    async def _abort(self) -> None:
        if not self._driver.at_rest:
            self._driver.abort()
            await self._driver.wait_for_rest()
        await self._release()

    async def _release(self) -> None:
        """Release the thread, and give it a turn to end if it is unused."""
        self._release_at_rest()
        await asyncio.sleep(0)

    def _living_thread(self) -> LoopThread | None:
        """Return the thread that is held; forget it if its loop has ended."""
        if self._thread is not None and not self._thread.is_alive:
            self._thread = None
        return self._thread

    def _release_at_rest(self) -> None:
        with self._lock:
            thread = self._living_thread()
            if thread is None or not self._driver.at_rest:
                return
            store = self._store()
            if self.awaits_use and store is not None and store.state.value.phase == "idle":
                return
            self._thread = None
            # Under the lock: a `connect` that holds the thread meanwhile would lose it here.
            thread.release(self)


def not_connected(action: str) -> RuntimeError:
    """Return the error of a wait that would never end."""
    return RuntimeError(
        f"{action}() would never return: connect() first, or use `with WebSocket(url) as ws`"
    )
