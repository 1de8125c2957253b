"""What every history promises, whatever it is made of."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from tests.loopback.redis_servers import redis_server

from sockstore.server import SqliteHistory
from sockstore.server.history.base import Entry, StoredMessage
from sockstore.server.redis.history import RedisHistory
from waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.contract("SV2", "SE2")]

HUGE = 2**30


def utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Kit:
    """Makes histories on the same storage, and remembers what they tell."""

    def __init__(self, make) -> None:
        self._make = make
        self._open = []
        self.told: list[tuple[str, StoredMessage]] = []

    def __call__(self, **options):
        history = self._make(**options)
        history.start(
            lambda room, messages, epoch: self.told.extend((room, each) for each in messages),
            lambda: None,
        )
        self._open.append(history)
        return history

    async def told_all(self, count):
        """Wait until so many messages were told."""
        await until(lambda: len(self.told) >= count)
        return [(room, message.offset) for room, message in self.told]

    async def aclose(self):
        for history in self._open:
            await history.aclose()


@pytest_asyncio.fixture(params=["file", "memory", "redis"])
async def kit(request, tmp_path):
    if request.param == "redis":
        async with redis_server(tmp_path) as redis:
            made = Kit(lambda **options: RedisHistory(redis.url, **options))
            made.is_durable = True
            yield made
            await made.aclose()
        return
    match request.param:
        case "file":
            made = Kit(lambda **options: SqliteHistory(tmp_path / "history.db", **options))
        case "memory":
            made = Kit(SqliteHistory)
    made.is_durable = request.param != "memory"
    yield made
    await made.aclose()


def entries(*texts, sender="Ann"):
    return [Entry(sender, f'{{"content":"{text}"}}', f"id {text}") for text in texts]


def offsets(stored):
    return [each.offset for each in stored]


def offsets_of(page):
    return [message.offset for message in page.messages]


async def test_offsets_are_contiguous_for_each_room(kit):
    history = kit()
    assert offsets(await history.append("one", entries("a", "b"))) == [1, 2]
    assert offsets(await history.append("two", entries("a"))) == [1]
    assert offsets(await history.append("one", entries("c"))) == [3]
    assert await kit.told_all(4) == [("one", 1), ("one", 2), ("two", 1), ("one", 3)]


async def test_what_was_said_comes_back_as_it_was(kit):
    history = kit()
    data = '{"content":"\\u0000 \'quotes\' \\" <b> \U0001f600 \u202e %s ? ; DROP TABLE messages"}'
    before = utc_now()
    await history.append("\u65e5\u672c\u8a9e", [Entry(None, data, "f" * 32), *entries("b")])
    page = await history.read("\u65e5\u672c\u8a9e", 0, 10, HUGE)
    first, second = page.messages
    assert before <= first.stored_at <= utc_now()
    assert first == StoredMessage(None, data, "f" * 32, 1, first.stored_at)
    assert (second.sender, second.offset) == ("Ann", 2)
    await kit.told_all(2)
    assert [message for _, message in kit.told] == [first, second]


async def test_the_same_id_of_the_same_sender_in_the_same_room_is_stored_once(kit):
    history = kit()
    await history.append("lobby", entries("a", "b"))
    again = await history.append("lobby", entries("b", "c", "c", "a"))
    assert [(each.offset, each.is_duplicate) for each in again] == [
        (2, True),
        (3, False),
        (3, True),
        (1, True),
    ]
    assert len({each.epoch for each in again}) == 1
    for room, sender in (("lobby", "Bob"), ("lobby", None), ("other", "Ann")):
        (stored,) = await history.append(room, entries("a", sender=sender))
        assert not stored.is_duplicate
    await kit.told_all(6)
    assert await history.append("lobby", entries("a")) == again[-1:]
    await history.append("lobby", entries("last"))
    assert len(await kit.told_all(7)) == 7


async def test_at_the_same_time_too(kit):
    history = kit()
    stored = await asyncio.gather(
        *(history.append("lobby", entries(f"{n // 4}", "x")) for n in range(200))
    )
    assert sorted({unit[0].offset for unit in stored} | {unit[1].offset for unit in stored}) == [
        *range(1, 52)
    ]
    assert [offset for _, offset in await kit.told_all(51)] == [*range(1, 52)]


async def test_fifty_senders_are_told_in_the_order_of_the_offsets(kit):
    history = kit()

    async def send(name):
        return [
            offsets(await history.append("lobby", entries(f"{name} {n} a", f"{name} {n} b")))
            for n in range(4)
        ]

    sent = await asyncio.gather(*map(send, range(50)))
    assert [offset for _, offset in await kit.told_all(400)] == [*range(1, 401)]
    for mine in sent:
        flat = [offset for unit in mine for offset in unit]
        assert flat == sorted(flat)
        assert all(second == first + 1 for first, second in mine)


async def test_reading_is_bounded_and_knows_what_lies_before(kit):
    history = kit()
    texts = ["x" * 1000 * number for number in range(1, 6)]
    await history.append("lobby", entries(*texts))
    page = await history.read("lobby", 2, 2, HUGE)
    assert (offsets_of(page), page.top, page.first, page.id_before) == (
        [3, 4],
        5,
        1,
        f"id {texts[1]}",
    )
    assert offsets_of(await history.read("lobby", 0, 10, 4000)) == [1, 2]
    assert offsets_of(await history.read("lobby", 3, 10, 1)) == [4]
    assert offsets_of(await history.read("lobby", 5, 10, HUGE)) == []
    beyond = await history.read("lobby", 9, 10, HUGE)
    assert (offsets_of(beyond), beyond.top, beyond.id_before) == ([], 5, None)
    position = await history.read("lobby", 5, 0, HUGE)
    assert (offsets_of(position), position.top, position.id_before) == ([], 5, f"id {texts[4]}")
    newest = await history.newest("lobby", 3, HUGE)
    assert (offsets_of(newest), newest.id_before) == ([3, 4, 5], f"id {texts[1]}")
    assert offsets_of(await history.newest("lobby", 10, 10_000)) == [4, 5]
    assert offsets_of(await history.newest("lobby", 10, 1)) == [5]
    assert offsets_of(await history.newest("lobby", 0, HUGE)) == []


@pytest.mark.contract("SV1")
async def test_a_page_before_an_offset_is_the_newest_below_it(kit):
    history = kit(keep=7)
    texts = ["x" * 1000 * number for number in range(1, 11)]
    await history.append("lobby", entries(*texts))
    page = await history.newest("lobby", 2, HUGE, before=8)
    assert (offsets_of(page), page.top, page.first, page.id_before) == (
        [6, 7],
        10,
        4,
        f"id {texts[4]}",
    )
    assert offsets_of(await history.newest("lobby", 9, HUGE, before=7)) == [4, 5, 6]
    assert offsets_of(await history.newest("lobby", 9, 14_000, before=8)) == [6, 7]
    assert offsets_of(await history.newest("lobby", 9, 1, before=8)) == [7]
    for before in (11, 12, 2**53 - 1):
        assert offsets_of(await history.newest("lobby", 2, HUGE, before=before)) == [9, 10]
    for before in (1, 2, 4):
        page = await history.newest("lobby", 2, HUGE, before=before)
        assert (offsets_of(page), page.first, page.id_before) == ([], 4, None)
    empty = await history.newest("nowhere", 9, HUGE, before=5)
    assert (offsets_of(empty), empty.top, empty.first) == ([], 0, 1)


async def test_a_room_of_which_nobody_has_heard_is_empty_and_has_the_epoch(kit):
    history = kit()
    empty = await history.read("nowhere", 0, 10, HUGE)
    assert (empty.top, empty.first, list(empty.messages), empty.id_before) == (0, 1, [], None)
    assert (await history.newest("nowhere", 10, HUGE)) == empty
    (stored,) = await history.append("nowhere", entries("a"))
    assert empty.epoch == stored.epoch != ""


async def test_the_oldest_are_deleted_and_offsets_go_on(kit):
    history = kit(keep=3)
    for number in range(10):
        await history.append("lobby", entries(str(number)))
    page = await history.read("lobby", 0, 10, HUGE)
    assert (offsets_of(page), page.first, page.top) == ([8, 9, 10], 8, 10)
    assert page.id_before is None
    await history.append("lobby", entries(*"abcdefgh"))
    assert offsets_of(await history.newest("lobby", 10, HUGE)) == [16, 17, 18]
    # What is deleted is remembered all the same.
    (again,) = await history.append("lobby", entries("0"))
    assert (again.offset, again.is_duplicate) == (1, True)


async def test_closing_and_opening_changes_nothing(kit):
    history = kit()
    await history.open()
    waiting = [asyncio.create_task(history.append("lobby", entries(str(n)))) for n in range(20)]
    await asyncio.sleep(0)
    await history.aclose()
    await history.aclose()
    stored = [unit for done in await asyncio.gather(*waiting) for unit in done]
    assert sorted(offsets(stored)) == [*range(1, 21)]
    if not kit.is_durable:
        return
    other = kit()
    assert offsets_of(await other.read("lobby", 0, 100, HUGE)) == [*range(1, 21)]
    (again,) = await other.append("lobby", entries("7"))
    assert again.is_duplicate
    assert again.epoch == stored[0].epoch


async def test_it_says_for_how_long_it_remembers(kit):
    assert kit(remember_seconds=60.0).remember_seconds == 60.0


def anything(rng):
    """Return something that a history may be asked, as a function of the history."""
    room = rng.choice(["one", "two", "never used"])
    number = rng.choice([0, 0, 1, 2, 3, 5, 8, 13, 100, 2**31, 2**53 - 1, 2**63, 2**70])
    count = rng.choice([0, 1, 2, 3, 10, 256, 2**31, 2**40])
    size = rng.choice([0, 1, 500, 2000, 30_000, HUGE])
    match rng.choice(["append", "append", "read", "newest"]):
        case "append":
            texts = [
                (rng.choice(["Ann", "Bob", None]), rng.randrange(60), rng.choice("ä\U0001f600x"))
                for _ in range(rng.choice([1, 1, 2, 5]))
            ]
            unit = [Entry(who, f'"{t * n * 30}"', f"id {n}") for who, n, t in texts]
            room = rng.choice(["one", "two"])
            return lambda history: history.append(room, unit)
        case "read":
            return lambda history: history.read(room, number, count, size)
        case _:
            before = rng.choice([None, number])
            return lambda history: history.newest(room, count, size, before)


def without_names_of_logs(answer):
    """Return an answer without what is different by right: epochs and times."""
    if isinstance(answer, list):
        return [(each.offset, each.is_duplicate) for each in answer]
    messages = [(m.offset, m.sender, m.id, m.data) for m in answer.messages]
    return answer.top, answer.first, answer.id_before, messages


@pytest.mark.contract("SV14")
@pytest.mark.parametrize("seed", range(6))
async def test_all_histories_answer_the_same(tmp_path, seed):
    rng = random.Random(seed)
    async with redis_server(tmp_path) as redis:
        options = {"keep": rng.choice([1, 7, 1000])}
        first = SqliteHistory(tmp_path / "history.db", **options)
        others = [SqliteHistory(**options), RedisHistory(redis.url, **options)]
        for _ in range(150):
            ask = anything(rng)
            expected = without_names_of_logs(await ask(first))
            for other in others:
                assert without_names_of_logs(await ask(other)) == expected
        for history in (first, *others):
            await history.aclose()
