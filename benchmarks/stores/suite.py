"""Build the suite "stores": what a change of a store costs, and a subscription."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.harness.model import OURS, Contender, Figures, Row, Suite, Target
from benchmarks.harness.programs import node_command, python, run
from benchmarks.stores.cases import CASES
from benchmarks.stores.guarantees import LEAST, keeps_all

__all__ = ["stores_suite"]

ABOUT = """
Nanoseconds of CPU time for one operation. Each library runs in a process of its own, is used as its
documentation says, and delivers synchronously. Each change is a new value, and each subscriber is a
function that keeps the value. A diamond is one source, 100 stores computed from it and one computed
from those. A ladder is 100 levels of two stores, each computed from both stores of the level
before. The last store of a graph has a subscriber. A dot (·) means that the library has no
such operation, overflows the stack, or needs more than a second for one change.

The last five columns are counts, not times. In 60 random graphs: how often a store was computed
more than once for a change, how often a computation was given values of different moments, and how
often a subscriber was not told exactly the new value. A library is called free of glitches, and is
a target to compare with, only if these three counts are 0.
"""

CLIENT = "benchmarks.stores.client"
TWICE_AS_FAST = 0.5


@dataclass(frozen=True)
class _Library:
    """A contender and its properties.

    Args:
        name: The name of the package; for Node, its name in the script.
        keeps_all: Whether it computes once and never mixes; each measurement proves it.
        note: A note for the reader.
    """

    name: str
    keeps_all: bool
    note: str = ""


PYTHON = (
    _Library(OURS, keeps_all=True),
    _Library("observ", keeps_all=True),
    _Library("nervio", keeps_all=True, note="locks"),
    _Library("reaktiv", keeps_all=True, note="locks; exponential in the ladder"),
    _Library("fynx", keeps_all=False, note="refuses some graphs as circular"),
    _Library("signified", keeps_all=False),
    _Library("reactivex", keeps_all=False),
    _Library("psygnal", keeps_all=False, note="computes nothing"),
    _Library("traitlets", keeps_all=False, note="computes nothing"),
    _Library("param", keeps_all=False, note="computes nothing"),
)
NODE = (
    _Library("svelte", keeps_all=False, note="svelte/store, in Node"),
    _Library("tansu", keeps_all=True, note="in Node"),
)
WITHOUT_FIGURE = {("reaktiv", "ladder of 100")}
"""Libraries and rows where a library with the same guarantees is too slow for a comparison."""


def stores_suite() -> Suite:
    """Return the suite."""
    return Suite(
        name="stores",
        title="Stores",
        about=ABOUT,
        rows=(*map(_timed, CASES), *(_counted(name, least) for name, least in LEAST.items())),
        contenders=(
            *(
                _contender(peer, partial(python, CLIENT, peer.name, needs=[peer.name]))
                for peer in PYTHON
            ),
            *(_contender(peer, partial(node_command, "stores.mjs", peer.name)) for peer in NODE),
        ),
    )


def _timed(name: str) -> Row:
    targets = tuple(
        Target(TWICE_AS_FAST, peer.name)
        for peer in PYTHON
        if peer.keeps_all and peer.name != OURS and (peer.name, name) not in WITHOUT_FIGURE
    )
    return Row(name, "nanoseconds", "lower", targets)


def _counted(name: str, least: int) -> Row:
    return Row(name, "times", "lower", (Target(least, None),))


def _contender(library: _Library, command: Callable[[], list[str]]) -> Contender:
    def measure() -> Figures:
        figures: Figures = run(command())
        if keeps_all(figures) != library.keeps_all:
            raise RuntimeError(f"{library.name} does not keep what is said of it: {figures}")
        return figures

    promise = "once, no glitches" if library.keeps_all else "no such guarantees"
    return Contender(library.name, measure, "; ".join(filter(None, (promise, library.note))))
