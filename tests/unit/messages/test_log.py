"""The message log: bounded, numbered, and seen through views that never change."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore import InvalidOption, MessageView
from sockstore.messages.kept import CHUNK
from written_log import WrittenLog, WrittenStream


def quiet(error: Exception, where: str) -> None:
    raise error


def make_log(history: int | None) -> WrittenLog:
    return WrittenLog(history, quiet)


def take(log: WrittenLog, *data: Any) -> None:
    """Let one slice arrive."""
    log.writer.begin_slice()
    for it in data:
        log.writer.append(it, "json")
    log.writer.end_slice()


def texts(view: Any) -> list[Any]:
    return [message.data for message in view]


HISTORIES = [None, 0, 1, 2, 10, CHUNK - 1, CHUNK, CHUNK + 1, 1000]


@pytest.mark.contract("MS2", "MS3")
@given(
    history=st.sampled_from(HISTORIES),
    slices=st.lists(st.integers(0, 700), max_size=8),
    data=st.data(),
)
def test_the_log_is_the_end_of_a_list_and_a_view_never_changes(history, slices, data):
    log = make_log(history)
    model: list[int] = []
    views: list[tuple[MessageView, list[int]]] = []
    told: list[MessageView] = []
    log.subscribe(told.append)
    for size in slices:
        new = list(range(len(model), len(model) + size))
        take(log, *new)
        model += new
        kept = model if history is None else model[len(model) - min(history, len(model)) :]
        view = log.value
        views.append((view, kept[:]))
        assert (log.total, log.dropped, len(log)) == (len(model), len(model) - len(kept), len(kept))
        assert len(view) == len(kept)
        if kept:
            index = data.draw(st.integers(-len(kept), len(kept) - 1))
            assert view[index].data == kept[index]
            assert view[index].number == kept[index] + 1
        part = data.draw(st.slices(len(kept)))
        assert texts(view[part]) == kept[part]
    assert len(told) == 1 + sum(size > 0 for size in slices)
    for view, kept in views:
        assert texts(view) == kept
        assert texts(reversed(view)) == kept[::-1]
        for beyond in (len(kept), -len(kept) - 1):
            with pytest.raises(IndexError, match=f"{len(kept)} messages"):
                view[beyond]


@pytest.mark.contract("MS2")
def test_a_view_offers_no_way_to_change_it():
    log = make_log(10)
    take(log, 1, 2)
    view = log.value
    for method in ("append", "__setitem__", "clear", "pop"):
        assert not hasattr(view, method)
    assert repr(view) == "<MessageView of 2 messages>"
    assert repr(log) == "<MessageLog of 2 messages, total=2 dropped=0>"
    assert view[0] in view
    assert list(MessageView()) == []


@pytest.mark.contract("MS2")
def test_history_must_be_a_count_or_none():
    for bad in (-1, 1.5, "10", True):
        with pytest.raises(InvalidOption, match="history"):
            make_log(bad)


@pytest.mark.contract("MS2", "RC11")
def test_memory_is_flat_over_a_million_messages():
    log = make_log(1000)
    views = []
    log.subscribe(lambda view: views.append(view) or views[:-3].clear())
    tracemalloc.start()
    sizes = []
    for _ in range(10):
        for _ in range(400):
            log.writer.begin_slice()
            for n in range(250):
                log.writer.append(n, "json")
            log.writer.end_slice()
            del views[:-3]
        sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert log.total == 1_000_000
    assert max(sizes[1:]) - min(sizes[1:]) < 200_000, sizes


@pytest.mark.contract("MS2")
def test_making_a_view_copies_nothing_however_long_the_history():
    log = make_log(None)
    take(log, *range(200_000))
    tracemalloc.start()
    views = [log.value for _ in range(100)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 100 * 500
    assert all(len(view) == 200_000 for view in views)


# on_append


@pytest.mark.contract("MS3")
def test_on_append_is_called_for_each_message_in_order_with_no_coalescing():
    log = make_log(1)
    order: list[tuple[str, int]] = []
    log.on_append(lambda message: order.append(("first", message.data)))
    log.on_append(lambda message: order.append(("second", message.data)))
    log.subscribe(lambda view: order.append(("view", len(view))))
    take(log, 1, 2)
    assert order == [
        ("view", 0),
        ("first", 1),
        ("second", 1),
        ("first", 2),
        ("second", 2),
        ("view", 1),
    ]


@pytest.mark.contract("MS3")
def test_on_append_may_unsubscribe_itself_and_others_and_subscribe_more_at_any_time():
    log = make_log(None)
    seen: list[str] = []

    def once(message) -> None:
        seen.append(f"once {message.data}")
        stop_once()
        stop_other()
        log.on_append(lambda later: seen.append(f"later {later.data}"))

    stop_once = log.on_append(once)
    stop_other = log.on_append(lambda message: seen.append("never"))
    take(log, 1, 2)
    stop_once()
    assert seen == ["once 1", "later 2"]


@pytest.mark.contract("MS3", "ST9")
def test_on_append_that_raises_stops_neither_the_others_nor_the_log():
    told: list[tuple[str, str]] = []
    log = WrittenLog(None, lambda error, where: told.append((str(error), where)))

    def broken(message) -> None:
        raise ValueError(f"cannot bear {message.data}")

    seen: list[int] = []
    stream = WrittenStream()
    log.add(stream)
    log.on_append(broken)
    log.on_append(lambda message: seen.append(message.data))
    take(log, 1, 2)
    assert seen == [1, 2]
    assert stream.lag == 2
    assert told == [("cannot bear 1", "on_append"), ("cannot bear 2", "on_append")]


@pytest.mark.contract("MS3")
def test_subscribers_are_told_once_a_slice_and_not_of_an_empty_one():
    log = make_log(None)
    told: list[int] = []
    stop = log.subscribe(lambda view: told.append(len(view)))
    take(log, *range(300))
    take(log)
    take(log, 1)
    stop()
    take(log, 1)
    assert told == [0, 300, 301]
    assert len(log.value) == 302, "read without a subscriber it is up to date"
    log.subscribe(lambda view: told.append(len(view)))()
    assert told[-1] == 302


# Memory, and views of any moment


@pytest.mark.contract("MS2")
@pytest.mark.parametrize("history", [None, 0, 1, 10, 300, 1000])
@given(steps=st.lists(st.integers(1, 400), max_size=12))
def test_a_view_taken_in_mid_slice_is_the_list_of_that_moment_for_ever(history, steps):
    log = make_log(history)
    log.writer.begin_slice()
    model: list[int] = []
    views: list[tuple[MessageView, list[int]]] = []
    for size in steps:
        for _ in range(size):
            log.writer.append(len(model), "json")
            model.append(len(model))
        kept = model[:] if history is None else model[len(model) - min(history, len(model)) :]
        views.append((log.value, kept))
    log.writer.end_slice()
    for view, kept in views:
        assert texts(view) == kept
        assert [view[-n].data for n in range(1, len(kept) + 1)] == kept[::-1]
        assert texts(view[-7:-2]) == kept[-7:-2]
        assert texts(view[::-3]) == kept[::-3]


class Payload:
    """Something that a weak reference can watch."""


@pytest.mark.contract("MS2", "RC11")
@pytest.mark.parametrize("history", [0, 1, 10, 300, 1000])
def test_evicted_messages_are_freed_and_a_view_keeps_only_its_own_alive(history):
    log = make_log(history)
    alive: weakref.WeakSet[Payload] = weakref.WeakSet()
    bound = history + 2 * min(CHUNK, history)

    def arrive(count: int) -> None:
        log.writer.begin_slice()
        for _ in range(count):
            payload = Payload()
            alive.add(payload)
            log.writer.append(payload, "json")
        del payload
        log.writer.end_slice()
        gc.collect()

    arrive(5000)
    assert history <= len(alive) <= bound
    view = log.value
    old = list(view)
    arrive(20_000)
    assert list(view) == old
    # The chunk after the view's last one may belong to its spine too.
    assert len(alive) <= 2 * bound + CHUNK, "the view and the log: nothing between them"
    del view, old
    gc.collect()
    assert len(alive) <= bound


@pytest.mark.contract("MS3")
def test_unsubscribing_another_in_mid_slice_is_effective_at_once_and_idempotent():
    log = make_log(None)
    seen: list[str] = []
    stops: list[Any] = []

    def stopper(message) -> None:
        if message.data == 2:
            for _ in range(3):
                stops[0]()

    log.on_append(stopper)

    def listen(message) -> None:
        seen.append(f"heard {message.data}")

    stops.append(log.on_append(listen))
    stop_other = log.on_append(listen)
    take(log, 1, 2, 3)
    assert seen == ["heard 1", "heard 1", "heard 2", "heard 3"], "the same function twice is two"
    stop_other()
    stops[0]()
    take(log, 4)
    assert len(seen) == 4
