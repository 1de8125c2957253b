"""Build the graphs that are measured: each has a source and the stores computed from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.stores.peer import Peer, Store

__all__ = ["Graph", "diamond", "fan_in", "ladder"]

Compute = Callable[..., int]


@dataclass(frozen=True, slots=True)
class Graph:
    """A source, and the last store that is computed from it."""

    source: Store
    end: Store


def fan_in(peer: Peer) -> Graph:
    """Build the sum of two sources; one of them is set."""
    source, other = peer.source(0), peer.source(0)
    return Graph(source, peer.derived([source, other], total))


def diamond(peer: Peer, width: int, compute: Compute, join: Compute) -> Graph:
    """Build one source, many stores computed from it, and one computed from all of those."""
    source = peer.source(0)
    sides = [peer.derived([source], compute) for _ in range(width)]
    return Graph(source, peer.derived(sides, join))


def ladder(peer: Peer, levels: int, compute: Compute) -> Graph:
    """Build levels of two stores, each computed from both stores of the level before."""
    source = peer.source(0)
    left, right = peer.derived([source], compute), peer.derived([source], compute)
    for _ in range(levels - 1):
        left, right = peer.derived([left, right], compute), peer.derived([left, right], compute)
    return Graph(source, peer.derived([left, right], compute))


def total(*values: int) -> int:
    return sum(values)
