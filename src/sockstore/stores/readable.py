"""Define stores that can be watched; read any store, or hand it out without its `set`."""

from __future__ import annotations

from collections.abc import Callable
from reprlib import recursive_repr
from typing import ClassVar, Generic, NoReturn, TypeVar

from sockstore.stores.binding import node_of
from sockstore.stores.contract import Subscribable, Unsubscriber
from sockstore.stores.nodes import Node
from sockstore.stores.waiting import Stream, wait_for

__all__ = ["Readable", "get", "readonly"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Readable(Generic[T_co]):
    """A value that can be watched.

    Example:
        >>> from sockstore.stores import derived, writable
        >>> count = writable(1)
        >>> double = derived(count, lambda number: number * 2)
        >>> with double.subscribe(print):
        ...     count.set(2)
        2
        4
    """

    __slots__ = ("__weakref__", "_node")

    _kind: ClassVar[str] = "Readable"
    """The name of its kind in its `repr`."""

    def __init__(self, node: Node[T_co]) -> None:
        self._node = node
        """Set once: the node of the graph that does the work; `node_of` returns it."""

    def __bool__(self) -> NoReturn:
        # Its class is named and not its value, which may be long.
        raise TypeError(
            f"a store ({self._kind}) has no truth value: use its `.value`, as in `if store.value`, "
            "or `store is not None`"
        )

    @recursive_repr("<a store that holds itself>")
    def __repr__(self) -> str:
        from sockstore.stores.showing import show  # noqa: PLC0415 - few programs print a store

        return show(self._node, self._kind)

    @property
    def value(self) -> T_co:
        """The present value.

        A store without subscribers is started for the moment of the reading, as by Svelte's
        `get`; a derived one is then computed anew.

        Raises:
            Exception: The error of a derived store's last computation.
        """
        return self._node.read()

    def subscribe(self, run: Callable[[T_co], object], /) -> Unsubscriber:
        """Call `run` with the value, now and on every change.

        Args:
            run: Called with one value. The same function twice is two subscriptions.

        Returns:
            How to unsubscribe: call it, or use it in a `with` block.

        Raises:
            Exception: The error of `start`, a computation or the first call. Nothing is left of
                the subscription then.
            RuntimeError: If the store belongs to another thread.
            TypeError: If `run` is a coroutine function, which would never be awaited.

        Example:
            >>> from sockstore.stores import writable
            >>> name = writable("Ada")
            >>> unsubscribe = name.subscribe(print)
            Ada
            >>> name.set("Grace")
            Grace
            >>> unsubscribe()
        """
        return self._node.subscribe(run)

    def __aiter__(self) -> Stream[T_co]:
        return Stream(self, buffer=1)

    def stream(self, *, buffer: int) -> Stream[T_co]:
        """Iterate over the present value and each later one, remembering the newest `buffer`.

        Args:
            buffer: How many values wait for a slow reader, at least 1. The oldest is dropped
                for a newer one, and counted in `dropped`.

        Returns:
            An asynchronous iterator; it unsubscribes when it is closed or no longer used.

        Raises:
            ValueError: If `buffer` is less than 1.

        Example:
            >>> import asyncio
            >>> from sockstore.stores import writable
            >>> async def main() -> None:
            ...     count = writable(0)
            ...     values = count.stream(buffer=2)
            ...     count.set(1)
            ...     count.set(2)
            ...     print(await anext(values), await anext(values), values.dropped)
            >>> asyncio.run(main())
            1 2 1
        """
        return Stream(self, buffer=buffer)

    async def wait_for(
        self,
        predicate: Callable[[T_co], object],
        timeout: float | None = None,  # noqa: ASYNC109 - saves each caller a block
    ) -> T_co:
        """Wait until the value satisfies `predicate`.

        Each value is looked at when it is set, so one that is soon replaced counts too.

        Args:
            predicate: Called with each value; its errors are raised here.
            timeout: Seconds to wait at most. None sets no limit.

        Returns:
            The value that satisfied the predicate.

        Raises:
            TimeoutError: If no value did in time.
            TypeError: If `predicate` is a coroutine function: a coroutine is always true.

        Example:
            >>> import asyncio
            >>> from sockstore.stores import writable
            >>> asyncio.run(writable(3).wait_for(lambda number: number > 2))
            3
        """
        return await wait_for(self, predicate, timeout)


def readonly(store: Subscribable[T]) -> Readable[T]:
    """Make a store that can be watched but not set.

    Args:
        store: Any store, also a foreign one that has only `subscribe`.

    Returns:
        A store with the same value, without `set` and `update`.

    Example:
        >>> from sockstore.stores import writable
        >>> count = writable(1)
        >>> shown = readonly(count)
        >>> count.set(2)
        >>> shown.value, hasattr(shown, "set")
        (2, False)
    """
    return Readable(node_of(store))


def get(store: Subscribable[T]) -> T:
    """Read any store once.

    Args:
        store: Any store, also a foreign one that has only `subscribe`.

    Returns:
        Its present value.

    Raises:
        Exception: The error of a computation.

    Example:
        >>> from sockstore.stores import derived, writable
        >>> get(derived(writable(2), lambda number: number * 10))
        20
    """
    return node_of(store).read()
