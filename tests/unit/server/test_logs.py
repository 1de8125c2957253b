"""A room whose log is replaced, or has holes: everybody is told of a gap, and nobody misses it."""

from __future__ import annotations

import asyncio

import pytest

from fake_history import FakeHistory
from session_kit import Guest, LocalPresence, Person, idle, rooms_of
from sockstore.server.redis.history import BEYOND, FeedPosition


class SlowPresence(LocalPresence):
    """Lets nobody in until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = asyncio.Event()

    async def enter(self, room, member) -> None:
        await self.may_go_on.wait()
        await super().enter(room, member)


def unsubscribed(person: Person) -> list[int]:
    return [push["unsubscribe"]["code"] for push in person.pushes if "unsubscribe" in push]


@pytest.mark.contract("SV13", "SE3")
@pytest.mark.parametrize("is_session", [True, False])
@pytest.mark.asyncio
async def test_a_log_that_is_replaced_while_somebody_enters_is_noticed(is_session):
    history, presence = FakeHistory(), SlowPresence()
    rooms = rooms_of(history, presence)
    history.say("lobby", 10)
    if is_session:
        person = await Person(rooms).connect()
        entering = asyncio.create_task(person.subscribe())
    else:
        guest = Guest(rooms)
        entering = asyncio.create_task(guest.enter())
    await idle()  # its position is read
    history.lose_everything()
    history.say("lobby", 3)
    room = rooms.take("lobby")
    await room.read(0, 1, 1)
    rooms.give_back(room)
    presence.may_go_on.set()
    await entering
    history.say("lobby")
    if is_session:
        assert unsubscribed(person) == [2500]
        assert person.offsets() == []
        person.leave()
    else:
        assert guest.client.ended[0] == 1012
        guest.leave()


@pytest.mark.contract("SV13", "SE3")
@pytest.mark.asyncio
async def test_a_message_of_another_epoch_is_not_the_next_one():
    history = FakeHistory()
    history.say("lobby", 3)
    person = await Person(rooms_of(history)).connect()
    await person.subscribe()
    history.epoch = "epoch-2"  # it goes on behind the newest offset
    history.say("lobby")
    await idle()
    assert (person.offsets(), unsubscribed(person)) == ([], [2500])
    reply = await person.subscribe(recover=True, epoch="epoch-1", offset=3)
    assert reply["recovered"] is False
    assert reply["data"]["reason"] == "epoch"
    assert person.offsets() == [1, 2, 3, 4]
    person.leave()


@pytest.mark.contract("SV13", "SE3")
@pytest.mark.parametrize("missing", [[4], [4, 5], [5], [6]])
@pytest.mark.asyncio
async def test_a_hole_that_an_operator_made_is_a_gap_and_no_endless_loop(missing):
    history = FakeHistory()
    history.say("lobby", 6)
    log = history.rooms["lobby"]
    log.messages = [message for message in log.messages if message.offset not in missing]
    kept = [offset for offset in range(3, 7) if offset not in missing]
    person = await Person(rooms_of(history)).connect()
    position, gaps, got = 2, 0, []
    for _ in range(3):
        reply = await person.subscribe(recover=True, epoch="epoch-1", offset=position)
        gaps += not reply["recovered"]
        await idle()
        got = person.offsets()
        position = max([reply["offset"], *got])
        if not unsubscribed(person)[gaps:]:
            break
        assert len(unsubscribed(person)) <= 1
    assert (got, gaps) == (kept, 1)
    history.say("lobby")
    assert person.offsets() == [*kept, 7]
    person.leave()


@pytest.mark.contract("SV13")
def test_a_server_knows_when_redis_is_behind_what_it_was_told():
    position = FeedPosition().answered("one", 5).read_entry("one", 4).read_entry("one", 5)
    assert position == FeedPosition("one", 5, 5)
    assert position.answered("one", 3).number == 5
    assert position.read_entry("one", 9).number == 9
    # The feed brings each number once; what it brings again is of a Redis that went back.
    assert position.read_entry("one", 5).number == BEYOND
    assert position.read_entry("one", 5).answered("two", 6) == FeedPosition("two", 6)
    assert position.read_entry("two", 1) == FeedPosition("two", 1, 1)


class Swallowing(FakeHistory):
    """Swallows a cancellation, as the client of Redis may in the moment of an answer."""

    async def answer(self) -> None:
        try:
            await super().answer()
        except asyncio.CancelledError:
            return


@pytest.mark.contract("SV16")
@pytest.mark.asyncio
async def test_who_has_left_while_catching_up_is_read_for_no_more():
    history = Swallowing()
    history.say("lobby", 2000)
    person = await Person(rooms_of(history)).connect()
    await person.subscribe(recover=True)
    history.hold()
    await idle(20)
    (task,) = [task for task in asyncio.all_tasks() if "_catch_up" in repr(task)]
    person.leave()
    history.release()
    await asyncio.wait_for(task, 20)
    reads = history.reads
    await idle()
    assert history.reads == reads
