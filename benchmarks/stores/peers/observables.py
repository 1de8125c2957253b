"""Peers whose computed values name their inputs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

from benchmarks.stores.peer import Leave, Peer, Run, Store

__all__ = ["fynx", "reactivex", "signified", "sockstore"]


def sockstore() -> Peer:
    """`writable` and `derived`."""
    from sockstore.stores import derived as derive
    from sockstore.stores import writable

    def store(own: Any) -> Store:
        return Store(own, lambda: own.value, own.subscribe, getattr(own, "set", None))

    def derived(inputs: Sequence[Store], fn: Callable[..., int]) -> Store:
        return store(derive([each.own for each in inputs], fn))

    return Peer(lambda value: store(writable(value)), derived)


def fynx() -> Peer:
    """`observable`, `+` and `>>`."""
    import fynx as library

    def store(own: Any) -> Store:
        def subscribe(run: Run) -> Leave:
            own.subscribe(run)
            return partial(own.unsubscribe, run)

        return Store(own, lambda: own.value, subscribe, getattr(own, "set", None))

    def derived(inputs: Sequence[Store], fn: Callable[..., int]) -> Store:
        return store(reduce(operator.add, [each.own for each in inputs]) >> fn)

    return Peer(lambda value: store(library.observable(value)), derived)


def signified() -> Peer:
    """`Signal` and `computed`; any object with a method `update` may observe them."""
    import signified as library

    def store(own: Any) -> Store:
        class Observer:
            def __init__(self, run: Run) -> None:
                self._run = run

            def update(self) -> None:
                self._run(own.value)

        def subscribe(run: Run) -> Leave:
            observer = Observer(run)
            own.subscribe(observer)
            return partial(own.unsubscribe, observer)

        return Store(own, lambda: own.value, subscribe, partial(setattr, own, "value"))

    def derived(inputs: Sequence[Store], fn: Callable[..., int]) -> Store:
        return store(library.computed(fn)(*[each.own for each in inputs]))

    return Peer(lambda value: store(library.Signal(value)), derived)


def reactivex() -> Peer:
    """`BehaviorSubject` and `combine_latest`, shared, so that subscribers do not compute again."""
    import reactivex as library
    from reactivex import operators
    from reactivex.subject import BehaviorSubject

    def store(own: Any) -> Store:
        def subscribe(run: Run) -> Leave:
            return own.subscribe(run).dispose

        def read() -> int:
            values: list[int] = []
            own.subscribe(values.append).dispose()
            return values[-1]

        return Store(own, read, subscribe, getattr(own, "on_next", None))

    def derived(inputs: Sequence[Store], fn: Callable[..., int]) -> Store:
        return store(
            library.combine_latest(*[each.own for each in inputs]).pipe(
                operators.starmap(fn), operators.replay(buffer_size=1), operators.ref_count()
            )
        )

    return Peer(lambda value: store(BehaviorSubject(value)), derived)
