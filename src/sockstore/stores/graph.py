"""Wake and rest the nodes of a graph, without recursion: a chain may be 20,000 deep."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sockstore.stores.failures import Failures

if TYPE_CHECKING:
    from sockstore.stores.nodes import Node
    from sockstore.stores.scheduling import Scheduler

__all__ = ["dormant", "is_elsewhere", "rest", "sample", "wake"]

T = TypeVar("T")

_by_level: Final = attrgetter("_level")


def dormant(node: Node[Any]) -> list[Node[Any]]:
    """The node and what it is computed from, as far as not live, inputs first."""
    if not node._inputs:
        return [node]
    # A dict, for it keeps the order: what starts first is not left to chance.
    found = {node: None}
    stack = [node]
    while stack:
        for one in stack.pop()._inputs:
            if not one._live and one not in found:
                found[one] = None
                stack.append(one)
    return sorted(found, key=_by_level)


def is_elsewhere(node: Node[Any], scheduler: Scheduler) -> bool:
    """Whether the node, or what it is computed from, belongs to another thread."""
    owner = node._scheduler
    if owner is not None and owner is not scheduler:
        return True
    if node._live or not node._inputs:
        return False
    ours = (None, scheduler)
    return any(one._scheduler not in ours for each in dormant(node) for one in each._inputs)


def wake(node: Node[Any], scheduler: Scheduler) -> None:
    """Make the node live, and first what it is computed from.

    If something raises, some are live and some are only linked; `rest` undoes both.
    """
    order = dormant(node)
    scheduler.depth += 1
    try:
        # Linked before anything starts, so that no `start` can put an input to rest again.
        for each in order:
            for one in each._inputs:
                one._dependents[each] = None
        for each in order:
            if scheduler.levels:
                scheduler.settle(each._level - 1)
            if not each._live:
                each._begin(scheduler)
    finally:
        scheduler.depth -= 1


def rest(node: Node[Any]) -> None:
    """Put the node to rest if nobody needs it any more, and then what it was computed from."""
    failures = Failures()
    stack = [node]
    while stack:
        node = stack.pop()
        if node._subscriptions or node._dependents or node._pins or node._permanent:
            continue
        was_live, node._live, node._queued = node._live, False, False
        stack += [one for one in reversed(node._inputs) if _unlink(one, node)]
        if was_live:
            try:
                node._end()
            except BaseException as error:  # noqa: BLE001 - raised when all have rested
                failures.add(error)
    failures.raise_all()


def _unlink(one: Node[Any], dependent: Node[Any]) -> bool:
    was_linked = dependent in one._dependents
    one._dependents.pop(dependent, None)
    return was_linked


def sample(node: Node[T]) -> T:
    """Compute the value and leave the graph alone, for it belongs to another thread."""
    values: dict[Node[Any], Any] = {}
    for each in dormant(node):
        values[each] = each._sample(
            [values[one] if one in values else one._settled() for one in each._inputs]
        )
    return values[node]  # type: ignore[no-any-return]
