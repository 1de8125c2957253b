"""Define the members of a graph of stores, and look at one that another thread may change."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, TypeVar

from sockstore.base.plain_calls import PLAIN, refuse_async
from sockstore.stores.contract import Vertex
from sockstore.stores.scheduling import Scheduler, threads

__all__ = ["Member", "dormant", "look", "may_begin", "owner_of"]

T = TypeVar("T")

_by_level: Final = attrgetter("level")


class Member(Vertex[T]):
    """What a node is computed from and whose it is, and the hooks of its kind."""

    __slots__ = (
        "dependents",
        "inputs",
        "owner",
        "permanent",
        "pins",
        "scheduler",
        "starting",
        "thread_error",
    )

    def __init__(
        self,
        inputs: tuple[Member[Any], ...],
        differs: Callable[[T, T], bool] | None,
    ) -> None:
        if differs is not None:
            refuse_async(differs, "differs=", PLAIN)
        level = 1 + max([node.level for node in inputs]) if inputs else 0
        super().__init__(level, differs)
        self.inputs: tuple[Member[Any], ...] = inputs
        """Set once: the nodes that it is computed from."""
        self.dependents: dict[Member[Any], None] = {}
        """The live nodes that are computed from it: added by `_wake`, removed by `_unlink`."""
        self.permanent: bool = False
        """Set once: whether it is always live, because there is nothing to start or stop."""
        self.pins: int = 0
        """How many calls of `read` and `subscribe` need the value at this moment."""
        self.scheduler: Scheduler | None = None
        """The scheduler of the thread that it belongs to: set by its first change, by `bind`, and
        for a computed node while it is live. Set before `live` and reset after it, so that another
        thread that finds the node live also finds whose it is."""
        self.starting: Scheduler | None = None
        """The scheduler of the thread that calls the user's code in `begin`, until it returns: the
        value may still be that of before."""
        self.thread_error: str | None = None
        """The sentence that refuses a change from another thread, set by `adopt`; None for ours."""
        self.owner: object | None = None
        """The object that must live as long as this store is used, set by `adopt`."""

    # Overridden by the kinds of nodes

    def settled(self) -> T:
        """Return the value, or raise the error in its place."""
        return self.value

    def glance(self) -> tuple[T] | None:
        """Return the value of a live node of another thread, which may end it meanwhile.

        Returns:
            The value in a tuple; None if there is none at this moment.

        Raises:
            Exception: The error in place of the value.
        """
        return (self.value,)

    def value_within(self) -> T:
        """Return the value for the node's own `start` or computation that reads it."""
        return self.value

    def begin(self, scheduler: Scheduler, /) -> None:
        """Become live, after all inputs are."""
        raise NotImplementedError

    def end(self) -> None:
        """Clean up after having been live."""

    def sample(self, values: list[Any], /) -> T:
        """Compute the value from these inputs and change nothing."""
        raise NotImplementedError

    def has_value(self) -> bool:
        """Whether there is a value, and not an error."""
        return True

    def has_effects(self) -> bool:
        """Whether becoming live runs code that may have effects: a `start`, another library."""
        return False

    def last_value(self) -> T:
        """Return the value that it had last."""
        return self.value


def dormant(node: Member[Any]) -> list[Member[Any]]:
    """Return the node and its direct and indirect inputs that are not live, inputs first."""
    if not node.inputs:
        return [node]
    # A dict, for it keeps the order: the order of the starts is the order of the inputs.
    visited = {node: None}
    stack = [node]
    while stack:
        for source in stack.pop().inputs:
            if not source.live and source not in visited:
                visited[source] = None
                stack.append(source)
    return sorted(visited, key=_by_level)


def owner_of(node: Member[Any], scheduler: Scheduler) -> Scheduler | None:
    """Return whose the node and its inputs are: another thread's, this one's or, as None, no one's.

    It does not ask which nodes are live, for another thread may change that meanwhile; the owner
    of a store that was set stays.
    """
    owner = node.scheduler
    if not node.inputs or (owner is scheduler and node.live):
        return owner
    owner = None
    visited = {node}
    stack = [node]
    while stack:
        each = stack.pop()
        if each.scheduler is not None:
            owner = each.scheduler
            if owner is not scheduler:
                return owner
            if each.live:
                continue
        for source in each.inputs:
            if source not in visited:
                visited.add(source)
                stack.append(source)
    return owner


def may_begin(node: Member[Any], scheduler: Scheduler) -> bool:
    """Whether a reading starts this node of no one: only if there is something to start.

    While it is live it is this thread's, so another one could not subscribe to it meanwhile.
    """
    order = dormant(node)
    return any(each.has_effects() for each in order) and all(
        each.starting in (None, scheduler) for each in order
    )


def _sample(node: Member[Any], inputs: list[Any]) -> Any:
    return node.sample(inputs)


def look(node: Member[T], sample: Callable[[Member[Any], list[Any]], Any] = _sample) -> T:
    """Return the value and leave the graph alone, for another thread may use it meanwhile.

    What is live there is looked at; the rest is computed for this call.

    Args:
        node: The node to look at.
        sample: `sample(node, inputs)` returns the value of a node that is not live.
    """
    scheduler = threads.scheduler
    values: dict[Member[Any], Any] = {}
    stack: list[Member[Any]] = [node]
    scheduler.depth += 1
    try:
        while stack:
            each = stack[-1]
            if each in values:
                stack.pop()
            elif each.live and each.scheduler is scheduler:
                values[each] = each.settled()
            elif each.live and (found := each.glance()) is not None:
                values[each] = found[0]
            elif each in scheduler.sampled:
                values[each] = each.value_within()
            elif missing := [source for source in each.inputs if source not in values]:
                stack += reversed(missing)
            else:
                inputs = [values[source] for source in each.inputs]
                scheduler.sampled.add(each)
                try:
                    values[each] = sample(each, inputs)
                finally:
                    scheduler.sampled.discard(each)
    finally:
        scheduler.depth -= 1
        scheduler.run()
    return values[node]  # type: ignore[no-any-return]  # the values of all nodes, of any type
