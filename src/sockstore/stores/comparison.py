"""Decide whether a new value is news."""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["changed"]

_BY_VALUE: Final = frozenset({type(None), bool, int, float, str, bytes})


def changed(old: object, new: object) -> bool:
    """Tell whether replacing `old` by `new` is a change that subscribers hear of.

    Values of exactly these types compare by value: None, bool, int, float, complex, str, bytes;
    members of an Enum too, and NaN equals NaN. Everything else is news, even the same object
    again, for it may have been changed in place. A user's `__eq__` is never called.

    Args:
        old: The value held so far.
        new: The value that would replace it.

    Returns:
        True if it is news.

    Example:
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
