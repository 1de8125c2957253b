"""Stores that are set: by anyone, or by their `start` alone."""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import Any, Generic, TypeAlias, TypeVar

from sockstore.base.plain_calls import AND_RETURN_ITS_CANCEL, PLAIN, name_of, refuse_async
from sockstore.stores.contract import Readable, changed
from sockstore.stores.nodes import Node
from sockstore.stores.scheduling import Scheduler, threads
from sockstore.stores.tools import readonly

__all__ = ["Start", "Writable", "readable", "writable"]

T = TypeVar("T")

Update: TypeAlias = Callable[[Callable[[T], T]], None]
Start: TypeAlias = Callable[[Callable[[T], None], Update[T]], Callable[[], object] | None]
"""`start(set, update)`: begin to set the store; return what ends that, or None."""


class Writable(Node[T]):
    """A store that anyone may set.

    Example:
        >>> count = writable(1)
        >>> count.update(lambda number: number + 1)
        >>> count.value
        2
    """

    __slots__ = ("_begin_with", "_stop")

    _kind = "Writable"

    def __init__(
        self,
        value: T,
        start: Start[T] | None,
        differs: Callable[[T, T], bool] | None,
    ) -> None:
        super().__init__((), differs)
        if start is not None:
            refuse_async(start, "a store's start", AND_RETURN_ITS_CANCEL)
        self._value = value
        self._begin_with: Start[T] = start or _nothing
        self._stop: Callable[[], object] | None = None
        self._live = self._permanent = start is None

    @property
    def value(self) -> T:
        """The present value."""
        if self._live:
            return self._value
        return super().value

    def set(self, value: T) -> None:
        """Replace the value, and tell the subscribers if that is a change.

        Args:
            value: The new value.

        Raises:
            Exception: What subscribers or computations raised, after all others were told;
                several come as an `ExceptionGroup`. In a subscriber or a `batch()` nothing is
                raised: the outermost change raises it.
            RuntimeError: If the store belongs to another thread, or the change is part of an
                endless cycle.

        Example:
            >>> count = writable(1)
            >>> count.set(2)
            >>> count.value
            2
        """
        scheduler = threads.scheduler
        if self._scheduler is not scheduler:
            self._claim(scheduler)
        if not (self._subscriptions or self._dependents) and self._differs is changed:
            # Nobody is to be told, so nobody asks whether this is a change.
            self._value = value
            return
        if not self._differs(self._value, value):
            return
        if self._dependents or scheduler.depth or scheduler.delivering:
            self._spread(value, scheduler)
            return
        # The short way for a store from which nothing is computed.
        self._value = value
        audience = self._audience_now
        if audience is None:
            audience = self._audience(scheduler)
        if audience:
            scheduler.deliver(audience, value)

    def update(self, fn: Callable[[T], T]) -> None:
        """Set the value to what `fn` makes of it.

        Args:
            fn: Called with the present value, returns the new one.

        Raises:
            Exception: As `set` does.
            TypeError: If `fn` returned a coroutine, which is not a value.

        Example:
            >>> count = writable(1)
            >>> count.update(lambda number: number * 5)
            >>> count.value
            5
        """
        value = fn(self._value)
        # The result is looked at and not the function, which costs less.
        if type(value) is CoroutineType:
            raise _coroutine_refused(value, fn)
        self.set(value)

    def _begin(self, _: Scheduler, /) -> None:
        self._live = True
        try:
            self._stop = _checked(self._begin_with(self.set, self.update))
        except BaseException:
            self._live = False
            raise

    def _end(self) -> None:
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()

    def _has_effects(self) -> bool:
        # What this package starts itself only looks.
        own = getattr(self._begin_with, "__module__", None) or ""
        return not (self._live or own.startswith("sockstore."))

    def _sample(self, _: list[object], /) -> T:
        cell = _Cell(self._value)
        stop = _checked(self._begin_with(cell.set, cell.update))
        if stop is not None:
            stop()
        return cell.value


def _nothing(_set: object, _update: object) -> None:
    pass


class _Cell(Generic[T]):
    """Stands in for a store of another thread while its `start` shows the value."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def set(self, value: T) -> None:
        self.value = value

    def update(self, fn: Callable[[T], T]) -> None:
        value = fn(self.value)
        if type(value) is CoroutineType:
            raise _coroutine_refused(value, fn)
        self.value = value


def _checked(stop: Callable[[], object] | None) -> Callable[[], object] | None:
    if stop is not None and not callable(stop):
        raise TypeError(
            f"start returned {stop!r}, but it returns a function without arguments or None"
        )
    if stop is not None:
        refuse_async(stop, "a store", f"{PLAIN} as what `start` returns")
    return stop


def _coroutine_refused(coroutine: Any, fn: object) -> TypeError:
    coroutine.close()
    return TypeError(f"update() calls {name_of(fn)}, which returned a coroutine: {PLAIN}")


def writable(
    value: T,
    start: Start[T] | None = None,
    *,
    differs: Callable[[T, T], bool] | None = None,
) -> Writable[T]:
    """Make a store that anyone may set.

    Args:
        value: The first value.
        start: Called as `start(set, update)` when the first subscriber arrives. What it
            returns, if anything, is called when the last one leaves.
        differs: `differs(old, new)` tells whether a new value is a change. None compares
            simple values and takes everything else as a change, see `changed`.

    Returns:
        The store.

    Raises:
        TypeError: If `start` or `differs` is a coroutine function.

    Example:
        >>> count = writable(1)
        >>> with count.subscribe(print):
        ...     count.set(2)
        1
        2
    """
    return Writable(value, start, differs)


def readable(
    value: T,
    start: Start[T] | None = None,
    *,
    differs: Callable[[T, T], bool] | None = None,
) -> Readable[T]:
    """Make a store that only its own `start` sets.

    Args:
        value: The first value.
        start: As for `writable`. It may set the value at once, so that a value that is
            expensive to build is built only if somebody looks.
        differs: As for `writable`.

    Returns:
        The store; it has no `set`.

    Raises:
        TypeError: If `start` or `differs` is a coroutine function.

    Example:
        >>> answer = readable(0, lambda set, update: set(42))
        >>> answer.value
        42
    """
    return readonly(Writable(value, start, differs))
