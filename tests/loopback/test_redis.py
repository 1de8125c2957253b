"""Rooms in a real Redis: what it keeps through its death, and what several servers see of it."""

from __future__ import annotations

import asyncio
import sys

import pytest
from tests.loopback.chaos import chaos
from tests.loopback.redis_servers import Member, RedisHistory, RedisPresence, redis_server

from sockstore import InvalidOption
from sockstore.server import ChatServer, HistoryUnavailable, NotStored
from sockstore.server.history.base import Entry
from sockstore.testing import assert_no_leaks
from waiting import until

pytestmark = [pytest.mark.loopback, pytest.mark.contract("SV2")]

HUGE = 2**30


def entry(text="hello"):
    return Entry("Ann", f'"{text}"', f"id {text}")


class Told:
    """A history, and what it told."""

    def __init__(self, url, **options):
        self.history = RedisHistory(url, **options)
        self.offsets = []
        self.lost = 0
        self.history.start(
            lambda room, messages, epoch: self.offsets.extend(each.offset for each in messages),
            self.lose,
        )

    def lose(self):
        self.lost += 1


@pytest.mark.asyncio
async def test_what_was_acknowledged_survives_the_death_of_redis(redis):
    told = Told(redis.url)
    stored = {}
    deaths = 3

    async def send(name):
        number = 0
        while len(redis.deaths) < deaths or number % 20:
            number += 1
            for _ in range(200):
                try:
                    (found,) = await told.history.append("lobby", [entry(f"{name} {number}")])
                except NotStored:
                    await asyncio.sleep(0.05)
                else:
                    stored[name, number] = found.offset
                    break
            else:
                pytest.fail("it was never stored")

    redis.deaths = []
    senders = [asyncio.create_task(send(name)) for name in range(4)]
    for death in range(deaths):
        await until(lambda death=death: len(stored) > 100 * (death + 1))
        await redis.kill()
        await redis.start()
        redis.deaths.append(death)
    await asyncio.gather(*senders)
    page = await told.history.read("lobby", 0, 100_000, HUGE)
    assert [message.offset for message in page.messages] == [*range(1, page.top + 1)]
    assert sorted(stored.values()) == [*range(1, page.top + 1)]
    await until(lambda: told.lost >= 1)
    assert told.offsets == sorted(set(told.offsets))
    await told.history.aclose()


@pytest.mark.asyncio
async def test_all_servers_are_told_everything_in_one_order(redis):
    one, two = Told(redis.url), Told(redis.url)
    await one.history.open()
    await two.history.open()
    units = [[entry(f"{n} {m}") for m in range(3)] for n in range(100)]
    await asyncio.gather(
        *(side.history.append("lobby", unit) for side in (one, two) for unit in units)
    )
    for side in (one, two):
        await until(lambda side=side: len(side.offsets) >= 300)
        assert side.offsets == [*range(1, 301)]
        assert side.lost == 0
        await side.history.aclose()


@pytest.mark.asyncio
async def test_a_redis_that_is_frozen_or_gone_is_an_answer_in_time(redis, monkeypatch):
    monkeypatch.setattr("sockstore.server.redis.connecting.SECONDS_FOR_A_CALL", 0.3)
    history = RedisHistory(redis.url)
    history.connecting.client = lambda seconds=0.3, make=history.connecting.client: make(
        seconds=seconds
    )
    await history.append("lobby", [entry("a")])
    redis.freeze()
    with pytest.raises(NotStored):
        await history.append("lobby", [entry("b")])
    with pytest.raises(HistoryUnavailable):
        await history.read("lobby", 0, 10, HUGE)
    redis.thaw()
    # What was written to it in the meantime it has stored: once.
    (found,) = await history.append("lobby", [entry("b")])
    assert found.offset == 2
    await redis.kill()
    with pytest.raises(NotStored, match="127") as refused:
        await history.append("lobby", [entry("c")])
    assert "\n" not in str(refused.value)
    await redis.start()
    (found,) = await history.append("lobby", [entry("c")])
    assert found.offset == 3
    await history.aclose()


@pytest.mark.contract("SE3")
@pytest.mark.asyncio
async def test_a_redis_that_was_emptied_has_another_epoch_and_everybody_is_told(redis):
    told = Told(redis.url)
    (before,) = await told.history.append("lobby", [entry("a")])
    await until(lambda: told.offsets)
    await redis.ask("FLUSHALL")
    (after,) = await told.history.append("lobby", [entry("b")])
    assert (after.offset, after.epoch != before.epoch) == (1, True)
    await until(lambda: told.lost)
    await told.history.aclose()


@pytest.mark.contract("SE3")
@pytest.mark.asyncio
async def test_a_history_that_reads_the_feed_too_late_is_told_so(redis, monkeypatch):
    monkeypatch.setattr("sockstore.server.redis.history.FEED_LENGTH", 10)
    async with chaos(redis.port) as proxy:
        told, other = Told(f"redis://127.0.0.1:{proxy.port}/0"), Told(redis.url)
        await told.history.open()
        for pair in proxy.pairs:
            pair.freeze()
        for number in range(500):
            await other.history.append("lobby", [entry(str(number))])
        assert (told.lost, told.offsets) == (0, [])
        for pair in proxy.pairs:
            pair.thaw()
        await until(lambda: told.lost)
        assert told.lost == 1
        await until(lambda: told.offsets[-1:] == [500])
        assert len(told.offsets) < 500
        await told.history.aclose()
        await other.history.aclose()


@pytest.mark.contract("SE3")
@pytest.mark.asyncio
async def test_a_redis_that_was_emptied_and_whose_clock_went_back_is_followed(redis, monkeypatch):
    monkeypatch.setattr("sockstore.server.redis.feed.SECONDS_TO_BLOCK", 0.1)
    await redis.ask(
        *("XADD", "{sockstore}:feed", "99999999999999-0", "number", "1", "kind", "x", "room", "r")
    )
    told = Told(redis.url)
    await told.history.open()
    await redis.ask("FLUSHALL")
    await told.history.append("lobby", [entry("a")])
    await until(lambda: told.lost)
    await told.history.append("lobby", [entry("b")])
    await until(lambda: told.offsets[-1:] == [2])
    await told.history.aclose()


@pytest.mark.contract("SE3")
@pytest.mark.asyncio
async def test_an_entry_of_another_program_does_not_stop_the_feed(redis):
    told = Told(redis.url)
    await told.history.open()
    await redis.ask("XADD", "{sockstore}:feed", "*", "greeting", "hello")
    await told.history.append("lobby", [entry("a")])
    await until(lambda: told.offsets == [1] and told.lost)
    await told.history.aclose()


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), "its memory is full"),
        (("REPLICAOF", "127.0.0.1", "1"), "a replica that only reads"),
    ],
)
@pytest.mark.asyncio
async def test_a_redis_that_takes_nothing_can_be_read(redis, command, why):
    history = RedisHistory(redis.url)
    await history.append("lobby", [entry("a")])
    await redis.ask(*command)
    with pytest.raises(NotStored, match=why) as refused:
        await history.append("lobby", [entry("b"), entry("c")])
    assert "\n" not in str(refused.value)
    page = await history.read("lobby", 0, 10, HUGE)
    assert (page.top, [message.id for message in page.messages]) == (1, ["id a"])
    await history.aclose()


@pytest.mark.asyncio
async def test_a_redis_that_forgets_is_refused_or_warned_of(tmp_path, caplog):
    async with redis_server(tmp_path, "--appendonly", "no") as redis:
        with pytest.raises(HistoryUnavailable, match="appendonly is off") as refused:
            await RedisHistory(redis.url).open()
        assert "\n" not in str(refused.value)
        with pytest.raises(NotStored, match="appendonly is off"):
            await RedisHistory(redis.url).append("lobby", [entry()])
        history = RedisHistory(redis.url + "?appendonly=ignore")
        await history.append("lobby", [entry()])
        assert "appendonly is off" in caplog.text
        await history.aclose()
    arguments = ("--appendfsync", "no", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    folder = tmp_path / "second"
    folder.mkdir()
    async with redis_server(folder, *arguments) as redis:
        history = RedisHistory(redis.url)
        await history.open()
        assert "appendfsync is 'no'" in caplog.text
        assert "maxmemory-policy is 'allkeys-lru'" in caplog.text
        await history.aclose()
    folder = tmp_path / "fourth"
    folder.mkdir()
    async with redis_server(folder, "--rename-command", "INFO", '""') as redis:
        history = RedisHistory(redis.url)
        await history.append("lobby", [entry()])
        assert "INFO is forbidden" in caplog.text
        await history.aclose()
    folder = tmp_path / "third"
    folder.mkdir()
    async with redis_server(folder, "--rename-command", "CONFIG", '""') as redis:
        history = RedisHistory(redis.url)
        await history.open()
        assert "CONFIG is forbidden" in caplog.text
        await history.aclose()


@pytest.mark.asyncio
async def test_nothing_is_left_of_a_history(redis):
    async with assert_no_leaks():
        history = RedisHistory(redis.url)
        presence = RedisPresence(history)
        await history.open()
        await presence.open()
        member = Member("c1", "Ann")
        await presence.enter("lobby", member)
        await history.append("lobby", [entry()])
        await presence.aclose()
        await history.aclose()


@pytest.mark.asyncio
async def test_addresses(monkeypatch):
    for address in (
        "redis://127.0.0.1:1/1",
        "rediss://127.0.0.1:1",
        "unix:///sockstore/is/not/here/redis.sock",
    ):
        with pytest.raises(HistoryUnavailable) as refused:
            await ChatServer(history=address).open()
        assert address in str(refused.value)
    for wrong in ("mysql://localhost", "redis:localhost"):
        with pytest.raises(InvalidOption, match="redis://HOST/DB"):
            ChatServer(history=wrong)
    with pytest.raises(InvalidOption, match="ignore"):
        ChatServer(history="redis://localhost?appendonly=maybe")
    with pytest.raises(InvalidOption):
        RedisHistory("redis://localhost", keep=0)
    secret = RedisHistory("redis://user:secret@localhost:1/0")
    with pytest.raises(HistoryUnavailable) as refused:
        await secret.open()
    assert "secret" not in str(refused.value)
    assert "secret" not in str(secret)
    with pytest.raises(HistoryUnavailable):
        await RedisHistory("redis://localhost/notanumber").open()
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(HistoryUnavailable, match="pip install"):
        await RedisHistory("redis://localhost").open()


def test_a_command_looks_before_it_serves():
    with pytest.raises(HistoryUnavailable):
        RedisHistory("redis://127.0.0.1:1/0").check()
