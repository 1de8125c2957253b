"""Nodes that are computed from others."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, TypeVar

from sockstore.base.plain_calls import PLAIN, refuse_async
from sockstore.stores.failures import full_name_of
from sockstore.stores.nodes import Node
from sockstore.stores.scheduling import Scheduler

__all__ = ["Computed", "Derived", "Emitting"]

T = TypeVar("T")

_UNREADY: Final = RuntimeError()


class Computed(Node[T]):
    """A node that either has a value or an error.

    A node with an error has no attribute `_value`: so the next one notices while it collects
    its inputs, and nobody pays for the question while all is well.
    """

    __slots__ = ("_error", "_fn", "_last", "_trace")

    def __init__(
        self,
        inputs: tuple[Node[Any], ...],
        fn: Callable[..., Any],
        differs: Callable[[T, T], bool] | None,
    ) -> None:
        super().__init__(inputs, differs)
        self._fn = fn
        self._error: BaseException | None = _UNREADY
        self._trace: TracebackType | None = None
        self._last: Any = None
        """What subscribers know while there is an error."""

    def _settled(self) -> T:
        if self._error is _UNREADY:
            computed = f"the store computed by {full_name_of(self._fn)}"
            raise RuntimeError(f"{computed} was read while its first value is computed")
        if self._error is not None:
            # Its own traceback each time, or it would grow with every reading.
            raise self._error.with_traceback(self._trace)
        return self._value

    def _has_value(self) -> bool:
        return self._error is None

    def _remember(self, known: Any) -> None:
        self._last = known

    def _fail(self, error: BaseException, scheduler: Scheduler) -> None:
        if self._error is None:
            self._last = self._value
            del self._value
        self._error, self._trace = error, error.__traceback__
        scheduler.mark(self._dependents)

    def _fail_aloud(self, error: BaseException, scheduler: Scheduler) -> None:
        if isinstance(error, Exception):
            self._annotate(error)
            self._fail(error, scheduler)
        else:
            # Ctrl-C is nobody's value: have it computed again on the next occasion.
            interrupted = f"the computation by {full_name_of(self._fn)} was interrupted"
            self._fail(RuntimeError(interrupted), scheduler)
            scheduler.redo.append(self)
        scheduler.fail(error)

    def _annotate(self, error: Exception) -> None:
        error.add_note(f"raised by the function of a derived store, {full_name_of(self._fn)}")

    def _inherit_error(self, scheduler: Scheduler) -> None:
        for one in self._inputs:
            if not one._has_value():
                self._fail(one._error, scheduler)  # type: ignore[attr-defined]
                return

    def _recover(self, value: T, scheduler: Scheduler) -> None:
        self._value, self._error, self._trace = value, None, None
        self._announce(self._last, scheduler)
        if self._subscriptions:
            scheduler.again.add(self)


class Derived(Computed[T]):
    """A node whose function returns the value."""

    __slots__ = ()

    def _recompute(self, scheduler: Scheduler) -> None:
        inputs = self._inputs
        values: Any
        # The hottest lines of a graph: most nodes have one or two inputs, and in Python 3.11 a
        # comprehension costs a call.
        try:
            if len(inputs) == 1:
                values = (inputs[0]._value,)
            elif len(inputs) == 2:
                values = (inputs[0]._value, inputs[1]._value)
            else:
                values = []
                for one in inputs:
                    values.append(one._value)
        except AttributeError:
            self._inherit_error(scheduler)
            return
        try:
            value = self._fn(*values)
            if self._error is not None:
                self._recover(value, scheduler)
                return
            old = self._value
            if self._differs(old, value):
                self._value = value
                # What `_announce` does; one call less for each node.
                if self._subscriptions:
                    scheduler.note(self, old)
                if self._dependents:
                    scheduler.mark(self._dependents)
        except BaseException as error:  # noqa: BLE001 - raised by the change that led to it
            self._fail_aloud(error, scheduler)

    def _begin(self, scheduler: Scheduler) -> None:
        self._live = True
        self._scheduler = scheduler
        try:
            self._value = self._fn(*[one._settled() for one in self._inputs])
            self._error = None
        except Exception as error:  # noqa: BLE001 - raised by who needs the value
            self._fail(error, scheduler)

    def _end(self) -> None:
        self._scheduler = None
        if self._error is None:
            del self._value
        self._error, self._trace, self._last = _UNREADY, None, None

    def _sample(self, values: list[Any]) -> T:
        return self._fn(*values)  # type: ignore[no-any-return]


class _Emitter:
    """What one computation emits with; a later computation has another one."""

    __slots__ = ("_node",)

    def __init__(self, node: Emitting[Any]) -> None:
        self._node = node

    def __call__(self, value: Any) -> None:
        if self._node._emitter is self:
            self._node._put(value)


class Emitting(Computed[T]):
    """A node whose function emits values, now or later."""

    __slots__ = ("_cleanup", "_emitter")

    def __init__(
        self,
        inputs: tuple[Node[Any], ...],
        fn: Callable[..., Any],
        initial: T,
        differs: Callable[[T, T], bool] | None,
    ) -> None:
        super().__init__(inputs, fn, differs)
        self._value = self._last = initial
        self._error = None
        self._cleanup: Callable[[], object] | None = None
        self._emitter: _Emitter | None = None

    def _recompute(self, scheduler: Scheduler) -> None:
        try:
            self._clean_up()
        except BaseException as error:  # noqa: BLE001 - raised by the change that led to it
            scheduler.fail(error)
        try:
            values = [one._value for one in self._inputs]
        except AttributeError:
            self._inherit_error(scheduler)
            return
        if self._error is not None:
            self._recover(self._last, scheduler)
        try:
            self._compute(values)
        except BaseException as error:  # noqa: BLE001 - raised by the change that led to it
            self._emitter = None
            self._fail_aloud(error, scheduler)

    def _compute(self, values: list[Any]) -> None:
        self._emitter = _Emitter(self)
        cleanup = self._fn(self._emitter, *values)
        if cleanup is not None and not callable(cleanup):
            raise TypeError(f"the function returned {cleanup!r}, but it returns a cleanup or None")
        if cleanup is not None:
            refuse_async(cleanup, "derived_emit()", f"{PLAIN} as the cleanup")
        self._cleanup = cleanup

    def _clean_up(self) -> None:
        self._emitter = None
        cleanup, self._cleanup = self._cleanup, None
        if cleanup is not None:
            cleanup()

    def _begin(self, scheduler: Scheduler) -> None:
        self._live = True
        self._scheduler = scheduler
        if self._error is not None:
            self._value, self._error, self._trace = self._last, None, None
        try:
            self._compute([one._settled() for one in self._inputs])
        except Exception as error:  # noqa: BLE001 - raised by who needs the value
            self._emitter = None
            self._fail(error, scheduler)

    def _end(self) -> None:
        self._scheduler = None
        self._clean_up()

    def _has_effects(self) -> bool:
        return not self._live

    def _last_value(self) -> T:
        return self._value if self._has_value() else self._last

    def _sample(self, values: list[Any]) -> T:
        emitted = [self._last_value()]
        cleanup = self._fn(emitted.append, *values)
        if cleanup is not None:
            cleanup()
        return emitted[-1]
