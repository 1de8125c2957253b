"""Peers that track the inputs of a computation by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks.stores.peer import Leave, Peer, Run, Store, tracked

__all__ = ["nervio", "observ", "reaktiv"]


def observ() -> Peer:
    """`ref`, `computed` and `watch(sync=True)`; without `sync` it would need a loop."""
    import observ as library

    def store(own: Any, read: Callable[[], int], set_value: Any = None) -> Store:
        def subscribe(run: Run) -> Leave:
            # The bound method keeps the watcher alive; nothing else does.
            return library.watch(read, run, sync=True).stop

        return Store(own, read, subscribe, set_value)

    def source(value: int) -> Store:
        own = library.ref(value)
        return store(own, lambda: own["value"], partial(own.__setitem__, "value"))

    def derived(inputs: Sequence[Store], fn: Callable[..., int]) -> Store:
        own = library.computed(tracked(inputs, fn))
        return store(own, own)

    return Peer(source, derived)


def nervio() -> Peer:
    """`signal`, `computed` and `effect`; a call reads the value."""
    import nervio as library

    def store(own: Any) -> Store:
        def subscribe(run: Run) -> Leave:
            return library.effect(lambda: run(own()))

        return Store(own, own, subscribe, getattr(own, "set", None))

    def derived(inputs: Sequence[Store], fn: Callable[..., int]) -> Store:
        return store(library.computed(tracked(inputs, fn)))

    return Peer(lambda value: store(library.signal(value)), derived)


def reaktiv() -> Peer:
    """`signal`, `computed` and `effect`; a call reads the value."""
    import reaktiv as library

    def store(own: Any) -> Store:
        def subscribe(run: Run) -> Leave:
            # An effect uses the return value of its function as a cleanup.
            def effect() -> None:
                run(own())

            return library.effect(effect).dispose

        return Store(own, own, subscribe, getattr(own, "set", None))

    def derived(inputs: Sequence[Store], fn: Callable[..., int]) -> Store:
        return store(library.computed(tracked(inputs, fn)))

    return Peer(lambda value: store(library.signal(value)), derived)
