"""Presence frames of crowded rooms, on a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from session_kit import Guest, LocalPresence, rooms_of

pytestmark = [pytest.mark.virtual_clock, pytest.mark.contract("SV1")]


class SharedPresence(LocalPresence):
    """Lets a test say that members came or left on another server."""

    changed: Callable[[str, str, None], None]

    def start(self, changed) -> None:
        super().start(changed)
        self.changed = changed


async def test_when_a_crowd_gets_small_again_everybody_gets_the_whole_list():
    rooms = rooms_of(announced_members=2, history_messages=0)
    people = [await Guest(rooms, name).enter() for name in "ABC"]
    people[0].leave()
    assert "leave" not in people[1].types
    before = len(people[1].frames)
    await asyncio.sleep(0.9)
    assert len(people[1].frames) == before
    await asyncio.sleep(0.2)
    last = {"type": "presence", "members": ["B", "C"], "count": 2}
    assert people[1].frames[-1] == people[2].frames[-1] == last
    people[1].leave()
    assert people[2].types[-1] == "leave"
    people[2].leave()


async def test_members_that_came_or_left_elsewhere_unseen_are_told_together():
    presence = SharedPresence()
    rooms = rooms_of(presence=presence)
    guest = await Guest(rooms, "Ann").enter()
    for _ in range(3):
        presence.changed("lobby", "unknown", None)
    assert guest.types == ["history", "presence"]
    await asyncio.sleep(10)
    assert guest.types == ["history", "presence", "presence"]
    guest.leave()
