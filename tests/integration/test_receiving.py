"""Messages on their way in: decoded, logged, selected, streamed, and never lost in silence."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import time
import weakref

import msgspec
import pytest
from puppets import Puppeteer, count_objects

from sockstore import (
    Close,
    ConnectionEnded,
    InvalidOption,
    Lagged,
    Message,
    MessageStream,
    Reconnect,
    WebSocketStore,
)
from sockstore.testing import FakeServer, accept, close, drop, pause, refuse, send, slow
from sockstore.transports.base import deliver_one
from waiting import turns

pytestmark = pytest.mark.virtual_clock

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


async def received(connection: WebSocketStore, total: int) -> list[Message]:
    await connection.messages.wait_for(lambda _: connection.messages.total >= total, timeout=60)
    return list(connection.messages.value)


# Decoding


@pytest.mark.contract("MS1", "CN7")
async def test_json_is_decoded_and_everything_else_is_kept_as_it_came():
    frames = [
        '{"a": 1}',
        "5",
        "null",
        '"quoted"',
        "hello",
        "",
        "{broken",
        "NaN",
        b"\x00\xff",
        " 1 ",
    ]
    server = FakeServer()
    before = time.time()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        server.connection.send(*frames)
        messages = await received(connection, len(frames))
        assert [(message.kind, message.data) for message in messages] == [
            ("json", {"a": 1}),
            ("json", 5),
            ("json", None),
            ("json", "quoted"),
            ("text", "hello"),
            ("text", ""),
            ("text", "{broken"),
            ("text", "NaN"),
            ("binary", b"\x00\xff"),
            ("json", 1),
        ]
        assert [message.number for message in messages] == list(range(1, len(frames) + 1))
        assert messages[0].record == {"a": 1}
        assert messages[4].record == {"type": "text", "content": "hello"}
        assert before <= messages[0].received_at <= time.time()
        assert len({message.received_at for message in messages}) == 1, "they came together"
        assert connection.status.value == "connected"


@pytest.mark.contract("MS1", "MS5")
async def test_json_100_000_deep_is_kept_as_text_and_on_error_is_told_one_sentence():
    told: list[tuple[str, object]] = []
    deep = "[" * 100_000 + "]" * 100_000
    server = FakeServer(accept(), send(deep, {"still": "here"}))
    async with WebSocketStore(
        "ws://fake",
        transport=server,
        on_error=lambda error, frame: told.append((str(error), frame)),
    ) as connection:
        first, second = await received(connection, 2)
        assert (first.kind, first.data) == ("text", deep)
        assert second.data == {"still": "here"}
        assert told == [("the JSON text is nested too deeply", deep)]
        with pytest.raises(TypeError, match="nested too deeply"):
            nested: list = []
            for _ in range(100_000):
                nested = [nested]
            connection.send(nested)
        connection.send("still fine")
        await turns()
        assert server.received == ["still fine"]


class Price(msgspec.Struct):
    symbol: str
    value: float


@dataclasses.dataclass
class Plain:
    symbol: str
    value: float


def pydantic_price():
    pydantic = pytest.importorskip("pydantic")
    return pydantic.create_model("PydanticPrice", symbol=(str, ...), value=(float, ...))


@pytest.mark.contract("MS5", "MS1")
@pytest.mark.parametrize("make", [lambda: Price, lambda: Plain, pydantic_price])
async def test_a_type_decodes_and_invalid_data_goes_to_on_error_with_the_raw_frame(make):
    kind = make()
    told: list[tuple[Exception, object]] = []
    frames = [
        '{"symbol": "A", "value": 1.5}',
        '{"symbol": "A"}',
        "no json",
        b'{"symbol":"B","value":2}',
    ]
    server = FakeServer()
    async with WebSocketStore(
        "ws://fake", transport=server, codec=kind, on_error=lambda *args: told.append(args)
    ) as connection:
        await connection.ready()
        server.connection.send(*frames)
        good, invalid, broken, binary = await received(connection, 4)
        assert isinstance(good.data, kind)
        assert (good.kind, good.data.value) == ("json", 1.5)
        assert (invalid.kind, invalid.data) == ("text", frames[1])
        assert (broken.kind, broken.data) == ("text", "no json")
        assert (binary.kind, binary.data.symbol) == ("binary", "B")
        assert [frame for _, frame in told] == [frames[1], "no json"]
        assert connection.status.value == "connected"
        connection.send(good.data)
        await turns()
        assert json.loads(server.received[0]) == {"symbol": "A", "value": 1.5}


@pytest.mark.contract("MS5", "ST9")
async def test_a_pair_of_functions_is_a_codec_and_their_bugs_drop_no_link(reported):
    def decode(frame: str | bytes) -> str:
        if frame == "bad":
            raise ZeroDivisionError
        return str(frame).upper()

    def on_error(error: Exception, frame: object) -> None:
        raise KeyError("a bug in on_error")

    server = FakeServer(accept(), send("one", "bad", "two"))
    async with WebSocketStore(
        "ws://fake",
        transport=server,
        codec=(decode, lambda data: f"<{data}>"),
        on_error=on_error,
    ) as connection:
        messages = await received(connection, 3)
        assert [message.data for message in messages] == ["ONE", "bad", "TWO"]
        connection.send(5)
        connection.send("as it is")
        await turns()
        assert server.received == ["<5>", "as it is"]
    assert [type(context["exception"]) for context in reported] == [KeyError]


def test_a_codec_that_cannot_work_is_refused():
    for bad in (5, "json", (1, 2), (len,)):
        with pytest.raises(InvalidOption, match="codec"):
            WebSocketStore("ws://fake", codec=bad)


# The log


@pytest.mark.contract("MS2", "MS3")
async def test_subscribers_are_told_once_a_slice_and_on_append_of_each():
    server = FakeServer()
    views: list[list[object]] = []
    appended: list[object] = []
    async with WebSocketStore("ws://fake", transport=server, history=3) as connection:
        connection.messages.subscribe(lambda view: views.append([m.data for m in view]))
        connection.messages.on_append(lambda message: appended.append(message.data))
        await connection.ready()
        server.send(1, 2)
        server.send(3, 4, 5)
        await received(connection, 5)
        assert views == [[], [1, 2], [3, 4, 5]]
        assert appended == [1, 2, 3, 4, 5]
        assert (connection.messages.total, connection.messages.dropped) == (5, 2)
        assert len(connection.messages) == 3


@pytest.mark.contract("MS3", "ST9", "CN7")
async def test_an_on_append_that_raises_is_reported_and_the_link_stays_up(reported):
    server = FakeServer()
    seen: list[object] = []
    async with WebSocketStore("ws://fake", transport=server) as connection:
        connection.messages.on_append(lambda message: 1 / 0)
        connection.messages.on_append(lambda message: seen.append(message.data))
        connection.messages.subscribe(lambda view: view and view["bug"])
        await connection.ready()
        server.send(1, 2)
        await received(connection, 2)
        await turns()
        assert seen == [1, 2]
        assert connection.status.value == "connected"
    assert [type(context["exception"]) for context in reported] == [
        ZeroDivisionError,
        ZeroDivisionError,
        TypeError,
    ]
    assert all("test_receiving.py" in context["message"] for context in reported)


@pytest.mark.contract("MS6")
async def test_select_tells_only_when_its_own_value_changes():
    server = FakeServer()
    counts: list[int] = []
    last: list[object] = []
    async with WebSocketStore("ws://fake", transport=server) as connection:
        errors = connection.select(lambda view: sum(m.data == "error" for m in view))
        errors.subscribe(counts.append)
        names = connection.select(
            lambda view: sorted({m.data for m in view}), differs=lambda old, new: old != new
        )
        names.subscribe(last.append)
        await connection.ready()
        for text in ("ok", "error", "ok", "ok", "error"):
            server.send(text)
        await received(connection, 5)
        assert counts == [0, 1, 2]
        assert last == [[], ["ok"], ["error", "ok"]]


# Streams


@pytest.mark.contract("MS4")
async def test_streams_are_independent_and_each_gets_everything_from_its_beginning_in_order():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        one = connection.stream()
        server.send("a")
        await received(connection, 1)
        other, odd = connection.stream(), connection.stream(lambda message: message.number % 2)
        server.send("b", "c")
        server.send("d", "e")
        await received(connection, 5)
        connection.close()
        assert [message.data async for message in one] == ["a", "b", "c", "d", "e"]
        assert [message.data async for message in other] == ["b", "c", "d", "e"]
        assert [message.data async for message in odd] == ["c", "e"]


@pytest.mark.contract("MS4", "CN9")
async def test_a_stream_survives_reconnects_and_raises_the_failure():
    server = FakeServer(
        accept(), send(1), pause(9), drop(), refuse(), accept(), send(2), pause(9), close(4404)
    )
    connection = WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND)
    stream = connection.stream()  # also one made before connect()
    connection.connect()
    seen: list[object] = []
    with pytest.raises(ConnectionEnded, match="4404") as caught:
        async for message in stream:
            seen.append(message.data)
    assert seen == [1, 2]
    assert caught.value.close == Close(4404, clean=True)
    with pytest.raises(ConnectionEnded):
        await anext(connection.stream())


@pytest.mark.contract("MS4", "CN4")
async def test_a_stream_ends_with_its_life_and_the_next_life_has_its_own():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server)
    for life in range(3):
        connection.connect()
        stream = connection.stream()
        await connection.ready()
        server.send(life)
        await received(connection, life + 1)
        connection.close()
        assert [message.data async for message in connection.stream()] == []
        assert [message.data async for message in stream] == [life]
        await connection.aclose()


@pytest.mark.contract("MS4", "MS2")
async def test_a_waiting_reader_does_not_lag_in_a_burst_of_10_000_messages():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, history=10) as connection:
        await connection.ready()
        told: list[int] = []
        connection.messages.subscribe(lambda _: told.append(connection.messages.total))

        async def read() -> int:
            count = 0
            async for message in connection.stream(limit=256):
                count += 1
                assert message.number == count
                if count == 10_000:
                    return count
            raise AssertionError("it ended")

        readers = [asyncio.create_task(read()) for _ in range(3)]
        await turns()
        server.send(*range(10_000))
        assert await asyncio.gather(*readers) == [10_000] * 3
        assert len(told) >= 10_000 / 256, "each slice ended early"


@pytest.mark.contract("MS4")
async def test_a_reader_that_does_not_read_is_told_and_slows_nobody():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        strict = connection.stream(limit=10)
        lossy = connection.stream(limit=10, overflow="drop_oldest")
        roomy = connection.stream(limit=100)
        server.send(*range(100))
        await received(connection, 100)
        assert (strict.lag, lossy.lag, roomy.lag) == (10, 10, 100)
        assert [(await anext(strict)).data for _ in range(10)] == list(range(10))
        with pytest.raises(Lagged) as caught:
            await anext(strict)
        assert caught.value.missed == 90
        server.send("live again")
        assert (await anext(strict)).data == "live again"
        assert lossy.dropped == 91
        assert (await anext(lossy)).data == 91
        assert len(connection.messages) == 101


@pytest.mark.contract("MS4")
async def test_two_tasks_may_not_read_one_stream_and_a_where_that_raises_ends_only_its_own():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        good, bad = connection.stream(), connection.stream(where=lambda message: 1 / 0)
        reading = asyncio.ensure_future(anext(good))
        await turns()
        with pytest.raises(RuntimeError, match="give each task its own stream"):
            await anext(good)
        server.send("x")
        assert (await reading).data == "x"
        with pytest.raises(ZeroDivisionError):
            await anext(bad)
        assert connection.status.value == "connected"


@pytest.mark.contract("MS4", "CN10")
async def test_a_loop_that_is_left_leaves_nothing_with_the_connection():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        made: list[weakref.ref[MessageStream]] = []

        def stream() -> MessageStream:
            stream = connection.stream()
            made.append(weakref.ref(stream))
            return stream

        for way in ("break", "cancel", "timeout", "return"):

            async def read(way=way) -> None:
                async for _ in stream():
                    if way in {"break", "return"}:
                        break
                    await asyncio.sleep(1000)

            task = asyncio.create_task(read())
            await turns()
            assert made[-1]() is not None
            server.send(way)
            await turns()
            if way == "cancel":
                task.cancel()
            elif way == "timeout":
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(task, 1)
            await asyncio.wait([task])
            del task
            assert made[-1]() is None, way


@pytest.mark.contract("MS4", "CN6")
async def test_messages_of_a_replaced_socket_reach_no_stream():
    puppeteer = Puppeteer()
    connection = WebSocketStore("ws://old", transport=puppeteer)
    connection.connect()
    old = await puppeteer.opened()
    stream = connection.stream()
    # A subscriber goes elsewhere in the middle of a slice.
    connection.messages.on_append(
        lambda message: message.data == "go" and connection.connect("ws://new")
    )
    deliver = old.listener.begin_slice()
    assert [deliver_one(deliver, text) for text in ("a", "go")] == [False, True], "it is over"
    old.listener.end_slice()
    assert not old.deliver("late")
    new = await puppeteer.opened()
    new.deliver("b")
    connection.close()
    assert [message.data async for message in stream] == ["a", "go", "b"]
    for puppet in (old, new):
        puppet.end()


@pytest.mark.contract("MS4")
@pytest.mark.parametrize("limit", [1, 2, 256])
@pytest.mark.parametrize("count", [1, 3])
async def test_a_reader_that_waits_for_each_message_never_lags_whatever_its_limit(limit, count):
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()

        async def read() -> list[object]:
            stream = connection.stream(limit=limit)
            return [(await anext(stream)).data for _ in range(900)]

        readers = [asyncio.create_task(read()) for _ in range(count)]
        await turns()
        for start in (0, 300, 600):
            server.send(*range(start, start + 300))
        assert await asyncio.gather(*readers) == [list(range(900))] * count


@pytest.mark.contract("MS4")
@pytest.mark.parametrize("way", ["cancel", "wait_for"])
async def test_cancelling_reads_in_the_midst_of_traffic_loses_nothing_of_300(way):
    server = FakeServer(accept(), slow(0.5))
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        stream = connection.stream()
        loop = asyncio.get_running_loop()
        for n in range(100):
            loop.call_later(1 + n, server.send, 3 * n, 3 * n + 1, 3 * n + 2)
        seen: list[object] = []
        cancelled = 0
        while len(seen) < 300:
            try:
                if way == "cancel":
                    reading = asyncio.ensure_future(anext(stream))
                    handle = loop.call_later(0.25, reading.cancel)
                    try:
                        seen.append((await reading).data)
                    finally:
                        handle.cancel()
                else:
                    seen.append((await asyncio.wait_for(anext(stream), 0.25)).data)
            except (TimeoutError, asyncio.CancelledError):
                cancelled += 1
        assert seen == list(range(300))
        assert cancelled >= 100


@pytest.mark.contract("MS4")
async def test_lag_and_dropped_count_on_across_a_reconnect():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, reconnect=EVERY_SECOND) as connection:
        await connection.ready()
        strict = connection.stream(limit=2)
        lossy = connection.stream(limit=2, overflow="drop_oldest")
        for life in range(3):
            server.send(*(f"m{life}{n}" for n in range(3)))
            await received(connection, 3 * life + 3)
            server.drop()
            await connection.phase.wait_for(lambda phase: phase == "waiting")
            await connection.ready()
        assert (strict.lag, lossy.lag, strict.dropped, lossy.dropped) == (2, 2, 0, 7)
        assert [(await anext(lossy)).data for _ in range(2)] == ["m21", "m22"]
        assert [(await anext(strict)).data for _ in range(2)] == ["m00", "m01"]
        with pytest.raises(Lagged) as caught:
            await anext(strict)
        assert caught.value.missed == 7
        connection.close()
        for stream in (strict, lossy):
            assert [message async for message in stream] == []


@pytest.mark.contract("MS4")
async def test_readers_that_wait_are_woken_by_the_close_and_by_the_failure():
    server = FakeServer()
    connection = WebSocketStore("ws://fake", transport=server, reconnect=False)
    for end in (connection.close, server.drop):
        connection.connect()
        await connection.ready()
        streams = [connection.stream() for _ in range(3)]
        readings = [asyncio.ensure_future(anext(stream, "the end")) for stream in streams]
        await turns()
        end()
        await asyncio.wait(readings, timeout=1)
        if end == connection.close:
            assert [reading.result() for reading in readings] == ["the end"] * 3
        else:
            assert {type(reading.exception()) for reading in readings} == {ConnectionEnded}
        await connection.aclose()
        # An ended stream stays ended when the connection begins a new life.
        connection.connect()
        await connection.ready()
        server.send("later")
        await connection.messages.wait_for(
            lambda messages: [each.data for each in messages][-1:] == ["later"]
        )
        assert [stream.lag for stream in streams] == [0, 0, 0]
        await connection.aclose()


@pytest.mark.contract("MS4")
def test_a_stream_of_bad_options_is_refused_and_leaves_nothing():
    connection = WebSocketStore("ws://fake", transport=FakeServer())
    for options in ({"limit": 0}, {"limit": None}, {"overflow": "block"}, {"overflow": []}):
        with pytest.raises(InvalidOption, match=next(iter(options))):
            connection.stream(**options)
    gc.collect()
    assert not any(type(each) is MessageStream for each in gc.get_objects())


@pytest.mark.contract("MS3", "ST9")
async def test_one_subscriber_that_raises_is_reported_each_time_and_all_others_hear(reported):
    server = FakeServer()
    heard: list[object] = []
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()

        def broken(value: object) -> None:
            if value:
                raise LookupError("a bug of the user")

        connection.messages.subscribe(lambda view: heard.append(len(view)))
        connection.messages.subscribe(broken)
        connection.messages.subscribe(lambda view: heard.append(-len(view)))
        connection.select(len).subscribe(broken)
        connection.select(len).subscribe(lambda n: heard.append(f"{n} messages"))
        heard.clear()
        for total in (1, 2):
            server.send({"type": "a"})
            await received(connection, total)
            await turns()
            assert len(heard) == 3
            assert {total, -total, f"{total} messages"} == set(heard)
            heard.clear()
        assert connection.status.value == "connected"
    assert len(reported) == 2
    for context in reported:
        assert isinstance(context["exception"], ExceptionGroup)
        assert [type(error) for error in context["exception"].exceptions] == [LookupError] * 2


@pytest.mark.contract("MS3")
async def test_an_on_append_that_unsubscribes_in_mid_slice_hears_no_more_of_it():
    server = FakeServer()
    seen: list[object] = []
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()

        def listen(message: Message) -> None:
            seen.append(message.data)
            if message.data == "b":
                stop()
                stop()

        stop = connection.messages.on_append(listen)
        server.send("a", "b", "c")
        server.send("d")
        await received(connection, 4)
        stop()
        assert seen == ["a", "b"]


@pytest.mark.contract("MS6")
async def test_select_without_subscribers_is_up_to_date_whenever_it_is_read():
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server, history=2) as connection:
        await connection.ready()
        last = connection.select(lambda view: view[-1].data if view else None)
        assert last.value is None
        read: list[object] = []
        for data in ({"kind": "a"}, {"kind": ["a"]}, {"type": "a"}):
            server.send(data)
            await turns()
            read.append(last.value)
        assert read == [{"kind": "a"}, {"kind": ["a"]}, {"type": "a"}]
        before = count_objects()
        for number in range(1000):
            assert connection.select(lambda view, n=number: len(view) + n).value == number + 2
        assert count_objects() - before < 100


@pytest.mark.contract("MS1")
async def test_json_that_no_value_can_hold_is_kept_and_ends_nothing():
    frames = ["9" * 10_000, "1e999", '{"a": 1} trailing', '"\\ud800"', "\ufeff{}", "[1,]", "-0"]
    server = FakeServer()
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        server.connection.send(*frames)
        messages = await received(connection, len(frames))
        assert [message.number for message in messages] == list(range(1, len(frames) + 1))
        for message, frame in zip(messages, frames, strict=True):
            if message.kind == "text":
                assert message.data == frame
                assert message.record == {"type": "text", "content": frame}
            else:
                assert message.record == message.data
        assert [m.kind for m in messages][2] == [m.kind for m in messages][5] == "text"
        assert connection.status.value == "connected"
