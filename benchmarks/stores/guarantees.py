"""Count the computations and calls of a peer that a library without glitches avoids."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.stores.graphs import Graph, diamond, ladder
from benchmarks.stores.peer import Peer
from benchmarks.stores.random_graphs import RandomGraph

__all__ = ["LEAST", "count_all", "keeps_all"]

SIZE = 8
"""Small, because some libraries compute a node once for each path to it."""
CHANGES = 5
RANDOM_GRAPHS = 60

_DIAMOND = f"computations, diamond of {SIZE}"
_LADDER = f"computations, ladder of {SIZE}"
_TWICE = "computed again, random graphs"
_MIXED = "mixed values, random graphs"
_WRONG = "told wrongly, random graphs"

LEAST: Mapping[str, int] = {
    _DIAMOND: SIZE + 1,
    _LADDER: 2 * SIZE + 1,
    _TWICE: 0,
    _MIXED: 0,
    _WRONG: 0,
}
"""The counts of a library that computes once and never mixes, by the name of the row."""


def keeps_all(figures: Mapping[str, float]) -> bool:
    """Tell whether these are the figures of a library that computes once and never mixes."""
    return all(figures.get(name) == least for name, least in LEAST.items())


def count_all(peer: Peer) -> dict[str, float]:
    """Return the count for each row."""
    counter = _Counter()
    graphs = [RandomGraph(peer, seed) for seed in range(RANDOM_GRAPHS)]
    for graph in graphs:
        graph.change(CHANGES)
    return {
        _DIAMOND: counter.per_change(diamond(peer, SIZE, counter.compute, counter.compute)),
        _LADDER: counter.per_change(ladder(peer, SIZE, counter.compute)),
        _TWICE: sum(graph.computed_again for graph in graphs),
        _MIXED: sum(graph.mixed for graph in graphs),
        _WRONG: sum(graph.told_wrongly for graph in graphs),
    }


class _Counter:
    def __init__(self) -> None:
        self._computations = 0

    def compute(self, *values: int) -> int:
        self._computations += 1
        return values[-1]

    def per_change(self, graph: Graph) -> float:
        values: list[int] = []
        leave = graph.end.subscribe(values.append)
        self._computations = 0
        for value in range(1, CHANGES + 1):
            graph.source.change(value)
        leave()
        if values[-1] != CHANGES:
            raise RuntimeError(f"a subscriber was told {values}, but the value is {CHANGES}")
        return self._computations / CHANGES
