"""Calls on threads of their own: shared, a few at a time, and dropped without a trace."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from sockstore.transports.base import WORKER
from sockstore.transports.native.workers import Workers

pytestmark = [pytest.mark.asyncio, pytest.mark.contract("CN19")]

PATIENCE = 15.0


class Gate:
    """A call that hangs until it is opened, and counts how often it was made."""

    def __init__(self) -> None:
        self.calls = 0
        self._open = threading.Event()
        self._began = threading.Semaphore(0)

    def __call__(self) -> str:
        self.calls += 1
        self._began.release()
        assert self._open.wait(PATIENCE)
        return "done"

    def open(self) -> None:
        self._open.set()

    async def until_begun(self) -> None:
        assert await asyncio.to_thread(self._began.acquire, timeout=PATIENCE)


def start(run: Awaitable[object]) -> asyncio.Task[object]:
    async def waiting() -> object:
        return await run

    return asyncio.create_task(waiting())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


async def test_what_a_call_returns_and_raises_comes_back() -> None:
    workers = Workers(1)
    assert await workers.run("a", lambda: threading.current_thread().daemon) is True
    with pytest.raises(ZeroDivisionError):
        await workers.run("b", lambda: 1 // 0)
    assert (await workers.run("c", threading.current_thread)).name == f"{WORKER}c"


async def test_those_who_ask_for_the_same_share_one_call() -> None:
    workers, gate = Workers(3), Gate()
    waiting = [start(workers.run("a", gate)) for _ in range(50)]
    await gate.until_begun()
    waiting += [start(workers.run("a", gate))]
    await asyncio.sleep(0)
    gate.open()
    assert await asyncio.gather(*waiting) == ["done"] * 51
    assert gate.calls == 1
    assert await workers.run("a", gate) == "done"
    assert gate.calls == 2


async def test_a_call_that_began_long_ago_is_not_shared_while_there_is_room() -> None:
    workers, old, new = Workers(2, fresh=0.0), Gate(), Gate()
    first = start(workers.run("a", old))
    await old.until_begun()
    second = start(workers.run("a", new))
    await new.until_begun()
    third = start(workers.run("a", old))  # no room: it shares the latest
    await asyncio.sleep(0)
    new.open()
    assert (await second, await third) == ("done", "done")
    assert not first.done()
    old.open()
    await first
    assert (old.calls, new.calls) == (1, 1)


async def test_calls_without_number_make_few_threads_and_all_are_made() -> None:
    workers, gates = Workers(3), [Gate() for _ in range(20)]
    waiting = [start(workers.run(number, gate)) for number, gate in enumerate(gates)]
    for gate in gates[:3]:
        await gate.until_begun()
    await asyncio.sleep(0)
    assert [gate.calls for gate in gates] == [1] * 3 + [0] * 17
    ours = [one for one in threading.enumerate() if one.name.startswith(WORKER)]
    assert len(ours) == 3
    for gate in gates:
        gate.open()
    assert await asyncio.gather(*waiting) == ["done"] * 20


async def test_a_call_that_nobody_waits_for_any_more_is_never_made() -> None:
    workers, hanging, given_up, last = Workers(1), Gate(), Gate(), Gate()
    first = start(workers.run("a", hanging))
    await hanging.until_begun()
    second, third = start(workers.run("b", given_up)), start(workers.run("c", last))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    last.open()
    hanging.open()
    assert await asyncio.gather(first, third) == ["done", "done"]
    assert given_up.calls == 0


async def test_who_leaves_holds_up_nobody_and_leaves_no_callback() -> None:
    workers, gate = Workers(1), Gate()
    staying, leaving = start(workers.run("a", gate)), start(workers.run("a", gate))
    await gate.until_begun()
    leaving.cancel()
    await asyncio.wait([leaving])
    assert leaving.cancelled()
    gate.open()
    assert await staying == "done"


async def test_a_loop_that_is_closed_meanwhile_disturbs_nobody() -> None:
    workers, gate = Workers(1), Gate()

    async def leave() -> None:
        waiting = start(workers.run("a", gate))
        await gate.until_begun()
        waiting.cancel()

    staying = start(workers.run("a", gate))
    await asyncio.to_thread(asyncio.run, leave())
    gate.open()
    assert await staying == "done"
    assert gate.calls == 1


async def test_the_threads_end_when_there_is_nothing_to_do() -> None:
    workers = Workers(2)
    await asyncio.gather(*(workers.run(number, lambda: None) for number in range(9)))
    await until(lambda: not [one for one in threading.enumerate() if one.name.startswith(WORKER)])
