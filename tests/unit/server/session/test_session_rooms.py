"""Many rooms on one connection: each for itself, and none of them costs what one alone costs."""

from __future__ import annotations

import asyncio
import json

import pytest

from fake_history import FakeHistory
from session_kit import Guest, Person, idle, rooms_of, send

pytestmark = [pytest.mark.asyncio, pytest.mark.contract("SE1")]


def subscribe(number: int, channel: str, **fields) -> str:
    return json.dumps({"id": number, "subscribe": {"channel": channel, **fields}})


def outcomes(frames) -> dict[int, object]:
    """The code of the error, or True, by the number of the command."""
    return {
        frame["id"]: frame["error"]["code"] if "error" in frame else "subscribe" in frame
        for frame in frames
        if "id" in frame
    }


async def test_rooms_of_one_frame_are_read_together_and_answered_in_one_frame():
    """P20, P43."""
    history = FakeHistory()
    person = await Person(rooms_of(history)).connect()
    before = len(person.client.texts)
    history.hold()
    speaking = asyncio.create_task(
        person.say("\n".join(subscribe(n, f"room-{n}") for n in range(2, 32)))
    )
    await idle()
    assert history.reads == 30
    history.release()
    told = await speaking
    assert [frame["id"] for frame in told] == list(range(2, 32))
    assert len(person.client.texts) == before + 1
    for number in range(2, 32):
        history.say(f"room-{number}")
    assert [push["channel"] for push in person.pushes] == [f"room-{n}" for n in range(2, 32)]
    person.leave()


async def test_commands_around_subscriptions_are_done_in_their_order():
    """P20, P24."""
    history = FakeHistory()
    person = await Person(rooms_of(history)).connect()
    told = await person.say(
        "\n".join(
            [
                *(send(2, "a", id="1"), subscribe(3, "a"), subscribe(4, "b"), send(5, "b", id="2")),
                *(subscribe(6, "no/room"), subscribe(7, "c"), '{"id":8,"ping":{}}'),
                *('{"id":9,"unsubscribe":{"channel":"c"}}', subscribe(10, "c")),
            ]
        )
    )
    assert [frame.get("id", "push") for frame in told] == [2, 3, 4, "push", 5, 6, 7, 8, 9, 10]
    assert told[1]["subscribe"]["offset"] == 1
    assert told[3]["push"]["channel"] == "b"
    assert outcomes(told)[6] == 102
    person.leave()


async def test_a_room_above_the_limit_and_a_room_twice_are_refused_alone():
    """P43."""
    history = FakeHistory()
    rooms = rooms_of(history, subscriptions=3)
    person = await Person(rooms).connect()
    texts = [subscribe(n, room) for n, room in enumerate(["a", "a", "b", "c", "d", "e", "b"], 2)]
    told = await person.say("\n".join(texts))
    assert outcomes(told) == {2: True, 3: 105, 4: True, 5: True, 6: 106, 7: 106, 8: 105}
    assert set(rooms.members) == {"a", "b", "c"}
    await person.ask("unsubscribe", channel="b")
    assert "epoch" in await person.subscribe("d")
    person.leave()
    assert rooms.members == {}


class PickyHistory(FakeHistory):
    """Cannot read the rooms of a set."""

    unreadable: frozenset[str] = frozenset()

    async def _page(self, room, choose, after):
        self.is_broken = room in self.unreadable
        try:
            return await super()._page(room, choose, after)
        finally:
            self.is_broken = False


async def test_a_room_that_cannot_be_read_is_refused_alone_and_leaves_nothing_behind():
    history = PickyHistory()
    history.unreadable = frozenset({"b"})
    rooms = rooms_of(history)
    person = await Person(rooms).connect()
    told = await person.say("\n".join(map(subscribe, (2, 3, 4), "abc")))
    assert outcomes(told) == {2: True, 3: 100, 4: True}
    assert set(rooms.members) == {"a", "c"}
    history.unreadable = frozenset()
    assert "epoch" in await person.subscribe("b")
    history.hold()
    subscribing = asyncio.create_task(person.say("\n".join(map(subscribe, (5, 6, 7), "def"))))
    await idle()
    subscribing.cancel()
    await asyncio.wait([subscribing])
    assert set(rooms.members) == {"a", "b", "c"}
    person.leave()
    assert rooms.members == {}
    assert len(asyncio.all_tasks()) == 1


async def test_an_error_of_the_server_in_one_room_leaves_no_room_taken():
    history = FakeHistory()
    rooms = rooms_of(history)
    person = await Person(rooms).connect()
    read = history.newest

    async def newest(room, *rest):
        if room == "b":
            raise ZeroDivisionError
        await idle()
        return await read(room, *rest)

    history.newest = newest
    with pytest.raises(ZeroDivisionError):
        await person.say("\n".join(map(subscribe, (2, 3, 4), "abc")))
    assert rooms.members == {}
    assert len(asyncio.all_tasks()) == 1
    person.leave()


@pytest.mark.contract("SE1", "SV3")
@pytest.mark.parametrize("is_reading", [True, False])
async def test_rooms_that_come_back_together_never_overflow_the_clients_buffer(is_reading):
    """P25: each room has more to send than the buffer has place for."""
    names = [f"room-{number}" for number in range(12)]
    history = FakeHistory()
    for name in names:
        history.say(name, 200, data=json.dumps("x" * 1000))
    limits = {"buffer_bytes": 100_000, "max_message_bytes": 10_000}
    person = await Person(rooms_of(history, **limits)).connect()
    person.client.is_reading = is_reading
    asking = [subscribe(n, name, recover=True) for n, name in enumerate(names, 2)]
    speaking = asyncio.create_task(person.say("\n".join(asking)))
    most = 0

    def given(name: str) -> list[int]:
        replies = [
            frame["subscribe"]
            for frame in person.frames
            if "subscribe" in frame and frame["id"] == names.index(name) + 2
        ]
        return [p["offset"] for reply in replies for p in reply["publications"]] + [
            push["pub"]["offset"] for push in person.pushes if push["channel"] == name
        ]

    for _ in range(3000):
        await idle(20)
        assert person.client.ended is None
        most = max(most, person.client.buffered_bytes)
        person.client.take(1)
        if speaking.done() and all(len(given(name)) == 200 for name in names):
            break
    for name in names:
        assert given(name) == list(range(1, 201))
    assert most <= 100_000
    person.leave()


@pytest.mark.contract("SE1", "SV1")
async def test_members_of_several_rooms_are_told_room_by_room():
    """P13, P14, P43."""
    rooms = rooms_of()
    ann, bob = await Person(rooms, "Ann").connect(), await Person(rooms, "Bob").connect()
    cyd = await Guest(rooms, "Cyd").enter()
    for person in (ann, bob):
        await person.say(
            "\n".join(subscribe(n, name, join_leave=True) for n, name in ((50, "lobby"), (51, "b")))
        )

    def told(person: Person) -> list[tuple[str, str, str]]:
        return [
            (push["channel"], change, push[change]["info"]["user"])
            for push in person.pushes
            for change in ("join", "leave")
            if change in push
        ]

    assert told(ann) == [("lobby", "join", "Bob"), ("b", "join", "Bob")]
    assert told(bob) == []
    await bob.ask("unsubscribe", channel="b")
    assert told(ann)[2:] == [("b", "leave", "Bob")]
    assert (await bob.ask("presence", channel="b"))["error"]["code"] == 103
    for person in (ann, bob):
        members = (await person.ask("presence", channel="lobby"))["presence"]["presence"]
        assert [member["user"] for member in members.values()] == ["Cyd", "Ann", "Bob"]
    members = (await ann.ask("presence", channel="b"))["presence"]["presence"]
    assert [member["user"] for member in members.values()] == ["Ann"]
    bob.leave()
    assert told(ann)[3:] == [("lobby", "leave", "Bob")]
    assert [frame["sender"] for frame in cyd.frames if frame["type"] == "leave"] == ["Bob"]
    ann.leave()
    cyd.leave()
    assert rooms.members == {}


@pytest.mark.contract("SE1", "SE3")
async def test_a_room_that_is_lost_does_not_touch_the_others():
    """P28, P43."""
    history = FakeHistory()
    person = await Person(rooms_of(history)).connect()
    history.say("a", 1000)
    await person.say(subscribe(2, "a", recover=True) + "\n" + subscribe(3, "b"))
    history.trim("a", 900)
    await idle()
    history.say("b")
    kinds = [(push["channel"], "unsubscribe" in push) for push in person.pushes]
    assert ("a", True) in kinds
    assert ("b", False) in kinds
    assert person.client.ended is None
    person.leave()
