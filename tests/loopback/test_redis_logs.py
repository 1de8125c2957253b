"""Logs in a real Redis that loses, deletes or refuses something: nothing is acknowledged twice."""

from __future__ import annotations

import asyncio
import re
import shutil
from contextlib import asynccontextmanager
from functools import partial

import pytest
import pytest_asyncio
from tests.loopback.chaos import ChaosProxy
from tests.loopback.redis_servers import RedisHistory, RedisServer, redis_server

from loopback.processes import serving
from sockstore import Reconnect, WebSocketStore
from sockstore.protocols import Centrifuge
from sockstore.server import HistoryUnavailable, NotStored
from sockstore.server.history.base import Entry
from waiting import until

pytestmark = [pytest.mark.loopback, pytest.mark.asyncio]

HUGE = 2**30
SECONDS = 20
ROOM = "{sockstore}:room:r"
KEYS = [ROOM, "{sockstore}:rooms", "{sockstore}:feed", "{sockstore}:told"]


def entry(text, size=0):
    return Entry("Ann", f'"{text}{"x" * size}"', f"id {text}")


class Log:
    """What was acknowledged of the room r, and the history that did it."""

    def __init__(self, url):
        self.history = RedisHistory(url)
        self.texts = {}

    async def say(self, *texts):
        """Store each text by itself; return where they are."""
        places = []
        for text in texts:
            (stored,) = await self.history.append("r", [entry(text)])
            place = stored.epoch, stored.offset
            assert self.texts.setdefault(place, text) == text, "two messages have one name"
            places.append(place)
        return places

    async def kept(self):
        page = await self.history.read("r", 0, 1000, HUGE)
        return {(page.epoch, message.offset): message.data.strip('"') for message in page.messages}

    async def page(self, after=0):
        return await self.history.read("r", after, 1000, HUGE)


@pytest_asyncio.fixture
async def log(redis):
    made = Log(redis.url)
    yield made
    await made.history.aclose()


async def delete_all_entries(redis):
    for offset in (1, 2, 3):
        await redis.ask("XDEL", ROOM, f"{offset}-0")


@pytest.mark.contract("SV13", "SV14")
@pytest.mark.parametrize(
    "delete",
    [
        lambda redis: redis.ask("XDEL", ROOM, "3-0"),
        lambda redis: redis.ask("XTRIM", ROOM, "MAXLEN", "0"),
        delete_all_entries,
    ],
    ids=["the newest", "trimmed", "one by one"],
)
async def test_a_log_goes_on_behind_what_was_deleted(redis, log, delete):
    (*_, (epoch, _)) = await log.say("a", "b", "c")
    await delete(redis)
    page = await log.page(3)
    assert (page.top, page.messages) == (3, [])
    assert await log.say("d", "e") == [(epoch, 4), (epoch, 5)]
    assert {(epoch, 4): "d", (epoch, 5): "e"}.items() <= (await log.kept()).items()
    # It was stored, and then deleted on purpose.
    (again,) = await log.history.append("r", [entry("c")])
    assert (again.offset, again.is_duplicate) == (3, True)


@pytest.mark.contract("SV13", "SV14")
@pytest.mark.parametrize("keys", [[key] for key in KEYS] + [KEYS[:2], KEYS])
async def test_a_log_of_which_something_is_evicted_never_gives_a_name_twice(redis, log, keys):
    before = await log.say("a", "b", "c")
    await redis.ask("DEL", *keys)
    position = await log.page(3)
    told = [(position.epoch, message.offset) for message in position.messages]
    assert told == []
    after = await log.say("d", "e", "f", "g")
    kept = await log.kept()
    assert [kept[place] for place in after] == ["d", "e", "f", "g"]
    if ROOM in keys:
        assert after[0][0] != before[0][0], "clients have to be told of a gap"
        assert set(kept) == set(after)
    # A client that has the third message misses nothing, or its epoch is another one.
    page = await log.page(3)
    assert page.epoch != before[0][0] or [m.data for m in page.messages] == [
        f'"{text}"' for text in "defg"
    ]


@pytest.mark.contract("SV13")
async def test_a_room_that_was_deleted_with_all_that_is_known_of_it_begins_another_epoch(
    redis, log
):
    ((before, _), *_) = await log.say("a", "b", "c")
    await redis.ask("DEL", ROOM)
    await redis.ask("HDEL", "{sockstore}:rooms", "room:r")
    assert (await log.page()).epoch != before
    await log.say("d", "e", "f", "g")  # none has a name that was given before


@pytest.mark.contract("SV13")
@pytest.mark.parametrize("others", ["v", "vwxyz"], ids=["shorter", "longer"])
async def test_the_stream_of_another_room_is_another_log(redis, log, others):
    ((before, _), *_) = await log.say("a", "b", "c")
    await log.history.append("other", [entry(text) for text in others])
    await redis.ask("RENAME", "{sockstore}:room:other", ROOM)
    page = await log.page()
    assert page.epoch != before, "the first message has another text now"
    ((after, offset),) = await log.say("d")
    assert (after, offset) == (page.epoch, page.top + 1)


@pytest.mark.contract("SV14")
async def test_an_id_whose_message_was_lost_with_its_log_is_stored_again(redis, log):
    await log.say("a", "b", "c")
    await redis.ask("DEL", ROOM)
    ((_, offset),) = await log.say("b")
    assert "b" in (await log.kept()).values()
    (again,) = await log.history.append("r", [entry("b")])
    assert (again.offset, again.is_duplicate) == (offset, True)
    # The same without anything that remembers the old log.
    await redis.ask("DEL", *KEYS)
    await log.say("d", "e", "f", "c")
    assert [*(await log.kept()).values()] == ["d", "e", "f", "c"]


@pytest.mark.contract("SV14")
async def test_an_id_without_its_message_acknowledges_nothing(redis, log):
    """As a script leaves it that failed half-way, in a server of before."""
    await log.say("a")
    for place in ("2", "1"):
        key = ":".join(["{sockstore}:id", "1", "r", "3", "Ann", f"id-{place}"])
        await redis.ask("SET", key, place)
        (stored,) = await log.history.append("r", [Entry("Ann", f'"{place}"', f"id-{place}")])
        assert not stored.is_duplicate
        assert f"{place}" in (await log.kept()).values()


COMMANDS = ["SET", "GET", "XADD", "INCR", "HSET", "XINFO"]


@pytest.mark.contract("SV14")
@pytest.mark.parametrize("forbidden", [f"-{command.lower()}" for command in COMMANDS] + ["keys"])
async def test_a_user_who_may_not_do_all_of_it_stores_nothing(redis, log, forbidden):
    await log.say("a")
    rights = (
        ["~*", forbidden] if forbidden != "keys" else ["~{sockstore}:[a-q]*", "~{sockstore}:t*"]
    )
    await redis.ask("ACL", "SETUSER", "limited", "on", ">secret", "+@all", *rights)
    limited = Log(redis.url.replace("//", "//limited:secret@"))
    unit = [entry(text) for text in "bcd"]
    for _ in range(2):
        with pytest.raises(NotStored) as refused:
            await limited.history.append("r", unit)
        assert "\n" not in str(refused.value)
    assert [*(await log.kept()).values()] == ["a"]
    await redis.ask("ACL", "SETUSER", "limited", "~*", "+@all")
    stored = await limited.history.append("r", unit)
    assert [(each.offset, each.is_duplicate) for each in stored] == [
        (2, False),
        (3, False),
        (4, False),
    ]
    assert [*(await log.kept()).values()] == ["a", "b", "c", "d"]
    await limited.history.aclose()


@pytest.mark.contract("SV14")
@pytest.mark.parametrize("key", [*KEYS, "{sockstore}:id:1:r:3:Ann:idc"])
async def test_a_key_of_another_kind_is_a_refusal_that_changes_nothing(redis, log, key):
    unit = [Entry("Ann", f'"{text}"', f"id{text}") for text in "bcd"]
    await log.history.open()
    await redis.ask("SADD", key, "x")
    for _ in range(2):
        with pytest.raises(NotStored):
            await log.history.append("r", unit)
    await redis.ask("DEL", key)
    stored = await log.history.append("r", unit)
    assert [(each.offset, each.is_duplicate) for each in stored] == [
        (1, False),
        (2, False),
        (3, False),
    ]
    assert [*(await log.kept()).values()] == ["b", "c", "d"]


@pytest.mark.contract("SV14")
@pytest.mark.parametrize(
    ("refuse", "allow"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (
            ("CONFIG", "SET", "min-replicas-to-write", "1"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
        ),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    ],
    ids=["full", "too few replicas", "replica"],
)
async def test_a_redis_that_refuses_has_stored_nothing_of_it(redis, log, refuse, allow):
    await log.say("a")
    await redis.ask(*refuse)
    for _ in range(2):
        with pytest.raises(NotStored):
            await log.history.append("r", [entry(text) for text in "bc"])
    assert [*(await log.kept()).values()] == ["a"]
    await redis.ask(*allow)
    stored = await log.history.append("r", [entry(text) for text in "bc"])
    assert [(each.offset, each.is_duplicate) for each in stored] == [(2, False), (3, False)]


@pytest.mark.contract("SV14")
async def test_entries_that_another_program_wrote_into_a_room_are_passed_over(redis, log):
    await log.say("a")
    await redis.ask("XADD", ROOM, "2-0", "what", "ever")
    await redis.ask("XADD", ROOM, "3-7", "sender", "Ann", "id", "i", "data", "1", "at", "x")
    (place,) = await log.say("b")
    assert place[1] == 4
    assert [*(await log.kept()).values()] == ["a", "b"]
    newest = await log.history.newest("r", 10, HUGE)
    assert [message.offset for message in newest.messages] == [1, 4]


@pytest.mark.contract("SV16")
@pytest.mark.parametrize("count", [1, 3, 300])
async def test_redis_sends_about_what_is_wanted(redis, log, count):
    for start in range(0, 300, 10):
        await log.history.append("r", [entry(str(start + n), 6000) for n in range(10)])

    async def sent(read):
        before = await output_of(redis)
        page = await read
        return await output_of(redis) - before, sum(len(m.data) for m in page.messages)

    room = count * 6000
    for read in (
        log.history.read("r", 0, 1000, room),
        log.history.newest("r", 1000, room),
        log.history.newest("r", 1000, room, before=200),
    ):
        moved, wanted = await sent(read)
        assert wanted <= moved < 1.1 * wanted + 8000


async def output_of(redis):
    """Bytes that Redis has sent; it says so without the bytes of this answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", redis.port)
    writer.write(b"INFO stats\r\n")
    text = ""
    while "total_net_output_bytes:" not in text or not text.endswith("\r\n"):
        text += (await reader.read(65536)).decode()
    writer.close()
    return int(text.partition("total_net_output_bytes:")[2].split()[0])


@pytest.mark.contract("SV16")
async def test_the_feed_is_read_in_portions_of_about_one_size(redis, log):
    heard, reader = [], RedisHistory(redis.url)
    reader.start(
        lambda room, messages, epoch: heard.extend(each.offset for each in messages), pytest.fail
    )
    portions = []
    watching = asyncio.create_task(note_portions(redis, portions))
    await reader.open()
    for size, count in ((60_000, 2**20 // 60_000 + 1), (10, 256)):
        for start in range(0, 200, 20):
            unit = [entry(f"{size} {start + n}", size) for n in range(20)]
            await log.history.append("r", unit)
        await until(lambda: has_heard_all(log, heard))
        await until(partial(has_come_to, count, portions))
    assert heard == [*range(1, 401)]
    watching.cancel()
    await asyncio.wait([watching])
    await reader.aclose()


async def has_heard_all(log, heard):
    return heard[-1:] == [(await log.page(100_000)).top]


def has_come_to(count, portions):
    return portions and 0.9 * count <= portions[-1] <= count


async def note_portions(redis, portions):
    """Note how many entries Redis is asked for at most, whenever a stream is read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", redis.port, limit=2**24)
    try:
        writer.write(b"MONITOR\r\n")
        async for command in reader:
            if found := re.search(rb'"XREAD" .*"COUNT" "(\d+)"', command):
                portions.append(int(found[1]))
    finally:
        writer.close()


# Failover


class Pair:
    """A Redis and its replica, and an address that leads to one of them."""

    def __init__(self, first: RedisServer, second: RedisServer, proxy: ChaosProxy) -> None:
        self.first, self.second, self.proxy = first, second, proxy
        self.url = f"redis://127.0.0.1:{proxy.port}/0"

    async def follow(self):
        """Let the second one have what the first one has."""
        await self.second.ask("REPLICAOF", "127.0.0.1", str(self.first.port))

        async def is_same():
            # In the order of the stream of replication, so behind everything before it.
            await self.first.ask("SET", "mark", "x")
            return await self.second.ask("GET", "mark") == "$1"

        await until(is_same)
        await self.first.ask("DEL", "mark")

    async def cut_off(self):
        """Let the second one miss what the first one is told from now on."""
        await self.second.ask("REPLICAOF", "127.0.0.1", "1")

    async def fail_over(self):
        await self.first.kill()
        await self.second.ask("REPLICAOF", "NO", "ONE")
        self.proxy.upstream = self.second.port


@asynccontextmanager
async def pair_of(tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    at_once = ("--repl-diskless-sync-delay", "0")
    async with (
        redis_server(tmp_path / "first", *at_once) as one,
        redis_server(tmp_path / "second") as two,
    ):
        proxy = ChaosProxy(one.port)
        await proxy.open()
        try:
            yield Pair(one, two, proxy)
        finally:
            await proxy.aclose()


async def say_when_possible(log, text):
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                return (await log.say(text))[0]
            except (NotStored, HistoryUnavailable):
                await asyncio.sleep(0.05)


@pytest.mark.contract("SV13", "SV16")
async def test_a_replica_that_was_behind_begins_another_epoch_also_for_a_new_server(
    tmp_path,
):
    async with pair_of(tmp_path) as pair:
        log = Log(pair.url)
        await log.say("a", "b")
        await pair.follow()
        (here, _) = (await log.say("c"))[0]
        await until(lambda: is_there(pair.second, "c"))
        await pair.cut_off()
        await log.say("lost", "lost too")
        await pair.fail_over()
        newcomer = Log(pair.url)  # another server, which was told nothing
        place = await say_when_possible(newcomer, "d")
        assert place[0] != here
        assert place[1] == 4
        # What was sent and not acknowledged comes again, and what is there already is known.
        (again,) = await newcomer.history.append("r", [entry("c")])
        assert (again.offset, again.is_duplicate) == (3, True)
        assert (await say_when_possible(log, "lost"))[0] == place[0]
        assert [*(await log.kept()).values()] == ["a", "b", "c", "d", "lost"]
        await log.history.aclose()
        await newcomer.history.aclose()


async def is_there(redis, text):
    return await redis.ask("EXISTS", f'"{{sockstore}}:id:1:r:3:Ann:id {text}"') == ":1"


@pytest.mark.contract("SV13", "SV16")
async def test_a_redis_that_starts_from_an_older_file_is_found_out_by_who_knows_more(tmp_path):
    folder = tmp_path / "redis"
    folder.mkdir()
    async with redis_server(folder) as redis:
        log, other = Log(redis.url), Log(redis.url)
        await log.say("a", "b")
        await other.history.open()
        await redis.kill()
        shutil.copytree(folder, tmp_path / "older")
        await redis.start()
        before = await say_when_possible(log, "lost")
        await redis.kill()
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "older", folder)
        await redis.start()
        place = await say_when_possible(log, "c")
        assert place[1] == before[1] == 3
        assert place[0] != before[0]
        assert (await log.page()).epoch == place[0]
        await log.history.aclose()
        await other.history.aclose()


@pytest.mark.contract("SV13")
async def test_a_redis_that_restarts_with_everything_goes_on_in_its_epoch(tmp_path):
    async with redis_server(tmp_path) as redis:
        log = Log(redis.url)
        ((epoch, _),) = await log.say("a")
        for number in range(2, 4):
            await redis.kill()
            await redis.start()
            assert await say_when_possible(log, str(number)) == (epoch, number)
        await log.history.aclose()


# Clients


@pytest.mark.contract("SV13", "SV16", "SE3")
async def test_clients_of_all_servers_are_told_of_a_failover_that_lost_something(tmp_path):
    async with pair_of(tmp_path) as pair:
        history = ("--history", pair.url)
        async with serving(0, *history) as one, serving(0, *history) as two:
            stores = [
                WebSocketStore(
                    f"ws://127.0.0.1:{server.port}/connection/websocket?name={name}",
                    protocol=Centrifuge(),
                    reconnect=Reconnect.exponential(base=0.1, max=0.3, min_uptime=0),
                )
                for server, name in ((one, "Ann"), (two, "Bob"))
            ]
            ann, bob = stores
            async with (
                ann,
                bob,
                ann.subscribe("r") as of_ann,
                bob.subscribe("r") as of_bob,
                bob.subscribe("other") as other,
            ):
                streams = [room.stream() for room in (of_ann, of_bob)]
                unchanged = other.stream()
                for room in (of_ann, of_bob, other):
                    await room.ready(SECONDS)
                await asyncio.wait_for(of_ann.send("a"), SECONDS)
                await pair.follow()
                await pair.cut_off()
                await asyncio.wait_for(of_ann.send("lost"), SECONDS)
                for stream in streams:
                    assert [(await following(stream)).data for _ in "12"] == ["a", "lost"]
                await pair.fail_over()
                # Bob's server may not have been told "lost"; it is the first to store something.
                await asyncio.wait_for(of_bob.send("b"), SECONDS)
                for stream in streams:
                    assert (await following(stream)).kind == "gap"
                    assert [await anext_data(stream) for _ in "12"] == ["a", "b"]
                # Whatever room it is, its log is another one now.
                await asyncio.wait_for(other.send("c"), SECONDS)
                assert (await following(unchanged)).kind == "gap"
                assert await anext_data(unchanged) == "c"


async def following(stream):
    return await asyncio.wait_for(anext(stream), SECONDS)


async def anext_data(stream):
    return (await following(stream)).data
