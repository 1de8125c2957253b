"""Operations that are measured, each with a check that it had its effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count, islice

from benchmarks.stores.graphs import diamond, fan_in, ladder, total
from benchmarks.stores.peer import Peer, Store

__all__ = ["CASES", "Case"]


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table.

    Args:
        run: Does the operation so many times.
        check: Raises if the operation has not had its effect.
    """

    run: Callable[[int], None]
    check: Callable[[], None]


class _Subscriber:
    """A subscriber as users write it: a function that keeps the value it is called with."""

    def __init__(self, store: Store) -> None:
        self.told: int | None = None

        def keep(value: int) -> None:
            self.told = value

        self.leave = store.subscribe(keep)


def _changes(source: Store, subscribers: list[_Subscriber], outcome: Callable[[int], int]) -> Case:
    change = source.change
    numbers = count(1)
    last = 0

    def run(times: int) -> None:
        nonlocal last
        for last in islice(numbers, times):
            change(last)

    def check() -> None:
        _expect(source.read(), last)
        for subscriber in subscribers:
            _expect(subscriber.told, outcome(last))

    return Case(run, check)


def _setting(subscribers: int, peer: Peer) -> Case:
    source = peer.source(0)
    return _changes(source, [_Subscriber(source) for _ in range(subscribers)], _same)


def _fan_in(peer: Peer) -> Case:
    graph = fan_in(peer)
    return _changes(graph.source, [_Subscriber(graph.end)], _same)


def _diamond(width: int, peer: Peer) -> Case:
    graph = diamond(peer, width, _same, total)
    return _changes(graph.source, [_Subscriber(graph.end)], lambda value: value * width)


def _ladder(levels: int, peer: Peer) -> Case:
    graph = ladder(peer, levels, _mean)
    return _changes(graph.source, [_Subscriber(graph.end)], _same)


def _subscribing(peer: Peer) -> Case:
    source = peer.source(0)
    change, subscribe = source.change, source.subscribe
    values: list[int] = []

    def run(times: int) -> None:
        for _ in range(times):
            subscribe(_ignore)()

    def check() -> None:
        leave = subscribe(values.append)
        change(1)
        leave()
        change(2)
        # Some libraries deliver the present value first.
        _expect(values[-1], 1)

    return Case(run, check)


def _same(value: int) -> int:
    return value


def _mean(*values: int) -> int:
    return sum(values) // len(values)


def _ignore(_value: int) -> None:
    pass


def _expect(found: int | None, wanted: int) -> None:
    if found != wanted:
        raise RuntimeError(f"a subscriber knows {found}, but the value is {wanted}")


CASES: dict[str, Callable[[Peer], Case]] = {
    "set, no subscriber": partial(_setting, 0),
    "set, 1 subscriber": partial(_setting, 1),
    "set, 10 subscribers": partial(_setting, 10),
    "set, 1,000 subscribers": partial(_setting, 1_000),
    "subscribe and unsubscribe": _subscribing,
    "fan-in of 2": _fan_in,
    "diamond of 100": partial(_diamond, 100),
    "ladder of 100": partial(_ladder, 100),
}
"""The cases by the name of the row; the last ones may be too much for a peer."""
