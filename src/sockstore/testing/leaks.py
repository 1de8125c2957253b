"""Proof that nothing is left behind."""

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
from typing import Any

from sockstore.stores import Readable
from sockstore.stores.binding import count_watchers
from sockstore.transports.base import WORKER

__all__ = ["assert_no_leaks"]

TURNS = 100
"""Turns of the loop that what is already ending may take to end."""


@dataclass(frozen=True, slots=True)
class _Census:
    """What is alive at one moment."""

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
            frozenset(timer for timer in scheduled if not (timer.cancelled() or _is_told(timer))),
            _open_files(),
            frozenset(one for one in threading.enumerate() if not one.name.startswith(WORKER)),
            tuple((store, count_watchers(store)) for store in stores),
        )

    def more_than(self, before: _Census) -> list[str]:
        """Say what is here that was not there before, one line each."""
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
    """Assert that a block leaves no task, timer, socket, file descriptor or thread behind.

    Executor threads of the loop count as well: begin with one use of them if yours may start
    some. A name lookup that hangs does not: nothing can end it, and it holds nothing up. File
    descriptors are counted where the system shows them (Linux, macOS), timers on loops that show
    them (asyncio's own; not uvloop).

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
    before = _Census.take(stores)
    yield
    left = ["nothing was looked at"]
    for _ in range(TURNS):
        await asyncio.sleep(0)
        left = _Census.take(stores).more_than(before)
        if not left:
            return
    gc.collect()
    left = _Census.take(stores).more_than(before)
    if left:
        raise AssertionError("left behind:\n  " + "\n  ".join(sorted(left)))


async def _let_the_loop_open_its_own() -> None:
    """Let a loop that is not asyncio's open what it keeps until its end.

    With the first stream of a loop, libuv (uvloop) opens /dev/null once, to have a descriptor to
    spare when there are too many.
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


def _is_told(timer: asyncio.TimerHandle) -> bool:
    """Whether something else tells of it, or it is no leak of the program.

    A sleep is part of its task, which is counted; the rest of a fake server's script is the kit's;
    the look at the clock is for all connections of the loop, and ends with the last of them.
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
    """Name a file descriptor; the one that lists the folder is gone by now."""
    try:
        return f"{number} -> {Path('/proc/self/fd', number).readlink()}"
    except OSError:
        return number if _is_open(int(number)) else None
