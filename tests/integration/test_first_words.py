"""What a server says first: `on_open` misses nothing of it, and nobody gets it twice."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from puppets import Puppeteer
from rooms import RoomServer

from sockstore import Lagged, Reconnect, Resume, Session, WebSocketStore
from sockstore.testing import FakeServer, accept, drop, pause, receive, send
from waiting import turns

pytestmark = pytest.mark.virtual_clock

MOST_KEPT = 10_000  # as CN11 says

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0, min_uptime=0)


def opening(server, on_open, **options) -> WebSocketStore:
    options = {"reconnect": EVERY_SECOND, **options}
    return WebSocketStore("ws://fake", transport=server, on_open=on_open, **options)


async def read(stream, count: int) -> list[object]:
    async with asyncio.timeout(5):
        return [(await anext(stream)).data for _ in range(count)]


async def waiting_in(stream) -> list[object]:
    return await read(stream, stream.lag)


class Word(str):  # noqa: SLOT000 - without slots it can be referenced weakly
    """Data that says whether anything keeps it."""


class Words:
    """Make words of what arrives, as the codec of a connection that keeps no history."""

    def __init__(self) -> None:
        self._all: list[weakref.ref[Word]] = []
        self.options = {"codec": (self._decode, str), "history": 0}

    def _decode(self, frame: str) -> Word:
        word = Word(frame)
        self._all.append(weakref.ref(word))
        return word

    @property
    def kept(self) -> list[Word]:
        gc.collect()
        return [word for each in self._all if (word := each()) is not None]


@pytest.mark.contract("CN11", "MS4")
async def test_the_first_stream_of_on_open_gets_all_and_one_from_before_gets_each_once():
    got: list[object] = []

    async def on_open(connection):
        got.extend(await read(connection.stream(), 3))

    server = FakeServer(accept(), send("hello", "again"), pause(1), send("later", "last"))
    connection = opening(server, on_open)
    before = connection.stream()
    async with connection:
        await connection.ready()
        assert got == ["hello", "again", "later"]
        assert await read(before, 4) == ["hello", "again", "later", "last"]
        assert [message.data for message in connection.messages.value] == [
            "hello", "again", "later", "last",
        ]  # fmt: skip
        assert before.lag == 0


@pytest.mark.contract("CN11", "MS4")
@pytest.mark.parametrize("told", [1, 300, 3000])
async def test_a_burst_with_the_handshake_waits_for_a_reader_who_keeps_up(told):
    got: list[object] = []

    async def on_open(connection):
        stream = connection.stream()
        got.extend(await read(stream, told))

    async with opening(FakeServer(accept(), send(*range(told))), on_open) as connection:
        before = connection.stream(limit=told)
        await connection.ready()
        assert got == list(range(told))
        assert await read(before, told) == list(range(told))


@pytest.mark.contract("CN11", "MS4", "MS3")
async def test_a_plain_function_too_and_whatever_else_it_registers():
    made: list[object] = []
    appended: list[object] = []

    def on_open(connection):
        made.append(connection.stream())
        made.append(connection.stream(where=lambda message: message.data == "b"))
        connection.messages.on_append(lambda message: appended.append(message.data))

    async with opening(FakeServer(accept(), send("a", "b")), on_open, history=0) as connection:
        await connection.messages.wait_for(lambda _: connection.messages.total == 2)
        assert [await waiting_in(stream) for stream in made] == [["a", "b"], ["b"]]
        assert appended == ["a", "b"]


@pytest.mark.contract("CN11", "MS4")
@pytest.mark.parametrize("rest", [0, 5], ids=["in the same turn", "later"])
async def test_a_stream_that_is_made_late_begins_with_the_first_message_too(rest):
    got: list[object] = []

    async def on_open(connection):
        await asyncio.sleep(3)
        got.extend(await read(connection.stream(), 2))

    server = FakeServer(accept(), send("hello"), pause(rest), send("more"))
    async with opening(server, on_open) as connection:
        await connection.ready()
        assert got == ["hello", "more"]


@pytest.mark.contract("CN11", "MS4")
async def test_one_stream_after_the_other_takes_up_what_none_has_taken():
    async def on_open(connection):
        got.append((await anext(connection.stream())).data)
        got.append((await anext(connection.stream(where=lambda message: message.data > 2))).data)
        got.append((await anext(connection.stream())).data)
        got.append((await anext(connection.stream())).data)
        made.append(connection.stream())

    got: list[object] = []
    made: list[object] = []
    async with opening(FakeServer(accept(), send(1, 2, 3, 4, 5)), on_open) as connection:
        await connection.ready()
        server_says_more = connection.stream()
        assert got == [1, 3, 2, 4]
        assert await waiting_in(made[0]) == [5]
        assert server_says_more.lag == 0


@pytest.mark.contract("CN11", "MS4")
async def test_a_task_that_on_open_starts_may_make_the_stream():
    tasks: list[asyncio.Task[list[object]]] = []

    async def reading(connection):
        return await read(connection.stream(), 2)

    def on_open(connection):
        tasks.append(asyncio.ensure_future(reading(connection)))

    server = FakeServer(accept(), send("hello"), pause(1), send("more"))
    async with opening(server, on_open) as connection:
        await connection.ready()
        assert await tasks[0] == ["hello", "more"]


@pytest.mark.contract("CN11", "MS4", "OB5")
async def test_a_stream_made_after_an_answer_has_what_stood_before_and_behind_it():
    got: list[object] = []

    async def on_open(connection):
        assert await connection.request({"op": "time"}) == {"id": 1}
        got.extend(await read(connection.stream(), 2))

    server = FakeServer(accept(), receive(), send("before", {"id": 1}, "behind"))
    async with opening(server, on_open) as connection:
        await connection.ready()
        assert got == ["before", "behind"]


@pytest.mark.contract("CN11", "SE4")
async def test_what_came_while_a_snapshot_was_loaded_is_not_missed():
    got: list[object] = []

    async def load(connection):
        await asyncio.sleep(2)

    async def on_open(connection):
        got.extend(await read(connection.stream(), 2))

    server = FakeServer(accept(), send("hello"), pause(1), send("more"))
    async with opening(server, on_open, resume=Resume(fetch_state=load)) as connection:
        await connection.ready()
        assert got == ["hello", "more"]


@pytest.mark.contract("CN11", "SE2", "SE3")
async def test_what_a_session_recovers_is_not_missed():
    got: list[list[object]] = []
    server = RoomServer()

    async def on_open(connection):
        stream = connection.stream()
        await asyncio.sleep(1)
        got.append(await waiting_in(stream))

    async with opening(server, on_open, session=Session("room")) as connection:
        before = connection.stream()
        await connection.ready()
        server.say("live")
        server.drop()
        server.store("recovered 1")
        server.store("recovered 2")
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        await connection.ready()
        assert got == [[], ["recovered 1", "recovered 2"]]
        assert await read(before, 3) == ["live", "recovered 1", "recovered 2"]
        assert before.lag == 0


@pytest.mark.contract("CN11", "CN4")
async def test_each_connection_begins_anew_and_a_stream_of_before_goes_on_once():
    got: list[object] = []
    made: list[object] = []

    async def on_open(connection):
        made.append(connection.stream())
        got.append((await anext(made[-1])).data)

    server = FakeServer(
        accept(), send(1), pause(1), send(2), pause(1), drop(), accept(), send(3), pause(1), send(4)
    )
    async with opening(server, on_open) as connection:
        await asyncio.sleep(10)
        assert got == [1, 3]
        assert [await waiting_in(stream) for stream in made] == [[2, 3, 4], [4]]
        assert connection.messages.total == 4


@pytest.mark.contract("CN11", "MS4", "SE4")
async def test_a_gap_before_the_first_message_is_told_to_who_asks_for_gaps():
    kinds: list[list[str]] = []

    async def on_open(connection):
        stream = connection.stream(gaps=True)
        await asyncio.sleep(1)
        kinds.append([(await anext(stream)).kind for _ in range(stream.lag)])

    server = FakeServer(accept(), send("a"), pause(2), drop(), accept(), send("b"))
    async with opening(server, on_open) as connection:
        await asyncio.sleep(10)
        assert connection.connected.value
        assert kinds == [["text"], ["gap", "text"]]


@pytest.mark.contract("CN11", "MS4", "MS2")
async def test_what_is_too_much_to_keep_is_told_and_what_follows_is_read_on():
    more = 7
    numbers: list[object] = []

    async def on_open(connection):
        await asyncio.sleep(1)
        stream = connection.stream()
        while True:
            try:
                numbers.append((await anext(stream)).number)
            except Lagged as lagged:
                numbers.append(lagged)
                return

    server = FakeServer(accept(), send(*range(MOST_KEPT + more)))
    async with opening(server, on_open) as connection:
        await connection.ready()
        *kept, lagged = numbers
        assert kept == list(range(1, MOST_KEPT + 1))
        assert lagged.missed == more


@pytest.mark.contract("CN11", "MS4")
async def test_when_on_open_is_over_a_stream_begins_when_it_is_made_and_nothing_is_kept():
    made: list[object] = []
    ended = asyncio.Event()

    async def later(connection):
        await ended.wait()
        made.append(connection.stream())

    tasks: list[asyncio.Task[None]] = []

    async def on_open(connection):
        tasks.append(asyncio.ensure_future(later(connection)))
        await asyncio.sleep(1)

    words = Words()
    server = FakeServer(accept(), send("hello"))
    async with opening(server, on_open, **words.options) as connection:
        outside = None
        async with asyncio.timeout(5):
            while not connection.messages.total:
                await asyncio.sleep(0.1)
            assert words.kept == ["hello"]
            outside = connection.stream()
            await connection.ready()
        await turns()
        ended.set()
        await tasks[0]
        assert [stream.lag for stream in (*made, outside)] == [0, 0]
        assert words.kept == []
        server.send("more")
        await turns()
        assert [await waiting_in(stream) for stream in (*made, outside)] == [["more"], ["more"]]
        assert words.kept == []


@pytest.mark.contract("CN11", "CN6")
@pytest.mark.parametrize("end", ["drop", "reconnect", "close"])
async def test_an_opening_that_does_not_come_to_its_end_leaves_nothing(end):
    async def on_open(connection):
        await asyncio.sleep(100)

    words = Words()
    server = FakeServer(accept(), send("hello"))
    async with opening(server, on_open, **words.options) as connection:
        await connection.messages.wait_for(lambda _: connection.messages.total)
        assert words.kept == ["hello"]
        {"drop": server.drop, "reconnect": connection.reconnect, "close": connection.close}[end]()
        await connection.phase.wait_for(lambda phase: phase != "connecting" or end == "reconnect")
        assert words.kept == []


@pytest.mark.contract("CN11", "CN6")
async def test_what_an_older_on_open_left_running_gets_nothing_of_a_newer_connection():
    made: list[object] = []
    tasks: list[asyncio.Task[None]] = []

    async def later(connection):
        await asyncio.sleep(3)
        made.append(await waiting_in(connection.stream()))

    async def on_open(connection):
        tasks.append(asyncio.ensure_future(later(connection)))
        await asyncio.sleep(5)

    server = FakeServer(accept(), send("old"), accept(), send("new"))
    async with opening(server, on_open) as connection:
        await connection.messages.wait_for(len)
        await asyncio.sleep(1)
        connection.reconnect()
        await connection.ready()
        assert connection.messages.total == 2
        assert made == [[], ["new"]]


@pytest.mark.contract("CN11", "MS4")
async def test_a_transport_that_delivers_in_the_turn_of_its_handshake_loses_nothing():
    got: list[object] = []

    async def on_open(connection):
        got.extend(await read(connection.stream(), 2))

    puppeteer = Puppeteer()
    connection = opening(puppeteer, on_open)
    connection.connect()
    await turns()
    puppeteer.newest.accept()
    puppeteer.newest.deliver("hello")
    puppeteer.newest.deliver("more")
    await connection.ready()
    assert got == ["hello", "more"]
    puppeteer.newest.end()
    await connection.aclose()


@pytest.mark.contract("CN4", "MS4")
async def test_who_waits_for_ready_and_then_makes_a_stream_misses_nothing_of_the_handshakes_read():
    async with opening(FakeServer(accept(), send("hello")), None) as connection:
        await connection.ready()
        assert await read(connection.stream(), 1) == ["hello"]


@pytest.mark.contract("CN11", "MS4")
@pytest.mark.parametrize("kind", ["coroutine", "function", "late"])
async def test_eager_tasks_change_nothing(kind):
    # They come with Python 3.12.
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))
    made: list[object] = []

    async def on_open(connection):
        if kind == "late":
            await asyncio.sleep(1)
        made.append(connection.stream())
        await asyncio.sleep(0)

    def plain(connection):
        made.append(connection.stream())

    server = FakeServer(accept(), send("hello", "more"))
    async with opening(server, plain if kind == "function" else on_open) as connection:
        before = connection.stream()
        await connection.ready()
        await asyncio.sleep(1.5)
        assert await waiting_in(made[0]) == await waiting_in(before) == ["hello", "more"]
