"""Decide which stores are computed and which subscribers are told, in which order.

The rules: (1) a derived store is computed after all of its inputs, because levels are computed in
order and its level is above theirs; (2) subscribers are told after all computations, with the
values of that moment, in the order of the changes; (3) a change that a subscriber or a computation
makes only adds to the work: nothing here recurses; (4) an error of a subscriber is kept until all
others were told.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from heapq import heappop, heappush
from typing import Any, Final

from sockstore.stores.contract import Unsubscriber, Vertex
from sockstore.stores.failures import EndlessCycle, Failures

__all__ = ["Scheduler", "batch", "threads"]

CASCADE_LIMIT: Final = 100_000
"""Changes made by subscribers and computations in answer to one change, before it is a cycle."""

_UNCHANGED: Final = object()


class Scheduler:
    """The work of one thread: the nodes to compute, and the subscribers to tell."""

    __slots__ = (
        "buckets",
        "cascade",
        "changed_again",
        "delivering",
        "depth",
        "failures",
        "interrupted",
        "leaving",
        "levels",
        "newcomers",
        "pending",
        "queue",
        "sampled",
        "settling",
        "unfinished",
    )

    def __init__(self) -> None:
        self.depth: int = 0
        """How many batches, starts and computations are under way; no one is told until it is 0."""
        self.settling: int = 0
        """How many calls of `settle` are under way: a computation may read another store."""
        self.delivering: bool = False
        """Whether subscribers are being told: set by `deliver` and `call_first` while they run."""
        self.levels: list[int] = []
        """A heap of the levels in `buckets`: `mark` adds to it, `settle` takes from it."""
        self.buckets: dict[int, list[Vertex[Any]]] = {}
        """The nodes to compute by level: `mark` adds to it, `settle` takes from it."""
        self.pending: dict[Vertex[Any], object] = {}
        """Changed nodes, with the value that their subscribers know: `note` adds to it, and
        `collect` empties it."""
        self.changed_again: set[Vertex[Any]] = set()
        """Pending nodes that changed more than once, perhaps back: added and emptied likewise."""
        self.newcomers: dict[Vertex[Any], dict[Unsubscriber, object]] = {}
        """New subscribers of a pending node, and the value they know: `call_first` adds to it, and
        `collect` empties it."""
        self.queue: deque[tuple[tuple[Unsubscriber, ...], object]] = deque()
        """Subscribers, and the value to tell them: `collect` adds, and `deliver` takes."""
        self.unfinished: bool = False
        """Whether one of the fields that follow is to be looked at when all were told."""
        self.cascade: int = 0
        """Changes made by subscribers and computations since the outermost change began."""
        self.failures: Final = Failures()
        """Errors of subscribers and computations, until the outermost change raises them."""
        self.leaving: deque[Callable[[], None]] = deque()
        """Unsubscribers to call when all were told: added by other threads and by the garbage
        collector."""
        self.interrupted: list[Vertex[Any]] = []
        """Nodes whose computation Ctrl-C or a cancellation interrupted, to be computed again."""
        self.sampled: set[Vertex[Any]] = set()
        """Nodes that `look` computes at this moment, to notice one that reads itself."""

    def mark(self, nodes: Iterable[Vertex[Any]]) -> None:
        """Have these nodes computed."""
        buckets = self.buckets
        for node in nodes:
            if node.live and not node.queued:
                node.queued = True
                bucket = buckets.get(node.level)
                if bucket is None:
                    buckets[node.level] = [node]
                    heappush(self.levels, node.level)
                else:
                    bucket.append(node)

    def note(self, node: Vertex[Any], old: object) -> None:
        """Have the subscribers of this node told that its value is not `old` any longer."""
        if node not in self.pending:
            self.pending[node] = old
            return
        self.changed_again.add(node)
        if node in self.newcomers:
            last_values = self.newcomers[node]
            for subscriber, value in last_values.items():
                if value is _UNCHANGED:
                    last_values[subscriber] = old

    def settle(self, limit: int = sys.maxsize) -> None:
        """Compute the marked nodes, up to a level."""
        self.depth += 1
        self.settling += 1
        levels = self.levels
        try:
            while levels and levels[0] <= limit:
                level = levels[0]
                bucket = self.buckets[level]
                for node in bucket:
                    if node.queued:
                        node.queued = False
                        node.recompute(self)
                        # A computation may set a store, and so mark a level below this one.
                        if not levels or levels[0] != level:
                            break
                else:
                    # A computation may read a store, and so have finished this level already.
                    if self.buckets.get(level) is bucket:
                        heappop(levels)
                        del self.buckets[level]
        finally:
            self.depth -= 1
            self.settling -= 1

    def collect(self) -> None:
        """Compute the marked nodes, and queue the subscribers to tell."""
        if self.levels:
            self.settle()
        if not self.pending:
            return
        pending, self.pending = self.pending, {}
        for node, old in pending.items():
            try:
                value = node.value
            except AttributeError:
                # The node failed, see `Computed`.
                node.remember(old)
                continue
            if self.changed_again or self.newcomers:
                self._enqueue_news(node, old, value)
            elif audience := node.audience or self.audience_of(node):
                self.queue.append((audience, value))
        if self.changed_again or self.newcomers:
            self.changed_again.clear()
            self.newcomers.clear()

    def _enqueue_news(self, node: Vertex[Any], old: object, value: object) -> None:
        audience = self.audience_of(node)
        if node in self.newcomers:
            last_values = self.newcomers[node]
            newcomers = [each for each, last in last_values.items() if self._is_news(node, last)]
            audience = tuple(each for each in audience if each not in last_values)
            self._enqueue(tuple(newcomers), value)
        if node not in self.changed_again or self._is_news(node, old):
            self._enqueue(audience, value)

    def _enqueue(self, audience: tuple[Unsubscriber, ...], value: object) -> None:
        if audience:
            self.queue.append((audience, value))

    def _is_news(self, node: Vertex[Any], last_value: object) -> bool:
        if last_value is _UNCHANGED:
            return False
        try:
            return node.differs(last_value, node.value)
        except Exception as error:  # noqa: BLE001 - better told twice than not at all
            self.fail(error)
            return True

    def audience_of(self, node: Vertex[Any]) -> tuple[Unsubscriber, ...]:
        """Return the subscribers of a node, in the order of subscribing."""
        if node.audience is None:
            # Held back, so that a collected subscriber does not leave while all are listed.
            self.depth += 1
            node.audience = tuple(node.subscribers)
            self.depth -= 1
        return node.audience

    def run(self) -> None:
        """Finish the work of a change, unless a caller further up does that."""
        if self.depth:
            return
        self.collect()
        if not self.delivering and (self.queue or self.unfinished):
            self.deliver((), None)

    def deliver(self, audience: tuple[Unsubscriber, ...], value: object) -> None:
        """Tell these subscribers and then those in the queue, and raise their errors."""
        self.delivering = True
        queue = self.queue
        remaining = iter(audience)
        run = None
        while True:
            # One try for the loop, not one for each call: `remaining` knows where it was.
            try:
                for subscriber in remaining:
                    run = subscriber._run  # noqa: SLF001 - users call the unsubscriber
                    if run is not None:
                        run(value)
                if not queue:
                    break
                # Read first and removed last, so that Ctrl-C in between loses nothing.
                audience, value = queue[0]
                remaining = iter(audience)
                del queue[0]
            except BaseException as error:  # noqa: BLE001 - raised when all were told
                self.fail(error, run)
        self.delivering = False
        if self.unfinished:
            self._finish()

    def _finish(self) -> None:
        self.unfinished = False
        self.cascade = 0
        while self.leaving:
            try:
                self.leaving.popleft()()
            except BaseException as error:  # noqa: BLE001 - raised when all have left
                self.fail(error)
        if self.interrupted:
            interrupted, self.interrupted = self.interrupted, []
            self.mark(interrupted)
        self.failures.raise_all()

    def leave_later(self, leave: Callable[[], None]) -> None:
        """Have this called when all were told; any thread may ask for it."""
        self.leaving.append(leave)
        self.unfinished = True

    def fail(self, error: BaseException, run: object = None) -> None:
        """Have this raised when all were told."""
        self.failures.add(error, run)
        self.unfinished = True

    def call_first(
        self,
        node: Vertex[Any],
        subscriber: Unsubscriber,
        run: Callable[[Any], object],
        value: object,
    ) -> None:
        """Call `run` of a new subscriber for the first time."""
        if self.pending and node in self.pending:
            self.newcomers.setdefault(node, {})[subscriber] = _UNCHANGED
        if self.depth or self.delivering:
            run(value)
            return
        if self.levels or self.pending:
            self.collect()
        self.delivering = True
        try:
            run(value)
        except BaseException as error:  # noqa: BLE001 - raised when all were told
            subscriber._run = None  # noqa: SLF001 - it leaves when this was raised to its caller
            self.fail(error)
        if self.queue or self.unfinished:
            self.deliver((), None)
        else:
            self.delivering = False

    def count_change(self) -> None:
        """Count a change made in answer to another one.

        Raises:
            EndlessCycle: If there were so many that they would not end.
        """
        self.cascade += 1
        self.unfinished = True
        if self.cascade > CASCADE_LIMIT:
            raise EndlessCycle


class _Threads(threading.local):
    def __init__(self) -> None:
        self.scheduler: Final = Scheduler()


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
            # The caller expects the error that ended the block; only Ctrl-C takes precedence.
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
