"""Decide what is computed and who is told, in which order.

Laws: (1) a derived store is computed after all of its inputs, because levels are computed in
order and its level is above theirs; (2) subscribers are told after all computations, with the
values of that moment, first come first served; (3) whoever changes a store while that goes on
only adds to the work: nothing here recurses; (4) what a subscriber raises is kept until all
others were told.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Final

from sockstore.stores.failures import EndlessCycle, Failures

if TYPE_CHECKING:
    from sockstore.stores.nodes import Node
    from sockstore.stores.subscription import Subscription

__all__ = ["Scheduler", "batch", "threads"]

CASCADE_LIMIT: Final = 100_000
"""Changes made by subscribers and computations in answer to one change, before it is a cycle."""

_UNCHANGED: Final = object()


class Scheduler:
    """The work of one thread."""

    __slots__ = (
        "again",
        "buckets",
        "cascade",
        "delivering",
        "departed",
        "depth",
        "failures",
        "late",
        "levels",
        "loose_ends",
        "pending",
        "queue",
        "redo",
        "settling",
    )

    def __init__(self) -> None:
        self.depth = 0
        """How many batches, activations and computations hold back the subscribers."""
        self.settling = 0
        self.delivering = False
        self.levels: list[int] = []
        self.buckets: dict[int, list[Node[Any]]] = {}
        self.pending: dict[Node[Any], object] = {}
        """Changed stores, with the value that their subscribers know."""
        self.again: set[Node[Any]] = set()
        """Pending stores that changed more than once, perhaps back."""
        self.late: dict[Node[Any], dict[Subscription, object]] = {}
        """Who subscribed to a pending store, with the value they know."""
        self.queue: deque[tuple[tuple[Subscription, ...], object]] = deque()
        self.cascade = 0
        self.loose_ends = False
        """Whether anything of what follows needs attention in the end."""
        self.failures = Failures()
        self.departed: deque[Callable[[], None]] = deque()
        """What was dropped in another thread or by the garbage collector in mid-work."""
        self.redo: list[Node[Any]] = []
        """Nodes whose computation was interrupted, by Ctrl-C or a cancellation."""

    def mark(self, nodes: Iterable[Node[Any]]) -> None:
        """Have these computed."""
        buckets = self.buckets
        for node in nodes:
            if node._live and not node._queued:
                node._queued = True
                bucket = buckets.get(node._level)
                if bucket is None:
                    buckets[node._level] = [node]
                    heappush(self.levels, node._level)
                else:
                    bucket.append(node)

    def note(self, node: Node[Any], old: object) -> None:
        """Have the subscribers of this store told that it is no longer `old`."""
        if node not in self.pending:
            self.pending[node] = old
            return
        self.again.add(node)
        if node in self.late:
            known = self.late[node]
            for subscription, value in known.items():
                if value is _UNCHANGED:
                    known[subscription] = old

    def settle(self, limit: int = sys.maxsize) -> None:
        """Compute what is marked, up to a level."""
        self.depth += 1
        self.settling += 1
        levels = self.levels
        try:
            while levels and levels[0] <= limit:
                self._compute_level(levels[0])
        finally:
            self.depth -= 1
            self.settling -= 1

    def _compute_level(self, level: int) -> None:
        levels, bucket = self.levels, self.buckets[level]
        for node in bucket:
            if node._queued:
                node._queued = False
                node._recompute(self)
                # A computation may set a store, and so mark a level below this one.
                if not levels or levels[0] != level:
                    return
        # A computation may read a store, and so have finished this level already.
        if self.buckets.get(level) is bucket:
            heappop(levels)
            del self.buckets[level]

    def collect(self) -> None:
        """Settle, and line up what the subscribers have to be told."""
        if self.levels:
            self.settle()
        if not self.pending:
            return
        pending, self.pending = self.pending, {}
        for node, old in pending.items():
            try:
                value = node._value
            except AttributeError:
                # It failed, see `Computed`.
                node._remember(old)
                continue
            if self.again or self.late:
                self._line_up(node, old, value)
            elif audience := node._audience_now or node._audience(self):
                self.queue.append((audience, value))
        if self.again or self.late:
            self.again.clear()
            self.late.clear()

    def _line_up(self, node: Node[Any], old: object, value: object) -> None:
        audience = node._audience(self)
        if node in self.late:
            known = self.late[node]
            joined = [one for one, seen in known.items() if self._is_news(node, seen)]
            audience = tuple(one for one in audience if one not in known)
            self._enqueue(tuple(joined), value)
        if node not in self.again or self._is_news(node, old):
            self._enqueue(audience, value)

    def _enqueue(self, audience: tuple[Subscription, ...], value: object) -> None:
        if audience:
            self.queue.append((audience, value))

    def _is_news(self, node: Node[Any], known: object) -> bool:
        if known is _UNCHANGED:
            return False
        try:
            return node._differs(known, node._value)
        except Exception as error:  # noqa: BLE001 - better told twice than not at all
            self.fail(error)
            return True

    def run(self) -> None:
        """Finish what a change began, unless that is being done further up."""
        if self.depth:
            return
        self.collect()
        if not self.delivering and (self.queue or self.loose_ends):
            self.deliver((), None)

    def deliver(self, audience: tuple[Subscription, ...], value: object) -> None:
        """Tell these and then everyone in the queue, and raise what they raised."""
        self.delivering = True
        queue = self.queue
        remaining = iter(audience)
        run = None
        while True:
            # One try for the loop, not one for each call: `remaining` knows where it was.
            try:
                for subscription in remaining:
                    run = subscription._run
                    if run is not None:
                        run(value)
                if not queue:
                    break
                # Looked at first and removed last, so that Ctrl-C in between loses nothing.
                audience, value = queue[0]
                remaining = iter(audience)
                del queue[0]
            except BaseException as error:  # noqa: BLE001 - raised when all were told
                self.fail(error, run)
        self.delivering = False
        if self.loose_ends:
            self._finish()

    def _finish(self) -> None:
        self.loose_ends = False
        self.cascade = 0
        while self.departed:
            self._dismiss(self.departed.popleft())
        if self.redo:
            redo, self.redo = self.redo, []
            self.mark(redo)
        self.failures.raise_all()

    def dismiss_later(self, leave: Callable[[], None]) -> None:
        """Have this called at the end of the work; any thread may ask for it."""
        self.departed.append(leave)
        self.loose_ends = True

    def fail(self, error: BaseException, run: object = None) -> None:
        """Have this raised at the end of the work."""
        self.failures.add(error, run)
        self.loose_ends = True

    def _dismiss(self, leave: Callable[[], None]) -> None:
        try:
            leave()
        except BaseException as error:  # noqa: BLE001 - raised when all have left
            self.fail(error)

    def introduce(self, node: Node[Any], subscription: Subscription, value: object) -> None:
        """Call a new subscriber for the first time."""
        if self.pending and node in self.pending:
            self.late.setdefault(node, {})[subscription] = _UNCHANGED
        run = subscription._run
        if run is None:
            return
        if self.depth or self.delivering:
            run(value)
            return
        if self.levels or self.pending:
            self.collect()
        self.delivering = True
        try:
            run(value)
        except BaseException as error:  # noqa: BLE001 - raised when all were told
            subscription._run = None
            self.fail(error)
        if self.queue or self.loose_ends:
            self.deliver((), None)
        else:
            self.delivering = False

    def count_change(self) -> None:
        """Refuse the change that shows that there is no end to them."""
        self.cascade += 1
        self.loose_ends = True
        if self.cascade > CASCADE_LIMIT:
            raise EndlessCycle


class _Threads(threading.local):
    def __init__(self) -> None:
        self.scheduler = Scheduler()


threads: Final = _Threads()
"""Each thread schedules its own stores, or one thread would run another's subscribers."""


class _Batch(AbstractContextManager[None]):
    __slots__ = ("_scheduler",)

    def __enter__(self) -> None:
        self._scheduler = threads.scheduler
        self._scheduler.depth += 1

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._scheduler.depth -= 1
        try:
            self._scheduler.run()
        except BaseException as failure:
            # What ended the block is what the caller expects; only Ctrl-C goes before it.
            if error is None or not (isinstance(failure, Exception) or failure is error):
                raise
            if failure is not error:
                error.add_note(f"the end of the batch raised too: {failure!r}")


def batch() -> AbstractContextManager[None]:
    """Group changes: subscribers are told at the end of the block, and once for each store.

    Values change at once and can be read in the block; only the telling waits. If the block
    raises, the changes made so far stay and are told. Do not `await` in the block.

    Returns:
        A context manager. Batches nest; the outermost tells.

    Example:
        >>> from sockstore.stores import derived, writable
        >>> first, last = writable("Ada"), writable("Byron")
        >>> name = derived((first, last), lambda a, b: f"{a} {b}")
        >>> with name.subscribe(print), batch():
        ...     first.set("Augusta")
        ...     last.set("King")
        Ada Byron
        Augusta King
    """
    return _Batch()
