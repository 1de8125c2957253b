"""Notice that the machine slept: its clock jumped while the event loop's stood still (LV5).

One watch serves all connections of an event loop. It ticks only while one of them is in use.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from weakref import WeakKeyDictionary, ref

__all__ = ["sleepers_of"]

TICK = 2.0
"""Seconds between two comparisons of the clocks, so the longest delay until sleep is noticed."""

JUMP = 5.0
"""Seconds by which the clocks must differ."""

Sleeper = Callable[[float], object]


def elapsed_clock() -> float:
    """Return seconds of a clock that goes on while the machine sleeps.

    On Linux a boot clock, which is never set; elsewhere the wall clock.
    """
    boot_time: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    if sys.platform == "emscripten":
        boot_time = None  # the clock has a name here, but cannot be read
    return time.time() if boot_time is None else time.clock_gettime(boot_time)


class _Watch:
    """Compares the clocks of one event loop and of the machine, every `TICK` seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.sleepers: set[Sleeper] = set()
        # Weakly: a value that holds its key would keep both alive.
        self._loop = ref(loop)
        # Runs while there are sleepers; set by `_look`, reset by `discard`.
        self._timer: asyncio.TimerHandle | None = None
        # Seconds by which the machine's clock was ahead of the loop's; set by `_look`.
        self._ahead = 0.0

    def add(self, sleeper: Sleeper) -> None:
        self.sleepers.add(sleeper)
        if self._timer is None:
            self._look()

    def discard(self, sleeper: Sleeper) -> None:
        self.sleepers.discard(sleeper)
        if not self.sleepers and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        if (loop := self._loop()) is not None:
            self._ahead = elapsed_clock() - loop.time()
            self._timer = loop.call_later(TICK, self._tick)

    def _tick(self) -> None:
        before = self._ahead
        self._look()
        if (slept := self._ahead - before) > JUMP:
            for sleeper in list(self.sleepers):
                sleeper(slept)


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watch] = WeakKeyDictionary()


def sleepers_of(loop: asyncio.AbstractEventLoop) -> set[Sleeper] | _Watch:
    """Return the callables that are given the seconds whenever the machine has slept.

    A loop on which time is virtual has them itself, in its attribute ``sleepers``.
    """
    virtual: set[Sleeper] | None = getattr(loop, "sleepers", None)
    if virtual is not None:
        return virtual
    if loop not in _watches:
        _watches[loop] = _Watch(loop)
    return _watches[loop]
