"""The conversation of `Centrifuge` with the server of this package, without sockets."""

from __future__ import annotations

import asyncio
import json

import pytest

from centrifuge_kit import Talk
from session_kit import Person, idle, rooms_of
from sockstore.protocols import (
    Answered,
    Failed,
    Members,
    Missed,
    Received,
    Settled,
    Subscribed,
    WireSubscription,
)


class Wire:
    """Carries frames between a conversation and the server, until both have said everything."""

    def __init__(self, server, memory=None, name="Ann") -> None:
        self.person = Person(server, name)
        self.talk = Talk(memory=memory)
        self.read = 0
        self.said = []

    async def settle(self) -> list:
        """Return what was said meanwhile."""
        talk, begun = self.talk, len(self.said)
        for _ in range(100):
            frames, talk.frames = talk.frames, []
            await self.person.say(*frames)
            await idle()
            texts = self.person.client.texts[self.read :]
            self.read += len(texts)
            for text in texts:
                self.said += talk.hear_text(text)
            if not (texts or frames or talk.frames):
                return self.said[begun:]
        raise AssertionError("it never comes to rest")

    async def join(self, *subscriptions) -> list:
        self.said += self.talk.ask_for(*subscriptions)
        return await self.settle()

    async def send(self, subscription, data) -> list:
        self.talk.send(subscription, json.dumps(data))
        said = await self.settle()
        for output in said:
            if isinstance(output, Settled):
                self.talk.memory.remove(output.entry)
        return said

    def lose(self) -> None:
        self.person.leave()
        self.talk.memory.lost()


def data_of(outputs):
    return [output.data for output in outputs if isinstance(output, Received)]


async def story() -> None:
    server = rooms_of()
    ann, bob = Wire(server), Wire(server, name="Bob")
    await ann.settle()
    await bob.settle()
    rooms = {name: WireSubscription(name) for name in ("a", "b")}
    there = {"a": WireSubscription("a", {"join_leave": True}), "b": WireSubscription("b")}
    assert [type(each) for each in await ann.join(*rooms.values())] == [Subscribed, Subscribed]
    (_, _, members) = await bob.join(*there.values())
    assert sorted(each.user for each in members.members) == ["Ann", "Bob"]

    said = await ann.send(rooms["a"], {"n": 1})
    assert data_of(said) == [{"n": 1}]
    (settled,) = [each for each in said if isinstance(each, Settled)]
    assert (settled.state, settled.offset) == ("acknowledged", 1)
    (received,) = await bob.settle()
    assert (received.publication.sender, received.subscription) == ("Ann", there["a"])

    bob.lose()
    await ann.send(rooms["b"], "one")
    await ann.send(rooms["b"], "two")
    again = Wire(server, bob.talk.memory, "Bob")
    await again.settle()
    said = await again.join(*there.values())
    assert [each.recovered for each in said if isinstance(each, Subscribed)] == [True, True]
    assert data_of(said) == ["one", "two"]

    talk = again.talk
    talk.frames += talk.conversation.history(there["b"], 5, 2, "page")
    (answered,) = await again.settle()
    assert isinstance(answered, Answered)
    assert data_of(answered.data) == ["one"]

    ann.lose()
    await idle()
    (left,) = await again.settle()
    assert isinstance(left, Members)
    everything = ann.said + bob.said + again.said
    assert not any(isinstance(each, (Failed, Missed)) for each in everything)


@pytest.mark.contract("SE0", "SE1", "SE2")
def test_two_people_in_two_rooms_of_our_server() -> None:
    asyncio.run(story())


async def many() -> None:
    wire = Wire(rooms_of(rate=20, burst=100))
    await wire.settle()
    rooms = [WireSubscription(f"room-{number}") for number in range(30)]
    said = await wire.join(*rooms)
    assert [each.subscription for each in said if isinstance(each, Subscribed)] == rooms
    assert wire.person.client.ended is None
    again = Wire(rooms_of(rate=20, burst=100), wire.talk.memory)
    await again.settle()
    frames = len(again.talk.frames)
    again.talk.ask_for(*rooms)
    assert len(again.talk.frames) == frames + 1, "30 rooms come back in one frame"


@pytest.mark.contract("SE0")
def test_30_rooms_come_back_in_one_frame() -> None:
    asyncio.run(many())
