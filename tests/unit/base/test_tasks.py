"""How tasks begin, whatever factory makes them."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextvars import ContextVar, copy_context

import pytest

from sockstore.base.tasks import start_task

pytestmark = pytest.mark.contract("CN21")


def programs_own(loop, coroutine, **options):
    """As a program's factory that counts or traces what it makes."""
    return asyncio.Task(coroutine, loop=loop, **options)


FACTORIES = [None, programs_own]
if sys.version_info >= (3, 12):
    FACTORIES.append(asyncio.eager_task_factory)

factories = pytest.mark.parametrize("factory", FACTORIES, ids=lambda it: it and it.__name__)


def run(factory, main):
    with asyncio.Runner() as runner:
        runner.get_loop().set_task_factory(factory)
        return runner.run(main)


@factories
def test_a_task_begins_on_the_next_turn_and_in_order(factory):
    async def main():
        notes = []

        async def work(name):
            notes.append(name)
            return name

        tasks = [start_task(work(name)) for name in "ab"]
        asyncio.get_running_loop().call_soon(notes.append, "c")
        notes.append("made")
        await asyncio.sleep(0)
        assert notes == ["made", "a", "b", "c"]
        assert [await task for task in tasks] == ["a", "b"]

    run(factory, main())


@factories
def test_a_task_has_the_name_and_the_context_that_it_is_given(factory):
    word = ContextVar("word", default="outside")
    context = copy_context()
    context.run(word.set, "inside")

    async def main():
        async def look():
            return word.get(), asyncio.current_task().get_name()

        assert await start_task(look(), name="the looker", context=context) == (
            "inside",
            "the looker",
        )

    run(factory, main())


@factories
def test_one_that_is_cancelled_before_it_begins_complains_of_nothing(factory):
    async def main():
        async def never():
            raise AssertionError("it has begun")

        task = start_task(never())
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        gc.collect()

    run(factory, main())


@factories
def test_what_it_raises_is_the_tasks_error(factory):
    async def main():
        async def fail():
            raise KeyError("its own")

        task = start_task(fail())
        await asyncio.sleep(0)
        with pytest.raises(KeyError, match="its own"):
            await task

    run(factory, main())
