"""Build random graphs, and count the errors of a library in them."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from benchmarks.stores.peer import Peer, Store

__all__ = ["RandomGraph"]

SOURCES = 2
COMPUTED = 8
WATCHED = 3


class RandomGraph:
    """Two sources, and eight nodes computed from up to three earlier ones; three are watched.

    A node in four divides, so that a change often ends there.

    Args:
        peer: The library.
        seed: The seed of the random shape.
    """

    def __init__(self, peer: Peer, seed: int) -> None:
        self._random = random.Random(seed)
        self._state = [0] * SOURCES
        self._computations = [0] * COMPUTED
        self.computed_again = 0
        """How often a node was computed more than once for one change."""
        self.mixed = 0
        """How often a computation got values that do not belong to one state."""
        self.told_wrongly = 0
        """How often a subscriber did not get only the new value, or was called without a change."""
        self._sources = [peer.source(0) for _ in self._state]
        self._nodes: list[Store] = [*self._sources]
        self._truths: list[Callable[[], int]] = [
            partial(self._state.__getitem__, source) for source in range(SOURCES)
        ]
        for number in range(COMPUTED):
            self._add(peer, number)
        self._told: dict[int, list[int]] = {}
        self._leave = [
            self._nodes[node].subscribe(self._told.setdefault(node, []).append)
            for node in self._random.sample(range(len(self._nodes)), WATCHED)
        ]

    def change(self, times: int) -> None:
        """Change a source so many times, and count the errors."""
        for _ in range(times):
            before = {node: self._truths[node]() for node in self._told}
            self._computations[:] = [0] * COMPUTED
            for values in self._told.values():
                values.clear()
            self._change_one()
            self.computed_again += sum(max(0, count - 1) for count in self._computations)
            for node, values in self._told.items():
                now = self._truths[node]()
                self.told_wrongly += values != ([now] if now != before[node] else [])

    def _change_one(self) -> None:
        source = self._random.randrange(SOURCES)
        self._state[source] += self._random.choice((0, 1, 2))
        try:
            self._sources[source].change(self._state[source])
        except RuntimeError:
            # One library refuses such graphs. It called no subscriber, and that is counted.
            return

    def _add(self, peer: Peer, number: int) -> None:
        among = len(self._nodes)
        chosen = self._random.sample(range(among), min(among, self._random.randint(1, 3)))
        divisor = 3 if self._random.random() < 0.25 else 1

        def value_of(values: list[int]) -> int:
            return (sum(values) + 1) // divisor

        def truth() -> int:
            return value_of([self._truths[node]() for node in chosen])

        def compute(*values: int) -> int:
            self._computations[number] += 1
            self.mixed += [*values] != [self._truths[node]() for node in chosen]
            return value_of([*values])

        self._nodes.append(peer.derived([self._nodes[node] for node in chosen], compute))
        self._truths.append(truth)
