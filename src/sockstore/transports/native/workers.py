"""Run blocking calls on daemon threads, a few at a time.

The loop's default executor is not used: a few name lookups that hang would block the program's own
work there, and the interpreter could not exit before they end.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, TypeVar, cast

from sockstore.transports.base import WORKER

__all__ = ["LOOKUPS", "PREPARATIONS", "Workers"]

T = TypeVar("T")

MOST_LOOKUPS = 32
"""Most threads that look up names at once: enough for several lookups of a few hosts."""

MOST_PREPARATIONS = 4

FRESH_SECONDS = 5.0
"""How long a lookup is shared: an older one may wait for a name server that is gone."""


class _Call:
    """One call that runs, or waits for a thread.

    Attributes:
        waiters: The futures of its callers, each with its loop; changed by `Workers` under its
            lock.
        began_at: When a thread began it, in `time.monotonic`; None while it waits.
    """

    __slots__ = ("began_at", "function", "key", "waiters")

    def __init__(self, key: Hashable, function: Callable[[], Any]) -> None:
        self.key = key
        self.function = function
        self.waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[Any]]] = []
        self.began_at: float | None = None


class Workers:
    """Runs calls on daemon threads; equal calls share one.

    A call whose callers were all cancelled goes on, since nothing can stop it; it delays no other.

    Args:
        most: Most threads at once; further calls wait.
        fresh: Seconds for which a running call is shared.
    """

    def __init__(self, most: int, fresh: float = float("inf")) -> None:
        self._most = most
        self._fresh = fresh
        self._forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def _forget(self) -> None:
        """Forget all calls: a forked process does not have the threads."""
        self._lock = threading.Lock()
        # Both change under the lock: a call is added by `run`, and taken by its thread.
        self._running: list[_Call] = []  # one for each thread
        self._waiting: deque[_Call] = deque()  # oldest first

    async def run(self, key: Hashable, function: Callable[[], T]) -> T:
        """Call a function on another thread; calls with equal keys share the result."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._lock:
            call = self._call_for(key, function)
            call.waiters.append((loop, future))
        try:
            return cast("T", await future)
        finally:
            with self._lock:
                if (loop, future) in call.waiters:
                    call.waiters.remove((loop, future))
                if not call.waiters and call in self._waiting:
                    self._waiting.remove(call)

    def _call_for(self, key: Hashable, function: Callable[[], object]) -> _Call:
        same = [call for call in (*self._running, *self._waiting) if call.key == key]
        has_room = len(self._running) < self._most
        if same and (not has_room or self._is_fresh(same[-1])):
            return same[-1]
        call = _Call(key, function)
        if has_room:
            self._begin(call)
            self._start_thread(call)
        else:
            self._waiting.append(call)
        return call

    def _start_thread(self, call: _Call) -> None:
        name = f"{WORKER}{call.key if isinstance(call.key, str) else 'ask the system'}"
        try:
            threading.Thread(target=self._work, args=(call,), name=name, daemon=True).start()
        except RuntimeError:
            self._running.remove(call)
            if threading.main_thread().is_alive():
                raise
            # Python 3.12 starts no thread while the interpreter ends. The network has not failed
            # then: the callers are cancelled when the connection is closed.

    def _is_fresh(self, call: _Call) -> bool:
        return call.began_at is None or time.monotonic() - call.began_at < self._fresh

    def _begin(self, call: _Call) -> None:
        call.began_at = time.monotonic()
        self._running.append(call)

    def _work(self, call: _Call | None) -> None:
        while call is not None:
            result, failure = None, None
            try:
                result = call.function()
            except BaseException as error:  # noqa: BLE001 - its callers raise it
                failure = error
            with self._lock:
                waiters, call.waiters = call.waiters, []
                if call in self._running:
                    self._running.remove(call)
                call = self._waiting.popleft() if self._waiting else None
                if call is not None:
                    self._begin(call)
            for loop, future in waiters:
                with suppress(RuntimeError):  # the loop of a caller was closed
                    loop.call_soon_threadsafe(_settle, future, result, failure)
            del waiters, result, failure


def _settle(future: asyncio.Future[Any], result: object, failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)


LOOKUPS = Workers(MOST_LOOKUPS, FRESH_SECONDS)
PREPARATIONS = Workers(MOST_PREPARATIONS)
