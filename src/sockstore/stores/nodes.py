"""Hold a value, its subscribers, and the nodes that are computed from it.

Nodes become live and end without recursion: a chain may be 20,000 deep.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import RLock
from types import FunctionType, MethodType
from typing import Any, Final, TypeVar

from sockstore.base.plain_calls import (
    ASYNC,
    MARK,
    START_A_TASK,
    refuse_async,
    returns_awaitable,
)
from sockstore.stores.contract import Unsubscriber
from sockstore.stores.failures import Failures
from sockstore.stores.graph import Member, dormant, look, may_begin, owner_of
from sockstore.stores.scheduling import Scheduler, threads

__all__ = ["Node"]

T = TypeVar("T")

_FOREIGN_THREAD = (
    "this store belongs to another thread, the one that set it first; "
    "use loop.call_soon_threadsafe(store.set, value) to change it from here"
)
_beginning_lock: Final = RLock()
"""Held while a reading makes nodes live that belong to no thread. It is never waited for: another
thread that reads meanwhile looks instead."""


class Node(Member[T]):
    """A store as a node of a graph.

    It is live while its value is needed: by a subscriber, by a live node computed from it, or by
    a reader at this moment (a pin).
    """

    __slots__ = ()

    # Reading and subscribing

    def read(self) -> T:
        """Return the present value; start the nodes it needs, if nothing watches it."""
        scheduler = threads.scheduler
        if self.live and self.scheduler is scheduler:
            if scheduler.levels:
                scheduler.settle(self.level)
            return self.settled()
        owner = owner_of(self, scheduler)
        if owner is scheduler:
            return self._visit(scheduler)
        if owner is None and may_begin(self, scheduler) and _beginning_lock.acquire(blocking=False):
            try:
                return self._visit(scheduler)
            finally:
                _beginning_lock.release()
        if scheduler.levels:
            scheduler.settle(self.level)
        return look(self)

    def subscribe(self, run: Callable[[T], object], /) -> Unsubscriber:
        """Call `run` with the value, now and on every change."""
        scheduler = threads.scheduler
        if owner_of(self, scheduler) not in (None, scheduler):
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


def _wake(node: Member[Any], scheduler: Scheduler) -> None:
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


def _rest(node: Member[Any]) -> None:
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


def _unlink(source: Member[Any], dependent: Member[Any]) -> bool:
    was_linked = dependent in source.dependents
    source.dependents.pop(dependent, None)
    return was_linked
