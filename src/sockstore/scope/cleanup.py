"""Destroy what a scope owns, all of it within a deadline."""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Generic, TypeAlias, TypeVar
from weakref import WeakSet

from sockstore.base.plain_calls import name_of
from sockstore.base.tasks import awaited, report, start_task

__all__ = [
    "Cleanup",
    "Deadline",
    "Entered",
    "ExitDetails",
    "Leaving",
    "Mounting",
    "Owned",
    "Running",
]

T = TypeVar("T")

ExitDetails: TypeAlias = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)
"""The arguments of ``__exit__``: how the block ended."""

GRACE = 1.0
"""Seconds that a task may take to end after it was cancelled at the deadline."""
LEAST_GRACE = 0.1
"""Seconds that each thing gets even after the deadline: enough to react to a cancellation."""


class Deadline:
    """The time by which everything must be destroyed.

    Args:
        timeout: Seconds from now.
    """

    def __init__(self, timeout: float) -> None:
        self.at: float = asyncio.get_running_loop().time() + timeout

    async def end(self, task: asyncio.Future[Any]) -> bool:
        """Wait for a task until the deadline; then cancel it, and give it up after a grace.

        Returns:
            Whether it ended by itself.

        Raises:
            TimeoutError: If the task ignored the cancellation.
        """
        for leaving in _under_way.get():
            leaving.waits_for.add(task)
        by_itself = False
        try:
            await _wait(task, self.at)
            by_itself = task.done()
        finally:
            if not task.done():
                task.cancel()
                await _wait(task, self.at + GRACE)
        if not task.done():
            raise TimeoutError(f"{task!r} goes on although it was cancelled")
        return by_itself


async def _wait(task: asyncio.Future[Any], until: float) -> None:
    left = until - asyncio.get_running_loop().time()
    await asyncio.wait({task}, timeout=max(left, LEAST_GRACE))


class Owned(ABC):
    """Something that a scope owns."""

    @abstractmethod
    async def destroy(self, deadline: Deadline, details: ExitDetails) -> None:
        """Destroy it.

        Args:
            deadline: When it must be over.
            details: How the block of the scope ended.

        Raises:
            Exception: Its own error, if destroying raised.
            TimeoutError: If it was not over at the deadline.
        """


class Cleanup(Owned):
    """A function to call, sync or async."""

    def __init__(self, fn: Callable[[], object]) -> None:
        self.fn = fn

    async def destroy(self, deadline: Deadline, details: ExitDetails) -> None:
        """Call it, and wait for it if it is async."""
        del details
        result = self.fn()
        if inspect.isawaitable(result):
            task = start_task(awaited(result))
            by_itself = await deadline.end(task)
            if task.cancelled():
                if by_itself:
                    raise RuntimeError(f"the cleanup {name_of(self.fn)} was cancelled")
                raise TimeoutError(f"the cleanup {name_of(self.fn)} did not end in time")
            task.result()


class Running(Owned, Generic[T]):
    """A task; destroying it cancels it."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left to destroy."""
        return self.task.done()

    async def destroy(self, deadline: Deadline, details: ExitDetails) -> None:
        """Cancel it and wait for its end, unless it is the one that does the destroying."""
        del details
        if self.task is not asyncio.current_task():
            self.task.cancel()
            await deadline.end(self.task)
            if not self.task.cancelled():
                self.task.result()


class Mounting(Running[None]):
    """A task that mounts something; if it returns a callable, that is the cleanup.

    Args:
        mounting: The awaitable that the task awaits.
        start: Starts the task.
    """

    def __init__(
        self,
        mounting: Awaitable[object],
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        # Set by the task when it returns a callable.
        self._cleanup: Cleanup | None = None
        super().__init__(start(self._mount(mounting)))

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left to destroy."""
        return self.task.done() and self._cleanup is None

    async def destroy(self, deadline: Deadline, details: ExitDetails) -> None:
        """Cancel the task if it runs, and call the cleanup if there is one."""
        try:
            await super().destroy(deadline, details)
        finally:
            if self._cleanup is not None:
                await self._cleanup.destroy(deadline, details)

    async def _mount(self, mounting: Awaitable[object]) -> None:
        # Not `task.result()`: that would mark an error as retrieved, so it would not be reported.
        result = await mounting
        if callable(result):
            self._cleanup = Cleanup(result)


class Entered(Owned, Generic[T]):
    """A context manager, async or sync; destroying it calls its exit method."""

    def __init__(self, manager: AbstractAsyncContextManager[T] | AbstractContextManager[T]) -> None:
        self._manager = manager

    async def enter(self) -> T:
        """Enter it."""
        if isinstance(self._manager, AbstractAsyncContextManager):
            return await self._manager.__aenter__()
        return self._manager.__enter__()

    async def destroy(self, deadline: Deadline, details: ExitDetails) -> None:
        """Leave it in this task, as some context managers refuse to be left in another one."""
        if isinstance(self._manager, AbstractAsyncContextManager):
            async with asyncio.timeout_at(deadline.at):
                await self._manager.__aexit__(*details)
        else:
            self._manager.__exit__(*details)


class Leaving:
    """Destroy everything, the latest first, each once, even if some raise.

    Args:
        owned: The things to destroy; it is empty afterwards.
        deadline: When all of it must be over.

    Attributes:
        waits_for: The tasks whose end it waits for, also those of scopes within it.
    """

    def __init__(self, owned: dict[Owned, None], deadline: Deadline) -> None:
        self.waits_for: WeakSet[asyncio.Future[Any]] = WeakSet()
        self._owned = owned
        self._deadline = deadline
        # Set once everything is destroyed.
        self._over = asyncio.Event()

    async def run(self, details: ExitDetails) -> None:
        """Destroy it all.

        Raises:
            ExceptionGroup: Of all errors that were raised.
            BaseException: An interruption, for example a cancellation.
        """
        around = _under_way.get()
        _under_way.set((*around, self))
        errors: list[Exception] = []
        interruptions: list[BaseException] = []
        while self._owned:
            owned, _ = self._owned.popitem()
            try:
                await owned.destroy(self._deadline, details)
            except Exception as error:  # noqa: BLE001 - nothing may keep the rest alive
                errors.append(error)
            except BaseException as error:  # noqa: BLE001 - raised below, when the rest is gone
                interruptions.append(error)
        _under_way.set(around)
        self._over.set()
        if interruptions or not (details[1] is None or isinstance(details[1], Exception)):
            # A cancellation must not become an ExceptionGroup, so the errors are reported.
            for lost in errors:
                report(lost, "a cleanup of a scope")
            if interruptions:
                raise interruptions.pop()
        elif errors:
            raise ExceptionGroup("leaving the scope raised", errors)

    @property
    def is_over(self) -> bool:
        """Whether everything is destroyed."""
        return self._over.is_set()

    async def wait(self) -> None:
        """Wait until it is over, unless the caller is a cleanup that it waits for itself."""
        if self not in _under_way.get() and asyncio.current_task() not in self.waits_for:
            await self._over.wait()


_under_way: ContextVar[tuple[Leaving, ...]] = ContextVar("sockstore_leaving", default=())
"""The scopes whose leaving runs the calling code, the outermost first."""
