"""Define the nodes that are computed from others."""

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

    A node with an error has no attribute `value`: so the next node notices while it collects
    its inputs, and a node without an error costs no check.
    """

    __slots__ = ("error", "fn", "last", "trace")

    def __init__(
        self,
        inputs: tuple[Node[Any], ...],
        fn: Callable[..., Any],
        differs: Callable[[T, T], bool] | None,
    ) -> None:
        super().__init__(inputs, differs)
        self.fn: Final = fn
        """Set once: the user's function."""
        self.error: BaseException | None = _UNREADY
        """The error of the last computation or of an input; `_UNREADY` before the first."""
        self.trace: TracebackType | None = None
        """The traceback of `error` when it was raised."""
        self.last: Any = None
        """The value that the subscribers know, set when a computation raises."""

    def settled(self) -> T:
        """Return the value, or raise the error of the last computation."""
        if self.error is _UNREADY:
            return self.value_within()
        if self.error is not None:
            # Reset the traceback each time, or it would grow with every reading.
            raise self.error.with_traceback(self.trace)
        return self.value

    def glance(self) -> tuple[T] | None:
        """Return the value or raise the error, if there is one at this moment."""
        # Read once, for another thread may change it after each line.
        error = self.error
        if error is _UNREADY or self.starting is not None:
            return None
        if error is not None:
            raise error.with_traceback(self.trace)
        try:
            return (self.value,)
        except AttributeError:
            return None

    def value_within(self) -> T:
        """Refuse a computation that reads its own result."""
        computed = f"the store computed by {full_name_of(self.fn)}"
        raise RuntimeError(f"{computed} was read while its first value is computed")

    def has_value(self) -> bool:
        """Whether the last computation did not raise."""
        return self.error is None

    def remember(self, last_value: Any) -> None:
        """Keep the value that the subscribers know while there is an error."""
        self.last = last_value

    def _fail(self, error: BaseException, scheduler: Scheduler) -> None:
        if self.error is None:
            self.last = self.value
            del self.value
        self.error, self.trace = error, error.__traceback__
        scheduler.mark(self.dependents)

    def _fail_aloud(self, error: BaseException, scheduler: Scheduler) -> None:
        if isinstance(error, Exception):
            fn = full_name_of(self.fn)
            error.add_note(f"raised by the function of a derived store, {fn}")
            self._fail(error, scheduler)
        else:
            # Ctrl-C says nothing about the value: compute it again with the next change.
            interrupted = f"the computation by {full_name_of(self.fn)} was interrupted"
            self._fail(RuntimeError(interrupted), scheduler)
            scheduler.interrupted.append(self)
        scheduler.fail(error)

    def _inherit_error(self, scheduler: Scheduler) -> None:
        for source in self.inputs:
            if not source.has_value():
                self._fail(source.error, scheduler)  # type: ignore[attr-defined]  # only `Computed` has none
                return

    def _recover(self, value: T, scheduler: Scheduler) -> None:
        self.value, self.error, self.trace = value, None, None
        if self.subscribers:
            scheduler.note(self, self.last)
            scheduler.changed_again.add(self)
        if self.dependents:
            scheduler.mark(self.dependents)


class Derived(Computed[T]):
    """A node whose function returns the value."""

    __slots__ = ()

    def recompute(self, scheduler: Scheduler, /) -> None:
        """Call the function with the values of the inputs."""
        inputs = self.inputs
        values: Any
        # The hottest lines of a graph: most nodes have one or two inputs, and in Python 3.11 a
        # comprehension costs a call.
        try:
            if len(inputs) == 1:
                values = (inputs[0].value,)
            elif len(inputs) == 2:
                values = (inputs[0].value, inputs[1].value)
            else:
                values = []
                for source in inputs:
                    values.append(source.value)
        except AttributeError:
            self._inherit_error(scheduler)
            return
        try:
            value = self.fn(*values)
            if self.error is not None:
                self._recover(value, scheduler)
                return
            old = self.value
            if self.differs(old, value):
                self.value = value
                if self.subscribers:
                    scheduler.note(self, old)
                if self.dependents:
                    scheduler.mark(self.dependents)
        except BaseException as error:  # noqa: BLE001 - raised by the change that led to it
            self._fail_aloud(error, scheduler)

    def begin(self, scheduler: Scheduler, /) -> None:
        """Compute the first value; its error is raised when the value is read."""
        self.scheduler = scheduler
        self.live = True
        try:
            self.value = self.fn(*[source.settled() for source in self.inputs])
            self.error = None
        except Exception as error:  # noqa: BLE001 - raised when the value is read
            self._fail(error, scheduler)

    def end(self) -> None:
        """Forget the value, or the error."""
        self.scheduler = None
        if self.error is None:
            del self.value
        self.error, self.trace, self.last = _UNREADY, None, None

    def sample(self, values: list[Any], /) -> T:
        """Call the function with these values."""
        return self.fn(*values)  # type: ignore[no-any-return]  # the function is typed by `derived`


class _Emitter:
    """The `emit` of one computation; a later computation has another one."""

    __slots__ = ("_node",)

    def __init__(self, node: Emitting[Any]) -> None:
        self._node = node

    def __call__(self, value: Any) -> None:
        if self._node.emitter is self:
            self._node.put(value)


class Emitting(Computed[T]):
    """A node whose function emits values, now or later."""

    __slots__ = ("cleanup", "emitter")

    def __init__(
        self,
        inputs: tuple[Node[Any], ...],
        fn: Callable[..., Any],
        initial: T,
        differs: Callable[[T, T], bool] | None,
    ) -> None:
        super().__init__(inputs, fn, differs)
        self.value = self.last = initial
        self.error = None
        self.cleanup: Callable[[], object] | None = None
        """The cleanup of the last computation; taken by the next one, or when the node ends."""
        self.emitter: _Emitter | None = None
        """The `emit` of the last computation; None when no computation may emit."""

    def recompute(self, scheduler: Scheduler, /) -> None:
        """Clean up, and call the function with the values of the inputs."""
        try:
            self._clean_up()
        except BaseException as error:  # noqa: BLE001 - raised by the change that led to it
            scheduler.fail(error)
        try:
            values = [source.value for source in self.inputs]
        except AttributeError:
            self._inherit_error(scheduler)
            return
        if self.error is not None:
            self._recover(self.last, scheduler)
        try:
            self._compute(values)
        except BaseException as error:  # noqa: BLE001 - raised by the change that led to it
            self.emitter = None
            self._fail_aloud(error, scheduler)

    def _compute(self, values: list[Any]) -> None:
        self.emitter = _Emitter(self)
        cleanup = self.fn(self.emitter, *values)
        if cleanup is not None and not callable(cleanup):
            raise TypeError(f"the function returned {cleanup!r}, but it returns a cleanup or None")
        if cleanup is not None:
            refuse_async(cleanup, "derived_emit()", f"{PLAIN} as the cleanup")
        self.cleanup = cleanup

    def _clean_up(self) -> None:
        self.emitter = None
        cleanup, self.cleanup = self.cleanup, None
        if cleanup is not None:
            cleanup()

    def begin(self, scheduler: Scheduler, /) -> None:
        """Call the function for the first time; its error is raised when the value is read."""
        self.scheduler = self.starting = scheduler
        self.live = True
        if self.error is not None:
            self.value, self.error, self.trace = self.last, None, None
        try:
            self._compute([source.settled() for source in self.inputs])
        except Exception as error:  # noqa: BLE001 - raised when the value is read
            self.emitter = None
            self._fail(error, scheduler)
        finally:
            self.starting = None

    def value_within(self) -> T:
        """Return what was emitted last."""
        return self.last_value()

    def end(self) -> None:
        """Clean up after the last computation."""
        self.scheduler = None
        self._clean_up()

    def has_effects(self) -> bool:
        """Whether the function is called when it becomes live: it may start anything."""
        return not self.live

    def last_value(self) -> T:
        """Return the last emitted value, or the initial value."""
        try:
            return self.value
        except AttributeError:  # a computation raised, perhaps at this moment in another thread
            return self.last  # type: ignore[no-any-return]  # set from `value`

    def sample(self, values: list[Any], /) -> T:
        """Return the value that the function emits at once for these values, and clean up."""
        emitted = [self.last_value()]
        cleanup = self.fn(emitted.append, *values)
        if cleanup is not None:
            cleanup()
        return emitted[-1]
