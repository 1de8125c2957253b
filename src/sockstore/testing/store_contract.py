"""Check that a store, of this package or of a user, keeps Svelte's contract of stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sockstore.stores import Subscribable

__all__ = ["check_store"]

T = TypeVar("T")


def check_store(
    make: Callable[[], tuple[Subscribable[T], Callable[[T], object]]], values: Sequence[T]
) -> None:
    """Assert that a store keeps Svelte's contract (ST2, ST3, ST8).

    Args:
        make: Returns a new store, and a function that makes it take a value.
        values: At least three values that differ, none of them the first value of the store.

    Raises:
        AssertionError: If the contract is broken.

    Example:
        >>> from sockstore import writable
        >>> def make():
        ...     store = writable(0)
        ...     return store, store.set
        >>> check_store(make, [1, 2, 3])
    """
    _calls_at_once_and_on_every_change(*make(), values)
    _keeps_equal_functions_apart(*make(), values)
    _lets_subscribers_leave_in_mid_notification(*make(), values)


def _calls_at_once_and_on_every_change(
    store: Subscribable[Any], change: Callable[[Any], object], values: Sequence[Any]
) -> None:
    received: list[Any] = []
    unsubscribe = store.subscribe(received.append)
    assert len(received) == 1, "subscribe() calls at once, and once"
    for value in values[:2]:
        change(value)
    assert len(received) == 3, "and then on every change"
    unsubscribe()
    unsubscribe()
    change(values[2])
    assert len(received) == 3, "after unsubscribing never again"


def _keeps_equal_functions_apart(
    store: Subscribable[Any], change: Callable[[Any], object], values: Sequence[Any]
) -> None:
    received: list[Any] = []
    first = store.subscribe(received.append)
    second = store.subscribe(received.append)
    first()
    first()
    received.clear()
    change(values[0])
    assert len(received) == 1, "the same function twice is two subscriptions"
    second()


def _lets_subscribers_leave_in_mid_notification(
    store: Subscribable[Any], change: Callable[[Any], object], values: Sequence[Any]
) -> None:
    called: list[str] = []
    leaving: list[Callable[[], object]] = []

    def leave(_: Any) -> None:
        called.append("first")
        for unsubscribe in leaving:
            unsubscribe()

    leaving.append(store.subscribe(leave))
    leaving.append(store.subscribe(lambda _: called.append("second")))
    called.clear()
    change(values[0])
    change(values[1])
    assert called == ["first"], "after unsubscribing never again, not even in this notification"
