"""Peers that watch the attributes of objects and do not compute stores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.stores.peer import Leave, Peer, Run, Store, no_derived

__all__ = ["param", "psygnal", "traitlets"]


def psygnal() -> Peer:
    """A dataclass made `evented`."""
    from psygnal import evented

    @evented
    @dataclass
    class Holder:
        value: int

    def source(value: int) -> Store:
        own: Any = Holder(value)

        def subscribe(run: Run) -> Leave:
            own.events.value.connect(run)
            return partial(own.events.value.disconnect, run)

        return Store(own, lambda: own.value, subscribe, partial(setattr, own, "value"))

    return Peer(source, no_derived)


def traitlets() -> Peer:
    """A trait and `observe`."""
    import traitlets as library

    class Holder(library.HasTraits):
        value = library.Int()

    def source(value: int) -> Store:
        own = Holder(value=value)

        def subscribe(run: Run) -> Leave:
            def observer(change: Any) -> None:
                run(change.new)

            own.observe(observer, "value")
            return partial(own.unobserve, observer, "value")

        return Store(own, lambda: own.value, subscribe, partial(setattr, own, "value"))

    return Peer(source, no_derived)


def param() -> Peer:
    """A parameter and `watch`."""
    import param as library

    class Holder(library.Parameterized):
        value = library.Integer()

    def source(value: int) -> Store:
        own = Holder(value=value)

        def subscribe(run: Run) -> Leave:
            watcher = own.param.watch(lambda event: run(event.new), "value")
            return partial(own.param.unwatch, watcher)

        return Store(own, lambda: own.value, subscribe, partial(setattr, own, "value"))

    return Peer(source, no_derived)
