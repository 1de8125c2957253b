"""Waiting for values, and stores between threads."""

import asyncio
import gc
from threading import Event, Thread

import pytest

from sockstore.stores import batch, derived, derived_emit, get, readable, readonly, writable
from sockstore.stores.binding import adopt, bind


def tracked(value=0):
    """A store, and whether somebody watches it."""
    live = []

    def start(put, update):
        live.append(True)
        return live.clear

    return writable(value, start), live


async def turn():
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_async_for_yields_the_present_value_and_each_later_one():
    store, live = tracked()
    seen = []

    async def read():
        async for value in store:
            seen.append(value)
            if value == 2:
                break

    task = asyncio.create_task(read())
    await turn()
    for value in (1, 2, 3):
        store.set(value)
        await turn()
    await task
    assert (seen, live) == ([0, 1, 2], [])


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_a_slow_reader_gets_the_newest():
    store, _ = tracked()
    values = aiter(store)
    for value in range(1, 5):
        store.set(value)
    assert await anext(values) == 4
    assert values.dropped == 4


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_a_stream_keeps_the_newest_and_counts_what_it_dropped():
    store, live = tracked()
    with store.stream(buffer=3) as values:
        for value in range(1, 6):
            store.set(value)
        assert [await anext(values) for _ in range(3)] == [3, 4, 5]
        assert values.dropped == 3
        assert live
    assert not live
    assert [value async for value in values] == []


@pytest.mark.contract("ST10")
def test_a_stream_keeps_at_least_one_value():
    with pytest.raises(ValueError, match="at least 1"):
        writable(1).stream(buffer=0)


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_leaving_by_break_unsubscribes_at_once():
    store, live = tracked()
    gc.disable()
    try:
        async for _ in store:
            assert live
            break
        assert not live
    finally:
        gc.enable()


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_cancelling_unsubscribes_at_once_even_if_the_error_is_kept():
    store, live = tracked()

    async def read():
        async for _ in store:
            pass

    gc.disable()
    try:
        task = asyncio.create_task(read())
        await turn()
        assert live
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as kept:
            await task
        assert not live
        assert kept
    finally:
        gc.enable()


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_an_error_in_the_loop_unsubscribes_at_once():
    store, live = tracked()

    async def read():
        async for _ in store:
            raise OSError("body")

    with pytest.raises(OSError, match="body"):
        await read()
    assert not live


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_a_timeout_around_one_value_keeps_the_stream():
    store, live = tracked()
    values = aiter(store)
    assert await anext(values) == 0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await anext(values)
    store.set(1)
    assert await anext(values) == 1
    assert live


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_closing_a_stream_ends_the_loop_of_another_task():
    store, live = tracked()
    values = store.stream(buffer=1)

    async def read():
        return [value async for value in values]

    task = asyncio.create_task(read())
    await turn()
    values.close()
    values.close()
    assert await task == [0]
    assert not live


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_two_tasks_do_not_share_an_iterator():
    values = aiter(writable(0))
    await anext(values)
    first = asyncio.ensure_future(anext(values))
    await turn()
    with pytest.raises(RuntimeError, match="another task"):
        await anext(values)
    first.cancel()


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_reading_one_value_of_a_stream_that_nobody_holds_works():
    store, live = tracked(7)
    assert await anext(aiter(store)) == 7
    values = aiter(readonly(store))
    await anext(values)
    waiting = asyncio.ensure_future(anext(values))
    del values
    await turn()
    store.set(8)
    assert await waiting == 8
    await turn()
    assert not live


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_wait_for_returns_the_value_that_matched():
    store, live = tracked()
    assert await store.wait_for(lambda value: value == 0) == 0
    waiting = asyncio.create_task(store.wait_for(lambda value: value > 1, timeout=5))
    await turn()
    store.set(1)
    store.set(2)
    store.set(0)
    assert await waiting == 2
    assert not live


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_wait_for_gives_up_after_the_timeout():
    store, live = tracked()
    with pytest.raises(TimeoutError):
        await store.wait_for(lambda value: value, timeout=0.001)
    assert not live


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_a_predicate_that_raises_raises_from_wait_for_and_not_from_set():
    store, live = tracked()
    waiting = asyncio.create_task(store.wait_for(lambda value: value and 1 / (value - 1)))
    await turn()
    store.set(1)
    with pytest.raises(ZeroDivisionError):
        await waiting
    assert not live


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_cancelling_wait_for_unsubscribes():
    store, live = tracked()
    waiting = asyncio.create_task(store.wait_for(bool))
    await turn()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not live


@pytest.mark.contract("ST10")
@pytest.mark.asyncio
async def test_a_first_set_from_another_thread_wakes_the_loop():
    store = writable(0)
    values = aiter(store)
    await anext(values)
    waiting = asyncio.ensure_future(anext(values))
    matched = asyncio.create_task(store.wait_for(bool, timeout=5))
    await turn()
    await asyncio.to_thread(store.set, 1)
    assert await asyncio.wait_for(waiting, 5) == 1
    assert await matched == 1


@pytest.mark.contract("ST11")
def test_stores_need_no_event_loop():
    count = writable(1)
    with derived(count, lambda v: v).subscribe(print), count.stream(buffer=1):
        count.set(2)
    assert get(count) == 2
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def elsewhere(fn):
    """What `fn` returns or raises in another thread."""
    outcome = []

    def run():
        try:
            outcome.append(fn())
        except BaseException as error:
            outcome.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]


@pytest.mark.contract("ST12")
def test_a_store_belongs_to_the_thread_of_its_first_set():
    store = writable(0)
    assert elsewhere(lambda: store.set(1)) is None
    for change in (lambda: store.set(2), lambda: store.update(lambda v: v + 1)):
        with pytest.raises(RuntimeError, match=r"loop\.call_soon_threadsafe"):
            change()
    assert store.value == 1


@pytest.mark.contract("ST12")
def test_an_owner_says_which_thread_and_how_to_reach_it():
    store = writable(0)
    adopt(store, "use connection.call_threadsafe")
    elsewhere(lambda: bind(store))
    with pytest.raises(RuntimeError, match=r"connection\.call_threadsafe"):
        store.set(1)
    bind(store)
    store.set(1)
    assert store.value == 1


@pytest.mark.contract("ST12")
def test_reading_is_allowed_anywhere_and_leaves_the_graph_alone():
    source = writable(1)
    source.set(2)
    double = derived(source, lambda v: v * 2)
    emitting = derived_emit(double, lambda emit, v: emit(v + 1), 0)
    built = writable([0], lambda put, update: update(lambda items: [*items, 1]))
    built.set([0])
    parts = (source, double, emitting, built)
    everything = derived(parts, lambda *values: values)
    for _ in range(2):
        assert elsewhere(lambda: everything.value) == (2, 4, 5, [0, 1])
        assert [elsewhere(lambda part=part: get(part)) for part in parts] == [2, 4, 5, [0, 1]]
        double.subscribe(print)
    assert repr(built) == "<Writable [0], not watched>"


@pytest.mark.contract("ST12")
def test_reading_elsewhere_leaves_foreign_stores_and_cleans_up():
    class Bare:
        runs = 0

        def subscribe(self, run):
            self.runs += 1
            run(5)
            return self.leave

        def leave(self):
            self.runs -= 1

    source, events = writable(0), []
    source.set(1)

    def compute(emit, *values):
        emit(sum(values))
        return lambda: events.append("clean")

    def start(put, update):
        put(10)
        return lambda: events.append("stop")

    foreign = Bare()
    store = derived_emit((source, foreign, readable(0, start)), compute, 0)
    assert elsewhere(lambda: store.value) == 16
    assert (sorted(events), foreign.runs) == (["clean", "stop"], 0)


@pytest.mark.contract("ST12")
def test_reading_elsewhere_raises_what_a_computation_raises():
    source = writable(1)
    inverse = derived(source, lambda v: 1 / v)
    after = derived(inverse, lambda v: v)
    inverse.subscribe(print)
    with pytest.raises(ZeroDivisionError):
        source.set(0)
    assert isinstance(elsewhere(lambda: inverse.value), ZeroDivisionError)
    assert isinstance(elsewhere(lambda: after.value), ZeroDivisionError)


@pytest.mark.contract("ST12")
def test_subscribing_to_a_store_of_another_thread_is_refused():
    source = writable(1)
    source.set(2)
    for store in (source, derived(source, lambda v: v)):
        error = elsewhere(lambda store=store: store.subscribe(print))
        assert isinstance(error, RuntimeError)
        assert "another thread" in str(error)


@pytest.mark.contract("ST12")
def test_unsubscribing_works_anywhere_and_stops_on_the_own_thread():
    store, live = tracked()
    store.set(1)
    seen = []
    unsubscribe = store.subscribe(seen.append)
    assert elsewhere(unsubscribe) is None
    assert not unsubscribe.active
    assert live
    with batch():
        pass
    assert not live
    store.set(2)
    assert seen == [1]


@pytest.mark.contract("ST12")
def test_two_threads_do_not_run_each_others_subscribers():
    mine, theirs = writable(0), writable(0)
    entered, leave = Event(), Event()
    seen = []

    def stay(value):
        if value:
            entered.set()
            leave.wait(5)

    theirs.subscribe(stay)
    thread = Thread(target=theirs.set, args=(1,))
    thread.start()
    entered.wait(5)
    mine.subscribe(seen.append)
    mine.set(1)
    assert seen == [0, 1]
    leave.set()
    thread.join()


@pytest.mark.contract("ST12")
def test_whoever_holds_a_derived_store_holds_the_owner():
    class Owner:
        alive = True

        def __init__(self):
            self.state = writable(1)
            adopt(self.state, "the owner's thread", owner=self)

        def __del__(self):
            Owner.alive = False

    status = derived(readonly(Owner().state), lambda v: v)
    gc.collect()
    assert Owner.alive
    assert status.value == 1
    del status
    gc.collect()
    assert not Owner.alive


@pytest.mark.contract("ST12")
def test_a_readable_is_built_only_when_somebody_looks():
    built = []

    def start(put, update):
        built.append(1)
        put([1, 2, 3])

    store = readable([], start)
    assert built == []
    assert elsewhere(lambda: store.value) == [1, 2, 3]
    assert store.value == [1, 2, 3]
    assert len(built) == 2
