"""What the rest of the package does with a store beside watching it."""

from __future__ import annotations

from typing import Any

from sockstore.stores.contract import Readable

__all__ = ["adopt", "bind", "bind_with", "count_watchers", "is_watched"]


def adopt(store: Readable[Any], thread_error: str, owner: object = None) -> None:
    """Make a store part of a larger object.

    Args:
        store: The store.
        thread_error: The sentence that refuses a change from another thread.
        owner: The object that lives as long as the store is used.
    """
    node = store._node
    node._thread_error = thread_error
    if owner is not None:
        node._owner = owner


def bind(store: Readable[Any]) -> None:
    """Give a store to the calling thread, whichever thread it belonged to."""
    store._node._belong_here()


def bind_with(store: Readable[Any], other: Readable[Any]) -> None:
    """Give a store to the thread that the other store belongs to."""
    store._node._scheduler = other._node._scheduler


def is_watched(store: Readable[Any]) -> bool:
    """Whether a subscriber or a computed store needs the values of this store."""
    return store._node._live


def count_watchers(store: Readable[Any]) -> int:
    """Return how many subscribers and computed stores watch this store."""
    node = store._node
    return len(node._subscriptions) + len(node._dependents)
