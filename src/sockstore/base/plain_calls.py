"""Refuse coroutine functions where the result of a call is not awaited."""

from __future__ import annotations

import sys
from functools import _lru_cache_wrapper, partial
from inspect import (
    CO_ASYNC_GENERATOR,
    CO_COROUTINE,
    CO_GENERATOR,
    CO_ITERABLE_COROUTINE,
    iscoroutinefunction,
)
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final

__all__ = [
    "AND_RETURN_ITS_CANCEL",
    "ASYNC",
    "MARK",
    "PLAIN",
    "START_A_TASK",
    "name_of",
    "refuse_async",
    "refuse_generator",
    "returns_awaitable",
]

ASYNC: Final = CO_COROUTINE | CO_ASYNC_GENERATOR | CO_ITERABLE_COROUTINE
"""Code flags of functions whose call runs nothing."""

MARK: Final = "_is_coroutine_marker" if sys.version_info >= (3, 12) else "_is_coroutine"
"""The mark that `inspect.markcoroutinefunction` (from 3.12 on) or asyncio sets on a function."""

_TRANSPARENT: Final = {
    partial: "func",
    MethodType: "__func__",
    staticmethod: "__func__",
    _lru_cache_wrapper: "__wrapped__",
}
"""Types of callables that return the result of another callable, and the attribute with that one.

A wrapper made with `functools.wraps` is not among them: it may start a task.
"""

START_A_TASK: Final = (
    "give a plain function that starts a task, "
    "such as `lambda value: scope.task(show(value))` (or asyncio.create_task, if you keep the task)"
)
AND_RETURN_ITS_CANCEL: Final = (
    "give a plain function (def, not async def) that starts a task, and return its `cancel`"
)
PLAIN: Final = "give a plain function (def, not async def)"


def returns_awaitable(fn: Any) -> bool:
    """Return whether a call of `fn` would only make a coroutine or an asynchronous generator.

    Example:
        >>> async def show(value): ...
        >>> returns_awaitable(show), returns_awaitable(partial(show, 1)), returns_awaitable(print)
        (True, True, False)
    """
    kind = type(fn)
    if kind is BuiltinFunctionType:
        return False
    if kind is MethodType and type(fn.__func__) is FunctionType:
        # The common case first, as `subscribe` is a hot path.
        fn, kind = fn.__func__, FunctionType
    if kind is FunctionType:
        return bool(fn.__code__.co_flags & ASYNC) or (
            getattr(fn, MARK, None) is not None and _is_marked(fn)
        )
    if (inner := _TRANSPARENT.get(kind)) is not None:
        return _is_marked(fn) or returns_awaitable(getattr(fn, inner))
    if isinstance(fn, type):
        return False  # a class makes an instance
    if isinstance(fn, partial):
        return returns_awaitable(fn.func)
    if _is_marked(fn) or iscoroutinefunction(fn):
        return True
    call = getattr(kind, "__call__", None)  # noqa: B004 - the method of the type, not the object's
    return isinstance(call, (FunctionType, partial)) and returns_awaitable(call)


def refuse_async(fn: Any, place: str, instead: str) -> None:
    """Refuse a function whose call would only make a coroutine that is never awaited (ST14).

    Args:
        fn: The function.
        place: The caller, as the subject of a sentence.
        instead: The alternative, as the end of a sentence.

    Raises:
        TypeError: If it is a coroutine function, or another callable of that kind.
    """
    if returns_awaitable(fn):
        raise TypeError(
            f"{place} calls {name_of(fn)} without awaiting it, "
            f"so a coroutine function would never run: {instead}"
        )


def refuse_generator(fn: Any, place: str) -> None:
    """Refuse a function whose call would only make a generator, where both kinds are awaited.

    Raises:
        TypeError: If it is a generator function, async or not.
    """
    function = _function_of(fn)
    flags = 0 if function is None else function.__code__.co_flags
    if flags & (CO_GENERATOR | CO_ASYNC_GENERATOR) and not flags & CO_ITERABLE_COROUTINE:
        raise TypeError(
            f"{place} calls {name_of(fn)}, which has a yield, "
            "so the call would only make a generator and never run: return instead of yielding"
        )


def name_of(fn: Any) -> str:
    """Return the name of a function for a sentence, without the arguments of a partial."""
    while isinstance(fn, partial):
        fn = fn.func
    return getattr(fn, "__qualname__", None) or f"a {type(fn).__qualname__}"


def _function_of(fn: Any) -> FunctionType | None:
    """Return the Python function that runs when `fn` is called, if there is one."""
    while type(fn) is not FunctionType:
        kind = type(fn)
        if kind in _TRANSPARENT:
            fn = getattr(fn, _TRANSPARENT[kind])
        elif isinstance(fn, type) or not isinstance(getattr(kind, "__call__", None), FunctionType):  # noqa: B004 - the method of the type, not the object's
            return None
        else:
            fn = kind.__call__
    return fn


def _is_marked(fn: Any) -> bool:
    mark = getattr(fn, MARK, None)
    if mark is None:
        return False
    # The mark itself is compared: a mock has every attribute.
    if sys.version_info >= (3, 12):
        return iscoroutinefunction(fn)
    return mark is getattr(sys.modules.get("asyncio.coroutines"), MARK, None)
