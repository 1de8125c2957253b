"""The watch for sleep on asyncio's own loop, whose clock stands still while the machine sleeps."""

from __future__ import annotations

import asyncio
import time

import pytest

from inside import timers_of
from sockstore import WebSocketStore
from sockstore.connection import platform
from sockstore.testing import FakeServer, assert_no_leaks
from waiting import until


@pytest.mark.contract("LV5", "CN10")
def test_a_jump_between_the_real_clocks_is_noticed_and_nothing_ticks_afterwards(monkeypatch):
    slept = 1000.0  # in an earlier sleep
    ticks = 0
    elapsed = platform.elapsed_clock

    def elapsed_clock() -> float:
        nonlocal ticks
        ticks += 1
        return elapsed() + slept

    monkeypatch.setattr(platform, "elapsed_clock", elapsed_clock)
    monkeypatch.setattr(platform, "TICK", 0.02)

    async def main() -> None:
        nonlocal slept
        server = FakeServer()
        async with assert_no_leaks():
            connections = [WebSocketStore("ws://fake", transport=server) for _ in range(3)]
            for connection in connections:
                connection.connect()
            for connection in connections:
                await connection.ready()
            slept += 4.0  # that is no jump
            seen = ticks
            await until(lambda: ticks > seen + 1)
            assert not any(peer.pings for peer in server.connections)
            slept += 6.0
            await until(lambda: all(peer.pings == 1 for peer in server.connections))
            for connection in connections:
                assert [event.kind for event in connection.timeline.value][-1] == "sleep"
                await connection.aclose()
        assert timers_of(asyncio.get_running_loop()) == []

    asyncio.run(main())


@pytest.mark.contract("LV5")
def test_the_clock_that_goes_on_while_the_machine_sleeps_runs_as_fast_as_the_others():
    before = platform.elapsed_clock() - time.monotonic()
    assert abs(platform.elapsed_clock() - time.monotonic() - before) < 1
