"""Run callbacks on a thread of the user's choice; the loop's thread only queues the calls.

The queue of each callback is bounded: one value for a store, the stream's `limit` for messages.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Final, Literal, Protocol, Self, TypeAlias

from sockstore.base.errors import InvalidOption, Lagged
from sockstore.base.plain_calls import PLAIN, refuse_async
from sockstore.base.records import Message
from sockstore.blocking.streams import CallbackBuffer
from sockstore.blocking.waiting import Bell, wait_until

__all__ = [
    "Callback",
    "Callbacks",
    "MessageCallback",
    "Runner",
    "StoreCallback",
    "Unsubscriber",
    "make_runner",
]

logger: Final = logging.getLogger("sockstore")

Schedule: TypeAlias = Callable[[Callable[[], None]], object]
"""``schedule(run)`` has `run` called soon, on the thread where callbacks should run."""

Callbacks: TypeAlias = Literal["thread", "pump"] | Executor | Schedule
"""Where callbacks run: a thread of their own, wherever `pump` is called, or as scheduled."""


class Callback(Protocol):
    """What a runner runs: a callback, with the calls that are due.

    Attributes:
        is_due: Whether it waits for its turn; set by the runner.
    """

    is_due: bool

    @property
    def waiting(self) -> int:
        """How many calls are due."""

    def run(self) -> None:
        """Make one call."""


class StoreCallback:
    """Call a callback with the newest value of a store.

    Args:
        callback: Called with each value, or with the newest only if it is slow.
        announce: Called when a call is due.
    """

    def __init__(
        self, callback: Callable[[Any], object], announce: Callable[[Callback], None]
    ) -> None:
        self.is_due = False  # set by the runner
        # None once it is unsubscribed.
        self._callback: Callable[[Any], object] | None = callback
        self._announce = announce
        # The value of the next call; a deque, whose methods are atomic.
        self._newest: deque[Any] = deque(maxlen=1)

    def receive(self, value: object) -> None:
        """Keep the store's new value for the next call."""
        self._newest.append(value)
        self._announce(self)

    def stop(self) -> None:
        """Stop calling it."""
        self._callback = None
        self._newest.clear()

    @property
    def waiting(self) -> int:
        """1 if the callback has not received the newest value, else 0."""
        return len(self._newest)

    def run(self) -> None:
        """Call the callback with the newest value."""
        try:
            value = self._newest.pop()
        except IndexError:
            return
        if (callback := self._callback) is not None:
            callback(value)


class MessageCallback:
    """Call a callback with each message.

    Args:
        callback: Called with each message.
        buffer: The messages that wait for it.
        announce: Called when a call is due.
    """

    def __init__(
        self,
        callback: Callable[[Message], object],
        buffer: CallbackBuffer,
        announce: Callable[[Callback], None],
    ) -> None:
        self.is_due = False  # set by the runner
        self.buffer = buffer  # replaced by `stop`
        # None once it is unsubscribed.
        self._callback: Callable[[Message], object] | None = callback
        buffer.on_news = lambda: announce(self)

    def stop(self) -> None:
        """Stop calling it."""
        self._callback = None
        # The log forgets the former buffer, since nothing else references it.
        self.buffer = CallbackBuffer()

    @property
    def waiting(self) -> int:
        """How many messages wait; a `Lagged` counts as one."""
        return self.buffer.lag or self.buffer.has_news

    def run(self) -> None:
        """Call the callback with one message.

        Raises:
            Lagged: If the callback fell behind.
        """
        message = self.buffer.take()
        if message is not None and (callback := self._callback) is not None:
            callback(message)


class Unsubscriber:
    """A callback that is in use; call this, or leave its `with` block, to stop that.

    Args:
        stop: Unsubscribes the callback.
        websocket: The WebSocket; this keeps it alive.
    """

    def __init__(self, stop: Callable[[], None], websocket: object) -> None:
        self._stop = stop
        self._websocket = websocket

    def __call__(self) -> None:
        """Unsubscribe; a call that another thread is making is finished."""
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self()


class Runner:
    """Run the callbacks that are due, in order, one call at a time, when `pump` is called."""

    def __init__(self) -> None:
        # Rings when a call is due, and when a thread of its own should end.
        self._bell = Bell()
        # Guards `_due`.
        self._lock = threading.RLock()
        # Callbacks with calls to make, each once; `announce` appends.
        self._due: deque[Callback] = deque()
        # Held while callbacks run.
        self._turn = threading.Lock()

    def announce(self, callback: Callback) -> None:
        """Note that a call of this callback is due."""
        with self._lock:
            if callback.is_due:
                return
            callback.is_due = True
            self._due.append(callback)
        self.wake()

    def wake(self) -> None:
        """Have `run_due` called soon."""
        self._bell.ring()

    def open(self) -> None:
        """Be ready for calls, because the connection is in use."""

    def finish(self, timeout: float) -> None:
        """Wait for the calls that are due, because the connection is no longer in use."""

    def wait(self, timeout: float | None) -> bool:
        """Wait until a call is due; return whether one is."""
        try:
            return wait_until(self._bell, lambda: bool(self._due) or None, timeout)
        except TimeoutError:
            return False

    def run_due(self) -> int:
        """Run the callbacks that are due now; return how many calls were made."""
        if self._turn.locked():
            # Another thread runs them, or a callback called `pump`.
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
        # Started by the first call that is due; None again once it has ended.
        self._thread: threading.Thread | None = None
        # Whether the connection is in use; set by `open`, reset by `finish`.
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
        """Keep the thread while the connection is in use."""
        self._is_open = True

    def finish(self, timeout: float) -> None:
        """Let the thread end; wait for it, unless the caller runs on it."""
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
    """Have callbacks run by the user's scheduler, for example a user interface's loop."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule
        # Whether a call of `_run` is scheduled; set by `wake`, reset by `_run`.
        self._is_scheduled = False
        # Whether the last attempt to schedule failed: only the first failure is logged.
        self._has_failed = False

    def wake(self) -> None:
        """Schedule a run, unless one is scheduled already."""
        with self._lock:
            if self._is_scheduled:
                return
            self._is_scheduled = True
        try:
            self._schedule(self._run)
        except Exception as error:  # noqa: BLE001 - the user's, or an executor that has ended
            self._is_scheduled = False
            # Not while the interpreter exits, where executors end before connections.
            if not self._has_failed and threading.main_thread().is_alive():
                logger.warning("callbacks= could not schedule the callbacks: %r", error)
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
    """Return the runner for what users give as ``callbacks=``.

    Raises:
        InvalidOption: If it cannot run callbacks.
    """
    if callbacks == "thread":
        return OwnThread()
    if callbacks == "pump":
        return Runner()
    if isinstance(callbacks, Executor):
        executor = callbacks
        return Scheduled(lambda run: executor.submit(run).add_done_callback(_log_error))
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
        logger.exception("a callback raised an exception")


def _log_error(future: Future[None]) -> None:
    """Log why an executor could not run callbacks; a process pool, for example, never can."""
    if not future.cancelled() and (error := future.exception()) is not None:
        logger.error("the executor of callbacks= could not run the callbacks", exc_info=error)
