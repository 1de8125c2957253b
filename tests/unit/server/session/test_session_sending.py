"""Messages of a session are stored once, in the order they were sent, room by room."""

from __future__ import annotations

import asyncio
import json

import pytest

from fake_history import FakeHistory
from session_kit import Person, idle, rooms_of, send

pytestmark = [pytest.mark.asyncio, pytest.mark.contract("SE1", "SE2")]

SECONDS = 20
"""After these a room no longer waits for a message that its client gave up."""

SENT = {"channel": "lobby", "data": 1}
FAILED = "The message was not stored; send it again, before later ones."
EARLY = "An earlier message of this room was not stored; send that one again first."


def outcome(frame) -> object:
    """What one reply says: an offset, or why the message was not stored."""
    if "error" not in frame:
        return frame["rpc"]["data"]["offset"]
    error = frame["error"]
    assert (error["code"], error["temporary"]) == (100, True)
    return error["message"]


def stored(history: FakeHistory, room: str = "lobby") -> list[str]:
    return [message.id for message in history.rooms[room].messages]


async def test_messages_are_stored_some_at_a_time():
    """P31: whoever is in the room is told them when they are stored, which takes its time."""
    history = FakeHistory()
    person = await Person(rooms_of(history)).connect()
    sends = [
        json.dumps({"id": n, "rpc": {"method": "send", "data": {**SENT, "id": f"i{n}"}}})
        for n in range(1, 151)
    ]
    told = await person.say("\n".join(sends))
    assert history.units == [64, 64, 22]
    assert [reply["rpc"]["data"]["offset"] for reply in told] == list(range(1, 151))
    person.leave()


async def test_messages_that_come_together_are_stored_together():
    """P31."""
    history = FakeHistory()
    person = await Person(rooms_of(history)).connect()
    told = await person.say(
        "\n".join(
            [
                *(send(number, id=f"a{number}") for number in (2, 3, 4)),
                send(5, "other", id="b"),
                send(6, id="c"),
                send(7, id="bad id"),
                send(8, id="d"),
                '{"id":9,"ping":{}}',
                send(10, id="e"),
            ]
        )
    )
    assert history.units == [3, 1, 1, 1, 1]
    assert [frame["id"] for frame in told] == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert told[5]["error"]["code"] == 107
    assert [m.id for m in history.rooms["lobby"].messages] == ["a2", "a3", "a4", "c", "d", "e"]
    person.leave()


async def test_what_cannot_be_stored_holds_up_later_messages_of_its_room_only():
    """P31."""
    history = FakeHistory()
    person = await Person(rooms_of(history)).connect()
    history.is_broken = True
    told = await person.say(
        "\n".join(
            [
                *('{"id":2,"ping":{}}', send(3, id="a"), send(4, id="b")),
                *(send(5, "other", id="x"), send(6, id="c"), '{"id":7,"ping":{}}'),
            ]
        )
    )
    assert [frame["id"] for frame in told] == [2, 3, 4, 5, 6, 7]
    assert [outcome(frame) for frame in told[1:5]] == [FAILED, EARLY, FAILED, EARLY]
    assert person.client.ended is None
    history.is_broken = False
    told = await person.say(send(8, id="b"), send(9, "third", id="z"), send(10, "other", id="x"))
    assert [outcome(frame) for frame in told] == [EARLY, 1, 1]
    told = await person.say("\n".join(send(n, id=i) for n, i in ((11, "a"), (12, "b"), (13, "c"))))
    assert [outcome(frame) for frame in told] == [1, 2, 3]
    assert stored(history) == ["a", "b", "c"]
    person.leave()


async def test_messages_that_wait_in_the_server_behind_one_that_failed_are_refused_too():
    """P31: they were received before the history works again, and done after it."""
    history = FakeHistory()
    person = await Person(rooms_of(history)).connect()
    history.hold()
    history.is_broken = True
    first = asyncio.create_task(
        person.say(
            send(2, id="a") + "\n" + '{"id":3,"history":{"channel":"lobby"}}\n' + send(4, id="b")
        )
    )
    await idle()
    assert not first.done()
    history.is_broken = False
    history.release()
    told = await first
    assert [outcome(told[0]), outcome(told[2])] == [FAILED, EARLY]
    assert [outcome(frame) for frame in await person.say(send(5, id="c"))] == [EARLY]
    assert history.rooms == {}
    person.leave()


async def test_a_message_that_fails_again_holds_up_the_others_again():
    """P31: it is tried alone, so a message that can never be stored is found, and given up."""
    history = FakeHistory()
    person = await Person(rooms_of(history)).connect()
    history.is_broken = True
    both = [(send(n, id="a") + "\n" + send(n + 1, id="b")) for n in range(2, 10, 2)]
    for text in both[:3]:
        assert [outcome(frame) for frame in await person.say(text)] == [FAILED, EARLY]
    history.is_broken = False
    assert [outcome(frame) for frame in await person.say(both[3])] == [1, 2]
    assert history.units == [1, 1]
    person.leave()


async def test_a_message_that_was_given_up_holds_up_its_room_for_some_seconds(monkeypatch):
    """P31."""
    history, now = FakeHistory(), 0.0
    person = Person(rooms_of(history))
    await person.connect()
    start = asyncio.get_running_loop().time()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: start + now)
    history.is_broken = True
    await person.say(send(2, id="a"))
    history.is_broken = False
    now = SECONDS - 1
    assert [outcome(frame) for frame in await person.say(send(3, id="b"))] == [EARLY]
    history.hold()
    busy = asyncio.create_task(person.say('{"id":4,"history":{"channel":"x"}}\n' + send(5, id="b")))
    await idle()
    now += 1000  # the server was busy with another command, so "b" may have been sent before
    history.release()
    assert [outcome(frame) for frame in (await busy)[1:]] == [EARLY]
    assert [outcome(frame) for frame in await person.say(send(6, id="b"))] == [EARLY]
    now += 2
    assert [outcome(frame) for frame in await person.say(send(7, id="b"))] == [1]
    assert stored(history) == ["b"]
    person.leave()


async def test_rooms_that_wait_are_counted():
    """P31: what the server keeps of a connection is bounded."""
    history = FakeHistory()
    person = await Person(rooms_of(history, subscriptions=2)).connect()
    history.is_broken = True
    told = await person.say("\n".join(send(n, f"room-{n}", id="a") for n in range(2, 6)))
    assert [outcome(frame) for frame in told] == [FAILED, FAILED]
    assert person.client.ended == (3004, "messages of too many rooms could not be stored")
    person.leave()


async def test_rooms_that_waited_long_enough_make_place_for_others(monkeypatch):
    """P31."""
    history, now = FakeHistory(), 0.0
    person = await Person(rooms_of(history, subscriptions=2)).connect()
    start = asyncio.get_running_loop().time()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: start + now)
    history.is_broken = True
    await person.say(send(2, "a", id="1"), send(3, "b", id="1"))
    now = 2.0
    await person.say(send(4, "a", id="1"))
    now = SECONDS + 1
    assert [outcome(frame) for frame in await person.say(send(5, "c", id="1"))] == [FAILED]
    history.is_broken = False
    told = await person.say(*(send(6, room, id="2") for room in ("a", "b", "c")))
    assert [outcome(frame) for frame in told] == [EARLY, 1, EARLY]
    told = await person.say(*(send(7, room, id="1") for room in ("a", "c")))
    assert [outcome(frame) for frame in told] == [1, 1]
    person.leave()
