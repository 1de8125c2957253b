"""Presence over several servers, in a real Redis that forgets, dies and comes back."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter

import pytest
from tests.loopback.chaos import chaos
from tests.loopback.redis_servers import Member, RedisHistory, RedisPresence

from sockstore.server.redis.scripts import MEMBERS, SETTLE
from waiting import until

pytestmark = [pytest.mark.loopback]

MEMBERS_OF_LOBBY = "{sockstore}:members:lobby"


class Here:
    """One server's presence, what it told, and what it heard of others."""

    def __init__(self, url, lease=15.0):
        self.history = RedisHistory(url)
        self.presence = RedisPresence(self.history, lease=lease)
        self.history.start(lambda room, messages, epoch: None, lambda: None)
        self.changes, self.heard = [], []
        self.history.follow(self.heard.append, lambda: None)
        self.presence.start(lambda room, change, member: self.changes.append((change, member)))

    async def enter(self, name, room="lobby"):
        member = Member(f"client of {name}", name)
        await self.presence.enter(room, member)
        return member

    @property
    def names(self):
        return [member.name for member in self.presence.members("lobby")]

    async def shows(self, *names):
        async with asyncio.timeout(20):
            while self.names != list(names):
                await asyncio.sleep(0.01)

    async def aclose(self):
        await self.presence.aclose()
        await self.history.aclose()


@pytest.mark.contract("SV1")
@pytest.mark.asyncio
async def test_members_are_seen_everywhere_in_the_order_of_arrival(redis):
    one, two = Here(redis.url), Here(redis.url)
    ann = await one.enter("Ann")
    assert one.names == ["Ann"]
    bob = await two.enter("Bob")
    assert two.names == ["Ann", "Bob"]
    nameless = await one.enter(None)
    await one.shows("Ann", "Bob", None)
    await two.shows("Ann", "Bob", None)
    assert ("join", bob) in one.changes
    one.presence.leave("lobby", ann)
    assert one.names == ["Bob", None]
    await two.shows("Bob", None)
    assert ("leave", ann) in two.changes
    await two.aclose()
    await one.shows(None)
    one.presence.leave("lobby", nameless)
    one.presence.leave("lobby", nameless)
    assert one.names == []
    await one.aclose()


@pytest.mark.contract("SV1")
@pytest.mark.asyncio
async def test_the_members_of_a_server_that_was_killed_are_not_shown_for_long(redis):
    async with chaos(redis.port) as proxy:
        one = Here(redis.url, lease=0.3)
        two = Here(f"redis://127.0.0.1:{proxy.port}/0", lease=0.3)
        await one.enter("Ann")
        await two.enter("Bob")
        await one.shows("Ann", "Bob")
        await proxy.aclose()  # Redis hears nothing of it any more
        await one.shows("Ann")
        assert ("unknown", None) in one.changes
        await one.aclose()
        await two.aclose()


@pytest.mark.contract("SV1")
@pytest.mark.asyncio
async def test_without_redis_a_server_shows_its_own_and_says_so_later(redis):
    one = Here(redis.url, lease=0.3)
    await one.enter("Ann")
    await redis.kill()
    await one.enter("Bob")
    assert one.names == ["Ann", "Bob"]
    await redis.start()
    two = Here(redis.url, lease=0.3)
    await two.enter("Cid")
    await until(lambda: sorted(two.names) == ["Ann", "Bob", "Cid"])
    await one.aclose()
    await two.aclose()


def before_each(here, script, act):
    """Act once, right before the next run of a script."""
    call = here.history.call

    async def do_and_call(asked, *arguments):
        if asked is script:
            here.history.call = call
            act()
        return await call(asked, *arguments)

    here.history.call = do_and_call


def behind_each(here, script, wait):
    """Wait once, between the next answer to a script and its use."""
    call = here.history.call

    async def call_and_wait(asked, *arguments):
        is_it = asked is script
        if is_it:
            here.history.call = call
        answer = await call(asked, *arguments)
        if is_it:
            await wait()
        return answer

    here.history.call = call_and_wait


async def is_empty(redis, room="lobby"):
    return await redis.ask("HLEN", f"{{sockstore}}:members:{room}") == ":0"


@pytest.mark.contract("SV16")
@pytest.mark.asyncio
async def test_members_that_leave_while_all_are_registered_anew_are_not_left_behind(redis):
    one = Here(redis.url, lease=0.3)
    before = kept_of(one)
    members = [await one.enter(f"guest {n}") for n in range(250)]

    def leave():
        for member in members:
            one.presence.leave("lobby", member)

    before_each(one, SETTLE, leave)
    await redis.ask("DEL", MEMBERS_OF_LOBBY)
    await until(lambda: has_left(one))
    await until(lambda: is_empty(redis))
    members.clear()
    await until(lambda: keeps(one, before))
    two = Here(redis.url)
    await two.enter("Bob")
    assert two.names == ["Bob"]
    await two.aclose()
    await one.aclose()


async def keeps(here, kept):
    return kept_of(here) == kept


def kept_of(here):
    """Return how many objects of sockstore exist, once all that was told is forgotten."""
    here.changes.clear()
    here.heard.clear()
    gc.collect()
    types = (type(each) for each in gc.get_objects())
    return Counter(kind.__qualname__ for kind in types if kind.__module__.startswith("sockstore."))


async def has_left(here):
    return not here.names


@pytest.mark.contract("SV16")
@pytest.mark.asyncio
async def test_a_member_that_leaves_while_it_is_registered_is_not_left_behind(redis):
    one = Here(redis.url)
    ann = Member("client of Ann", "Ann")
    before_each(one, SETTLE, lambda: one.presence.leave("lobby", ann))
    await one.enter("Ann")
    assert one.names == []
    assert [change for change, _ in one.changes] == ["leave"]
    await until(lambda: is_empty(redis))
    await one.aclose()


@pytest.mark.contract("SV16")
@pytest.mark.asyncio
async def test_a_leave_while_redis_is_away_is_told_when_it_is_back(redis):
    one = Here(redis.url, lease=0.3)
    ann = await one.enter("Ann")
    bob = await one.enter("Bob", room="other")
    await redis.kill()
    one.presence.leave("lobby", ann)
    await redis.start()
    two = Here(redis.url)
    await two.enter("Cid")
    await two.shows("Cid")
    await until(lambda: is_only(redis, "Cid"))
    one.presence.leave("other", bob)
    await two.aclose()
    await one.aclose()


async def is_only(redis, name):
    del name
    return await redis.ask("HLEN", MEMBERS_OF_LOBBY) == ":1"


@pytest.mark.contract("SV16")
@pytest.mark.asyncio
async def test_members_that_an_older_redis_brings_back_are_not_shown(redis):
    """As after a failover to a replica that was behind when they left."""
    one, two = Here(redis.url, lease=0.5), Here(redis.url, lease=0.5)
    await one.enter("Ann")
    name = await name_of_the_server_of_ann(redis)
    field = f"{name} client of Bob"
    for room in ("lobby", "left"):  # no client of this server is in the second one any more
        await redis.ask("HSET", f"{{sockstore}}:members:{room}", f'"{field}"', '"1 Bob"')
    await until(lambda: is_only(redis, "Ann"))
    await redis.ask("DEL", "{sockstore}:told")
    await one.enter("Cid", room="third")  # its entry in the feed shows that others were lost
    await until(lambda: has_another_name(redis, name))
    await two.enter("Dan", room="left")
    await until(lambda: shows(two, "left", "Dan"))
    await two.enter("Dan")
    await two.shows("Ann", "Dan")
    await one.aclose()
    await two.aclose()


async def name_of_the_server_of_ann(redis):
    """Return the name that the server of Ann has in Redis now; None if it has told no name yet."""
    fields = map(str.split, await redis.fields(MEMBERS_OF_LOBBY))
    names = [name for name, *client in fields if client == ["client", "of", "Ann"]]
    return names[-1] if names else None


async def has_another_name(redis, name):
    return await name_of_the_server_of_ann(redis) not in {name, None}


async def shows(here, room, *names):
    return [member.name for member in here.presence.members(room)] == list(names)


@pytest.mark.contract("SV16")
@pytest.mark.asyncio
async def test_an_old_answer_takes_back_nothing_that_was_heard_since(redis):
    one, two = Here(redis.url), Here(redis.url)
    bob = await two.enter("Bob")
    cid = Member("client of Cid", "Cid")

    async def wait():
        two.presence.leave("lobby", bob)
        await two.presence.enter("lobby", cid)
        await until(lambda: any(fields.get("client") == cid.client for fields in one.heard))

    behind_each(one, MEMBERS, wait)
    await one.enter("Ann")
    assert sorted(one.names) == ["Ann", "Cid"]
    await one.aclose()
    await two.aclose()


@pytest.mark.contract("SV16")
@pytest.mark.asyncio
async def test_the_second_to_enter_sees_everybody_also_while_the_first_one_waits(redis):
    one, two = Here(redis.url), Here(redis.url)
    await two.enter("Bob")
    is_waiting, may_go_on = asyncio.Event(), asyncio.Event()

    async def wait():
        is_waiting.set()
        await may_go_on.wait()

    behind_each(one, MEMBERS, wait)
    first = asyncio.create_task(one.enter("Ann"))
    async with asyncio.timeout(20):
        await is_waiting.wait()
    await one.enter("Cid")
    assert sorted(one.names) == ["Ann", "Bob", "Cid"]
    may_go_on.set()
    await first
    assert sorted(one.names) == ["Ann", "Bob", "Cid"]
    await one.aclose()
    await two.aclose()


@pytest.mark.contract("SV16", "SV5")
@pytest.mark.asyncio
async def test_a_redis_that_does_not_answer_costs_its_time_once(redis, monkeypatch):
    one = Here(redis.url)
    make = one.history.connecting.client
    monkeypatch.setattr(one.history.connecting, "client", lambda seconds=0.5: make(seconds=seconds))
    for number in range(50):
        await one.enter(f"guest {number}")
    calls = []
    call = one.history.call

    async def count(*arguments):
        calls.append(arguments[0])
        return await call(*arguments)

    monkeypatch.setattr(one.history, "call", count)
    redis.freeze()
    await one.presence.aclose()
    redis.thaw()
    assert calls.count(SETTLE) == 1
    await one.history.aclose()


@pytest.mark.contract("SV5")
@pytest.mark.asyncio
async def test_closing_ends_also_when_the_client_of_redis_swallows_a_cancellation(redis):
    one = Here(redis.url, lease=0.03)
    await one.enter("Ann")
    swallowed = asyncio.Event()
    is_called = asyncio.Event()
    tell = one.history.set

    async def swallow(name, seconds):
        try:
            is_called.set()
            if not swallowed.is_set():
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()
        await tell(name, seconds)

    one.history.set = swallow
    async with asyncio.timeout(20):
        await is_called.wait()
        await one.aclose()
    assert swallowed.is_set()
