"""Hold a value, its subscribers and its level: the part of a store's node that is scheduled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar

from sockstore.stores.contract import changed

__all__ = ["Unsubscriber", "Vertex"]

T = TypeVar("T")


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
        self.level = level
        """Set once: a node is computed after all nodes of lower levels."""
        self.differs: Callable[[Any, Any], bool] = differs or changed
        """Set once: whether a new value is a change."""
        self.live = False
        """Whether the value is kept up to date: set when the node begins and when it ends."""
        self.queued = False
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
