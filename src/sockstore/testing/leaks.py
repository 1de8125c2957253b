"""Assert that a block leaves nothing behind: tasks, timers, files, threads, subscriptions."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sockstore.stores import Readable
from sockstore.stores.binding import count_watchers
from sockstore.transports.base import WORKER

if TYPE_CHECKING:
    from sockstore.connection.subscription import Subscription

__all__ = ["assert_no_leaks"]

TURNS = 100
"""Turns of the loop that a task which is ending may take."""


@dataclass(frozen=True, slots=True)
class _Census:
    """The tasks, timers, files, threads and subscribers at one moment."""

    tasks: frozenset[asyncio.Task[object]]
    timers: frozenset[asyncio.TimerHandle]
    files: frozenset[str]
    threads: frozenset[threading.Thread]
    audiences: tuple[tuple[Readable[Any], int], ...]

    @classmethod
    def take(cls, stores: tuple[Readable[Any], ...]) -> _Census:
        loop = asyncio.get_running_loop()
        scheduled: list[asyncio.TimerHandle] = getattr(loop, "_scheduled", [])
        return cls(
            frozenset(asyncio.all_tasks()),
            frozenset(timer for timer in scheduled if not (timer.cancelled() or _is_benign(timer))),
            _open_files(),
            frozenset(each for each in threading.enumerate() if not each.name.startswith(WORKER)),
            tuple((store, count_watchers(store)) for store in stores),
        )

    def more_than(self, before: _Census) -> list[str]:
        """Describe what is here that was not in the earlier census, one line each."""
        return [
            *(f"task {task.get_name()!r}: {task!r}" for task in self.tasks - before.tasks),
            *(f"timer {timer!r}" for timer in self.timers - before.timers),
            *(f"open file {file}" for file in self.files - before.files),
            *(f"thread {thread.name!r}" for thread in self.threads - before.threads),
            *(
                f"{now - earlier} subscribers of {store!r}"
                for (store, now), (_, earlier) in zip(self.audiences, before.audiences, strict=True)
                if now > earlier
            ),
        ]


@asynccontextmanager
async def assert_no_leaks(*stores: Readable[Any]) -> AsyncIterator[None]:
    """Assert that a block leaves no task, timer, socket, file, thread or subscription behind.

    A subscription (`WebSocketStore.subscribe`) counts until it is released or its connection ends.

    Executor threads of the loop count as well: if your code may start some, use the executor once
    before. A name lookup that hangs does not count: nothing can end it, and nothing waits for it.
    File descriptors are counted where the system lists them (Linux, macOS), timers on loops that
    list them (asyncio's own; not uvloop).

    Args:
        stores: Stores that outlive the block; no subscriber may be left on them either, nor a
            store that is derived from them and watched.

    Raises:
        AssertionError: If something is left, with one line for each thing.

    Example:
        >>> from sockstore import Scope, writable
        >>> from sockstore.testing import assert_no_leaks
        >>> name = writable("Ada")
        >>> async def main() -> None:
        ...     async with assert_no_leaks(name), Scope() as scope:
        ...         scope.subscribe(name, print)
        >>> asyncio.run(main())
        Ada
    """
    gc.collect()
    await _let_the_loop_open_its_own()
    before, known = _Census.take(stores), WeakSet(_subscriptions())
    yield
    for _ in range(TURNS):
        await asyncio.sleep(0)
        if not _Census.take(stores).more_than(before) and not _more_subscriptions(known):
            return
    gc.collect()
    left = [*_Census.take(stores).more_than(before), *_more_subscriptions(known)]
    if left:
        raise AssertionError("left behind:\n  " + "\n  ".join(sorted(left)))


def _subscriptions() -> dict[Subscription[Any], str]:
    # Only a program that has subscribed has loaded the module.
    module = sys.modules.get("sockstore.connection.subscription")
    found: dict[Subscription[Any], str] = {} if module is None else module.subscriptions_in_use()
    return found


def _more_subscriptions(known: WeakSet[Subscription[Any]]) -> list[str]:
    return [
        f"{each!r} made at {where}" for each, where in _subscriptions().items() if each not in known
    ]


async def _let_the_loop_open_its_own() -> None:
    """Let a loop that is not asyncio's open the descriptors that it keeps until its end.

    libuv (uvloop) opens /dev/null with the first stream of a loop, as a spare descriptor.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, asyncio.BaseEventLoop) or sys.platform in {"emscripten", "win32"}:
        return
    reading, writing = os.pipe()
    transport, _ = await loop.connect_read_pipe(asyncio.Protocol, os.fdopen(reading, "rb"))
    os.close(writing)
    transport.close()
    for _ in range(TURNS):
        if not _is_open(reading):
            return
        await asyncio.sleep(0)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _is_benign(timer: asyncio.TimerHandle) -> bool:
    """Whether a timer is not a leak.

    A sleep belongs to its task, which is counted; a fake server's script to the test kit; and the
    timer that notices that a machine slept ends with the last connection of the loop.
    """
    callback = getattr(timer, "_callback", None)
    name = getattr(callback, "__name__", "")
    module = getattr(callback, "__module__", "")
    return module in {"sockstore.testing.fake_server", "sockstore.connection.platform"} or (
        module == "asyncio.futures" and name == "_set_result_unless_cancelled"
    )


def _open_files() -> frozenset[str]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        if Path(folder).exists():
            numbers = [entry.name for entry in Path(folder).iterdir()]
            return frozenset(filter(None, map(_describe, numbers)))
    return frozenset()


def _describe(number: str) -> str | None:
    """Describe a file descriptor; None for the one that listed the folder, which is closed."""
    try:
        return f"{number} -> {Path('/proc/self/fd', number).readlink()}"
    except OSError:
        return number if _is_open(int(number)) else None
