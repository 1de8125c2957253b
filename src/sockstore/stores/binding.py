"""Find the node of a store, ours or foreign, and make a store part of a larger object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from sockstore.stores.contract import Subscribable, leaving
from sockstore.stores.failures import NotWatched
from sockstore.stores.nodes import Node
from sockstore.stores.scheduling import Scheduler, threads

__all__ = ["Foreign", "adopt", "bind", "bind_with", "count_watchers", "is_watched", "node_of"]

T = TypeVar("T")


class Foreign(Node[T]):
    """A store of another library as a node of ours."""

    __slots__ = ("__weakref__", "leave_store", "store")

    def __init__(self, store: Subscribable[T]) -> None:
        super().__init__((), None)
        self.store: Final = store
        """Set once: the store of the other library."""
        self.leave_store: Callable[[], object] | None = None
        """How to leave that store: set while this node is live."""
        # As in Svelte: the value of a store that does not call at once.
        self.value: Any = None

    def _receive(self, value: T) -> None:
        if self.live or self.starting is not None:
            self.put(value)

    def begin(self, scheduler: Scheduler, /) -> None:
        """Subscribe to the store."""
        if self.starting is not None:
            return  # `subscribe` reads a store that is computed from this one
        self.starting = scheduler
        try:
            self.leave_store = leaving(self.store.subscribe(self._receive))
            # Only now, or another thread would read the value of the last subscription.
            self.live = True
        finally:
            self.starting = None

    def end(self) -> None:
        """Unsubscribe from the store."""
        leave, self.leave_store = self.leave_store, None
        if leave is not None:
            leave()

    def has_effects(self) -> bool:
        """Subscribing to a foreign store may do anything."""
        return not self.live

    def last_value(self) -> T:
        """No value is known before the first subscription."""
        raise NotWatched

    def sample(self, _: list[object], /) -> T:
        """Read the store once."""
        values: list[Any] = [None]
        leaving(self.store.subscribe(values.append))()
        return values[-1]  # type: ignore[no-any-return]  # the values of a foreign store


_foreigners: WeakValueDictionary[int, Foreign[Any]] = WeakValueDictionary()


def node_of(store: Subscribable[T]) -> Node[T]:
    """Return the node that stands for any store.

    A foreign store has one node, however many are computed from it, or they would be computed
    one after the other and mix old and new. The node holds the store, so the id stays its own.

    Raises:
        TypeError: If it has no method `subscribe`.
    """
    node = getattr(store, "_node", None)
    if isinstance(node, Node):
        return node
    if not callable(getattr(store, "subscribe", None)):
        raise TypeError(f"{store!r} is not a store: it has no subscribe method")
    node = _foreigners.get(id(store))
    if node is None:
        node = _foreigners[id(store)] = Foreign(store)
    return node


def adopt(store: Subscribable[Any], thread_error: str, owner: object = None) -> None:
    """Make a store part of a larger object.

    Args:
        store: The store.
        thread_error: The sentence that refuses a change from another thread.
        owner: The object that lives as long as the store is used.
    """
    node = node_of(store)
    node.thread_error = thread_error
    if owner is not None:
        node.owner = owner


def bind(*stores: Subscribable[Any]) -> None:
    """Give stores to the calling thread, whichever thread they belonged to."""
    for store in stores:
        node_of(store).scheduler = threads.scheduler


def bind_with(store: Subscribable[Any], other: Subscribable[Any]) -> None:
    """Give a store to the thread that the other store belongs to."""
    node_of(store).scheduler = node_of(other).scheduler


def is_watched(store: Subscribable[Any]) -> bool:
    """Whether a subscriber or a computed store needs the values of this store."""
    return node_of(store).live


def count_watchers(store: Subscribable[Any]) -> int:
    """Return how many subscribers and computed stores watch this store."""
    node = node_of(store)
    return len(node.subscribers) + len(node.dependents)
