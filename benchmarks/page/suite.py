"""Build the suite "page": messages received in a page of Chromium."""

from __future__ import annotations

import shutil
from functools import partial

from benchmarks.browser.suite import staged_runtime
from benchmarks.harness.model import OURS, Contender, Figures, Row, Suite, Target
from benchmarks.harness.programs import python, run
from benchmarks.harness.rounds import Absent
from benchmarks.page.floods import COUNTS
from benchmarks.traffic.running import traffic_url

__all__ = ["page_suite"]

ABOUT = """
A page of Chromium receives a flood. The figures are messages for each CPU second of the page's
process, which is mostly the browser's own work, and messages a second. sockstore runs on Pyodide as
it does elsewhere: messages are decoded, kept, and delivered to one callback. Plain JavaScript
decodes with `JSON.parse` and counts. The third contender is Python without a library: the browser
calls it for each message. Large messages take longer because of Python's JSON; but the browser
itself is slower than that, so the rates by the clock are nearly the same.
"""

CONTENDERS = {
    OURS: "Pyodide",
    "plain": "JavaScript, JSON.parse",
    "callback": "Pyodide, a call of Python for each message",
}
WITHIN = 1 / 1.15
"""Share of plain JavaScript that a batch per tick reached in the trial, with 120 B messages."""


def page_suite() -> Suite:
    """Return the suite; building it runs nothing."""
    within = (Target(WITHIN, "plain"),)
    smallest = min(COUNTS)
    rates = (
        Row(f"{size} B", "messages per CPU second", targets=within if size == smallest else ())
        for size in COUNTS
    )
    by_the_clock = (
        Row(f"{size} B, a second", "messages per second", targets=within) for size in COUNTS
    )
    return Suite(
        name="page",
        title="Receive in a browser",
        about=ABOUT,
        rows=(*rates, *by_the_clock),
        contenders=tuple(
            Contender(name, partial(_in_chromium, name), note) for name, note in CONTENDERS.items()
        ),
        rounds=5,
    )


def _in_chromium(name: str) -> Figures:
    if shutil.which("chromium") is None:
        raise Absent("there is no Chromium")
    needs = ("playwright", "picows")
    command = python(
        "benchmarks.page.client", name, traffic_url(), str(staged_runtime()), needs=needs
    )
    # Not pinned: a browser uses all cores.
    return run(command, core=None)
