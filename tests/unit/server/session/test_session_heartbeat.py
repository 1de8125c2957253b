"""Pings of a session, on a clock that jumps."""

from __future__ import annotations

import asyncio

import pytest

from fake_history import FakeHistory
from session_kit import Person, rooms_of, send

pytestmark = [pytest.mark.virtual_clock, pytest.mark.contract("SV3")]


def pings(person: Person) -> int:
    return person.client.texts.count("{}")


async def test_a_pong_that_waits_behind_what_the_server_holds_up_is_not_missed():
    """P22."""
    history = FakeHistory()
    person = await Person(rooms_of(history)).connect()
    history.hold()
    speaking = asyncio.create_task(person.say(send(2, id="a")))
    await asyncio.sleep(60)
    assert pings(person) == 1
    history.release()
    await speaking
    await person.say("{}")
    await asyncio.sleep(29)
    assert pings(person) == 2
    assert person.client.ended is None
    await asyncio.sleep(2)
    assert pings(person) == 2
    assert person.client.ended == (3012, "no pong")
    person.leave()


async def test_pings_come_every_twenty_five_seconds():
    """P22."""
    person = Person(rooms_of(rate=1e-3, burst=2))
    await asyncio.sleep(9)
    await person.connect()
    for count in range(1, 5):
        await asyncio.sleep(25)
        await asyncio.sleep(0)
        assert pings(person) == count
        await person.say("{}")
    assert person.client.ended is None
    await person.say("{}", "{}")  # nobody asked for these, so they count
    assert person.client.ended[0] == 4429
    person.leave()


async def test_who_says_nothing_for_ten_seconds_is_closed():
    """P21."""
    person = Person(rooms_of())
    await asyncio.sleep(9.9)
    assert person.client.ended is None
    await asyncio.sleep(0.2)
    assert person.client.ended == (3502, "no connect in time")
    person.leave()
