"""Model of a benchmark: its rows, contenders, targets and figures; pure data and judgements."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = [
    "OURS",
    "Better",
    "Contender",
    "Figures",
    "Measured",
    "Row",
    "Suite",
    "Target",
    "Verdict",
    "judge",
    "ratio",
]

OURS = "sockstore"

Figures: TypeAlias = Mapping[str, float]
"""Figures of one round of one contender, by the name of the row."""

Better: TypeAlias = Literal["higher", "lower"]


@dataclass(frozen=True)
class Target:
    """The goal of a row.

    Args:
        wanted: The ratio ours/theirs, or with `against=None` our figure itself: a minimum where
            higher figures are better, a maximum where lower ones are.
        against: The contender to compare with.
    """

    wanted: float
    against: str | None


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Args:
        name: Short and unique, for example ``"receive 256 B"``.
        unit: The unit of its figures, for example ``"messages per CPU second"``.
        better: Which figures are better.
        targets: The goals of the row.
    """

    name: str
    unit: str
    better: Better = "higher"
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True)
class Contender:
    """A library or a program that is measured.

    Args:
        name: Its name in the tables.
        measure: Runs one round; returns a figure for each row that this contender has. It raises
            `Absent` if the contender cannot be measured here.
        note: A note that a fair comparison needs; one short clause, or empty.
    """

    name: str
    measure: Callable[[], Figures]
    note: str = ""


@dataclass(frozen=True)
class Suite:
    """Rows that the same contenders are measured for.

    Args:
        name: The name on the command line, for example ``"receive"``.
        title: The title of its section.
        about: The subject and the method, in a few sentences of Markdown.
        rows: The lines of the table.
        contenders: The contenders; ours first.
        rounds: The number of rounds; each measures every contender once.
        picture: ``"dots"``, how far each is from ours in each row; or ``"lines"``, how the figures
            of each go on from row to row.
    """

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    contenders: tuple[Contender, ...]
    rounds: int = 5
    picture: Literal["dots", "lines"] = "dots"


@dataclass(frozen=True)
class Measured:
    """The results of a suite.

    Args:
        suite: The suite's name.
        rounds: For each contender its rounds, in the order in which they were run.
        absent: The reason for each contender that could not be measured.
    """

    suite: str
    rounds: Mapping[str, Sequence[Figures]]
    absent: Mapping[str, str] = field(default_factory=dict)

    def figures(self, contender: str, row: str) -> list[float]:
        """Return the figures of one contender in one row; empty if it has none."""
        return [figures[row] for figures in self.rounds.get(contender, ()) if row in figures]

    def median(self, contender: str, row: str) -> float | None:
        """Return the median of one contender's figures in one row, if it has any."""
        figures = self.figures(contender, row)
        return statistics.median(figures) if figures else None


@dataclass(frozen=True)
class Verdict:
    """Whether a target was reached.

    Args:
        row: The row's name.
        target: The target.
        value: The measured value; None if one of the two was not measured.
        reached: Whether the value reaches the target.
    """

    row: str
    target: Target
    value: float | None
    reached: bool


def ratio(measured: Measured, row: str, ours: str, theirs: str) -> float | None:
    """Return the median over the rounds of ours/theirs.

    Each round is compared with itself, so that a machine whose speed drifts does not matter.
    """
    pairs = list(zip(measured.figures(ours, row), measured.figures(theirs, row), strict=False))
    return statistics.median(our / their for our, their in pairs) if pairs else None


def judge(row: Row, measured: Measured) -> list[Verdict]:
    """Return for each target of a row whether it was reached."""
    verdicts = []
    for target in row.targets:
        if target.against is None:
            value = measured.median(OURS, row.name)
        else:
            value = ratio(measured, row.name, OURS, target.against)
        reached = value is not None and (
            value >= target.wanted if row.better == "higher" else value <= target.wanted
        )
        verdicts.append(Verdict(row.name, target, value, reached))
    return verdicts
