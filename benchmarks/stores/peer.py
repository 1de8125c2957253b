"""Interface of each measured library: sources, computed values, subscriptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Peer", "Store", "Unavailable", "no_derived", "tracked"]

Leave: TypeAlias = Callable[[], object]
Run: TypeAlias = Callable[[int], object]


class Unavailable(Exception):
    """The library does not offer this operation."""


@dataclass(frozen=True, slots=True)
class Store:
    """One value of a peer.

    Args:
        own: The peer's own object.
        read: Returns the present value; where dependencies are tracked, it is tracked.
        subscribe: Calls a function at once with each later value; returns the unsubscriber.
        change: Sets the value; None for a computed one.
    """

    own: Any
    read: Callable[[], int]
    subscribe: Callable[[Run], Leave]
    change: Any = None


@dataclass(frozen=True, slots=True)
class Peer:
    """A library.

    Args:
        source: Makes a store that can be set.
        derived: Makes a store that is computed from others, `fn(*values)`.
    """

    source: Callable[[int], Store]
    derived: Callable[[Sequence[Store], Callable[..., int]], Store]


def tracked(inputs: Sequence[Store], fn: Callable[..., int]) -> Callable[[], int]:
    """Return a function that reads its inputs, as users write it where dependencies are tracked."""
    reads = [store.read for store in inputs]
    if len(reads) == 1:
        (only,) = reads
        return lambda: fn(only())
    if len(reads) == 2:
        left, right = reads
        return lambda: fn(left(), right())
    return lambda: fn(*[read() for read in reads])


def no_derived(_inputs: Sequence[Store], _fn: Callable[..., int]) -> Store:
    """Stand in for `Peer.derived` where a library computes nothing."""
    raise Unavailable
