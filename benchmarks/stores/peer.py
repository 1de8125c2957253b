"""What is asked of every library: sources, computed values, subscriptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Peer", "Store", "Unavailable", "no_derived", "tracked"]

Leave: TypeAlias = Callable[[], object]
Run: TypeAlias = Callable[[int], object]


class Unavailable(Exception):
    """The library has nothing of this kind."""


@dataclass(frozen=True, slots=True)
class Store:
    """One value of a peer.

    Args:
        own: The peer's own object.
        read: Returns the present value; where dependencies are tracked, it is tracked.
        subscribe: Has a function called with each later value, at once; returns how to leave.
        change: Sets the value; of a computed one it is None.
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
    """Return what a user writes where dependencies are tracked: a function that reads them."""
    reads = [one.read for one in inputs]
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
