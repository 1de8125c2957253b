"""Wait for values: the only module of this layer that knows asyncio.

It imports asyncio inside functions, so that stores work where no loop runs and cost nothing there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from sockstore.base.plain_calls import PLAIN, refuse_async
from sockstore.stores.weak import subscribe_weakly

if TYPE_CHECKING:
    from asyncio import Future

    from sockstore.stores.contract import Readable

__all__ = ["Stream", "wait_for"]

T = TypeVar("T")


class _Waiter(Generic[T]):
    """A future that may be resolved from the thread of a store that nobody has set yet."""

    __slots__ = ("_thread", "future")

    def __init__(self) -> None:
        import asyncio  # noqa: PLC0415

        self.future: Future[T] = asyncio.get_running_loop().create_future()
        self._thread = get_ident()

    def resolve(self, act: Callable[[Any], None], outcome: object) -> None:
        if self._thread == get_ident():
            self._finish(act, outcome)
        else:
            self.future.get_loop().call_soon_threadsafe(self._finish, act, outcome)

    def _finish(self, act: Callable[[Any], None], outcome: object) -> None:
        if not self.future.done():
            act(outcome)


class Stream(Generic[T]):
    """Iterate asynchronously over the values of a store.

    The subscription does not keep the iterator alive: when a loop is left by `break`, `return`,
    an exception or cancellation, nothing refers to the iterator and it unsubscribes at once. It
    is an iterator and not an asynchronous generator because those end only when the loop finds
    the time.

    Args:
        store: The store to follow.
        buffer: How many values wait for a slow reader, at least 1.
    """

    __slots__ = ("__weakref__", "_closed", "_subscription", "_values", "_waiter", "dropped")

    def __init__(self, store: Readable[T], *, buffer: int) -> None:
        if buffer < 1:
            raise ValueError(f"buffer is {buffer}, but a stream keeps at least 1 value")
        self.dropped = 0
        """How many values were dropped because newer ones came before they were read."""
        self._values: deque[T] = deque(maxlen=buffer)
        self._waiter: _Waiter[None] | None = None
        self._closed = False
        self._subscription = subscribe_weakly(store, self._receive)

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
        """Unsubscribe; who still iterates comes to the end."""
        self._subscription()
        self._closed = True
        self._values.clear()
        self._wake()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self, value: T) -> None:
        if len(self._values) == self._values.maxlen:
            self.dropped += 1
        self._values.append(value)
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            waiter.resolve(waiter.future.set_result, None)


async def wait_for(
    store: Readable[T],
    predicate: Callable[[T], object],
    timeout: float | None,  # noqa: ASYNC109 - the public method's
) -> T:
    """Wait until the value of a store passes `predicate`; return that value."""
    import asyncio  # noqa: PLC0415

    refuse_async(predicate, "wait_for()", PLAIN)
    waiter: _Waiter[T] = _Waiter()
    future = waiter.future

    def look(value: T) -> None:
        if future.done():
            return
        try:
            matches = predicate(value)
        except Exception as error:  # noqa: BLE001 - the waiter's business, not the setter's
            waiter.resolve(future.set_exception, error)
        else:
            if matches:
                waiter.resolve(future.set_result, value)

    with store.subscribe(look):
        async with asyncio.timeout(timeout):
            return await future
