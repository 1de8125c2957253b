"""How often a page is updated."""

from __future__ import annotations

import asyncio
import time

import pytest

from sockstore.stores import writable
from sockstore.testing import VirtualClock
from sockstore.ui.pacing import CHARACTERS_A_SECOND, PAUSE, SHARE, Update, pause, watching


@pytest.mark.parametrize(
    ("spent", "characters", "seconds"),
    [
        (0.0, 0, PAUSE),
        (PAUSE * SHARE / 2, 0, PAUSE),
        (1.0, 0, 1.0 / SHARE),
        (0.0, 3 * CHARACTERS_A_SECOND, 3.0),
    ],
    ids=["a moment", "little work", "much work", "much text"],
)
def test_a_pause_is_as_long_as_the_costliest_of_three_things_asks_for(spent, characters, seconds):
    assert pause(spent, characters) == seconds


def test_on_the_virtual_clock_a_busy_machine_makes_no_pause_longer():
    clock = VirtualClock()

    async def work() -> None:
        update = Update()
        time.sleep(2 * PAUSE)  # noqa: ASYNC251 - the work
        await update.pause(0)

    clock.run(work())
    assert clock.now == PAUSE


def test_on_a_real_loop_work_makes_the_pause_longer():
    async def work() -> float:
        update = Update()
        time.sleep(PAUSE * SHARE)  # noqa: ASYNC251 - the work
        before = time.perf_counter()
        await update.pause(0)
        return time.perf_counter() - before

    assert asyncio.run(work()) >= PAUSE


def test_watching_sets_the_event_at_once_and_at_each_change_until_the_block_ends():
    count, name, changed = writable(1), writable("Ann"), asyncio.Event()
    with watching((count, name), changed):
        assert changed.is_set()
        changed.clear()
        name.set("Ann")
        assert not changed.is_set()
        name.set("Bob")
        assert changed.is_set()
        changed.clear()
    count.set(2)
    assert not changed.is_set()
