"""Measure the CPU time of an operation, and stop an operation that takes too long."""

from __future__ import annotations

import gc
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["TooSlow", "at_most", "nanoseconds"]


class TooSlow(BaseException):
    """The operation took too long; not an `Exception`, which a library may catch."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` in this block when it has used so much CPU time."""

    def give_up(_signal: int, _frame: object) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGPROF, give_up)
    # The signal repeats, in case a library swallows even this exception.
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def nanoseconds(run: Callable[[int], None], *, batches: int, seconds: float) -> float:
    """Return the median CPU time of one operation.

    Args:
        run: Does the operation so many times.
        batches: The number of figures in the median.
        seconds: The approximate duration of a batch.
    """
    times = _times_for(run, seconds)
    gc.collect()
    gc.disable()
    try:
        spent = statistics.median(_spent(run, times) for _ in range(batches))
    finally:
        gc.enable()
    return spent / times * 1e9


def _times_for(run: Callable[[int], None], seconds: float) -> int:
    """Find how often a batch does the operation; this also warms up."""
    times = 1
    while (spent := _spent(run, times)) < seconds / 4:
        times *= 4
    return max(1, round(times * seconds / spent))


def _spent(run: Callable[[int], None], times: int) -> float:
    begun = time.process_time()
    run(times)
    return time.process_time() - begun
