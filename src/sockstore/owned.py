"""What a scope can own, how each is destroyed, and how all of it is, within a bound."""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar

__all__ = ["Bound", "Cleanup", "Entered", "ExitDetails", "Leaving", "Mounting", "Owned", "Running"]

T = TypeVar("T")

ExitDetails: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)
"""What ``__exit__`` is told: how the block ended."""

GRACE = 1.0
"""Seconds that what was cancelled at the deadline may take to end."""
LEAST_GRACE = 0.1
"""Seconds that each gets, however late it is: enough for one that ends when it is asked to."""


class Bound:
    """How long destroying may take, from now on.

    Args:
        timeout: Seconds.
    """

    def __init__(self, timeout: float) -> None:
        self.deadline = asyncio.get_running_loop().time() + timeout
        self.waits_for: asyncio.Future[Any] | None = None

    async def end(self, task: asyncio.Future[Any]) -> None:
        """Wait for a task until the deadline, then cancel it, then give it up.

        Raises:
            TimeoutError: If it goes on all the same.
        """
        self.waits_for = task
        try:
            await _wait(task, self.deadline)
        finally:
            if not task.done():
                task.cancel()
                await _wait(task, self.deadline + GRACE)
            self.waits_for = None
        if not task.done():
            raise TimeoutError(f"{task!r} goes on although it was cancelled")


async def _wait(task: asyncio.Future[Any], until: float) -> None:
    left = until - asyncio.get_running_loop().time()
    await asyncio.wait({task}, timeout=max(left, LEAST_GRACE))


class Owned(ABC):
    """One thing that a scope owns."""

    @abstractmethod
    async def destroy(self, bound: Bound, details: ExitDetails) -> None:
        """Destroy it.

        Args:
            bound: How long it may take.
            details: How the block of the scope ended.

        Raises:
            Exception: What it raised.
            TimeoutError: If it was not over at the deadline.
        """


class Cleanup(Owned):
    """A function to call, sync or async."""

    def __init__(self, fn: Callable[[], object]) -> None:
        self.fn = fn

    async def destroy(self, bound: Bound, details: ExitDetails) -> None:
        """Call it, and wait for it if it is async."""
        del details
        result = self.fn()
        if inspect.isawaitable(result):
            task = asyncio.ensure_future(awaited(result))
            await bound.end(task)
            if task.cancelled():
                raise TimeoutError(f"the cleanup {name_of(self.fn)} did not end in time")
            task.result()


class Running(Owned, Generic[T]):
    """A task, to be cancelled."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left to destroy."""
        return self.task.done()

    async def destroy(self, bound: Bound, details: ExitDetails) -> None:
        """Cancel it and wait for its end, unless it is the one that does the destroying."""
        del details
        if self.task is not asyncio.current_task():
            self.task.cancel()
            await bound.end(self.task)
            if not self.task.cancelled():
                self.task.result()


class Mounting(Running[object]):
    """A task whose result, if it is a callable, is a cleanup."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left to destroy."""
        return self.task.done() and self._cleanup() is None

    async def destroy(self, bound: Bound, details: ExitDetails) -> None:
        """Cancel it if it is under way, and clean up after it if it came to its end."""
        try:
            await super().destroy(bound, details)
        finally:
            cleanup = self._cleanup()
            if cleanup is not None:
                await cleanup.destroy(bound, details)

    def _cleanup(self) -> Cleanup | None:
        if not self.task.done() or self.task.cancelled() or self.task.exception() is not None:
            return None
        result = self.task.result()
        return Cleanup(result) if callable(result) else None


class Entered(Owned, Generic[T]):
    """A context manager, async or sync, to be left."""

    def __init__(self, manager: AbstractAsyncContextManager[T] | AbstractContextManager[T]) -> None:
        self._manager = manager

    async def enter(self) -> T:
        """Enter it."""
        if isinstance(self._manager, AbstractAsyncContextManager):
            return await self._manager.__aenter__()
        return self._manager.__enter__()

    async def destroy(self, bound: Bound, details: ExitDetails) -> None:
        """Leave it in this task: some refuse to be left in another one."""
        if isinstance(self._manager, AbstractAsyncContextManager):
            async with asyncio.timeout_at(bound.deadline):
                await self._manager.__aexit__(*details)
        else:
            self._manager.__exit__(*details)


class Leaving:
    """Destroy everything, the latest first, each once, whatever is raised meanwhile.

    Args:
        owned: What there is; it is empty afterwards.
        bound: How long all of it may take.
    """

    def __init__(self, owned: dict[Owned, None], bound: Bound) -> None:
        self._owned = owned
        self._bound = bound
        self._leaver = asyncio.current_task()
        self._over = asyncio.Event()

    async def run(self, details: ExitDetails) -> None:
        """Destroy it all.

        Raises:
            ExceptionGroup: Of what was raised.
            BaseException: What interrupted it, for example a cancellation.
        """
        errors: list[Exception] = []
        interruptions: list[BaseException] = []
        while self._owned:
            one, _ = self._owned.popitem()
            try:
                await one.destroy(self._bound, details)
            except Exception as error:  # noqa: BLE001 - nothing may keep the rest alive
                errors.append(error)
            except BaseException as error:  # noqa: BLE001 - raised below, when the rest is gone
                interruptions.append(error)
        self._over.set()
        if interruptions or not (details[1] is None or isinstance(details[1], Exception)):
            # A cancellation must stay one, so the errors go where nobody can miss them.
            _report(errors)
            if interruptions:
                raise interruptions.pop()
        elif errors:
            raise ExceptionGroup("leaving the scope raised", errors)

    @property
    def is_over(self) -> bool:
        """Whether everything is destroyed."""
        return self._over.is_set()

    async def wait(self) -> None:
        """Wait until it is over, unless it is part of that to return from here."""
        if asyncio.current_task() not in {self._leaver, self._bound.waits_for}:
            await self._over.wait()


def _report(errors: list[Exception]) -> None:
    for error in errors:
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a cleanup of a scope raised", "exception": error}
        )


async def awaited(awaitable: Awaitable[T]) -> T:
    """Make a coroutine of any awaitable."""
    return await awaitable


def name_of(fn: object) -> str:
    """Name a function for a message."""
    return getattr(fn, "__qualname__", None) or repr(fn)
