"""Define the contract of every store, and which changes count."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Protocol, TypeVar

__all__ = ["Subscribable", "changed", "leaving"]

T_co = TypeVar("T_co", covariant=True)

_BY_VALUE: Final = frozenset({type(None), bool, int, float, str, bytes})


class Subscribable(Protocol[T_co]):
    """Anything that can be watched: the one method that a foreign store needs.

    `subscribe(run)` calls `run(value)` now and on each change. It returns how to leave: a
    callable, or an object with `unsubscribe()` or `dispose()`.
    """

    def subscribe(self, run: Callable[[T_co], object], /) -> Any:
        """Call `run` now and on each change, and return how to leave."""


def leaving(handle: Any) -> Callable[[], object]:
    """Return the callable that leaves a store, from the result of its `subscribe`.

    Raises:
        TypeError: If it offers no way to unsubscribe.
    """
    for leave in (handle, getattr(handle, "unsubscribe", None), getattr(handle, "dispose", None)):
        if callable(leave):
            return leave  # type: ignore[no-any-return]  # it came from an Any
    raise TypeError(f"subscribe returned {handle!r}, which offers no way to unsubscribe")


def changed(old: object, new: object) -> bool:
    """Return whether replacing `old` by `new` is a change that subscribers are told.

    Values of exactly these types compare by value: None, bool, int, float, complex, str, bytes;
    members of an Enum too, and NaN equals NaN. Everything else is news, even the same object
    again, for it may have been changed in place. A user's `__eq__` is never called.

    Args:
        old: The value held so far.
        new: The value that would replace it.

    Returns:
        True if it is news.

    Example:
        >>> from sockstore.stores import changed
        >>> changed(1, 1), changed(1, True), changed(float("nan"), float("nan"))
        (False, True, False)
        >>> changed([], [])
        True
    """
    kind = type(new)
    if kind is not type(old):
        return True
    if kind in _BY_VALUE:
        # Only NaN differs from itself.
        return old != new and (old == old or new == new)  # noqa: PLR0124
    if isinstance(old, complex) and isinstance(new, complex) and kind is complex:
        return changed(old.real, new.real) or changed(old.imag, new.imag)
    return old is not new or not isinstance(new, Enum)
