"""Runs pytest in Pyodide: tests of what needs no socket, no thread and no process, as they are."""

from __future__ import annotations

import asyncio
import asyncio.runners
import functools
import inspect
from typing import Any

import pytest

from sockstore.testing import VirtualClock

set_running_loop = asyncio._set_running_loop


def main(*arguments: str) -> int:
    loop = asyncio.get_running_loop()
    # Pyodide's own loop has no end and cannot be waited for: each test has a loop of its own.
    set_running_loop(None)
    asyncio.run = functools.partial(asyncio.runners.run, loop_factory=_new_loop)
    try:
        return int(pytest.main(list(arguments), plugins=[Coroutines(), NoThreads()]))
    finally:
        set_running_loop(loop)


def _new_loop() -> asyncio.AbstractEventLoop:
    return VirtualClock().new_event_loop()


class Coroutines:
    """Runs what pytest-asyncio runs elsewhere."""

    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        if not inspect.iscoroutinefunction(pyfuncitem.obj):
            return None
        names = inspect.signature(pyfuncitem.obj).parameters
        asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
        return True


class NoThreads:
    """A browser starts none: tests of other threads end here."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Any:
        try:
            return (yield)
        except RuntimeError as error:
            if "can't start new thread" in str(error):
                pytest.skip("a browser has no threads")
            raise
