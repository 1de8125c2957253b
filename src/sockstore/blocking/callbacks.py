"""Callbacks: what is due is noted on the loop's thread and run on a thread of the user's choice.

What waits is bounded: a store has one newest value, messages have a stream with its `limit`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Literal, Protocol, Self, TypeAlias

from sockstore.base.errors import InvalidOption, Lagged
from sockstore.base.plain_calls import PLAIN, refuse_async
from sockstore.blocking.streams import CallbackBuffer
from sockstore.blocking.waiting import Bell, wait_until
from sockstore.messages.message import Message

__all__ = ["Callbacks", "MessageCallback", "Runner", "StoreCallback", "Subscription", "make_runner"]

logger = logging.getLogger("sockstore")

Schedule: TypeAlias = Callable[[Callable[[], None]], object]
"""``schedule(run)``: have `run` called soon, on the thread where callbacks belong."""

Callbacks: TypeAlias = Literal["thread", "pump"] | Executor | Schedule
"""Where callbacks run: a thread of their own, wherever `pump` is called, or as scheduled."""


class Callback(Protocol):
    """One callback, and what waits for it."""

    is_due: bool

    @property
    def waiting(self) -> int:
        """How many calls are due."""

    def run(self) -> None:
        """Make one call; what the callback raises is raised."""


class StoreCallback:
    """Tell a callback the newest value of a store.

    Args:
        callback: Called with each value, or the newest if it is slow.
        announce: Called when there is something to tell.
    """

    def __init__(
        self, callback: Callable[[Any], object], announce: Callable[[Callback], None]
    ) -> None:
        self.is_due = False
        self._callback: Callable[[Any], object] | None = callback
        self._announce = announce
        self._newest: deque[Any] = deque(maxlen=1)

    def receive(self, value: object) -> None:
        """The store has this value now."""
        self._newest.append(value)
        self._announce(self)

    def stop(self) -> None:
        """Call it no more."""
        self._callback = None
        self._newest.clear()

    @property
    def waiting(self) -> int:
        """Whether there is a value to tell."""
        return len(self._newest)

    def run(self) -> None:
        """Tell the newest value."""
        try:
            value = self._newest.pop()
        except IndexError:
            return
        if (callback := self._callback) is not None:
            callback(value)


class MessageCallback:
    """Tell a callback each message.

    Args:
        callback: Called with each message.
        buffer: Where messages wait for it.
        announce: Called when there is something to tell.
    """

    def __init__(
        self,
        callback: Callable[[Message], object],
        buffer: CallbackBuffer,
        announce: Callable[[Callback], None],
    ) -> None:
        self.is_due = False
        self.buffer = buffer
        self._callback: Callable[[Message], object] | None = callback
        buffer.on_news = lambda: announce(self)

    def stop(self) -> None:
        """Call it no more."""
        self._callback = None
        self.buffer.on_news = lambda: None
        self.buffer.close()

    @property
    def waiting(self) -> int:
        """How many messages wait; being told that some were missed counts as one."""
        return self.buffer.lag or self.buffer.has_news

    def run(self) -> None:
        """Tell one message.

        Raises:
            Lagged: If the callback fell behind.
        """
        message = self.buffer.take()
        if message is not None and (callback := self._callback) is not None:
            callback(message)


class Subscription:
    """A callback that is called; call this, or leave its `with` block, to stop it.

    Args:
        stop: Stops it.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop

    def __call__(self) -> None:
        """Call it no more; a call that is under way in another thread goes on."""
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self()


class Runner:
    """Run what is due, in order, one call at a time; by itself it waits for `pump`."""

    def __init__(self) -> None:
        self._bell = Bell()
        self._lock = threading.RLock()
        self._due: deque[Callback] = deque()
        self._turn = threading.Lock()

    def announce(self, callback: Callback) -> None:
        """There is something to tell this callback."""
        with self._lock:
            if callback.is_due:
                return
            callback.is_due = True
            self._due.append(callback)
        self.wake()

    def wake(self) -> None:
        """Something is due."""
        self._bell.ring()

    def open(self) -> None:
        """The connection is in use from now on."""

    def finish(self, timeout: float) -> None:
        """The connection is no longer in use: run what is due, and wait so many seconds for it."""

    def wait(self, timeout: float | None) -> bool:
        """Wait until something is due; return whether it is."""
        try:
            return wait_until(self._bell, lambda: bool(self._due) or None, timeout)
        except TimeoutError:
            return False

    def run_due(self) -> int:
        """Run what is due now, and not what becomes due meanwhile; return how many calls."""
        if self._turn.locked():
            # Another thread is at it, or we are inside one of its calls.
            return 0
        with self._turn:
            return sum(self._run_next() for _ in range(len(self._due)))

    def _run_next(self) -> int:
        with self._lock:
            if not self._due:
                return 0
            callback = self._due.popleft()
            callback.is_due = False
        count = callback.waiting
        try:
            for _ in range(count):
                _run(callback)
        finally:
            if callback.waiting:
                self.announce(callback)
        return count


class OwnThread(Runner):
    """Run callbacks on a thread of their own, which ends when the connection is closed."""

    def __init__(self) -> None:
        super().__init__()
        self._thread: threading.Thread | None = None
        self._is_open = False

    def wake(self) -> None:
        """Start the thread, or wake it."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="sockstore: callbacks", daemon=True
                )
                self._thread.start()
        self._bell.ring()

    def open(self) -> None:
        """Let the thread wait for what comes."""
        self._is_open = True

    def finish(self, timeout: float) -> None:
        """Let the thread end; wait for it, unless this is it."""
        self._is_open = False
        thread = self._thread
        self._bell.ring()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _work(self) -> None:
        while True:
            self.run_due()
            with self._lock:
                if not self._due and not self._is_open:
                    self._thread = None
                    return
            wait_until(self._bell, lambda: bool(self._due or not self._is_open) or None, None)


class Scheduled(Runner):
    """Have callbacks run by something else, for example a user interface's own loop."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule
        self._is_scheduled = False
        self._has_failed = False

    def wake(self) -> None:
        """Schedule a run, unless one is scheduled."""
        with self._lock:
            if self._is_scheduled:
                return
            self._is_scheduled = True
        try:
            self._schedule(self._run)
        except Exception as error:  # noqa: BLE001 - the user's, or an executor that has ended
            self._is_scheduled = False
            # An executor ends before the connections do when the interpreter exits.
            if not self._has_failed and threading.main_thread().is_alive():
                logger.warning("callbacks cannot be run any more: %r", error)
            self._has_failed = True
        else:
            self._has_failed = False

    def _run(self) -> None:
        self._is_scheduled = False
        try:
            self.run_due()
        finally:
            if self._due:
                self.wake()


def make_runner(callbacks: Callbacks) -> Runner:
    """Return what runs callbacks there.

    Raises:
        InvalidOption: If it is nothing that can.
    """
    if callbacks == "thread":
        return OwnThread()
    if callbacks == "pump":
        return Runner()
    if isinstance(callbacks, Executor):
        executor = callbacks
        return Scheduled(lambda run: executor.submit(run).add_done_callback(_look))
    if callable(callbacks):
        refuse_async(callbacks, "callbacks=", PLAIN)
        return Scheduled(callbacks)
    raise InvalidOption(
        "callbacks", callbacks, "give 'thread', 'pump', an Executor, or a callable that schedules"
    )


def _run(callback: Callback) -> None:
    try:
        callback.run()
    except Lagged as error:
        logger.warning("on_message: %s", error)
    except Exception:
        logger.exception("a callback of a WebSocket raised")


def _look(future: Future[None]) -> None:
    """Tell what nobody else would: a process pool, for example, cannot run callbacks."""
    if not future.cancelled() and (error := future.exception()) is not None:
        logger.error("callbacks could not be run", exc_info=error)
