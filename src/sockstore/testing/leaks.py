"""Proof that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

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

    @classmethod
    def take(cls) -> _Census:
        loop = asyncio.get_running_loop()
        scheduled: list[asyncio.TimerHandle] = getattr(loop, "_scheduled", [])
        return cls(
            frozenset(asyncio.all_tasks()),
            frozenset(timer for timer in scheduled if not (timer.cancelled() or _is_kit(timer))),
            _open_files(),
            frozenset(threading.enumerate()),
        )

    def more_than(self, before: _Census) -> list[str]:
        """Say what is here that was not there before, one line each."""
        return [
            *(f"task {task.get_name()!r}: {task!r}" for task in self.tasks - before.tasks),
            *(f"timer {timer!r}" for timer in self.timers - before.timers),
            *(f"open file {file}" for file in self.files - before.files),
            *(f"thread {thread.name!r}" for thread in self.threads - before.threads),
        ]


@asynccontextmanager
async def assert_no_leaks() -> AsyncIterator[None]:
    """Assert that a block leaves no task, timer, socket, file descriptor or thread behind.

    Executor threads of the loop count as well: begin with one use of them if yours may start
    some. File descriptors are counted where the system shows them (Linux, macOS).

    Raises:
        AssertionError: If something is left, with one line for each thing.

    Example:
        ::

            async with assert_no_leaks():
                async with WebSocketStore(url) as connection:
                    await connection.ready()
    """
    gc.collect()
    before = _Census.take()
    yield
    left = ["nothing was looked at"]
    for _ in range(TURNS):
        await asyncio.sleep(0)
        left = _Census.take().more_than(before)
        if not left:
            return
    gc.collect()
    left = _Census.take().more_than(before)
    if left:
        raise AssertionError("left behind:\n  " + "\n  ".join(sorted(left)))


def _is_kit(timer: asyncio.TimerHandle) -> bool:
    """Whether a fake server set it: the rest of its script is no leak of the program."""
    callback = getattr(timer, "_callback", None)
    return getattr(callback, "__module__", "") == "sockstore.testing.fake_server"


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
        try:
            os.fstat(int(number))
        except OSError:
            return None
        return number
