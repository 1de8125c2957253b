"""Start tasks, on the next turn of the loop, and report errors of user code in them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from sockstore.base.errors import said

__all__ = ["as_exception", "awaited", "is_cancelled", "report", "start_task"]

T = TypeVar("T")


def start_task(
    coroutine: Coroutine[Any, Any, T],
    *,
    name: str | None = None,
    context: Context | None = None,
) -> asyncio.Task[T]:
    """Make a task that begins on the next turn of the running loop.

    A program may set `asyncio.eager_task_factory` (Python 3.12), with which a coroutine runs inside
    ``create_task``, before its caller can store the task. Here the program's factory makes the
    task, but the coroutine starts later.

    Example:
        >>> async def main() -> None:
        ...     async def work() -> None:
        ...         print("working")
        ...     task = start_task(work())
        ...     print("started")
        ...     await task
        >>> asyncio.run(main())
        started
        working
    """
    loop = asyncio.get_running_loop()
    if loop.get_task_factory() is None:
        return loop.create_task(coroutine, name=name, context=context)
    is_made = False

    async def begin() -> T:
        if not is_made:
            await asyncio.sleep(0)
        return await coroutine

    task = loop.create_task(begin(), name=name, context=context)
    is_made = True
    # A task that is cancelled before it begins would cause a "never awaited" warning.
    task.add_done_callback(lambda _: coroutine.close())
    return task


def is_cancelled(error: BaseException) -> bool:
    """Whether an error is the cancellation of the task that runs here.

    A `CancelledError` that code raises by itself, because a task that it awaited was cancelled for
    example, is an error like others.
    """
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def as_exception(error: BaseException) -> Exception:
    """Return an error as one that may be reported; a cancellation would end whoever raises it."""
    if isinstance(error, Exception):
        return error
    ended = RuntimeError(f"it ended with {said(error)}")
    ended.__cause__ = error
    return ended


def report(error: Exception, what: str) -> None:
    """Give an error of a user's callable to the event loop's exception handler."""
    context = {"message": f"{what} raised", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)


async def awaited(awaitable: Awaitable[T]) -> T:
    """Make a coroutine of any awaitable."""
    return await awaitable
