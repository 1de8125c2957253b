"""Pings of a session, on a clock that jumps."""

from __future__ import annotations

import asyncio

import pytest

from sockstore.server import Limits
from sockstore.server.session.visitor import Heartbeat

pytestmark = [pytest.mark.virtual_clock, pytest.mark.contract("SV3")]


class Pinged:
    """What a heartbeat sees of a client."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def offer(self, frame: str) -> None:
        self.told.append(frame)

    def end(self, code: int, reason: str) -> None:
        self.told.append(code)


async def test_a_pong_that_waits_behind_what_the_server_holds_up_is_not_missed():
    """P22."""
    client, busy = Pinged(), [True]
    heartbeat = Heartbeat(client, Limits(), lambda: busy[0])
    heartbeat.start()
    await asyncio.sleep(60)
    assert client.told == ["{}"]
    assert heartbeat.take_pong()
    busy[0] = False
    await asyncio.sleep(29)
    assert client.told == ["{}", "{}"]
    await asyncio.sleep(2)
    assert client.told == ["{}", "{}", 3012]
    heartbeat.stop()


async def test_pings_come_every_twenty_five_seconds():
    """P22."""
    client = Pinged()
    heartbeat = Heartbeat(client, Limits(), lambda: False)
    await asyncio.sleep(9)
    heartbeat.start()
    for count in range(1, 5):
        await asyncio.sleep(25)
        await asyncio.sleep(0)
        assert client.told == ["{}"] * count
        assert heartbeat.take_pong()
        assert not heartbeat.take_pong()
    heartbeat.stop()


async def test_who_says_nothing_for_ten_seconds_is_closed():
    """P21."""
    client = Pinged()
    Heartbeat(client, Limits(), lambda: False)
    await asyncio.sleep(10.1)
    assert client.told == [3502]
