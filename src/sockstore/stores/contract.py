"""Define the contract of every store: what can be watched, which changes count, how to leave."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Generic, Protocol, Self, TypeVar

__all__ = ["Subscribable", "Unsubscriber", "Vertex", "changed", "leaving"]

T = TypeVar("T")
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


class Vertex(Generic[T]):
    """The fields and hooks of a node that the scheduler touches.

    Args:
        level: One more than the highest level of its inputs; 0 without inputs.
        differs: `differs(old, new)` tells whether a new value is a change; None for `changed`.
    """

    __slots__ = ("audience", "differs", "level", "live", "queued", "subscribers", "value")

    def __init__(self, level: int, differs: Callable[[T, T], bool] | None) -> None:
        self.value: T
        """The present value, set by a change or a computation; absent while there is an error."""
        self.level: int = level
        """Set once: a node is computed after all nodes of lower levels."""
        self.differs: Callable[[Any, Any], bool] = differs or changed
        """Set once: whether a new value is a change."""
        self.live: bool = False
        """Whether the value is kept up to date: set when the node begins and when it ends."""
        self.queued: bool = False
        """Whether it waits to be computed: set by `Scheduler.mark`, cleared when its turn comes."""
        self.subscribers: dict[Unsubscriber, None] = {}
        """The subscribers, in the order of subscribing; a dict, so that leaving is quick."""
        self.audience: tuple[Unsubscriber, ...] | None = ()
        """The subscribers as a tuple, which a change is told to; None when it has to be made anew,
        because of a new or lost subscriber."""

    def recompute(self, scheduler: Any, /) -> None:
        """Compute the value anew because an input changed; never raise.

        Args:
            scheduler: The `Scheduler` that calls this; its module imports this one.
        """

    def remember(self, last_value: Any) -> None:
        """Keep the value that the subscribers know while there is an error."""

    def leave(self, unsubscriber: Unsubscriber, /) -> None:
        """Remove a subscriber that will not be called again."""

    def leave_when_idle(self, unsubscriber: Unsubscriber, /) -> None:
        """Call the unsubscriber as soon as its thread does nothing else with stores."""


class Unsubscriber:
    """The result of `subscribe`: call it to unsubscribe, as often as you like.

    It is also a context manager, which unsubscribes at the end of the block.

    Example:
        >>> from sockstore.stores import writable
        >>> with writable(1).subscribe(print) as unsubscribe:
        ...     unsubscribe.active
        1
        True
        >>> unsubscribe.active
        False
    """

    __slots__ = ("__weakref__", "_node", "_run")

    def __init__(self, node: Vertex[Any], run: Callable[[Any], object]) -> None:
        self._node: Vertex[Any] | None = node
        """The node that is watched; None after unsubscribing."""
        self._run: Callable[[Any], object] | None = run
        """Called with each value; None after unsubscribing, or if the first call raised."""

    @property
    def active(self) -> bool:
        """Whether changes are still delivered."""
        return self._run is not None

    def __call__(self) -> None:
        """Unsubscribe; the function is not called again, not even for a change under way.

        Raises:
            Exception: The error of the `stop` of a store that lost its last subscriber.
        """
        self._run = None
        node, self._node = self._node, None
        if node is not None:
            node.leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self()

    def _retire(self) -> None:
        """Unsubscribe from within the garbage collector, which may run at any moment."""
        self._run = None
        node = self._node
        if node is not None:
            node.leave_when_idle(self)
