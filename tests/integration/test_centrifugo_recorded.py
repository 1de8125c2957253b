"""A room against a stock Centrifugo as it was recorded, and pushes that come before the reply."""

from __future__ import annotations

import json
import re

import pytest
from centrifugo import (
    BAD_REQUEST,
    FRAMES,
    STORIES,
    Engine,
    Recorded,
    Visitor,
    items_of,
    joined,
)

from room_server import RoomServer, heard
from sockstore import Gap, Position

pytestmark = pytest.mark.virtual_clock

EPOCH = "PUikEHTF"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


# The fake is held to the recorded frames


@pytest.mark.contract("SE5")
async def test_the_fake_engine_answers_as_the_recorded_one():
    epochs = {"r": EPOCH, "big": "RWazOjcH", "a": "GnljKmpx", "b": "WwCtGing"}
    engine, names = Engine(100, epochs), ({}, {})
    answered = 0

    def named(text, side):
        def name(match):
            return names[side].setdefault(match[0], f"client {len(names[side])}")

        return [json.loads(UUID.sub(name, line)) for line in text.split("\n")]

    for _ in range(150):
        engine.publish("big", {"n": 0})
    for story, frames in STORIES.items():
        visitor = Visitor()
        for frame, then in zip(frames, [*frames[1:], {}], strict=True):
            if "client" not in frame or frame["client"] == "{}":
                continue
            lines, close = engine.hear(visitor, frame["client"])
            if "server" in then:
                assert named("\n".join(lines), 0) == named(then["server"], 1), story
                answered += 1
            else:
                assert (lines, close) == ([], BAD_REQUEST)
                assert "3501" in then["ended"]
    assert answered == sum("server" in frame for frame in FRAMES) - 1  # but for its ping


# What was recorded


@pytest.mark.contract("SE0", "SE5", "OB3")
async def test_a_fresh_room_as_it_was_recorded():
    server = Recorded("fresh room, three publications")
    async with joined(server) as (_, room):
        stream = room.stream()
        await room.ready(60)
        assert room.position == Position(0, EPOCH)
        for number in range(3):
            receipt = await room.send({"n": number})
            assert receipt.state == "acknowledged"
        assert await items_of(stream, 3) == [0, 1, 2]
        assert room.position == Position(3, EPOCH)
        assert room.messages.value[0].publication.position == Position(1, EPOCH)
        assert server.is_over
        await live_messages_follow(server, room, stream)


@pytest.mark.contract("SE1", "SE3", "SE5")
@pytest.mark.parametrize(
    ("story", "channel", "since", "items", "recovered", "position"),
    [
        ("epoch", "r", None, [], None, Position(3, EPOCH)),
        (
            "recover from 1 of 3: two publications",
            "r",
            Position(1, EPOCH),
            [1, 2],
            True,
            Position(3, EPOCH),
        ),
        (
            "recover from 3 of 3: nothing missed",
            "r",
            Position(3, EPOCH),
            [],
            True,
            Position(3, EPOCH),
        ),
        (
            "recover with another epoch",
            "r",
            Position(1, "xxxx"),
            [Gap(1, 3, "epoch")],
            False,
            Position(3, EPOCH),
        ),
        (
            "recover from 9, which is behind the newest (3)",
            "r",
            Position(9, EPOCH),
            [Gap(9, 3, "forked")],
            False,
            Position(3, EPOCH),
        ),
        ("recover from 0", "r", Position(0, EPOCH), [0, 1, 2], True, Position(3, EPOCH)),
        ("live after a recovery", "r", Position(2, EPOCH), [2], True, Position(3, EPOCH)),
        (
            "recover from 1 of 150, trimmed, second",
            "big",
            Position(1, "RWazOjcH"),
            [Gap(1, 150, "unavailable")],
            False,
            Position(150, "RWazOjcH"),
        ),
    ],
)
async def test_coming_back_as_it_was_recorded(story, channel, since, items, recovered, position):
    server = Recorded(story)
    async with joined(server, channel, since) as (_, room):
        stream = room.stream()
        await room.ready(60)
        assert await items_of(stream, len(items)) == items
        assert room.state.value.recovered is recovered
        assert room.position == position
        if story == "live after a recovery":
            await room.send({"n": 3})
            assert await items_of(stream, 1) == [3]
        assert server.is_over
        await live_messages_follow(server, room, stream)


async def live_messages_follow(server, room, stream):
    """Whatever the story was: what is said from now on comes once, over the same connection."""
    newest = room.position.offset
    coming = range(newest + 1, newest + 101)
    pushes = [
        json.dumps({"push": {"channel": room.key, "pub": {"data": {"n": n}, "offset": n}}})
        for n in coming
    ]
    for text in (*pushes[:50], "\n".join(pushes[50:])):
        server.connection.send(text)
    assert await items_of(stream, 100) == list(coming)
    assert len(server.handshakes) == 1
    assert room.position.offset == newest + 100
    assert stream.lag == 0


# Pushes before the reply


def push(number, room="room"):
    return {"push": {"channel": room, "pub": {"data": {"n": number}, "offset": number}}}


@pytest.mark.contract("SE1", "SE5")
@pytest.mark.parametrize(
    ("since", "reply", "items"),
    [
        # The reply has what was pushed already, and something behind it is new.
        (
            Position(1, "E"),
            {"recovered": True, "offset": 1, "publications": [push(2)["push"]["pub"]]},
            [2, 3],
        ),
        # What is pushed first follows what the reply has.
        (Position(1, "E"), {"recovered": True, "offset": 1}, [2, 3]),
        (None, {"offset": 1}, [2, 3]),
        (None, {"offset": 2}, [3]),
        (None, {"offset": 3}, []),
        (Position(9, "E"), {"was_recovering": True, "offset": 2}, [Gap(9, 2, "forked"), 3]),
    ],
)
@pytest.mark.parametrize("together", [True, False])
async def test_a_push_before_the_reply_to_subscribe_is_compared_behind_it(
    since, reply, items, together
):
    server = RoomServer()
    server.mute_rooms = {"room"}
    async with joined(server, "room", since) as (_, room):
        stream = room.stream()
        await heard(server, 2)
        frames = [
            push(2),
            push(2, "another"),
            push(3),
            {"id": 2, "subscribe": {"epoch": "E", "recoverable": True, **reply}},
            push(4),
        ]
        texts = list(map(json.dumps, frames))
        for text in ["\n".join(texts)] if together else texts:
            server.connection.send(text)
        await room.ready(60)
        assert await items_of(stream, len(items) + 1) == [*items, 4]
        assert len(server.handshakes) == 1


@pytest.mark.contract("SE1", "SE5")
async def test_a_hole_between_the_reply_and_an_early_push_is_closed_in_place():
    server = RoomServer()
    for number in range(1, 6):
        server.store("room", {"n": number})
    server.mute_rooms = {"room"}
    async with joined(server, "room", Position(1, "e1")) as (_, room):
        stream = room.stream()
        await heard(server, 2)
        reply = {"epoch": "e1", "recoverable": True, "recovered": True, "offset": 1}
        server.mute_rooms.clear()
        server.say_frames(push(4), {"id": 2, "subscribe": reply})
        assert await items_of(stream, 4) == [2, 3, 4, 5]
        assert len(server.handshakes) == 1


@pytest.mark.contract("SE5")
async def test_what_comes_before_the_reply_is_kept_up_to_a_bound():
    server = RoomServer()
    server.mute_rooms = {"room"}
    async with joined(server, "room", Position(0, "e1")) as (_, room):
        stream = room.stream()
        await heard(server, 2)
        for number in range(1, 1002):
            server.store("room", {"n": number})
        server.mute_rooms.clear()
        server.say_frames(*(push(number) for number in range(1, 1002)))
        assert await items_of(stream, 1001) == [*range(1, 1002)]
        assert len(server.commands("subscribe")) == 2
        assert len(server.handshakes) == 1
