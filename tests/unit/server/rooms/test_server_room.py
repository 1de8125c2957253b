"""A room and a client step by step: who is told what, with everything else standing still."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from fake_history import FakeHistory
from session_kit import Guest, Person, idle, rooms_of

pytestmark = pytest.mark.asyncio


@pytest.mark.contract("SV1")
@pytest.mark.parametrize("before", [0, 1, 2, 3])
async def test_what_is_said_while_the_history_is_read_comes_once_and_in_order(before):
    history = FakeHistory()
    guest = Guest(rooms_of(history))
    history.hold()
    history.say("lobby", before)
    entering = asyncio.create_task(guest.enter())
    await asyncio.sleep(0)
    history.say("lobby", 3 - before)
    assert guest.frames == []
    history.release()
    await entering
    await idle()
    history.say("lobby")
    assert guest.offsets == [1, 2, 3, 4]
    assert guest.types[:2] == ["history", "presence"]
    assert set(guest.types[2:]) == {"message"}
    guest.leave()


@pytest.mark.contract("SV3")
async def test_what_is_said_while_the_history_is_read_takes_no_memory():
    history = FakeHistory()
    guest = Guest(rooms_of(history, buffer_messages=16))
    history.hold()
    entering = asyncio.create_task(guest.enter())
    await asyncio.sleep(0)
    history.say("lobby", 1000)
    history.release()
    await entering
    guest.client.is_reading = False
    await idle()
    assert guest.client.ended is None
    assert guest.client.buffered <= 16
    while guest.client.buffered:
        guest.client.take()
        await idle(20)
    assert guest.offsets == list(range(1, 1001))
    guest.leave()


@pytest.mark.contract("SV1")
async def test_without_a_history_on_entry_nothing_live_is_lost():
    history = FakeHistory()
    history.say("lobby", 6)
    guest = await Guest(rooms_of(history, history_messages=0)).enter()
    history.say("lobby")
    assert guest.offsets == [7]
    guest.leave()


@pytest.mark.contract("SV2")
async def test_a_history_that_fails_is_told_behind_the_presence():
    history = FakeHistory()
    history.say("lobby", 4)
    history.is_broken = True
    guest = await Guest(rooms_of(history)).enter()
    assert guest.types == ["history", "presence", "error"]
    history.is_broken = False
    history.say("lobby", 2)
    assert guest.offsets == [5, 6]
    guest.leave()


@pytest.mark.contract("SV2")
async def test_what_cannot_be_filled_in_sends_a_plain_client_back_to_the_door():
    history = FakeHistory()
    guest = await Guest(rooms_of(history)).enter()
    history.lose_everything()
    history.lost_sight()
    await idle()
    assert guest.client.ended == (
        1012,
        "the server cannot continue the room; connect again for its history",
    )
    guest.leave()


@pytest.mark.contract("SV1")
async def test_who_leaves_while_entering_was_never_there():
    history = FakeHistory()
    rooms = rooms_of(history)
    other = await Guest(rooms).enter()
    history.hold()
    guest = Guest(rooms)
    entering = asyncio.create_task(guest.enter())
    await asyncio.sleep(0)
    entering.cancel()
    await asyncio.wait([entering])
    guest.leave()
    assert other.types == ["history", "presence"]
    other.leave()
    assert rooms.members == {}


@pytest.mark.contract("SV1")
async def test_a_message_of_a_room_that_nobody_is_in_harms_nobody():
    history = FakeHistory()
    rooms = rooms_of(history)
    history.say("lobby")
    history.lost_sight()
    assert rooms.members == {}


@pytest.mark.contract("SV6")
async def test_the_time_of_the_server_is_written_as_the_guides():
    rooms = rooms_of()
    guest, other = await Guest(rooms).enter(), await Guest(rooms).enter()
    now = datetime.now(UTC)
    told = guest.frames[-1]["timestamp"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told)
    assert abs(now - datetime.fromisoformat(told)) < timedelta(minutes=1)
    guest.leave()
    other.leave()


@pytest.mark.contract("SE1", "SV1")
async def test_messages_that_were_stored_together_are_sent_together(monkeypatch):
    """P20, P24: each frame is built once, and a session is sent one for all of them."""
    history = FakeHistory()
    history.tells = False
    rooms = rooms_of(history)
    people = [await Person(rooms).connect() for _ in range(3)]
    for person in people:
        await person.subscribe()
    guests = [await Guest(rooms).enter() for _ in range(3)]
    history.say("lobby", 3)
    offered = []
    for client in [each.client for each in (*people, *guests)]:
        monkeypatch.setattr(client, "offer", offered.append)
    history.published("lobby", history.rooms["lobby"].messages, history.epoch)
    session, plain = offered[0], offered[3]
    assert [each is session for each in offered] == [True] * 3 + [False] * 3
    assert [each is plain for each in offered] == [False] * 3 + [True] * 3
    (frame,) = session.messages
    pushed = [json.loads(line)["push"]["pub"]["offset"] for line in frame.message.split("\n")]
    assert pushed == [json.loads(each.message)["offset"] for each in plain.messages] == [1, 2, 3]
    monkeypatch.undo()
    for each in (*people, *guests):
        each.leave()


@pytest.mark.contract("SE1", "SV3")
async def test_messages_that_were_stored_together_are_written_some_at_a_time():
    """P24: one write has 16 KiB, or one message."""
    history = FakeHistory()
    history.tells = False
    person = await Person(rooms_of(history)).connect()
    await person.subscribe()
    history.say("lobby", 20, data=json.dumps("x" * 3000))
    history.say("lobby", 1, data=json.dumps("x" * 60_000))
    before = len(person.client.texts)
    history.published("lobby", history.rooms["lobby"].messages, history.epoch)
    assert person.offsets() == list(range(1, 22))
    written = [text.count("\n") + 1 for text in person.client.texts[before:]]
    assert written == [5, 5, 5, 5, 1]
    person.leave()


@pytest.mark.contract("SE1")
async def test_messages_of_which_some_are_known_are_sent_from_the_first_unknown_one():
    """P24."""
    history = FakeHistory()
    history.tells = False
    person = await Person(rooms_of(history)).connect()
    await person.subscribe()
    history.say("lobby", 7)
    messages = history.rooms["lobby"].messages
    history.published("lobby", messages[:3], history.epoch)
    history.published("lobby", messages[1:4], history.epoch)
    history.published("lobby", messages[:2], history.epoch)
    assert person.offsets() == [1, 2, 3, 4]
    history.published("lobby", messages[5:], history.epoch)  # one is missing before these
    await idle()
    assert person.offsets() == [1, 2, 3, 4, 5, 6, 7]
    person.leave()
