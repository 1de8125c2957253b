"""Frozen values with named fields, as cheap to import as a class can be.

``dataclass(frozen=True, slots=True)`` writes and compiles six functions for each class, which takes
half a millisecond; for a hundred classes that was half of this package's import. The
classes made here share five of the six, and `__init__` is compiled when the first value is made.
For all else they are dataclasses: `dataclasses.fields`, `replace` and `asdict`, patterns and type
checkers know them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

__all__ = ["frozen"]

T = TypeVar("T")


@overload
def frozen(cls: type[T], /) -> type[T]: ...
@overload
def frozen(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, /, *, kw_only: bool = False) -> Any:
    """Make a frozen dataclass with slots of a class.

    Args:
        cls: The class, with its fields as annotations. What it defines itself is kept.
        kw_only: Whether fields are given by name only.

    Example:
        >>> @value
        ... class Point:
        ...     x: int
        ...     y: int = 0
        >>> Point(1), Point(1) == Point(1, 0)
        (Point(x=1, y=0), True)
    """
    if cls is None:
        return lambda cls: _frozen(cls, kw_only=kw_only)
    return _frozen(cls, kw_only=kw_only)


def _frozen(cls: type[T], *, kw_only: bool) -> type[T]:
    for name, function in _SHARED.items():
        if name not in vars(cls):
            setattr(cls, name, function)
    made = dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)

    def init(self: Any, *values: Any, **named: Any) -> None:
        """Make way for the real one, and call it."""
        real = _compiled_init(made)
        setattr(made, "__init__", real)  # noqa: B010 - type checkers distrust the assignment
        real(self, *values, **named)

    setattr(made, "__init__", init)  # noqa: B010 - the same
    return made


def _repr(self: Any) -> str:
    shown = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _eq(self: Any, other: Any) -> Any:
    if self.__class__ is not other.__class__:
        return NotImplemented
    compared = _compared(self.__class__)
    return compared(self) == compared(other)


def _hash(self: Any) -> int:
    return hash(_compared(self.__class__)(self))


@cache
def _compared(cls: Any) -> Callable[[Any], Any]:
    """Return what takes from a value all that makes it equal to another."""
    names = [one.name for one in fields(cls) if one.compare]
    return attrgetter(*names) if names else lambda _: ()


def _setattr(self: Any, name: str, value: object) -> None:
    del self, value
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:
    del self
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, one.name) for one in fields(self)]


def _setstate(self: Any, state: list[Any]) -> None:
    for one, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, one.name, value)


def _compiled_init(cls: type[Any]) -> Callable[..., None]:
    """Return the `__init__` of a class: the one method whose text depends on the fields."""
    known: dict[str, Any] = {"_set": object.__setattr__, "_ABSENT": _Absent()}
    by_place = [one for one in fields(cls) if not one.kw_only]
    by_name = [one for one in fields(cls) if one.kw_only]
    ordered = [*by_place, *by_name]
    parameters = ["self", *(_parameter(one, known) for one in ordered)]
    if by_name:
        parameters.insert(1 + len(by_place), "*")
    body = [f"_set(self, {one.name!r}, {_value(one, known)})" for one in ordered]
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    init = f"def __init__({', '.join(parameters)}): {'; '.join(body) or 'pass'}"
    made: dict[str, Any] = {}
    # In the module of the class, so that the names in the annotations mean something.
    module = vars(sys.modules[cls.__module__])
    exec(f"def make({', '.join(known)}):\n {init}\n return __init__", module, made)  # noqa: S102
    function: Callable[..., None] = made["make"](**known)
    function.__qualname__ = f"{cls.__qualname__}.__init__"
    function.__annotations__ = {one.name: one.type for one in ordered} | {"return": None}
    return function


def _parameter(one: Field[Any], known: dict[str, Any]) -> str:
    if one.default_factory is not MISSING:
        known[f"_make_{one.name}"] = one.default_factory
        return f"{one.name}=_ABSENT"
    if one.default is not MISSING:
        known[f"_default_{one.name}"] = one.default
        return f"{one.name}=_default_{one.name}"
    return one.name


def _value(one: Field[Any], known: dict[str, Any]) -> str:
    make = f"_make_{one.name}"
    return f"{make}() if {one.name} is _ABSENT else {one.name}" if make in known else one.name


class _Absent:
    """Stands in a signature for a default that is made anew each time."""

    def __repr__(self) -> str:
        return "<factory>"


class _Signature:
    """What `inspect.signature` and documentation generators ask a class for."""

    def __get__(self, instance: object, cls: type[Any]) -> Any:
        from inspect import signature  # noqa: PLC0415 - only who asks pays for it

        told = signature(_compiled_init(cls))
        return told.replace(parameters=list(told.parameters.values())[1:])


_SHARED = {
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__getstate__": _getstate,
    "__setstate__": _setstate,
    "__signature__": _Signature(),
}
"""What all these classes have in common, unless one says it itself."""
