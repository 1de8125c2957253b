"""Draw a suite: how far each contender is from ours, row by row."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.harness.model import OURS, Measured, Suite

__all__ = ["draw"]

INCHES_FOR_A_ROW = 0.42
MARKERS = "osDv^<>pPX*hd"

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "sockstore", "font.size": 9, "axes.axisbelow": True})


def draw(suite: Suite, measured: Measured, path: Path) -> None:
    """Write a picture with a line for each row and a dot for each contender.

    To the right of 1 is worse than ours, to the left better; each grid line is a factor.
    """
    rows = [row for row in suite.rows if measured.median(OURS, row.name)]
    figure, axes = plt.subplots(figsize=(8, 1.6 + INCHES_FOR_A_ROW * len(rows)))
    for index, contender in enumerate(measured.rounds):
        if contender == OURS:
            continue
        points = []
        for height, row in enumerate(rows):
            ours, theirs = measured.median(OURS, row.name), measured.median(contender, row.name)
            if ours and theirs:
                factor = ours / theirs if row.better == "higher" else theirs / ours
                points.append((factor, -height))
        if points:
            axes.scatter(*zip(*points, strict=True), s=34, label=contender,
                         marker=MARKERS[index % len(MARKERS)])  # fmt: skip
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks([-height for height in range(len(rows))], [row.name for row in rows])
    axes.set_xlabel("times the cost of sockstore (left of the line is cheaper)")
    axes.grid(which="both", axis="x", color="0.9")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
