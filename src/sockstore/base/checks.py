"""Validate options: each check refuses a value that cannot work, and says what to give."""

from __future__ import annotations

import math
from typing import TypeGuard

from sockstore.base.errors import InvalidOption
from sockstore.base.plain_calls import PLAIN, refuse_async, refuse_generator

__all__ = [
    "is_finite",
    "is_number",
    "require_at_least",
    "require_callable",
    "require_count",
    "require_flag",
    "require_instance",
    "require_seconds",
    "require_text",
]


def require_seconds(option: str, value: float | None, *, optional: bool = False) -> None:
    """Refuse a value that is not a positive, finite number of seconds."""
    if value is None and optional:
        return
    if not is_finite(value) or value <= 0:
        also = " or None" if optional else ""
        raise InvalidOption(option, value, f"give a positive number of seconds{also}")


def require_at_least(option: str, value: float | None, least: float) -> None:
    """Refuse a value that is not a finite number of at least `least`."""
    if not is_finite(value) or value < least:
        raise InvalidOption(option, value, f"give a number of at least {least}")


def require_count(
    option: str, value: int | None, *, least: int = 0, optional: bool = False
) -> None:
    """Refuse a value that is not a whole number of at least `least`."""
    if value is None and optional:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        also = " or None" if optional else ""
        raise InvalidOption(option, value, f"give a whole number of at least {least}{also}")


def require_instance(option: str, value: object, kind: type, what: str) -> None:
    """Refuse a value that is neither None nor of that kind."""
    if value is not None and not isinstance(value, kind):
        raise InvalidOption(option, value, f"give {what}")


def require_text(option: str, value: object, what: str) -> None:
    """Refuse a value that is not text, or is empty."""
    if not isinstance(value, str) or not value:
        raise InvalidOption(option, value, f"give {what}")


def require_flag(option: str, value: object, *, optional: bool = False) -> None:
    """Refuse a value that is neither True nor False."""
    if not isinstance(value, bool) and not (optional and value is None):
        words = "True, False or None" if optional else "True or False"
        raise InvalidOption(option, value, f"give {words}")


def require_callable(option: str, value: object, *, may_await: bool = False) -> None:
    """Refuse a value that is neither None nor callable, and a function that would never run."""
    if value is not None and not callable(value):
        raise InvalidOption(option, value, "give a callable")
    if value is None:
        return
    if may_await:
        refuse_generator(value, f"{option}=")
    else:
        refuse_async(value, f"{option}=", PLAIN)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a number, and not True or False."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_finite(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    try:
        return is_number(value) and math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return False
