"""Run a suite: each round measures every contender once, in a new random order."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from benchmarks.harness.model import Contender, Figures, Measured, Suite

__all__ = ["Absent", "run_suite"]


class Absent(Exception):
    """A contender cannot be measured on this machine; the message says why."""


def run_suite(suite: Suite, *, rounds: int, say: Callable[[str], object]) -> Measured:
    """Measure all contenders of a suite.

    Args:
        suite: What to measure.
        rounds: How often.
        say: Told of the progress, a line at a time.

    Returns:
        All figures. Who could not be measured once is left out from then on.
    """
    shuffling = random.Random(suite.name)
    taking_part = list(suite.contenders)
    figures: dict[str, list[Figures]] = {one.name: [] for one in taking_part}
    absent: dict[str, str] = {}
    for number in range(1, rounds + 1):
        begun = time.monotonic()
        shuffling.shuffle(taking_part)
        for contender in tuple(taking_part):
            try:
                figures[contender.name].append(contender.measure())
            except Absent as why:
                absent[contender.name] = str(why)
                taking_part.remove(contender)
        say(f"{suite.name}: round {number} of {rounds}, {time.monotonic() - begun:.1f} s")
    measured = {name: rows for name, rows in figures.items() if rows}
    return Measured(suite.name, _in_order(suite.contenders, measured), absent)


def _in_order(
    contenders: tuple[Contender, ...], measured: dict[str, list[Figures]]
) -> dict[str, list[Figures]]:
    return {one.name: measured[one.name] for one in contenders if one.name in measured}
