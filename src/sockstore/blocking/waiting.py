"""Waiting in a thread: interruptible by Ctrl-C, and refused where it would never end.

The waits stand on `SimpleQueue`, whose methods are atomic. `threading.Condition` is not: Ctrl-C
between its two bytecodes leaves its lock taken, and the loop's thread would wait for it for ever.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

__all__ = ["Bell", "Pending", "refuse_inside_a_loop", "wait_until"]

T = TypeVar("T")

# On Windows Ctrl-C does not interrupt a wait, and elsewhere not one that has not quite begun (the
# signal comes between Python's look for one and the system call): it ends by itself now and then.
LONGEST_WAIT = 0.1 if sys.platform == "win32" else 0.5


class Bell:
    """Wake those who sleep now; nobody sleeping, a ring leaves nothing behind."""

    __slots__ = ("_sleepers",)

    def __init__(self) -> None:
        self._sleepers: deque[SimpleQueue[None]] = deque()

    def ring(self) -> None:
        """Wake everyone who sleeps; they look for themselves whether it concerns them."""
        while self._sleepers:
            try:
                self._sleepers.popleft().put(None)
            except IndexError:  # somebody else rings, too
                return

    def enlist(self) -> SimpleQueue[None]:
        """Return what to sleep on; look once more before sleeping."""
        box: SimpleQueue[None] = SimpleQueue()
        self._sleepers.append(box)
        return box

    def dismiss(self, box: SimpleQueue[None]) -> None:
        """Whoever slept on it is awake."""
        try:
            self._sleepers.remove(box)
        except ValueError:
            return


def wait_until(bell: Bell, look: Callable[[], T | None], timeout: float | None) -> T:
    """Return what `look` finds, as soon as it finds something.

    Args:
        bell: Rings after there may be something to find.
        look: Returns None as long as there is nothing.
        timeout: Seconds to wait at most; None waits for ever.

    Returns:
        What was found.

    Raises:
        TimeoutError: If nothing was found in time.
    """
    deadline = _deadline(timeout)
    while (found := look()) is None:
        box = bell.enlist()
        try:
            if (found := look()) is not None:
                break
            _take(box, deadline)
        finally:
            bell.dismiss(box)
    return found


class Pending(Generic[T]):
    """What the loop's thread will hand over: a value or an error."""

    __slots__ = ("_box", "is_abandoned", "task")

    def __init__(self) -> None:
        self._box: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self.is_abandoned = False
        """Nobody waits for it any more; written by the waiting thread."""
        self.task: asyncio.Task[None] | None = None
        """What works on it; of the loop's thread."""

    def hand_over(self, value: T) -> None:
        """It is done."""
        self._box.put((value, None))

    def fail(self, error: BaseException) -> None:
        """It raised."""
        self._box.put((None, error))

    def wait(self, timeout: float | None = None) -> T:
        """Return the value, once.

        Args:
            timeout: Seconds to wait at most; None waits for ever.

        Returns:
            The value.

        Raises:
            TimeoutError: If it did not come in time.
            Exception: What was raised in place of a value.
        """
        error: BaseException | None = None
        try:
            value, error = _take(self._box, _deadline(timeout))
            if error is not None:
                raise error
        finally:
            # The traceback keeps this frame, which must not keep the error: a cycle.
            del error
        result: T = value
        return result


def refuse_inside_a_loop(action: str) -> None:
    """Refuse to block an event loop; a notebook's cells block theirs anyway.

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
    """Take what comes into the box.

    Raises:
        TimeoutError: If nothing came before the deadline.
    """
    while True:
        remaining = LONGEST_WAIT if deadline is None else deadline - time.monotonic()
        try:
            return box.get(timeout=min(max(remaining, 0.0), LONGEST_WAIT))
        except Empty:
            if remaining <= 0:
                raise TimeoutError from None
