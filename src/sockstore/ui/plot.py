"""A figure's last minute as a line, and in words: pure, for every interface that can draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sockstore.ui.inspector import SECONDS_PLOTTED

__all__ = ["HEIGHT", "Plot", "plot"]

HEIGHT = 100
"""The height of the drawing; its width is the seconds."""


UNKNOWN = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Plot:
    """What is drawn and said.

    Args:
        line: The path of the line, as SVG writes it.
        area: The path of what is below the line.
        latest: The value now, with its unit.
        highest: The highest value, with its unit; empty without any.
    """

    line: str
    area: str
    latest: str
    highest: str


def plot(values: Sequence[float | None], unit: str, *, least: float) -> Plot:
    """Draw the last seconds of a figure.

    Args:
        values: One for each second, the latest last; None where it is not known.
        unit: What is written behind a value.
        least: What fills the height at least, so that noise does not look like news.

    Example:
        >>> drawn = plot([5.0, 10.0], "ms", least=10)
        >>> drawn.line, drawn.latest
        ('M58 50.0L59 0.0', '10 ms')
    """
    known = [value for value in values if value is not None]
    if not known:
        return Plot("", "", UNKNOWN, "")
    top, start = max(least, *known), SECONDS_PLOTTED - len(values)
    points = [
        (start + index, HEIGHT * (1 - value / top))
        for index, value in enumerate(values)
        if value is not None
    ]
    steps = (f"{'L' if index else 'M'}{x} {y:.1f}" for index, (x, y) in enumerate(points))
    line = "".join(steps)
    area = f"{line}L{points[-1][0]} {HEIGHT}L{points[0][0]} {HEIGHT}Z"
    return Plot(line, area, _say(known[-1], unit), _say(max(known), unit))


def _say(value: float, unit: str) -> str:
    is_exact = value >= 10 or value == int(value)
    return f"{value:.0f} {unit}" if is_exact else f"{value:.1f} {unit}"
