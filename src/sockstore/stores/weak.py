"""Subscribe without keeping the subscriber alive."""

from __future__ import annotations

from collections.abc import Callable
from inspect import ismethod
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakMethod, ref

from sockstore.base.plain_calls import START_A_TASK, refuse_async
from sockstore.stores.failures import full_name_of

if TYPE_CHECKING:
    from sockstore.stores.contract import Readable
    from sockstore.stores.subscription import Subscription

__all__ = ["subscribe_weakly"]

T = TypeVar("T")


class _WeakRun(Generic[T]):
    __slots__ = ("_name", "_reference", "subscription")

    def __init__(self, run: Callable[[T], object]) -> None:
        self.subscription: Subscription | None = None
        self._name = full_name_of(run)
        make: Callable[..., Callable[[], Callable[[T], object] | None]]
        make = WeakMethod if ismethod(run) else ref
        self._reference = make(run, self._retire)

    def __call__(self, value: T) -> None:
        run = self._reference()
        if run is not None:
            run(value)

    def __repr__(self) -> str:
        return self._name

    def _retire(self, _: object) -> None:
        if self.subscription is not None:
            self.subscription._retire()


def subscribe_weakly(store: Readable[T], run: Callable[[T], object], /) -> Subscription:
    """Subscribe until `run`, or the object of the bound method `run`, is no longer used.

    Args:
        store: The store to watch.
        run: Called with one value. A lambda that nobody else holds is gone at once.

    Returns:
        The subscription, to leave earlier. It need not be kept.

    Raises:
        TypeError: If `run` is a coroutine function.

    Example:
        >>> from sockstore.stores import writable
        >>> class Label:
        ...     def show(self, text: str) -> None:
        ...         print(text)
        >>> title, label = writable("one"), Label()
        >>> _ = subscribe_weakly(title, label.show)
        one
        >>> del label
        >>> title.set("two")
    """
    refuse_async(run, "subscribe_weakly()", START_A_TASK)
    weak = _WeakRun(run)
    weak.subscription = store.subscribe(weak)
    return weak.subscription
