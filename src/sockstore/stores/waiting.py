"""Watch a store from a task, or without keeping the subscriber alive.

Of the stores, only this module knows asyncio. It imports it inside functions, so that stores work
where no loop runs and cost nothing there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from inspect import ismethod
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from weakref import WeakMethod, ref

from sockstore.base.plain_calls import PLAIN, START_A_TASK, refuse_async
from sockstore.stores.binding import node_of
from sockstore.stores.contract import Subscribable, Unsubscriber
from sockstore.stores.failures import full_name_of

if TYPE_CHECKING:
    from asyncio import Future

__all__ = ["Stream", "subscribe_weakly", "wait_for"]

T = TypeVar("T")


class _Waiter(Generic[T]):
    """A future that another thread may resolve: the first change of a store may come from any."""

    __slots__ = ("_thread", "future")

    def __init__(self) -> None:
        import asyncio  # noqa: PLC0415 - see above

        self.future: Future[T] = asyncio.get_running_loop().create_future()
        """Set once: the future that the task awaits."""
        self._thread = get_ident()
        """Set once: the thread of the task's loop."""

    def resolve(self, act: Callable[[Any], None], outcome: object) -> None:
        """Call `act`, a method of the future, in the task's thread, unless the future is done."""
        if self._thread != get_ident():
            self.future.get_loop().call_soon_threadsafe(self._finish, act, outcome)
        elif not self.future.done():  # as `_finish`, with one call less
            act(outcome)

    def _finish(self, act: Callable[[Any], None], outcome: object) -> None:
        if not self.future.done():
            act(outcome)


class _WeakRun(Generic[T]):
    """Call a function as long as it lives, without keeping it alive."""

    __slots__ = ("_name", "_reference", "unsubscriber")

    def __init__(self, run: Callable[[T], object]) -> None:
        self.unsubscriber: Unsubscriber | None = None
        """Set by `subscribe_weakly` after the first call."""
        self._name = full_name_of(run)
        make: Callable[..., Callable[[], Callable[[T], object] | None]]
        make = WeakMethod if ismethod(run) else ref
        self._reference = make(run, self._retire)

    def __call__(self, value: T) -> None:
        run = self._reference()
        if run is not None:
            run(value)

    def __repr__(self) -> str:
        return self._name

    def _retire(self, _: object) -> None:
        if self.unsubscriber is not None:
            self.unsubscriber._retire()  # noqa: SLF001 - users call the unsubscriber itself


def subscribe_weakly(store: Subscribable[T], run: Callable[[T], object], /) -> Unsubscriber:
    """Subscribe until `run`, or the object of the bound method `run`, is not used any longer.

    Args:
        store: The store to watch, also a foreign one.
        run: Called with one value. A lambda that nothing else refers to is gone at once.

    Returns:
        How to unsubscribe earlier. It need not be kept.

    Raises:
        TypeError: If `run` is a coroutine function.

    Example:
        >>> from sockstore.stores import writable
        >>> class Label:
        ...     def show(self, text: str) -> None:
        ...         print(text)
        >>> title, label = writable("one"), Label()
        >>> _ = subscribe_weakly(title, label.show)
        one
        >>> del label
        >>> title.set("two")
    """
    refuse_async(run, "subscribe_weakly()", START_A_TASK)
    weak = _WeakRun(run)
    weak.unsubscriber = node_of(store).subscribe(weak)
    return weak.unsubscriber


class Stream(Generic[T]):
    """Iterate asynchronously over the values of a store.

    The subscription does not keep the iterator alive: when a loop is left by `break`, `return`,
    an exception or cancellation, nothing refers to the iterator and it unsubscribes at once. An
    asynchronous generator would not: those are closed by the event loop, later.

    Args:
        store: The store to follow, also a foreign one.
        buffer: How many values wait for a slow reader, at least 1.
    """

    __slots__ = ("__weakref__", "_closed", "_unsubscribe", "_values", "_waiter", "dropped")

    def __init__(self, store: Subscribable[T], *, buffer: int) -> None:
        if buffer < 1:
            raise ValueError(f"buffer is {buffer}, but a stream keeps at least 1 value")
        self.dropped: int = 0
        """How many values were dropped because newer ones came before they were read."""
        self._values: deque[T] = deque(maxlen=buffer)
        """The values to read: added by the store's changes, taken by the reader."""
        self._waiter: _Waiter[None] | None = None
        """Set by the reader while it waits for a value."""
        self._closed = False
        """Set by `close`."""
        self._unsubscribe = subscribe_weakly(store, self._receive)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._waiter is not None:
            raise RuntimeError("another task waits on this iterator; give each task its own")
        while not self._values:
            if self._closed:
                raise StopAsyncIteration
            self._waiter = _Waiter()
            try:
                await self._waiter.future
            except BaseException:
                self._waiter = None
                # The traceback keeps this frame: it must not keep the iterator subscribed.
                del self
                raise
            self._waiter = None
        return self._values.popleft()

    def close(self) -> None:
        """Unsubscribe; a loop that still iterates ends."""
        self._unsubscribe()
        self._closed = True
        self._values.clear()
        if self._waiter is not None:
            self._waiter.resolve(self._waiter.future.set_result, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self, value: T) -> None:
        if len(self._values) == self._values.maxlen:
            self.dropped += 1
        self._values.append(value)
        if self._waiter is not None:
            self._waiter.resolve(self._waiter.future.set_result, None)


async def wait_for(
    store: Subscribable[T],
    predicate: Callable[[T], object],
    timeout: float | None,  # noqa: ASYNC109 - the public method's
) -> T:
    """Wait until the value of a store passes `predicate`; return that value."""
    import asyncio  # noqa: PLC0415 - see above

    refuse_async(predicate, "wait_for()", PLAIN)
    waiter: _Waiter[T] = _Waiter()
    future = waiter.future

    def look(value: T) -> None:
        if future.done():
            return
        try:
            matches = predicate(value)
        except Exception as error:  # noqa: BLE001 - it is raised where the value is waited for
            waiter.resolve(future.set_exception, error)
        else:
            if matches:
                waiter.resolve(future.set_result, value)

    with node_of(store).subscribe(look):
        async with asyncio.timeout(timeout):
            return await future
