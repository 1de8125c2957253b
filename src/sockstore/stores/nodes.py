"""Hold a value, who watches it and what is computed from it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import FunctionType, MethodType
from typing import Any, TypeVar

from sockstore.base.plain_calls import (
    ASYNC,
    MARK,
    PLAIN,
    START_A_TASK,
    refuse_async,
    returns_awaitable,
)
from sockstore.stores.contract import Readable, changed
from sockstore.stores.graph import is_elsewhere, rest, sample, wake
from sockstore.stores.scheduling import Scheduler, threads
from sockstore.stores.subscription import Subscription

__all__ = ["Node"]

T = TypeVar("T")

_FOREIGN_THREAD = (
    "this store belongs to another thread, the one that set it first; "
    "use loop.call_soon_threadsafe(store.set, value) to change it from here"
)


class Node(Readable[T]):
    """A store as a node of a graph.

    It is live while somebody needs it: a subscriber, a live node computed from it, or a reader
    in this moment (a pin).
    """

    __slots__ = (
        "_audience_now",
        "_dependents",
        "_differs",
        "_inputs",
        "_level",
        "_live",
        "_owner",
        "_permanent",
        "_pins",
        "_queued",
        "_scheduler",
        "_subscriptions",
        "_thread_error",
        "_value",
    )

    def __init__(
        self,
        inputs: tuple[Node[Any], ...],
        differs: Callable[[T, T], bool] | None,
    ) -> None:
        if differs is not None:
            refuse_async(differs, "differs=", PLAIN)
        self._inputs = inputs
        self._level: int = 1 + max((node._level for node in inputs), default=-1)
        self._differs: Callable[[Any, Any], bool] = differs or changed
        self._dependents: dict[Node[Any], None] = {}
        self._subscriptions: dict[Subscription, None] = {}
        self._audience_now: tuple[Subscription, ...] | None = ()
        self._live = False
        self._permanent = False
        """Live from first to last, for there is nothing to start or stop."""
        self._queued = False
        self._pins = 0
        self._scheduler: Scheduler | None = None
        self._thread_error: str | None = None
        """The sentence for a change from another thread, in place of the usual one."""
        self._owner: object | None = None
        """What must live as long as anyone holds this store."""
        self._value: T

    @property
    def _node(self) -> Node[T]:
        return self

    @property
    def value(self) -> T:
        """The present value."""
        scheduler = threads.scheduler
        if self._live:
            return self._present(scheduler)
        if is_elsewhere(self, scheduler):
            return sample(self)
        value = self._hold(scheduler)
        self._let_go(scheduler)
        return value

    def subscribe(self, run: Callable[[T], object], /) -> Subscription:
        """Call `run` with the value, now and on every change."""
        scheduler = threads.scheduler
        if is_elsewhere(self, scheduler):
            raise RuntimeError(self._thread_error or _FOREIGN_THREAD)
        # Functions and bound methods are not asked further, for subscribing is a hot call.
        fn: Any = run.__func__ if type(run) is MethodType else run
        if (
            type(fn) is not FunctionType or fn.__code__.co_flags & ASYNC or hasattr(fn, MARK)
        ) and returns_awaitable(run):
            refuse_async(run, "subscribe()", f"{START_A_TASK}, or iterate over the store")
        subscription = Subscription(self, run)
        if self._permanent:
            value = self._value
            self._subscriptions[subscription] = None
        else:
            value = self._hold(scheduler)
            self._subscriptions[subscription] = None
            self._pins -= 1
        self._audience_now = None
        try:
            scheduler.introduce(self, subscription, value)
        except BaseException:
            subscription()
            raise
        return subscription

    def _hold(self, scheduler: Scheduler) -> T:
        """Keep this node live until its pin is taken away, and return its value."""
        self._pins += 1
        try:
            if not self._live:
                wake(self, scheduler)
            return self._present(scheduler)
        except BaseException as error:
            try:
                self._let_go(scheduler)
            except Exception as another:  # noqa: BLE001 - the first error says more
                error.add_note(f"and undoing what was begun raised {another!r}")
            raise

    def _let_go(self, scheduler: Scheduler) -> None:
        self._pins -= 1
        try:
            rest(self)
        finally:
            scheduler.run()

    def _present(self, scheduler: Scheduler) -> T:
        if scheduler.levels:
            scheduler.settle(self._level)
        return self._settled()

    def _settled(self) -> T:
        return self._value

    def _put(self, value: T) -> None:
        scheduler = threads.scheduler
        if self._scheduler is not scheduler:
            self._claim(scheduler)
        if self._differs(self._value, value):
            self._spread(value, scheduler)

    def _spread(self, value: T, scheduler: Scheduler) -> None:
        if scheduler.delivering or scheduler.settling:
            scheduler.count_change()
        old = self._value
        self._value = value
        # Held back, so that a collected subscriber does not leave while dependents are walked.
        scheduler.depth += 1
        self._announce(old, scheduler)
        scheduler.depth -= 1
        scheduler.run()

    def _announce(self, old: object, scheduler: Scheduler) -> None:
        if self._subscriptions:
            scheduler.note(self, old)
        if self._dependents:
            scheduler.mark(self._dependents)

    def _claim(self, scheduler: Scheduler) -> None:
        if self._scheduler is not None:
            raise RuntimeError(self._thread_error or _FOREIGN_THREAD)
        self._scheduler = scheduler

    def _belong_here(self) -> None:
        """Give the store to the calling thread, whichever it belonged to."""
        self._scheduler = threads.scheduler

    def _audience(self, scheduler: Scheduler) -> tuple[Subscription, ...]:
        if self._audience_now is None:
            # Held back, so that a collected subscriber does not leave while all are listed.
            scheduler.depth += 1
            self._audience_now = tuple(self._subscriptions)
            scheduler.depth -= 1
        return self._audience_now

    def _leave(self, subscription: Subscription) -> None:
        self._subscriptions.pop(subscription, None)
        self._audience_now = None
        if self._subscriptions or self._permanent:
            return
        if self._scheduler in (None, threads.scheduler):
            rest(self)
        else:
            self._scheduler.dismiss_later(partial(rest, self))

    def _leave_when_idle(self, subscription: Subscription) -> None:
        scheduler = self._scheduler or threads.scheduler
        if scheduler is threads.scheduler and not (scheduler.depth or scheduler.delivering):
            subscription()
        else:
            scheduler.dismiss_later(subscription)

    def _begin(self, scheduler: Scheduler, /) -> None:
        """Become live, after all inputs are."""
        raise NotImplementedError

    def _end(self) -> None:
        """Clean up after having been live."""

    def _recompute(self, scheduler: Scheduler, /) -> None:
        """Compute the value anew because an input changed; never raise."""

    def _sample(self, values: list[Any], /) -> T:
        """Compute the value from these inputs and change nothing."""
        raise NotImplementedError

    def _has_value(self) -> bool:
        return True

    def _has_effects(self) -> bool:
        """Whether becoming live runs what may have effects: a `start`, another library."""
        return False

    def _last_value(self) -> T:
        """The value that was known last."""
        return self._value

    def _remember(self, known: Any) -> None:
        """Take note of what the subscribers know while there is no value."""
