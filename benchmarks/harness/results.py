"""Keep the results of the suites: as JSON, as plots, and as a page of the documentation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.harness.model import Measured, Suite
from benchmarks.harness.programs import REPOSITORY
from benchmarks.harness.report import sections, told

__all__ = ["PACKAGES", "Results", "page", "read_results", "write_results"]

PACKAGES = (
    "sockstore", "websockets", "picows", "aiohttp", "websocket-client", "python-socketio",
    "centrifuge-python", "msgspec", "uvicorn", "starlette", "reaktiv", "observ", "nervio", "fynx",
    "param", "psygnal", "traitlets", "signified", "reactivex",
)  # fmt: skip
"""Packages whose versions stand beside the figures."""

FIGURES = REPOSITORY / "benchmarks" / "results.json"
PAGE = REPOSITORY / "docs" / "reference" / "performance.md"
INTRODUCTION = REPOSITORY / "benchmarks" / "introduction.md"
PICTURES = REPOSITORY / "docs" / "images"


@dataclass(frozen=True)
class Results:
    """One run.

    Args:
        machine: The machine that it ran on.
        versions: The versions of the packages that took part.
        measurements: The results, by the suite's name.
    """

    machine: Mapping[str, str]
    versions: Mapping[str, str]
    measurements: Mapping[str, Measured]


def read_results(path: Path = FIGURES) -> Results:
    """Return the run that was kept last."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    measurements = {name: Measured(**one) for name, one in kept["measurements"].items()}
    return Results(kept["machine"], kept["versions"], measurements)


def page(results: Results, suites: Sequence[Suite]) -> str:
    """Return the page of the documentation."""
    pictures = {suite.name: f"../images/{_picture(suite)}" for suite in suites}
    introduction = INTRODUCTION.read_text(encoding="utf-8")
    measured_on = f"Measured on: {told(results.machine)}. Versions: {told(results.versions)}.\n"
    return "\n".join((introduction, measured_on, sections(suites, results.measurements, pictures)))


def write_results(results: Results, suites: Sequence[Suite]) -> list[Path]:
    """Write JSON, plots and page; a suite that was not measured now keeps its last figures.

    Returns:
        The files.
    """
    from benchmarks.harness.plots import draw

    if FIGURES.exists():
        before = read_results().measurements
        results = Results(results.machine, results.versions, {**before, **results.measurements})
    FIGURES.write_text(json.dumps(asdict(results), indent=1) + "\n", encoding="utf-8")
    written = [FIGURES]
    for suite in suites:
        if suite.name in results.measurements:
            picture = PICTURES / _picture(suite)
            draw(suite, results.measurements[suite.name], picture)
            written.append(picture)
    PAGE.write_text(page(results, suites), encoding="utf-8")
    return [*written, PAGE]


def _picture(suite: Suite) -> str:
    return f"performance-{suite.name}.svg"
