"""Make frozen dataclasses that are cheap to import.

``dataclass(frozen=True, slots=True)`` compiles six functions for each class, which takes half a
millisecond; for a hundred classes that was half of this package's import. The classes made here
share five of the six, and compile `__init__` when the first value is made. Otherwise they are
dataclasses: `dataclasses.fields`, `replace`, `asdict`, patterns and type checkers support them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, field, fields, make_dataclass
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar, dataclass_transform, overload

__all__ = ["frozen"]

T = TypeVar("T")


@overload
def frozen(cls: type[T], /) -> type[T]: ...
@overload
def frozen(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, /, *, kw_only: bool = False) -> Any:
    """Turn a class into a frozen dataclass with slots.

    Args:
        cls: The class, with its fields as annotations. Its own methods are kept.
        kw_only: Whether the fields are keyword-only.

    Example:
        >>> @frozen
        ... class Point:
        ...     x: int
        ...     y: int = 0
        >>> Point(1), Point(1) == Point(1, 0)
        (Point(x=1, y=0), True)
    """
    if cls is None:
        return lambda cls: _frozen(cls, kw_only=kw_only)
    return _frozen(cls, kw_only=kw_only)


def _frozen(cls: type[Any], *, kw_only: bool) -> Any:
    names = [name for name, kind in cls.__annotations__.items() if "ClassVar" not in str(kind)]
    namespace = {**_SHARED, **vars(cls)}
    own = {name: namespace.pop(name, MISSING) for name in names}
    inherited: _Plan = getattr(cls, "_plan", _Plan({}, {}))
    plan = _Plan(
        inherited.by_place if kw_only else inherited.by_place | own,
        inherited.by_name | own if kw_only else inherited.by_name,
    )
    namespace |= {
        "__slots__": tuple(names),
        "__match_args__": tuple(plan.by_place),
        "_plan": plan,
    }
    # Slots cannot be added to a class, so it is made again, as `dataclass` does.
    for name in ("__dict__", "__weakref__"):
        namespace.pop(name, None)
    made: Any = type(cls.__name__, cls.__bases__, namespace)
    made.__qualname__ = cls.__qualname__

    def init(self: Any, *values: Any, **named: Any) -> None:
        # Compile the real one, put it in place of this one, and call it.
        made.__init__ = _compiled_init(made)
        made.__init__(self, *values, **named)

    made.__init__ = init
    return made


class _Plan(NamedTuple):
    """The fields of a class, each with its default, a `Field`, or MISSING.

    Args:
        by_place: The fields that may be positional, the inherited ones first.
        by_name: The keyword-only fields.
    """

    by_place: dict[str, Any]
    by_name: dict[str, Any]

    @property
    def fields(self) -> dict[str, Any]:
        """All fields, in the order of the parameters."""
        return self.by_place | self.by_name


# Shared by all classes


def _repr(self: Any) -> str:
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
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
    """Return a function that returns the fields of a value that are compared."""
    plan: _Plan = cls._plan
    names = [name for name, entry in plan.fields.items() if getattr(entry, "compare", True)]
    return attrgetter(*names) if names else lambda _: ()


def _setattr(self: Any, name: str, value: object) -> None:
    del self, value
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> None:
    del self
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self._plan.fields]


def _setstate(self: Any, state: list[Any]) -> None:
    for name, value in zip(self._plan.fields, state, strict=True):
        object.__setattr__(self, name, value)


class _Fields:
    """The fields, for the functions of `dataclasses`."""

    def __get__(self, instance: object, cls: Any) -> Any:
        return _fields(cls)


@cache
def _fields(cls: Any) -> dict[str, Field[Any]]:
    plan: _Plan = cls._plan
    kinds = _kinds(cls)
    specifications = []
    for name, default in plan.fields.items():
        entry = default if isinstance(default, Field) else field(default=default)
        entry.kw_only = name in plan.by_name
        specifications.append((name, kinds[name], entry))
    like: Any = make_dataclass(cls.__name__, specifications, init=False, repr=False, eq=False)
    made: dict[str, Field[Any]] = like.__dataclass_fields__
    return made


def _kinds(cls: type[Any]) -> dict[str, Any]:
    """Return the annotations of all fields."""
    classes = (base for base in cls.__mro__ if hasattr(base, "_plan"))
    return {name: kind for base in classes for name, kind in base.__annotations__.items()}


class _Signature:
    """The signature, for `inspect.signature` and documentation generators."""

    def __get__(self, instance: object, cls: type[Any]) -> Any:
        from inspect import signature  # noqa: PLC0415 - few programs need it

        init = _compiled_init(cls)
        try:
            whole = signature(init, eval_str=True)
        except NameError:  # a type that only type checkers import
            whole = signature(init)
        return whole.replace(parameters=list(whole.parameters.values())[1:])


_SHARED = {
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__getstate__": _getstate,
    "__setstate__": _setstate,
    "__dataclass_fields__": _Fields(),
    "__signature__": _Signature(),
}
"""The methods of all classes, unless a class defines its own."""


# Made for each class


def _compiled_init(cls: Any) -> Callable[..., None]:
    """Return the `__init__` of a class: the one method whose text depends on the fields."""
    plan: _Plan = cls._plan
    # The descriptors of the slots: a third faster than `object.__setattr__`.
    setters = {f"_set_{name}": getattr(cls, name).__set__ for name in plan.fields}
    namespace: dict[str, Any] = {**setters, "_ABSENT": _Absent()}
    parameters = [
        "self",
        *(_parameter(*item, namespace) for item in plan.by_place.items()),
    ]
    if plan.by_name:
        parameters += [
            "*",
            *(_parameter(*item, namespace) for item in plan.by_name.items()),
        ]
    body = [f"_set_{name}(self, {_value(name, namespace)})" for name in plan.fields]
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    init = f"def __init__({', '.join(parameters)}): {'; '.join(body) or 'pass'}"
    # In the module of the class, so that the names in its annotations can be resolved. The text
    # has only names of fields and our own words in it.
    module, made = vars(sys.modules[cls.__module__]), dict[str, Any]()
    exec(f"def make({', '.join(namespace)}):\n {init}\n return __init__", module, made)  # noqa: S102 - see above
    function: Callable[..., None] = made["make"](**namespace)
    function.__qualname__ = f"{cls.__qualname__}.__init__"
    kinds = _kinds(cls)
    function.__annotations__ = {name: kinds[name] for name in plan.fields} | {"return": None}
    return function


def _parameter(name: str, default: Any, namespace: dict[str, Any]) -> str:
    """Return the source of a parameter, and add the names that its default needs."""
    if isinstance(default, Field) and default.default_factory is not MISSING:
        namespace[f"_make_{name}"] = default.default_factory
        return f"{name}=_ABSENT"
    if isinstance(default, Field):
        default = default.default
    if default is MISSING:
        return name
    namespace[f"_default_{name}"] = default
    return f"{name}=_default_{name}"


def _value(name: str, namespace: dict[str, Any]) -> str:
    make = f"_make_{name}"
    return f"{make}() if {name} is _ABSENT else {name}" if make in namespace else name


class _Absent:
    """Stand in a signature for a default that a factory makes."""

    def __repr__(self) -> str:
        return "<factory>"
