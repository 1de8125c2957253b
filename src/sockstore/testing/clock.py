"""A virtual clock: when every task waits, time jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
import sys
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack
from weakref import WeakSet

__all__ = ["VirtualClock"]

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

EPOCH = 1_767_225_600.0
"""What the clock on the wall shows at 0, in Unix seconds: the first moment of 2026, UTC."""

REAL_SECONDS_FOR_OTHER_THREADS = 5.0
"""How long to wait in earnest, when no timer is set, for a thread or a real socket."""


class VirtualClock:
    """Runs coroutines on an event loop whose hours pass in milliseconds, always the same way.

    Args:
        start: What ``loop.time()`` begins with, in seconds.

    Example:
        >>> clock = VirtualClock()
        >>> async def main() -> float:
        ...     await asyncio.sleep(3600)
        ...     return clock.now
        >>> clock.run(main())
        3600.0
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._slept = 0.0
        self._loops: WeakSet[_VirtualLoop] = WeakSet()

    @property
    def now(self) -> float:
        """Seconds; what ``loop.time()`` says."""
        return self._now

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end on a new event loop, as `asyncio.run` does.

        Args:
            main: The coroutine.

        Returns:
            What it returns.

        Raises:
            RuntimeError: If every task waits for something that can never happen.
        """
        with asyncio.Runner(loop_factory=self.new_event_loop) as runner:
            return runner.run(main)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Return an event loop that lives by this clock, for ``asyncio.Runner(loop_factory=)``."""
        loop = _VirtualLoop(self)
        self._loops.add(loop)
        return loop

    def suspend(self, seconds: float) -> None:
        """Let the machine sleep: the clock on the wall goes on, and ``loop.time()`` stands still.

        Connections notice it when the machine wakes up, that is at once.

        Args:
            seconds: For how long.
        """
        self._slept += seconds
        for loop in list(self._loops):
            for sleeper in list(loop.sleepers):
                sleeper(seconds)

    async def advance(self, seconds: float) -> None:
        """Let this much time pass, with everything that happens in it.

        Args:
            seconds: How long.
        """
        await asyncio.sleep(seconds)

    def _jump(self, seconds: float) -> None:
        self._now += seconds


class _VirtualLoop(asyncio.SelectorEventLoop):
    if sys.platform == "emscripten":
        # Other threads wake a loop through a pipe; a browser has neither.
        def _make_self_pipe(self) -> None:
            pass

        def _close_self_pipe(self) -> None:
            pass

        def _write_to_self(self) -> None:
            pass

    def __init__(self, clock: VirtualClock) -> None:
        self._virtual_clock = clock
        self.sleepers: set[Callable[[float], object]] = set()
        super().__init__(_JumpingSelector(clock))

    def time(self) -> float:
        return self._virtual_clock.now

    def wall_clock(self) -> float:
        return EPOCH + self._virtual_clock.now + self._virtual_clock._slept

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


class _JumpingSelector(selectors.DefaultSelector):
    """Does not wait: it lets the time pass instead."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            ready = super().select(REAL_SECONDS_FOR_OTHER_THREADS)
            if not ready:
                raise RuntimeError(
                    "every task waits and no timer is set, so nothing can ever happen again"
                )
            return ready
        self._clock._jump(timeout)
        return []
