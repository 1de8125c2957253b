"""Run event loops on virtual time, which jumps to the next timer when every task waits."""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import Context
from math import inf
from time import monotonic
from typing import Any, TypeVar, TypeVarTuple, Unpack
from weakref import WeakSet

__all__ = ["VirtualClock"]

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

EPOCH = 1_767_225_600.0
"""The wall clock at virtual time 0, in Unix seconds: the start of 2026, UTC."""

REAL_SECONDS_FOR_OTHER_THREADS = 5.0
"""How long to wait for a thread or a real socket, before virtual time passes without it."""

REAL_SECONDS_BETWEEN_LOOKS = 0.01
"""The time between checks whether a thread has ended without calling the loop."""


class _Time:
    """The virtual time that a clock, its loops and their selectors share."""

    def __init__(self, start: float) -> None:
        # Seconds; a selector adds to it when every task waits.
        self.now = start
        # Seconds that the machine has slept; `VirtualClock.suspend` adds to it.
        self.slept = 0.0


class VirtualClock:
    """Runs coroutines on an event loop whose hours pass in milliseconds, always the same way.

    Threads are real, and so is the time that they take: while the loop waits for one, no virtual
    time passes. These are calls in executors (`asyncio.to_thread`, name lookups), and threads that
    were started while the loop runs and have not called it yet. A thread that does not call for 5
    real seconds is not waited for any more, as it may itself be waiting for virtual time to pass.

    Args:
        start: The first ``loop.time()``, in seconds.

    Example:
        >>> clock = VirtualClock()
        >>> async def main() -> float:
        ...     await asyncio.sleep(3600)
        ...     return clock.now
        >>> clock.run(main())
        3600.0
    """

    def __init__(self, start: float = 0.0) -> None:
        self._time = _Time(start)
        # The loops of this clock, which `suspend` wakes; `new_event_loop` adds to them.
        self._loops: WeakSet[_VirtualLoop] = WeakSet()

    @property
    def now(self) -> float:
        """Seconds, as ``loop.time()`` returns them."""
        return self._time.now

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end on a new event loop, as `asyncio.run` does.

        Args:
            main: The coroutine.

        Returns:
            The result of the coroutine.

        Raises:
            RuntimeError: If every task waits for something that can never happen.
        """
        with asyncio.Runner(loop_factory=self.new_event_loop) as runner:
            return runner.run(main)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Return an event loop that lives by this clock, for ``asyncio.Runner(loop_factory=)``."""
        loop = _VirtualLoop(self._time)
        self._loops.add(loop)
        return loop

    def suspend(self, seconds: float) -> None:
        """Let the machine sleep: the wall clock continues, and ``loop.time()`` stands still.

        Connections notice it at once, as the machine wakes up when this returns.

        Args:
            seconds: For how long.
        """
        self._time.slept += seconds
        for loop in list(self._loops):
            for sleeper in list(loop.sleepers):
                sleeper(seconds)

    def block(self, seconds: float) -> None:
        """Let time pass within one step of the loop, as code does that blocks it.

        Args:
            seconds: How long the loop is blocked.

        Example:
            >>> clock = VirtualClock()
            >>> async def main() -> float:
            ...     clock.block(30)
            ...     return clock.now
            >>> clock.run(main())
            30.0
        """
        self._time.now += seconds

    async def advance(self, seconds: float) -> None:
        """Let this much time pass, with all timers that are due in it.

        Args:
            seconds: How long.
        """
        await asyncio.sleep(seconds)


class _VirtualLoop(asyncio.SelectorEventLoop):
    if sys.platform == "emscripten":
        # Other threads wake a loop through a pipe; a browser has neither.
        def _make_self_pipe(self) -> None:
            pass

        def _close_self_pipe(self) -> None:
            pass

        def _write_to_self(self) -> None:
            pass

    def __init__(self, time: _Time) -> None:
        self._virtual_time = time
        # Called with the seconds that the machine has slept; connections add to them.
        self.sleepers: set[Callable[[float], object]] = set()
        self._threads = _Threads()
        super().__init__(_JumpingSelector(time, self._threads))

    def time(self) -> float:
        return self._virtual_time.now

    def work_clock(self) -> float:
        return self._virtual_time.now  # work takes no time, however busy the machine is

    def wall_clock(self) -> float:
        return EPOCH + self._virtual_time.now + self._virtual_time.slept

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        if when < self.time():
            # Pyodide's loop refuses it too; asyncio's own would hide the mistake.
            raise ValueError(f"a timer for {when:g} s was set at {self.time():g} s, in the past")
        return super().call_at(when, callback, *args, context=context)

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.Handle:
        handle = super().call_soon_threadsafe(callback, *args, context=context)
        self._threads.has_called(threading.current_thread())
        return handle

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[Unpack[Arguments]], T],
        *args: *Arguments,
    ) -> asyncio.Future[T]:
        # The calls are waited for, not the new threads of the pool.
        with self._threads.ignoring_new_ones():
            future = super().run_in_executor(executor, func, *args)
        self._threads.wait_for(future)
        return future

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncio's own signature
    ) -> None:
        # From Python 3.12 on asyncio gives its threads 300 real seconds to end.
        self._threads.joined_until = inf if timeout is None else monotonic() + timeout
        try:
            if sys.version_info >= (3, 12):
                await super().shutdown_default_executor(timeout)
            else:
                await super().shutdown_default_executor()
        finally:
            self._threads.joined_until = None


class _Threads:
    """The threads that a loop may be waiting for, with times of `time.monotonic`.

    Attributes:
        joined_until: Until when the executor may take to end; set while the loop waits for that.
        _ignored: Threads that existed before the loop, that work for an executor, or that have
            called the loop, so that it is unknown whether it waits for them.
        _calls: Calls in executors, and until when to wait for each; removed when they are done.
        _strangers: Other threads that the program started, and until when to wait for each; added
            when they are first noticed.
    """

    def __init__(self) -> None:
        self.joined_until: float | None = None
        self._ignored = set(threading.enumerate())
        self._calls: dict[asyncio.Future[Any], float] = {}
        self._strangers: dict[threading.Thread, float] = {}

    def has_called(self, thread: threading.Thread) -> None:
        """Note that a thread has called the loop."""
        self._ignored.add(thread)

    @contextmanager
    def ignoring_new_ones(self) -> Iterator[None]:
        """Ignore the threads that the block starts."""
        before = set(threading.enumerate())
        yield
        self._ignored.update(set(threading.enumerate()) - before)

    def wait_for(self, call: asyncio.Future[Any]) -> None:
        """Wait for a call in an executor, until it is done or cancelled."""
        self._calls[call] = monotonic() + REAL_SECONDS_FOR_OTHER_THREADS
        call.add_done_callback(self._calls.pop)

    def patience(self, *, has_timer: bool, waited: float) -> float:
        """Return how many real seconds to wait for threads before virtual time may pass.

        Args:
            has_timer: Whether a timer is set, so that time can pass.
            waited: Real seconds since the loop began to wait.
        """
        if self.joined_until is not None:
            return self.joined_until - monotonic()
        if not has_timer:
            return inf if self._calls else REAL_SECONDS_FOR_OTHER_THREADS - waited
        until = [*self._calls.values(), *self._until_strangers_call()]
        return max(until) - monotonic() if until else 0.0

    def _until_strangers_call(self) -> Iterator[float]:
        strangers = [each for each in threading.enumerate() if each not in self._ignored]
        for thread in strangers:
            yield self._strangers.setdefault(thread, monotonic() + REAL_SECONDS_FOR_OTHER_THREADS)


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for threads and real sockets; if there is nothing to wait for, lets time pass."""

    def __init__(self, time: _Time, threads: _Threads) -> None:
        super().__init__()
        self._time = time
        self._threads = threads

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            return super().select(0)
        began = monotonic()
        patience = inf
        while patience > 0:
            # Threads first: if one calls the loop and ends now, `select` below returns the call.
            patience = self._threads.patience(
                has_timer=timeout is not None, waited=monotonic() - began
            )
            ready = super().select(max(0.0, min(patience, REAL_SECONDS_BETWEEN_LOOKS)))
            if ready:
                return ready
        if timeout is None:
            raise RuntimeError(
                "every task waits and no timer is set, so nothing can ever happen again"
            )
        self._time.now += timeout
        return []
