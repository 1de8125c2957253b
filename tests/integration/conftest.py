"""What the stories of a connection share: no story leaves anything behind, or in silence."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from sockstore.testing import assert_no_leaks


@pytest.fixture(autouse=True)
def _quick_collections() -> Iterator[None]:
    """Stories collect again and again, to prove that nothing is left: of what they make."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def reported() -> list[dict[str, Any]]:
    """What reached the event loop's exception handler; who does not ask for it expects nothing."""
    return []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function):
    """Let every story on the virtual clock prove that nothing is left of it."""
    story = pyfuncitem.obj
    if pyfuncitem.get_closest_marker("virtual_clock") and inspect.iscoroutinefunction(story):
        # In Pyodide the tests have no options of ours.
        is_eager = pyfuncitem.config.getoption("--eager", default=False)
        pyfuncitem.obj = _told_to_the_end(story, pyfuncitem.funcargs.get("reported"), is_eager)
    return (yield)


def _told_to_the_end(story, reported: list[dict[str, Any]] | None, is_eager: bool):
    @functools.wraps(story)
    async def told(*args, **kwargs) -> None:
        contexts = [] if reported is None else reported
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: contexts.append(context))
        if is_eager:
            loop.set_task_factory(asyncio.eager_task_factory)
        async with assert_no_leaks():
            await story(*args, **kwargs)
        assert reported is not None or not contexts, contexts

    return told
