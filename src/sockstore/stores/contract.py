"""Say what a store is: the contract of every store, ours or foreign."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NoReturn, Protocol, TypeVar

from sockstore.stores.waiting import Stream, wait_for

if TYPE_CHECKING:
    from sockstore.stores.nodes import Node
    from sockstore.stores.subscription import Subscription

__all__ = ["Readable", "Subscribable", "changed"]

T_co = TypeVar("T_co", covariant=True)

_BY_VALUE: Final = frozenset({type(None), bool, int, float, str, bytes})


class Subscribable(Protocol[T_co]):
    """Anything that can be watched: the one method that a foreign store needs.

    `subscribe(run)` calls `run(value)` now and on each change. It returns how to leave: a
    callable, or an object with `unsubscribe()` or `dispose()`.
    """

    def subscribe(self, run: Callable[[T_co], object], /) -> Any:
        """Call `run` now and on each change, and return how to leave."""


class Readable(ABC, Generic[T_co]):
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

    __slots__ = ("__weakref__",)

    _kind: ClassVar[str] = "Readable"
    """What its `repr` calls it."""

    def __bool__(self) -> NoReturn:
        # By its class, for its value may be long, and this is said where a mistake was made.
        raise TypeError(
            f"a store ({self._kind}) has no truth value: use its `.value`, as in `if store.value`, "
            "or `store is not None`"
        )

    @recursive_repr("<a store that holds itself>")
    def __repr__(self) -> str:
        from sockstore.stores.showing import show  # noqa: PLC0415 - few programs print a store

        return show(self, self._kind)

    @property
    @abstractmethod
    def _node(self) -> Node[T_co]:
        """The node of the graph that does the work."""

    @property
    def value(self) -> T_co:
        """The present value.

        A store without subscribers is started for the moment of the reading, as by Svelte's
        `get`; a derived one is then computed anew.

        Raises:
            Exception: What the function of a derived store raised when it last ran.
        """
        return self._node.value

    def subscribe(self, run: Callable[[T_co], object], /) -> Subscription:
        """Call `run` with the value, now and on every change.

        Args:
            run: Called with one value. The same function twice is two subscriptions.

        Returns:
            The subscription: call it to unsubscribe, or use it in a `with` block.

        Raises:
            Exception: What `start`, a computation or the first call raised. Nothing is left of
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
            predicate: Called with each value; what it raises is raised here.
            timeout: Seconds to wait at most. None waits for ever.

        Returns:
            The value that satisfied the predicate.

        Raises:
            TimeoutError: If no value did in time.
            TypeError: If `predicate` is a coroutine function: what it returns is always true.

        Example:
            >>> import asyncio
            >>> from sockstore.stores import writable
            >>> asyncio.run(writable(3).wait_for(lambda number: number > 2))
            3
        """
        return await wait_for(self, predicate, timeout)


def changed(old: object, new: object) -> bool:
    """Tell whether replacing `old` by `new` is a change that subscribers hear of.

    Values of exactly these types compare by value: None, bool, int, float, complex, str, bytes;
    members of an Enum too, and NaN equals NaN. Everything else is news, even the same object
    again, for it may have been changed in place. A user's `__eq__` is never called.

    Args:
        old: The value held so far.
        new: The value that would replace it.

    Returns:
        True if it is news.

    Example:
        >>> from sockstore.stores import changed
        >>> changed(1, 1), changed(1, True), changed(float("nan"), float("nan"))
        (False, True, False)
        >>> changed([], [])
        True
    """
    kind = type(new)
    if kind is not type(old):
        return True
    if kind in _BY_VALUE:
        # Only NaN differs from itself.
        return old != new and (old == old or new == new)  # noqa: PLR0124
    if isinstance(old, complex) and isinstance(new, complex) and kind is complex:
        return changed(old.real, new.real) or changed(old.imag, new.imag)
    return old is not new or not isinstance(new, Enum)
