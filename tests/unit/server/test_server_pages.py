"""Older messages of a room, page by page: what one client gets, and what it costs the others."""

from __future__ import annotations

import asyncio
import json

import pytest

from fake_history import FakeHistory
from session_kit import Guest, idle, rooms_of

pytestmark = [pytest.mark.asyncio, pytest.mark.contract("SV1", "SV6")]


async def ask(guest: Guest, before: int, **fields: object) -> list[dict[str, object]]:
    """Ask for a page, and return what the guest was told until the answer was there."""
    told = len(guest.frames)
    await guest.visitor.hear(json.dumps({"type": "history", "before": before, **fields}))
    return guest.frames[told:]


def offsets(frame: dict[str, object]) -> list[int]:
    return [message["offset"] for message in frame["messages"]]


async def test_a_page_has_what_lies_before_an_offset_oldest_first_and_says_whether_there_is_more():
    history = FakeHistory()
    history.say("lobby", 250)
    guest = await Guest(rooms_of(history)).enter()
    assert (offsets(guest.frames[0]), guest.frames[0]["more"]) == ([*range(151, 251)], True)
    (page,) = await ask(guest, 151)
    assert list(page) == ["type", "before", "messages", "more"]
    assert (page["type"], page["before"], page["more"]) == ("history", 151, True)
    assert offsets(page) == [*range(51, 151)]
    assert page["messages"][0]["type"] == "message"
    (page,) = await ask(guest, 51, limit=50)
    assert (offsets(page), page["more"]) == ([*range(1, 51)], False)
    (page,) = await ask(guest, 1)
    assert (offsets(page), page["more"]) == ([], False)
    guest.leave()


async def test_what_was_deleted_is_no_more():
    history = FakeHistory(keep=10)
    history.say("lobby", 30)
    guest = await Guest(rooms_of(history, history_messages=5)).enter()
    assert guest.frames[0]["more"]
    (page,) = await ask(guest, 26)
    assert (offsets(page), page["more"]) == ([21, 22, 23, 24, 25], False)
    (page,) = await ask(guest, 21)
    assert (offsets(page), page["more"]) == ([], False)
    guest.leave()


@pytest.mark.parametrize(
    ("said", "shown", "more"), [(0, 5, False), (5, 5, False), (6, 5, True), (3, 0, True)]
)
async def test_the_history_on_entry_says_whether_there_is_more(said, shown, more):
    history = FakeHistory()
    history.say("lobby", said)
    guest = await Guest(rooms_of(history, history_messages=shown)).enter()
    assert guest.frames[0]["more"] is more
    (page,) = await ask(guest, 2**53 - 1)
    assert offsets(page) == [*range(1, said + 1)]
    guest.leave()


@pytest.mark.contract("SV2")
async def test_a_page_that_cannot_be_read_is_an_error_and_can_be_asked_for_again():
    history = FakeHistory()
    history.say("lobby", 5)
    guest = await Guest(rooms_of(history, history_messages=1)).enter()
    history.is_broken = True
    (error,) = await ask(guest, 5)
    assert (error["type"], error["code"]) == ("error", "history_unavailable")
    history.is_broken = False
    (page,) = await ask(guest, 5)
    assert offsets(page) == [1, 2, 3, 4]
    assert guest.client.ended is None
    guest.leave()


@pytest.mark.contract("SV2")
async def test_a_history_that_cannot_be_read_on_entry_may_have_more():
    history = FakeHistory()
    history.say("lobby", 5)
    history.is_broken = True
    guest = await Guest(rooms_of(history)).enter()
    assert guest.frames[0] == {"type": "history", "messages": [], "more": True}
    history.is_broken = False
    (page,) = await ask(guest, 6)
    assert offsets(page) == [1, 2, 3, 4, 5]
    guest.leave()


@pytest.mark.parametrize("released", [0, 1, 2])
async def test_what_is_said_while_a_page_is_read_is_told_once_and_in_order(released):
    history = FakeHistory()
    history.say("lobby", 10)
    guest = await Guest(rooms_of(history, history_messages=2)).enter()
    other = await Guest(guest.rooms).enter()
    history.hold()
    asking = asyncio.create_task(ask(guest, 9))
    await idle()
    history.say("lobby", released)
    await idle()
    assert guest.offsets == [9, 10, *range(11, 11 + released)]
    history.release()
    await asking
    history.say("lobby", 2)
    assert guest.offsets == [9, 10, *range(11, 13 + released)]
    pages = [frame for frame in guest.frames if frame.get("before") == 9]
    assert [offsets(page) for page in pages] == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert other.offsets == [*range(9, 13 + released)]
    assert all("before" not in frame for frame in other.frames)
    guest.leave()
    other.leave()


@pytest.mark.contract("SV3")
async def test_a_page_fits_a_buffer_and_waits_until_there_is_room_for_it():
    history = FakeHistory()
    history.say("lobby", 300, json.dumps("x" * 1000))
    limits = {"buffer_bytes": 128 * 1024, "max_message_bytes": 1024, "history_messages": 1}
    guest = await Guest(rooms_of(history, **limits)).enter()
    guest.client.is_reading = False
    asked = [asyncio.create_task(ask(guest, before)) for before in (100, 200, 300, 301)]
    await idle()
    history.say("lobby", 3)
    assert guest.client.ended is None
    assert not all(task.done() for task in asked)
    while not all(task.done() for task in asked):
        guest.client.take(1)
        await idle(20)
    guest.client.take()
    assert guest.client.ended is None
    pages = [frame for frame in guest.frames if "before" in frame]
    assert [page["before"] for page in pages] == [100, 200, 300, 301]
    for page in pages:
        assert offsets(page) == [*range(page["before"] - len(offsets(page)), page["before"])]
        assert 20 < len(offsets(page)) < 40
    assert guest.offsets == [300, 301, 302, 303]
    guest.leave()


@pytest.mark.contract("SV2")
async def test_a_log_that_is_another_one_sends_who_asks_back_to_the_door():
    history = FakeHistory()
    history.say("lobby", 5)
    guest = await Guest(rooms_of(history)).enter()
    history.lose_everything()
    assert await ask(guest, 5) == []
    assert guest.client.ended is not None
    assert guest.client.ended[0] == 1012
    guest.leave()
