"""End a command by signals: cleanly by the first one, at once by the second one."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any

__all__ = ["ENDING", "leave_to_the_system", "on_signal", "prepare", "run"]

ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


def prepare() -> None:
    """Let Ctrl-C raise `KeyboardInterrupt` once; a second one ends the program silently."""
    with suppress(ValueError):  # not in the main thread
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt)


def leave_to_the_system() -> None:
    """Let further signals end the program at once, by the default of the system."""
    with suppress(ValueError):
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)


def on_signal(loop: asyncio.AbstractEventLoop, act: Callable[[int], object]) -> None:
    """Call a function at the first signal that ends a command; a second one ends it at once.

    Signals that were ignored at the start, as by ``nohup``, stay ignored.

    Args:
        loop: The running event loop.
        act: Called with the signal's number.
    """

    def handle(number: int) -> None:
        for each in ENDING:
            loop.remove_signal_handler(each)
        leave_to_the_system()
        act(number)

    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            with suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, other threads
                loop.add_signal_handler(number, handle, number)


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run a command's coroutine; a signal cancels it, so that its connections are closed.

    Args:
        main: The coroutine.

    Returns:
        Its result, or 128 plus the number of the signal that ended it.
    """
    caught: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        # An exception here, while the event loop is made, would leave half of it open.
        del frame
        caught.append(number)
        leave_to_the_system()

    async def guarded() -> int:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine

        def stop(number: int) -> None:
            caught.append(number)
            task.cancel()

        on_signal(asyncio.get_running_loop(), stop)
        if caught:
            raise asyncio.CancelledError
        return await main

    try:
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, note)
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        if not caught:
            raise
        return 128 + caught[0]
    finally:
        main.close()


def _interrupt(number: int, frame: FrameType | None) -> None:
    del frame
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt
