"""Make stores that are computed from others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, overload

from sockstore.base.plain_calls import AND_RETURN_ITS_CANCEL, PLAIN, refuse_async
from sockstore.stores.binding import node_of
from sockstore.stores.computed import Derived, Emitting
from sockstore.stores.contract import Subscribable
from sockstore.stores.nodes import Node
from sockstore.stores.readable import Readable

__all__ = ["Emit", "derived", "derived_emit"]

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
R = TypeVar("R")
S = TypeVar("S", bound=Subscribable[Any])

_PLAIN_OR_EMIT = f"{PLAIN}, or use derived_emit for values that come later"

Emit: TypeAlias = Callable[[R], None]
"""The type of `emit`, which a function of `derived_emit` calls with each value."""
Cleanup: TypeAlias = Callable[[], object] | None
Differs: TypeAlias = Callable[[R, R], bool] | None
In: TypeAlias = Subscribable[A]
_Seven: TypeAlias = tuple[In[Any], In[Any], In[Any], In[Any], In[Any], In[Any], In[Any]]
_Many: TypeAlias = tuple[*_Seven, *tuple[In[Any], ...]] | list[In[Any]]


@overload
def derived(stores: In[A], fn: Callable[[A], R], *, differs: Differs[R] = None) -> Readable[R]: ...


@overload
def derived(
    stores: tuple[In[A]], fn: Callable[[A], R], *, differs: Differs[R] = None
) -> Readable[R]: ...


@overload
def derived(
    stores: tuple[In[A], In[B]], fn: Callable[[A, B], R], *, differs: Differs[R] = None
) -> Readable[R]: ...


@overload
def derived(
    stores: tuple[In[A], In[B], In[C]], fn: Callable[[A, B, C], R], *, differs: Differs[R] = None
) -> Readable[R]: ...


@overload
def derived(
    stores: tuple[In[A], In[B], In[C], In[D]],
    fn: Callable[[A, B, C, D], R],
    *,
    differs: Differs[R] = None,
) -> Readable[R]: ...


@overload
def derived(
    stores: tuple[In[A], In[B], In[C], In[D], In[E]],
    fn: Callable[[A, B, C, D, E], R],
    *,
    differs: Differs[R] = None,
) -> Readable[R]: ...


@overload
def derived(
    stores: tuple[In[A], In[B], In[C], In[D], In[E], In[F]],
    fn: Callable[[A, B, C, D, E, F], R],
    *,
    differs: Differs[R] = None,
) -> Readable[R]: ...


@overload
def derived(stores: _Many, fn: Callable[..., R], *, differs: Differs[R] = None) -> Readable[R]: ...


@overload
def derived(
    stores: list[S], fn: Callable[..., R], *, differs: Differs[R] = None
) -> Readable[R]: ...
def derived(
    stores: Any,
    fn: Callable[..., R],
    *,
    differs: Differs[R] = None,
) -> Readable[R]:
    """Make a store that is computed from others.

    It is computed once for each change of its inputs, after all of them, and only while it is
    watched; a reading without subscribers computes it for that moment.

    If `fn` raises, subscribers keep the last value, reading raises the error, and so does the
    change that led to it; the next change of an input tries again.

    Args:
        stores: One store, or a tuple or list of stores, also foreign ones.
        fn: Called with their values, one argument each; returns the value. Type checkers refuse
            a wrong arity for one store and for tuples of up to 6; beyond, and for lists, they
            cannot tell.
        differs: `differs(old, new)` tells whether a new value is a change, as for `writable`.

    Returns:
        The store.

    Raises:
        TypeError: If `fn` or `differs` is a coroutine function.

    Example:
        >>> from sockstore.stores import writable
        >>> width, height = writable(2), writable(3)
        >>> area = derived((width, height), lambda w, h: w * h)
        >>> with area.subscribe(print):
        ...     width.set(4)
        6
        12
    """
    refuse_async(fn, "derived()", _PLAIN_OR_EMIT)
    return Readable(Derived(_nodes(stores), fn, differs))


@overload
def derived_emit(
    stores: In[A], fn: Callable[[Emit[R], A], Cleanup], initial: R, *, differs: Differs[R] = None
) -> Readable[R]: ...


@overload
def derived_emit(
    stores: tuple[In[A]],
    fn: Callable[[Emit[R], A], Cleanup],
    initial: R,
    *,
    differs: Differs[R] = None,
) -> Readable[R]: ...


@overload
def derived_emit(
    stores: tuple[In[A], In[B]],
    fn: Callable[[Emit[R], A, B], Cleanup],
    initial: R,
    *,
    differs: Differs[R] = None,
) -> Readable[R]: ...


@overload
def derived_emit(
    stores: tuple[In[A], In[B], In[C]],
    fn: Callable[[Emit[R], A, B, C], Cleanup],
    initial: R,
    *,
    differs: Differs[R] = None,
) -> Readable[R]: ...


@overload
def derived_emit(
    stores: tuple[In[A], In[B], In[C], In[D]],
    fn: Callable[[Emit[R], A, B, C, D], Cleanup],
    initial: R,
    *,
    differs: Differs[R] = None,
) -> Readable[R]: ...


@overload
def derived_emit(
    stores: tuple[In[A], In[B], In[C], In[D], In[E]],
    fn: Callable[[Emit[R], A, B, C, D, E], Cleanup],
    initial: R,
    *,
    differs: Differs[R] = None,
) -> Readable[R]: ...


@overload
def derived_emit(
    stores: tuple[In[A], In[B], In[C], In[D], In[E], In[F]],
    fn: Callable[[Emit[R], A, B, C, D, E, F], Cleanup],
    initial: R,
    *,
    differs: Differs[R] = None,
) -> Readable[R]: ...


@overload
def derived_emit(
    stores: _Many, fn: Callable[..., Cleanup], initial: R, *, differs: Differs[R] = None
) -> Readable[R]: ...


@overload
def derived_emit(
    stores: list[S], fn: Callable[..., Cleanup], initial: R, *, differs: Differs[R] = None
) -> Readable[R]: ...
def derived_emit(
    stores: Any,
    fn: Callable[..., Cleanup],
    initial: R,
    *,
    differs: Differs[R] = None,
) -> Readable[R]:
    """Make a store whose function emits values, at once or later.

    This is the form for asynchronous values. The cleanup runs before the next computation and
    when the last subscriber leaves; values emitted after that are ignored.

    Args:
        stores: One store, or a tuple or list of stores, also foreign ones.
        fn: Called with `emit` and the values of the stores, `fn(emit, *values)`. It calls
            `emit(value)` any number of times and may return a cleanup.
        initial: The value before anything is emitted.
        differs: `differs(old, new)` tells whether a new value is a change, as for `writable`.

    Returns:
        The store.

    Raises:
        TypeError: If `fn` or `differs` is a coroutine function.

    Example:
        >>> from sockstore.stores import writable
        >>> def announce(emit, name):
        ...     emit(f"hello {name}")
        ...     return lambda: print("goodbye", name)
        >>> name = writable("Ada")
        >>> with derived_emit(name, announce, "").subscribe(print):
        ...     name.set("Grace")
        hello Ada
        goodbye Ada
        hello Grace
        goodbye Grace
    """
    refuse_async(fn, "derived_emit()", AND_RETURN_ITS_CANCEL)
    return Readable(Emitting(_nodes(stores), fn, initial, differs))


def _nodes(stores: Any) -> tuple[Node[Any], ...]:
    if isinstance(stores, (tuple, list)):
        return tuple(node_of(store) for store in stores)
    return (node_of(stores),)
