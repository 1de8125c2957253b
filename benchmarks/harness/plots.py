"""Draw the figures of a suite as SVG."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.harness.model import OURS, Measured, Suite

__all__ = ["draw"]

INCHES_FOR_A_ROW = 0.42
MARKERS = "osDv^<>pPX*hd"

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "sockstore", "font.size": 9, "axes.axisbelow": True})


def draw(suite: Suite, measured: Measured, path: Path) -> None:
    """Write the picture of a suite as SVG."""
    rows = [row.name for row in suite.rows if measured.median(OURS, row.name)]
    figure, axes = plt.subplots(figsize=(8, 1.6 + INCHES_FOR_A_ROW * max(4, len(rows))))
    if suite.picture == "dots":
        _draw_dots(axes, suite, measured, rows)
    else:
        _draw_lines(axes, suite, measured, rows)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def _draw_dots(axes: Axes, suite: Suite, measured: Measured, rows: list[str]) -> None:
    """Draw a line for each row and a dot for each contender: to the right of 1 it costs more."""
    better = {row.name: row.better for row in suite.rows}
    for index, contender in enumerate(measured.rounds):
        points = []
        for height, row in enumerate(rows):
            ours, theirs = measured.median(OURS, row), measured.median(contender, row)
            if ours and theirs and contender != OURS:
                points.append(
                    (ours / theirs if better[row] == "higher" else theirs / ours, -height)
                )
        if points:
            marker = MARKERS[index % len(MARKERS)]
            costs, heights = zip(*points, strict=True)
            axes.scatter(costs, heights, s=34, label=contender, marker=marker)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks([-height for height in range(len(rows))], rows)
    axes.set_xlabel("times the cost of sockstore (left of the line is cheaper)")
    axes.grid(which="both", axis="x", color="0.9")


def _draw_lines(axes: Axes, suite: Suite, measured: Measured, rows: list[str]) -> None:
    """Draw how the figures of each contender go on from row to row."""
    for index, contender in enumerate(measured.rounds):
        figures = [measured.median(contender, row) for row in rows]
        marker = MARKERS[index % len(MARKERS)]
        axes.plot(rows, [each or float("nan") for each in figures], label=contender, marker=marker)
    axes.set_yscale("log")
    axes.set_ylabel(suite.rows[0].unit)
    axes.grid(which="major", color="0.9")
