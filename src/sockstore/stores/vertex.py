"""Hold the part of a store's node that the scheduler sees: value, subscribers and level."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sockstore.stores.contract import Unsubscriber, changed

__all__ = ["Vertex"]

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
