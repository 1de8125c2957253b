"""Make stores that are set by the program, or by their `start` alone."""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import Any, Generic, TypeAlias, TypeVar

from sockstore.base.plain_calls import AND_RETURN_ITS_CANCEL, PLAIN, name_of, refuse_async
from sockstore.stores.contract import changed
from sockstore.stores.nodes import Node
from sockstore.stores.readable import Readable
from sockstore.stores.scheduling import Scheduler, threads

__all__ = ["Start", "Writable", "readable", "writable"]

T = TypeVar("T")

Update: TypeAlias = Callable[[Callable[[T], T]], None]
Start: TypeAlias = Callable[[Callable[[T], None], Update[T]], Callable[[], object] | None]
"""`start(set, update)`: begin to set the store; return a callable that ends that, or None."""


class Writable(Readable[T]):
    """A store that the program may set.

    Example:
        >>> count = writable(1)
        >>> count.update(lambda number: number + 1)
        >>> count.value
        2
    """

    __slots__ = ()

    _kind = "Writable"

    @property
    def value(self) -> T:
        """The present value."""
        node = self._node
        return node.value if node.live else node.read()

    def set(self, value: T) -> None:
        """Replace the value, and tell the subscribers if that is a change.

        Args:
            value: The new value.

        Raises:
            Exception: Errors of subscribers or computations, after all others were told;
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
        node = self._node
        scheduler = threads.scheduler
        if node.scheduler is not scheduler:
            node.claim(scheduler)
        if not (node.subscribers or node.dependents) and node.differs is changed:
            # Without watchers it does not matter whether this is a change.
            node.value = value
            return
        if not node.differs(node.value, value):
            return
        if node.dependents or scheduler.depth or scheduler.delivering:
            node.spread(value, scheduler)
            return
        # The short way for a store from which nothing is computed.
        node.value = value
        audience = node.audience
        if audience is None:
            audience = scheduler.audience_of(node)
        if audience:
            scheduler.deliver(audience, value)

    def update(self, fn: Callable[[T], T]) -> None:
        """Set the value to the result of `fn` for it.

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
        value = fn(self._node.value)
        # The result is checked and not the function, which costs less.
        if type(value) is CoroutineType:
            raise _coroutine_refused(value, fn)
        self.set(value)


class _Source(Node[T]):
    """The node of a store that is set."""

    __slots__ = ("start", "stop")

    def __init__(
        self,
        value: T,
        start: Start[T] | None,
        differs: Callable[[T, T], bool] | None,
    ) -> None:
        super().__init__((), differs)
        if start is not None:
            refuse_async(start, "a store's start", AND_RETURN_ITS_CANCEL)
        self.value = value
        self.start: Start[T] = start or _nothing
        """Set once: called when the first subscriber arrives."""
        self.stop: Callable[[], object] | None = None
        """The result of `start`; called when the last subscriber leaves."""
        self.live = self.permanent = start is None

    def read(self) -> T:
        """Return the present value: the short way for a node without inputs."""
        return self.value if self.live else super().read()

    def begin(self, scheduler: Scheduler, /) -> None:
        """Call `start`."""
        if self.starting is not None:
            return  # `start` reads this store, or one that is computed from it
        self.starting = scheduler
        store = Writable(self)
        try:
            self.stop = _checked(self.start(store.set, store.update))
            # Only now, or another thread would read the value before `start` has set it.
            self.live = True
        finally:
            self.starting = None

    def end(self) -> None:
        """Call the result of `start`."""
        stop, self.stop = self.stop, None
        if stop is not None:
            stop()

    def has_effects(self) -> bool:
        """Whether becoming live calls the `start` of a user."""
        # The `start` functions of this package only read.
        own = getattr(self.start, "__module__", None) or ""
        return not (self.live or own.startswith("sockstore."))

    def sample(self, _: list[object], /) -> T:
        """Return the value that `start` sets at once, and stop it."""
        cell = _Cell(self.value)
        stop = _checked(self.start(cell.set, cell.update))
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
    """Make a store that the program may set.

    Args:
        value: The first value.
        start: Called as `start(set, update)` when the first subscriber arrives. The result,
            if not None, is called when the last one leaves.
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
    return Writable(_Source(value, start, differs))


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
            expensive to build is built only if it is read.
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
    return Readable(_Source(value, start, differs))
