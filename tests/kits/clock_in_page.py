"""A virtual clock for Python in a page: when every task waits, time jumps to the next timer.

Time stands still while something of the browser's is waited for: a frame, or the hand of a user.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any

from pyodide.ffi import create_proxy
from pyodide.webloop import WebLoop

EPOCH = 1_767_225_600.0
"""What the clock on the wall shows at 0, as that of `sockstore.testing`."""


class VirtualWebLoop(WebLoop):
    """The event loop of a page, by a clock of its own.

    Args:
        soon: JavaScript's function that calls another one in a turn of the browser's loop.
    """

    def __init__(self, soon: Callable[[Any], object]) -> None:
        super().__init__()
        self.sleepers: set[Callable[[float], object]] = set()
        self.problems: list[str] = []
        self._now = 0.0
        self._ready: deque[asyncio.Handle] = deque()
        self._scheduled: list[asyncio.TimerHandle] = []
        self._holds = 0
        self._is_awaited = False
        self._soon = soon
        self._turn = create_proxy(self._run_once)

    def time(self) -> float:
        return self._now

    def work_clock(self) -> float:
        return self._now

    def wall_clock(self) -> float:
        return EPOCH + self._now

    def call_soon(
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        self._await_a_turn()
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        if when < self._now:
            raise ValueError(f"a timer for {when:g} s was set at {self._now:g} s, in the past")
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)
        self._await_a_turn()
        return timer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.problems.append(f"{context.get('message')} {context.get('exception')!r}")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the time stand still."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            self._await_a_turn()

    def _await_a_turn(self) -> None:
        if not self._is_awaited:
            self._is_awaited = True
            self._soon(self._turn)

    def _run_once(self) -> None:
        self._is_awaited = False
        self._install_running_loop()
        self._install_asyncgen_hooks()
        self._make_due_ones_ready()
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()
        if self._ready or (self._scheduled and not self._holds):
            self._await_a_turn()

    def _make_due_ones_ready(self) -> None:
        timers = self._scheduled
        while timers and timers[0].cancelled():
            heapq.heappop(timers)
        if timers and not self._ready and not self._holds:
            self._now = max(self._now, timers[0].when())
        while timers and timers[0].when() <= self._now:
            self._ready.append(heapq.heappop(timers))
