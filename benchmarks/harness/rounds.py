"""Run a suite: each round measures every contender once, in a new random order."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable, Iterable

from benchmarks.harness.model import Contender, Figures, Measured, Suite

__all__ = ["Absent", "run_suite", "run_suites"]


class Absent(Exception):
    """A contender cannot be measured on this machine; the message says why."""


def run_suite(suite: Suite, *, rounds: int, say: Callable[[str], object]) -> Measured:
    """Measure all contenders of a suite.

    Args:
        suite: The suite.
        rounds: The number of rounds.
        say: Called with the progress, a line at a time.

    Returns:
        All figures. A contender that could not be measured once is left out from then on.
    """
    shuffling = random.Random(suite.name)
    taking_part = list(suite.contenders)
    figures: dict[str, list[Figures]] = {each.name: [] for each in taking_part}
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


def run_suites(
    suites: Iterable[Suite],
    *,
    rounds: int | None,
    say: Callable[[str], object],
    keep: Callable[[Suite, Measured], object],
) -> list[str]:
    """Measure suites one after another; a suite that fails does not stop the others.

    Args:
        suites: The suites.
        rounds: The number of rounds; None for the number of each suite.
        say: Called with the progress and with errors.
        keep: Called with each suite's figures as soon as they are complete.

    Returns:
        The names of those that failed.
    """
    failed = []
    for suite in suites:
        try:
            keep(suite, run_suite(suite, rounds=rounds or suite.rounds, say=say))
        except Exception as error:  # after any error, the others are measured
            failed.append(suite.name)
            say("".join(traceback.format_exception(error)))
    return failed


def _in_order(
    contenders: tuple[Contender, ...], measured: dict[str, list[Figures]]
) -> dict[str, list[Figures]]:
    return {each.name: measured[each.name] for each in contenders if each.name in measured}
