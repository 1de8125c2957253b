"""Read any store, and hand it out without its `set`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from sockstore.stores.contract import Readable, Subscribable
from sockstore.stores.failures import NotWatched
from sockstore.stores.nodes import Node
from sockstore.stores.scheduling import Scheduler

__all__ = ["get", "node_of", "readonly"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class View(Readable[T_co]):
    """A store seen from outside: it can be watched and not set."""

    __slots__ = ("_seen",)

    def __init__(self, node: Node[T_co]) -> None:
        self._seen = node

    @property
    def _node(self) -> Node[T_co]:
        return self._seen


class Foreign(Node[T]):
    """A store of another library as a node of ours."""

    __slots__ = ("_leave_foreign", "_store")

    def __init__(self, store: Subscribable[T]) -> None:
        super().__init__((), None)
        self._store = store
        self._leave_foreign: Callable[[], object] | None = None
        # What Svelte gives too, for a store that does not call at once.
        self._value: Any = None

    def _receive(self, value: T) -> None:
        if self._live:
            self._put(value)

    def _begin(self, _: Scheduler, /) -> None:
        self._live = True
        try:
            self._leave_foreign = _leaving(self._store.subscribe(self._receive))
        except BaseException:
            self._live = False
            raise

    def _end(self) -> None:
        leave, self._leave_foreign = self._leave_foreign, None
        if leave is not None:
            leave()

    def _has_effects(self) -> bool:
        return not self._live

    def _last_value(self) -> T:
        raise NotWatched

    def _sample(self, _: list[object], /) -> T:
        seen: list[Any] = [None]
        _leaving(self._store.subscribe(seen.append))()
        return seen[-1]  # type: ignore[no-any-return]


def _leaving(handle: Any) -> Callable[[], object]:
    for leave in (handle, getattr(handle, "unsubscribe", None), getattr(handle, "dispose", None)):
        if callable(leave):
            return leave  # type: ignore[no-any-return]
    raise TypeError(f"subscribe returned {handle!r}, which offers no way to unsubscribe")


_foreigners: WeakValueDictionary[int, Foreign[Any]] = WeakValueDictionary()


def node_of(store: Subscribable[T]) -> Node[T]:
    """The node that stands for any store.

    A foreign store has one node, however many are computed from it, or they would be computed
    one after the other and mix old and new. The node holds the store, so the id stays its own.
    """
    if isinstance(store, Readable):
        return store._node
    if not callable(getattr(store, "subscribe", None)):
        raise TypeError(f"{store!r} is no store: it has no subscribe method")
    node = _foreigners.get(id(store))
    if node is None:
        node = _foreigners[id(store)] = Foreign(store)
    return node


def readonly(store: Subscribable[T]) -> Readable[T]:
    """Make a store that can be watched but not set.

    Args:
        store: Any store, also a foreign one that has only `subscribe`.

    Returns:
        A store with the same value, without `set` and `update`.

    Example:
        >>> from sockstore.stores import writable
        >>> count = writable(1)
        >>> shown = readonly(count)
        >>> count.set(2)
        >>> shown.value, hasattr(shown, "set")
        (2, False)
    """
    return View(node_of(store))


def get(store: Subscribable[T]) -> T:
    """Read any store once.

    Args:
        store: Any store, also a foreign one that has only `subscribe`.

    Returns:
        Its present value.

    Raises:
        Exception: What a computation raised.

    Example:
        >>> from sockstore.stores import derived, writable
        >>> get(derived(writable(2), lambda number: number * 10))
        20
    """
    return node_of(store).value
