"""Run the event loop that all blocking WebSockets of a process share, on one thread.

One thread is enough, because it only moves messages. Of the user's code it runs the callables among
the options (``url``, ``headers``, ``on_open``, codecs, ``where``), but no callbacks. It starts with
the first connection and ends with the last one, or at the interpreter's exit after the user's own
threads (`end_at_exit`): so it is a daemon thread.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final, ParamSpec, Protocol, TypeVar

from sockstore.base.tasks import start_task
from sockstore.blocking.waiting import Pending

__all__ = ["LoopThread", "User", "shared"]

T = TypeVar("T")
P = ParamSpec("P")

SECONDS_AT_EXIT: Final = 1.0
"""Seconds for closing handshakes when the interpreter exits."""
GRACE: Final = 1.0
"""Seconds that a thread with nothing left to do may take to end."""


class User(Protocol):
    """A user of the thread; the thread runs until its last user has released it."""

    async def end(self, seconds: float) -> object:
        """Close within these seconds, and release the thread."""


class LoopThread:
    """A daemon thread with an event loop, which ends when its last user releases it."""

    def __init__(self) -> None:
        self.loop: Final = asyncio.new_event_loop()
        self.users: set[User] = set()
        """The users that hold it; only touched under the lock of `shared`."""
        # The tasks that `run` started, until they are done.
        self._tasks: set[asyncio.Task[None]] = set()
        # Done once the last user has released the thread; then it ends.
        self._unused = self.loop.create_future()
        self._thread = threading.Thread(target=self._work, name="sockstore", daemon=True)

    def start(self) -> None:
        """Begin to run the loop."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on it."""
        return self._thread.ident == threading.get_ident()

    @property
    def is_ending(self) -> bool:
        """Whether it has no users left and accepts none."""
        return self._unused.done()

    def post(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """Have a function called on the thread."""
        pending: Pending[T] = Pending()

        def call() -> None:
            if pending.is_abandoned:
                return
            try:
                pending.hand_over(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                pending.fail(error)

        self.loop.call_soon_threadsafe(call)
        return pending

    def run(self, fn: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """Have a coroutine function run in a task on the thread."""
        pending: Pending[T] = Pending()

        async def work() -> None:
            try:
                pending.hand_over(await fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                pending.fail(error)

        def start() -> None:
            if not pending.is_abandoned:
                pending.task = start_task(work())
                self._tasks.add(pending.task)
                pending.task.add_done_callback(self._tasks.discard)

        self.loop.call_soon_threadsafe(start)
        return pending

    def wait(self, pending: Pending[T], timeout: float | None = None) -> T:
        """Wait for what was posted; if the wait is interrupted by Ctrl-C, cancel it."""
        try:
            return pending.wait(timeout)
        except BaseException:
            pending.is_abandoned = True
            with suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(pending.cancel)
            raise

    def release(self, user: User) -> None:
        """Remove a user; called on the thread, which ends if it was the last one."""
        with shared.lock:
            self.users.discard(user)
        # Not now: a call that was posted before this one may hold the thread again.
        self.loop.call_soon(self._end_if_unused)

    def join(self, timeout: float = GRACE) -> None:
        """Wait until it has ended, unless the caller runs on it."""
        if not self.is_current:
            self._thread.join(timeout)

    def _end_if_unused(self) -> None:
        with shared.lock:
            if self.users:
                return
            if shared.thread is self:
                shared.thread = None
            if not self._unused.done():
                self._unused.set_result(None)

    def _work(self) -> None:
        # Not `asyncio.Runner`: it waits for the executor in a new thread, which Python 3.12 refuses
        # to start when the interpreter exits. Nothing has to wait for daemon threads.
        self.loop.set_default_executor(_DaemonThreads())
        try:
            self.loop.run_until_complete(self._until_unused())
        finally:
            self.loop.run_until_complete(_cancel_what_is_left())
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    async def _until_unused(self) -> None:
        await self._unused


class _Shared:
    """The loop's thread of this process, if there is one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # guards `thread`, and the users of each thread
        self.thread: LoopThread | None = None

    def forget(self) -> None:
        """Start afresh after a fork: the thread, which may hold the lock, is the parent's."""
        self.lock = threading.Lock()
        thread, self.thread = self.thread, None
        if thread is not None:
            _close_copies(thread.loop)

    def hold(self, user: User) -> LoopThread:
        """Return the thread, started if necessary; it runs until its last user releases it."""
        with self.lock:
            thread = self.thread
            if thread is None or not thread.is_alive:
                thread = self.thread = LoopThread()
                thread.start()
            thread.users.add(user)
            return thread

    def give_up(self, thread: LoopThread) -> None:
        """Start a new thread for later users, since this one does not answer."""
        with self.lock:
            if self.thread is thread:
                self.thread = None

    def end_at_exit(self) -> None:
        """Close open connections within a second, handshake included, and end the thread."""
        with self.lock:
            thread = self.thread
            users = () if thread is None else tuple(thread.users)
        if thread is None or not thread.is_alive:
            return
        deadline = time.monotonic() + SECONDS_AT_EXIT + GRACE
        ends = [thread.run(partial(user.end, SECONDS_AT_EXIT)) for user in users]
        with suppress(TimeoutError, KeyboardInterrupt):
            for end in ends:
                end.wait(max(0.0, deadline - time.monotonic()))
            thread.join()


class _DaemonThreads(ThreadPoolExecutor):
    """Runs each call in a daemon thread, so that a slow name lookup does not delay the exit."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(fn(*args, **kwargs))
                except BaseException as error:  # noqa: BLE001 - it belongs to the awaiting task
                    future.set_exception(error)

        threading.Thread(target=work, name="sockstore: helper", daemon=True).start()
        return future


async def _cancel_what_is_left() -> None:
    """Cancel all other tasks of this loop, and wait until they have ended."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            context = {"message": "a task raised while it was cancelled", "exception": outcome}
            asyncio.get_running_loop().call_exception_handler(context)


def _close_copies(loop: asyncio.AbstractEventLoop) -> None:
    """Close a fork's copies of a loop's descriptors; those of the parent process stay open.

    The selector is closed first: a registered socket that is closed is removed from it, and the
    kernel's half of the selector is the parent's, too.
    """
    for name in ("_selector", "_ssock", "_csock"):
        copy = getattr(loop, name, None)
        if copy is not None:
            copy.close()


shared: Final = _Shared()
atexit.register(shared.end_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=shared.forget)
