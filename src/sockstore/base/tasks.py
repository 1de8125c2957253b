"""How tasks begin: on the next turn of the loop, as asyncio's own do, eager or not."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

__all__ = ["start_task"]

T = TypeVar("T")


def start_task(
    coroutine: Coroutine[Any, Any, T],
    *,
    name: str | None = None,
    context: Context | None = None,
) -> asyncio.Task[T]:
    """Make a task that begins on the next turn of the running loop.

    A program may set `asyncio.eager_task_factory` (Python 3.12). Then a coroutine runs inside
    ``create_task``, so before its task is where others look for it. The program's factory makes
    the task; only the beginning waits.

    Args:
        coroutine: What the task runs.
        name: The task's name.
        context: What it sees of context variables; a copy of the present ones otherwise.

    Returns:
        The task, which has not begun.

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
    # One that is cancelled before it begins would be told of as never awaited.
    task.add_done_callback(lambda _: coroutine.close())
    return task
