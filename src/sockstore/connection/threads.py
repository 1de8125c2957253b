"""The rule of threads: a connection belongs to the thread of its loop, and how others reach it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from sockstore.base.plain_calls import refuse_async

__all__ = ["FOREIGN_THREAD", "call_on_loop"]

T = TypeVar("T")
P = ParamSpec("P")

FOREIGN_THREAD = (
    "a connection belongs to the thread of its event loop; from another thread use "
    "connection.call_threadsafe(function, *arguments)"
)


def call_on_loop(
    loop: asyncio.AbstractEventLoop, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> Future[T]:
    """Call a function on an event loop, from any thread.

    Returns:
        A future of what it returns or raises.

    Raises:
        TypeError: If it is a coroutine function.
    """
    refuse_async(fn, "call_threadsafe()", "use asyncio.run_coroutine_threadsafe(function(), loop)")
    future: Future[T] = Future()

    def call() -> None:
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                future.set_exception(error)

    loop.call_soon_threadsafe(call)
    return future
