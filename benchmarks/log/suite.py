"""Build the suite "log": what an append costs, in logs of growing length."""

from __future__ import annotations

from functools import partial

from benchmarks.harness.model import OURS, Contender, Figures, Row, Suite, Target
from benchmarks.harness.programs import python, run
from benchmarks.log.client import LENGTHS

__all__ = ["log_suite"]

ABOUT = """
Nanoseconds of CPU time to decode the smallest JSON text, append it to a log that already has so
many messages, and call one function with it. The deque has no numbers, times, views or readers. The
copied list is the guide's way, `messages.update(all => [...all, data])`: each message costs a copy
of all messages before it, so the cost of a million messages grows with its square.
"""

CONTENDERS = {
    OURS: ("sockstore", "bounded or not; views, numbers, times, streams"),
    "deque": ("msgspec", "append and call, nothing else"),
    "copied list": ("sockstore", "the guide's way; grows with the length"),
    "psygnal": ("psygnal", "EventedList"),
}
THREE_TIMES = 3.0


def log_suite() -> Suite:
    """Return the suite; building it runs nothing."""
    return Suite(
        name="log",
        title="Message log",
        about=ABOUT,
        rows=tuple(
            Row(f"at {length:,}", "nanoseconds", "lower", (Target(THREE_TIMES, "deque"),))
            for length in LENGTHS
        ),
        contenders=tuple(
            Contender(name, partial(_measure, name, module), note)
            for name, (module, note) in CONTENDERS.items()
        ),
        rounds=5,
        picture="lines",
    )


def _measure(name: str, module: str) -> Figures:
    return run(python("benchmarks.log.client", name, needs=(module,)))
