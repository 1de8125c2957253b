"""Wait in a thread: interruptible by Ctrl-C, and refused inside an event loop.

The waits use `SimpleQueue`, whose methods are atomic. Those of `threading.Condition` are not: after
Ctrl-C in one of them its lock may stay taken, and the loop's thread would wait for it without end.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from sockstore.base.errors import InvalidOption

__all__ = ["Bell", "Pending", "refuse_inside_a_loop", "require_timeout", "wait_until"]

T = TypeVar("T")

LONGEST_WAIT = 0.1 if sys.platform == "win32" else 0.5
"""Seconds; longer waits are cut into such parts, because a wait may miss Ctrl-C: on Windows always,
elsewhere if it comes between Python's check for signals and the system call."""


class Bell:
    """Wakes the threads that sleep now; a ring does not wake threads that sleep later."""

    __slots__ = ("_sleepers",)

    def __init__(self) -> None:
        # One queue for each sleeping thread, from `enlist` to `ring` or `dismiss`.
        self._sleepers: deque[SimpleQueue[None]] = deque()

    def ring(self) -> None:
        """Wake every sleeping thread; each checks its own condition."""
        while self._sleepers:
            try:
                self._sleepers.popleft().put(None)
            except IndexError:  # another thread rings at the same time
                return

    def enlist(self) -> SimpleQueue[None]:
        """Return the queue to sleep on; check the condition once more before sleeping."""
        box: SimpleQueue[None] = SimpleQueue()
        self._sleepers.append(box)
        return box

    def dismiss(self, box: SimpleQueue[None]) -> None:
        """Forget the queue of a thread that is awake."""
        try:
            self._sleepers.remove(box)
        except ValueError:
            return


def wait_until(bell: Bell, look: Callable[[], T | None], timeout: float | None) -> T:
    """Return the result of `look` as soon as it is not None.

    Args:
        bell: Rings after each change that may change the result of `look`.
        look: Returns the result, or None if it must be called again.
        timeout: Seconds to wait at most; None sets no limit.

    Raises:
        TimeoutError: If `look` still returned None then.
    """
    deadline = _deadline(timeout)
    while (result := look()) is None:
        box = bell.enlist()
        try:
            if (result := look()) is not None:
                break
            _take(box, deadline)
        finally:
            bell.dismiss(box)
    return result


class Pending(Generic[T]):
    """A value or an error that the loop's thread will hand over."""

    __slots__ = ("_box", "is_abandoned", "task")

    def __init__(self) -> None:
        self._box: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self.is_abandoned: bool = False
        """Whether the waiting thread gave up; that thread sets it."""
        self.task: asyncio.Task[None] | None = None
        """The task that makes the value, if there is one; set on the loop's thread."""

    def hand_over(self, value: T) -> None:
        """Hand over the value."""
        self._box.put((value, None))

    def fail(self, error: BaseException) -> None:
        """Hand over an error in place of a value."""
        self._box.put((None, error))

    def cancel(self) -> None:
        """Cancel the task, if there is one."""
        if self.task is not None:
            self.task.cancel()

    def wait(self, timeout: float | None = None) -> T:
        """Return the value, once.

        Args:
            timeout: Seconds to wait at most; None sets no limit.

        Raises:
            TimeoutError: If it did not come in time.
            Exception: The error that was handed over in place of a value.
        """
        error: BaseException | None = None
        try:
            value, error = _take(self._box, _deadline(timeout))
            if error is not None:
                raise error
        finally:
            # The error's traceback refers to this frame: break the reference cycle.
            del error
        result: T = value
        return result


def require_timeout(timeout: float | None) -> None:
    """Refuse a timeout that is neither None nor a number from 0 upwards."""
    if timeout is not None and not timeout >= 0:
        raise InvalidOption("timeout", timeout, "give a number of seconds, or None")


def refuse_inside_a_loop(action: str) -> None:
    """Refuse to block an event loop, except a notebook's, which every running cell blocks.

    Raises:
        RuntimeError: If an event loop runs in this thread, and it is not IPython's.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    if not _is_in_notebook():
        raise RuntimeError(
            f"{action}() would block the event loop that runs in this thread; "
            "in asynchronous code use sockstore.WebSocketStore"
        )


def _is_in_notebook() -> bool:
    shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return shell is not None and shell() is not None


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def _take(box: SimpleQueue[T], deadline: float | None) -> T:
    """Take the next item of the box, or raise `TimeoutError` at the deadline."""
    while True:
        remaining = LONGEST_WAIT if deadline is None else deadline - time.monotonic()
        try:
            return box.get(timeout=min(max(remaining, 0.0), LONGEST_WAIT))
        except Empty:
            if remaining <= 0:
                raise TimeoutError from None
