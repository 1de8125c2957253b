"""Streams: independent readers, each with its own limit, and none that can be slowed by another."""

from __future__ import annotations

import asyncio
import gc
import itertools
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockstore import ConnectionEnded, InvalidOption, Lagged, Message
from sockstore.testing import VirtualClock
from written_log import WrittenLog, WrittenStream

pytestmark = [pytest.mark.virtual_clock, pytest.mark.contract("MS4")]


def message(number: int) -> Message:
    return Message(number, "json", number, 0.0)


def push(stream: WrittenStream, *numbers: int) -> list[bool]:
    return [stream.writer.push(message(number)) for number in numbers]


async def read(stream: WrittenStream, count: int) -> list[object]:
    return [(await anext(stream)).data for _ in range(count)]


@pytest.mark.contract("MS1")
def test_a_message_knows_the_guides_two_views():
    assert Message({"a": 1}, "json", 1, 0.0).record == {"a": 1}
    assert Message("hi", "text", 1, 0.0).record == {"type": "text", "content": "hi"}
    assert Message(b"hi", "binary", 1, 0.0).record == {"type": "binary", "content": b"hi"}


@pytest.mark.parametrize(("option", "value"), [("limit", 0), ("limit", 1.5), ("overflow", "block")])
def test_options_that_cannot_work_are_refused(option, value):
    with pytest.raises(InvalidOption, match=option):
        WrittenStream(**{option: value})


async def test_what_was_buffered_comes_first_then_lagged_then_it_is_live_again():
    stream = WrittenStream(limit=3)
    push(stream, 1, 2, 3, 4, 5)
    assert stream.lag == 3
    assert await read(stream, 3) == [1, 2, 3]
    push(stream, 6)  # the reader has not been told yet
    with pytest.raises(Lagged, match="missed 3 messages") as caught:
        await anext(stream)
    assert caught.value.missed == 3
    push(stream, 7)
    assert await read(stream, 1) == [7]
    assert stream.dropped == 0


async def test_drop_oldest_keeps_the_newest_and_counts():
    stream = WrittenStream(limit=2, overflow="drop_oldest")
    push(stream, 1, 2, 3, 4, 5)
    assert (stream.lag, stream.dropped) == (2, 3)
    assert await read(stream, 2) == [4, 5]


async def test_a_reader_that_waits_gets_what_comes():
    stream = WrittenStream()
    reading = asyncio.create_task(read(stream, 3))
    await asyncio.sleep(0)
    push(stream, 1, 2)
    await asyncio.sleep(1)
    push(stream, 3)
    assert await reading == [1, 2, 3]


async def test_a_waiting_reader_asks_for_its_turn_at_half_its_limit():
    stream = WrittenStream(limit=4)
    assert push(stream, 1, 2, 3) == [False, False, False], "nobody waits: no reason to hurry"
    await read(stream, 3)
    reading = asyncio.create_task(read(stream, 1))
    await asyncio.sleep(0)
    assert push(stream, 1, 2, 3, 4) == [False, True, True, True]
    await reading
    assert stream.lag == 3


async def test_cancelling_anext_loses_nothing():
    stream = WrittenStream()
    for number in range(20):
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        if number % 2:
            push(stream, number)  # in the turn in which it is cancelled
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        if not number % 2:
            push(stream, number)
        async with asyncio.timeout(1):
            assert await read(stream, 1) == [number]


async def test_a_timeout_in_the_turn_of_a_message_loses_nothing():
    stream = WrittenStream()
    loop = asyncio.get_running_loop()
    loop.call_at(1.0, push, stream, 1)
    seen: list[object] = []
    with pytest.raises(TimeoutError):
        async with asyncio.timeout_at(1.0):
            while True:
                seen.append((await anext(stream)).data)
    push(stream, 2)
    stream.writer.end(None)
    seen += [message.data async for message in stream]
    assert seen == [1, 2]


async def test_a_second_reader_of_the_same_stream_is_refused_and_the_first_reads_on():
    stream = WrittenStream()
    first = asyncio.create_task(read(stream, 1))
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="give each task its own stream"):
        await anext(stream)
    push(stream, 1)
    assert await first == [1]


async def test_the_end_comes_after_what_waits_and_stays():
    stream = WrittenStream()
    push(stream, 1)
    stream.writer.end(None)
    assert push(stream, 2) == [False]
    assert [message.data async for message in stream] == [1]
    assert [message async for message in stream] == []
    failed = WrittenStream()
    push(failed, 1)
    failed.writer.end(ConnectionEnded("over"))
    failed.writer.end(None)
    assert await read(failed, 1) == [1]
    for _ in range(2):
        with pytest.raises(ConnectionEnded, match="over"):
            await anext(failed)


async def test_lagged_is_told_before_the_end():
    stream = WrittenStream(limit=1)
    push(stream, 1, 2, 3)
    stream.writer.end(None)
    assert await read(stream, 1) == [1]
    with pytest.raises(Lagged, match="missed 2"):
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_waiting_reader_is_woken_by_the_end_and_by_close():
    for end in (lambda stream: stream.writer.end(None), WrittenStream.close):
        stream = WrittenStream()
        reading = asyncio.create_task(anext(stream, "the end"))
        await asyncio.sleep(0)
        end(stream)
        assert await reading == "the end"


async def test_close_drops_what_waits_and_what_was_missed():
    with WrittenStream(limit=1) as stream:
        push(stream, 1, 2)
    assert stream.lag == 0
    assert [message async for message in stream] == []


async def test_where_chooses_and_costs_no_room():
    stream = WrittenStream(where=lambda message: message.data % 2, limit=3)
    push(stream, *range(7))
    assert await read(stream, 3) == [1, 3, 5]
    assert stream.lag == 0


async def test_a_where_that_raises_ends_its_own_stream_with_its_own_error():
    stream = WrittenStream(where=lambda message: 1 / (3 - message.data))
    other = WrittenStream()
    for number in range(1, 6):
        push(stream, number)
        push(other, number)
    assert await read(stream, 2) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        await anext(stream)
    assert await read(other, 5) == [1, 2, 3, 4, 5]


async def test_break_unsubscribes_at_once():
    log = WrittenLog(10, report=lambda error, where: None)

    def make() -> WrittenStream:
        stream = WrittenStream()
        log.add(stream)
        return stream

    async def read_one() -> None:
        async for _ in make():
            break

    reading = asyncio.create_task(read_one())
    await asyncio.sleep(0)
    log.writer.begin_slice()
    log.writer.append(1, "json")
    log.writer.end_slice()
    await reading
    assert log.readers == 0
    cancelled = asyncio.create_task(read_one())
    await asyncio.sleep(0)
    assert log.readers == 1
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    del cancelled
    gc.collect()
    assert log.readers == 0


async def test_a_stream_that_nobody_holds_is_forgotten():
    log = WrittenLog(10, report=lambda error, where: None)
    stream = WrittenStream()
    log.add(stream)
    gone = weakref.ref(stream)
    del stream
    assert gone() is None
    assert log.readers == 0


@settings(deadline=None)
@given(
    limit=st.integers(1, 5),
    overflow=st.sampled_from(["error", "drop_oldest"]),
    script=st.lists(st.sampled_from(["push", "push", "read", "turn", "cancel"]), max_size=60),
)
def test_each_message_comes_once_in_order_or_is_counted(limit, overflow, script):
    async def story() -> None:
        stream = WrittenStream(limit=limit, overflow=overflow)
        pushed, seen, lagged = 0, [], 0
        reader: asyncio.Task[Message] | None = None

        def collect() -> None:
            nonlocal reader, lagged
            if reader is not None and reader.done():
                try:
                    seen.append(reader.result().number)
                except Lagged as error:
                    lagged += error.missed
                except asyncio.CancelledError:
                    pass
                reader = None

        for action in script:
            match action:
                case "push":
                    pushed += 1
                    push(stream, pushed)
                case "read" if reader is None:
                    reader = asyncio.ensure_future(anext(stream))
                case "cancel" if reader is not None:
                    reader.cancel()
            if action != "push":
                await asyncio.sleep(0)
            collect()
        if reader is not None:
            reader.cancel()
            await asyncio.wait([reader])
            collect()
        stream.writer.end(None)
        while True:
            try:
                seen.append((await anext(stream)).number)
            except Lagged as error:
                lagged += error.missed
            except StopAsyncIteration:
                break
        assert seen == sorted(set(seen))
        assert len(seen) + lagged + stream.dropped == pushed

    VirtualClock().run(story())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("limit", -1),
        ("limit", None),
        ("limit", "5"),
        ("limit", True),
        ("overflow", None),
        ("overflow", "drop"),
        ("overflow", ["error"]),
    ],
)
def test_an_option_of_the_wrong_kind_is_refused_in_one_sentence(option, value):
    with pytest.raises(InvalidOption, match=option) as caught:
        WrittenStream(**{option: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("way", ["cancel", "wait_for", "timeout"])
async def test_three_hundred_messages_survive_three_hundred_cancelled_reads(way):
    stream = WrittenStream(limit=1000)
    loop = asyncio.get_running_loop()
    started = loop.time()
    for number in range(300):
        loop.call_at(started + 1 + number, push, stream, number)
    seen: list[object] = []
    cancelled = 0
    for attempt in itertools.count():
        if len(seen) == 300:
            break
        # Some end in the very turn in which a message comes.
        seconds = (0.5, 1.0, 0.25)[attempt % 3]
        try:
            if way == "cancel":
                reading = asyncio.ensure_future(anext(stream))
                loop.call_later(seconds, reading.cancel)
                seen.append((await reading).data)
            elif way == "wait_for":
                seen.append((await asyncio.wait_for(anext(stream), seconds)).data)
            else:
                async with asyncio.timeout(seconds):
                    seen.append((await anext(stream)).data)
        except (TimeoutError, asyncio.CancelledError):
            cancelled += 1
    assert seen == list(range(300))
    assert cancelled > 100
    assert stream.lag == 0


async def test_a_where_that_raises_is_told_after_what_waits_and_again_and_again():
    stream = WrittenStream(where=lambda message: {1: True, 2: True}[message.number])
    push(stream, 1, 2, 3, 4)
    assert await read(stream, 2) == [1, 2]
    for _ in range(2):
        with pytest.raises(KeyError):
            await anext(stream)


async def test_a_where_that_raises_wakes_the_reader_that_waits():
    stream = WrittenStream(where=lambda message: 1 / 0)
    reading = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    push(stream, 1)
    with pytest.raises(ZeroDivisionError):
        await reading


async def test_lagged_comes_once_for_each_time_the_reader_fell_behind():
    stream = WrittenStream(limit=2)
    for first in (1, 11):
        push(stream, *range(first, first + 7))
        assert await read(stream, 2) == [first, first + 1]
        with pytest.raises(Lagged) as caught:
            await anext(stream)
        assert caught.value.missed == 5
    push(stream, 20)
    assert await read(stream, 1) == [20]


async def test_a_task_that_died_of_lagged_keeps_no_stream_in_the_log():
    log = WrittenLog(10, report=lambda error, where: None)

    def make() -> WrittenStream:
        stream = WrittenStream(limit=1)
        log.add(stream)
        return stream

    async def read_on() -> None:
        async for _ in make():
            await asyncio.sleep(1)

    reading = asyncio.create_task(read_on())
    await asyncio.sleep(0)
    gc.disable()  # it is at once, not at some time
    try:
        log.writer.begin_slice()
        for number in range(5):
            log.writer.append(number, "json")
        log.writer.end_slice()
        await asyncio.wait([reading])
        assert isinstance(reading.exception(), Lagged)
        assert log.readers == 0, "the task is still held, its stream is not"
    finally:
        gc.enable()


@pytest.mark.contract("MS4", "CN10")
async def test_a_reader_that_dies_of_the_failure_does_not_keep_the_stream():
    held = [WrittenStream()]
    gone = weakref.ref(held[0])

    async def read_on() -> None:
        async for _ in held.pop():
            pass

    held[0].writer.end(ConnectionEnded("it failed"))
    gc.disable()  # it is at once, not at some time
    try:
        reading = asyncio.create_task(read_on())
        await asyncio.wait([reading])
        assert isinstance(reading.exception(), ConnectionEnded)
        assert gone() is None
    finally:
        gc.enable()
