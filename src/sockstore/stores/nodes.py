"""Hold a value, its subscribers, and the nodes that are computed from it.

Nodes become live and end without recursion: a chain may be 20,000 deep.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from threading import RLock
from types import FunctionType, MethodType
from typing import Any, Final, TypeVar

from sockstore.base.plain_calls import (
    ASYNC,
    MARK,
    PLAIN,
    START_A_TASK,
    refuse_async,
    returns_awaitable,
)
from sockstore.stores.contract import Unsubscriber, Vertex
from sockstore.stores.failures import Failures
from sockstore.stores.scheduling import Scheduler, threads

__all__ = ["Node", "dormant", "look"]

T = TypeVar("T")

_FOREIGN_THREAD = (
    "this store belongs to another thread, the one that set it first; "
    "use loop.call_soon_threadsafe(store.set, value) to change it from here"
)
_by_level: Final = attrgetter("level")
_beginning: Final = RLock()
"""Held while a reading makes nodes live that belong to no thread. It is never waited for: another
thread that reads meanwhile looks instead."""


class Node(Vertex[T]):
    """A store as a node of a graph.

    It is live while its value is needed: by a subscriber, by a live node computed from it, or by
    a reader at this moment (a pin).
    """

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
        inputs: tuple[Node[Any], ...],
        differs: Callable[[T, T], bool] | None,
    ) -> None:
        if differs is not None:
            refuse_async(differs, "differs=", PLAIN)
        level = 1 + max([node.level for node in inputs]) if inputs else 0
        super().__init__(level, differs)
        self.inputs: tuple[Node[Any], ...] = inputs
        """Set once: the nodes that it is computed from."""
        self.dependents: dict[Node[Any], None] = {}
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

    # Reading and subscribing

    def read(self) -> T:
        """Return the present value; start the nodes it needs, if nothing watches it."""
        scheduler = threads.scheduler
        if self.live and self.scheduler is scheduler:
            if scheduler.levels:
                scheduler.settle(self.level)
            return self.settled()
        owner = _owner_of(self, scheduler)
        if owner is scheduler:
            return self._visit(scheduler)
        if owner is None and _may_begin(self, scheduler) and _beginning.acquire(blocking=False):
            try:
                return self._visit(scheduler)
            finally:
                _beginning.release()
        if scheduler.levels:
            scheduler.settle(self.level)
        return look(self)

    def subscribe(self, run: Callable[[T], object], /) -> Unsubscriber:
        """Call `run` with the value, now and on every change."""
        scheduler = threads.scheduler
        if _owner_of(self, scheduler) not in (None, scheduler):
            raise RuntimeError(self.thread_error or _FOREIGN_THREAD)
        # Functions and bound methods are not examined further, as subscribing is a hot path.
        fn: Any = run.__func__ if isinstance(run, MethodType) else run
        if (
            type(fn) is not FunctionType or fn.__code__.co_flags & ASYNC or hasattr(fn, MARK)
        ) and returns_awaitable(run):
            refuse_async(run, "subscribe()", f"{START_A_TASK}, or iterate over the store")
        unsubscriber = Unsubscriber(self, run)
        if self.permanent:
            value = self.value
            self.subscribers[unsubscriber] = None
        else:
            value = self._pin(scheduler)
            self.subscribers[unsubscriber] = None
            self.pins -= 1
        self.audience = None
        try:
            scheduler.call_first(self, unsubscriber, run, value)
        except BaseException:
            unsubscriber()
            raise
        return unsubscriber

    def leave(self, unsubscriber: Unsubscriber, /) -> None:
        """Remove a subscriber, and end if it was the last."""
        self.subscribers.pop(unsubscriber, None)
        self.audience = None
        if self.subscribers or self.permanent:
            return
        if self.scheduler in (None, threads.scheduler):
            _rest(self)
        else:
            self.scheduler.leave_later(partial(_rest, self))

    def leave_when_idle(self, unsubscriber: Unsubscriber, /) -> None:
        """Call the unsubscriber as soon as its thread does nothing else with stores."""
        scheduler = self.scheduler or threads.scheduler
        if scheduler is threads.scheduler and not (scheduler.depth or scheduler.delivering):
            unsubscriber()
        else:
            scheduler.leave_later(unsubscriber)

    def _visit(self, scheduler: Scheduler) -> T:
        """Return the value, and keep this node live for that moment."""
        value = self._pin(scheduler)
        self._unpin(scheduler)
        return value

    def _pin(self, scheduler: Scheduler) -> T:
        """Keep this node live until its pin is taken away, and return its value."""
        self.pins += 1
        try:
            if not self.live:
                _wake(self, scheduler)
            if scheduler.levels:
                scheduler.settle(self.level)
            return self.settled()
        except BaseException as error:
            try:
                self._unpin(scheduler)
            except Exception as another:  # noqa: BLE001 - the first error says more
                error.add_note(f"and undoing what was begun raised {another!r}")
            raise

    def _unpin(self, scheduler: Scheduler) -> None:
        self.pins -= 1
        try:
            _rest(self)
        finally:
            scheduler.run()

    # Changing

    def put(self, value: T) -> None:
        """Replace the value, and tell the subscribers if that is a change."""
        scheduler = threads.scheduler
        if self.scheduler is not scheduler:
            self.claim(scheduler)
        if self.differs(self.value, value):
            self.spread(value, scheduler)

    def spread(self, value: T, scheduler: Scheduler) -> None:
        """Replace the value, and tell all subscribers and dependents."""
        if scheduler.delivering or scheduler.settling:
            scheduler.count_change()
        old = self.value
        self.value = value
        # Held back, so that a collected subscriber does not leave while dependents are walked.
        scheduler.depth += 1
        if self.subscribers:
            scheduler.note(self, old)
        if self.dependents:
            scheduler.mark(self.dependents)
        scheduler.depth -= 1
        scheduler.run()

    def claim(self, scheduler: Scheduler) -> None:
        """Give a store that was never set to the calling thread.

        Raises:
            RuntimeError: If it belongs to another thread.
        """
        if self.scheduler is not None:
            raise RuntimeError(self.thread_error or _FOREIGN_THREAD)
        self.scheduler = scheduler

    # Overridden by the kinds of nodes

    def settled(self) -> T:
        """Return the value, or raise the error in its place."""
        return self.value

    def glance(self) -> tuple[T] | None:
        """Return the value of a live node of another thread in a tuple, or raise its error.

        It returns None if that thread ends the node at this moment, so that the value is gone.
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


def dormant(node: Node[Any]) -> list[Node[Any]]:
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


def _owner_of(node: Node[Any], scheduler: Scheduler) -> Scheduler | None:
    """Return whose the node and its inputs are; None if no thread has set one of them.

    It does not ask what is live: another thread may change that meanwhile, but an owner stays.
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


def _may_begin(node: Node[Any], scheduler: Scheduler) -> bool:
    """Whether a reading starts this node of no one: only if there is something to start.

    While it is live it is this thread's, so another one could not subscribe to it meanwhile.
    """
    order = dormant(node)
    return any(each.has_effects() for each in order) and all(
        each.starting in (None, scheduler) for each in order
    )


def _sample(node: Node[Any], inputs: list[Any]) -> Any:
    return node.sample(inputs)


def look(node: Node[T], sample: Callable[[Node[Any], list[Any]], Any] = _sample) -> T:
    """Return the value and leave the graph alone, for another thread may use it meanwhile.

    What is live there is looked at; the rest is computed for this call.

    Args:
        node: The node to look at.
        sample: `sample(node, inputs)` returns the value of a node that is not live.
    """
    scheduler = threads.scheduler
    values: dict[Node[Any], Any] = {}
    stack: list[Node[Any]] = [node]
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


def _wake(node: Node[Any], scheduler: Scheduler) -> None:
    """Make the node live, and its inputs before it.

    If something raises, some are live and some are only linked; `_rest` undoes both.
    """
    order = dormant(node)
    scheduler.depth += 1
    try:
        # Linked before anything starts, so that no `start` can put an input to rest again.
        for each in order:
            for source in each.inputs:
                source.dependents[each] = None
        for each in order:
            if scheduler.levels:
                scheduler.settle(each.level - 1)
            if not each.live:
                each.begin(scheduler)
    finally:
        scheduler.depth -= 1


def _rest(node: Node[Any]) -> None:
    """End a node whose value is no longer needed, and those of its inputs that are not either."""
    failures = Failures()
    stack = [node]
    while stack:
        node = stack.pop()
        if node.subscribers or node.dependents or node.pins or node.permanent:
            continue
        was_live, node.live, node.queued = node.live, False, False
        stack += [source for source in reversed(node.inputs) if _unlink(source, node)]
        if was_live:
            try:
                node.end()
            except BaseException as error:  # noqa: BLE001 - raised when all have ended
                failures.add(error)
    failures.raise_all()


def _unlink(source: Node[Any], dependent: Node[Any]) -> bool:
    was_linked = dependent in source.dependents
    source.dependents.pop(dependent, None)
    return was_linked
