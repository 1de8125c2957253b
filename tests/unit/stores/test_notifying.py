"""Telling subscribers: order, nesting, leaving, raising, batches."""

import asyncio
from itertools import pairwise

import pytest

from sockstore.stores import batch, derived, get, writable
from sockstore.stores.scheduling import CASCADE_LIMIT, Scheduler, threads


@pytest.fixture(autouse=True)
def nothing_is_left_in_the_scheduler():
    yield
    scheduler = threads.scheduler
    blank = Scheduler()
    for slot in set(Scheduler.__slots__) - {"failures"}:
        assert getattr(scheduler, slot) == getattr(blank, slot), slot


@pytest.mark.contract("ST8")
def test_who_unsubscribes_in_mid_notification_is_never_called_again():
    count = writable(0)
    seen = []

    def first(value):
        seen.append(("first", value))
        if value == 1:
            leave_first()
            leave_second()

    leave_first = count.subscribe(first)
    leave_second = count.subscribe(lambda value: seen.append(("second", value)))
    count.set(1)
    count.set(2)
    assert seen == [("first", 0), ("second", 0), ("first", 1)]


@pytest.mark.contract("ST8")
def test_who_subscribes_in_mid_notification_hears_each_value_once():
    count = writable(0)
    seen = []

    def first(value):
        if value == 1:
            count.subscribe(seen.append)

    count.subscribe(first)
    count.set(1)
    assert seen == [1]
    count.set(2)
    assert seen == [1, 2]


@pytest.mark.contract("ST8")
def test_a_nested_set_takes_effect_at_once_and_is_told_in_order():
    count = writable(0)
    double = derived(count, lambda value: value * 2)
    seen = []

    def first(value):
        seen.append(f"A{value}")
        if value == 1:
            count.set(2)
            assert (count.value, get(double)) == (2, 4)

    count.subscribe(first)
    count.subscribe(lambda value: seen.append(f"B{value}"))
    double.subscribe(lambda value: seen.append(f"D{value}"))
    count.set(1)
    assert " ".join(seen) == "A0 B0 D0 A1 B1 D2 A2 B2 D4"


@pytest.mark.contract("ST8")
def test_a_set_in_the_first_call_is_queued_too():
    count = writable(0)
    seen = []
    count.subscribe(lambda value: seen.append(f"A{value}"))

    def run(value):
        seen.append(f"B{value}")
        if value < 3:
            count.set(value + 1)
            count.set(value + 2)
            seen.append("set")

    count.subscribe(run)
    assert " ".join(seen) == "A0 B0 set A1 B1 set A2 B2 set A3 B3 A4 B4"
    assert count.value == 4


@pytest.mark.contract("ST8")
def test_a_long_cascade_of_subscribers_does_not_recurse():
    stores = [writable(0) for _ in range(20_000)]
    for one, following in pairwise(stores):
        one.subscribe(following.set)
    stores[0].set(1)
    assert stores[-1].value == 1


@pytest.mark.contract("ST8")
def test_an_endless_cycle_ends_with_a_clear_error_and_leaves_the_stores_usable():
    count, other = writable(0), writable(0)
    seen = []
    unsubscribe = count.subscribe(lambda value: value and other.set(value))
    other.subscribe(lambda value: value and count.set(value + 1))
    with pytest.raises(RuntimeError, match="endless cycle") as caught:
        count.set(1)
    assert "test_an_endless_cycle" in caught.value.__notes__[0]
    unsubscribe()
    count.subscribe(seen.append)
    count.set(-1)
    assert seen[-1] == -1


@pytest.mark.contract("ST8")
def test_a_cycle_that_doubles_ends_too():
    count = writable(0)
    for _ in range(2):
        count.subscribe(lambda value: value and count.set(value + 1))
    with pytest.raises(RuntimeError, match="endless cycle"):
        count.set(1)
    assert count.value > CASCADE_LIMIT / 2


@pytest.mark.contract("ST8")
def test_a_computation_that_sets_its_own_input_for_ever_ends_too():
    count = writable(0)

    def compute(value):
        if value:
            count.set(value + 1)
        return value

    double = derived(count, compute)
    double.subscribe(lambda _: None)
    with pytest.raises(RuntimeError, match="endless cycle"):
        count.set(1)
    count.set(0)
    assert double.value == 0


@pytest.mark.contract("ST8")
def test_a_computation_may_set_another_store():
    source, log = writable(0), writable(0)

    def compute(value):
        log.set(value)
        return value

    both = derived((derived(source, compute), log), lambda a, b: (a, b))
    seen = []
    both.subscribe(seen.append)
    source.set(1)
    assert seen == [(0, 0), (1, 1)]


@pytest.mark.contract("ST8")
def test_a_batch_tells_once_and_only_what_differs():
    a, b = writable(1), writable(1)
    seen = []
    a.subscribe(lambda value: seen.append(("a", value)))
    b.subscribe(lambda value: seen.append(("b", value)))
    del seen[:]
    with batch():
        a.set(2)
        with batch():
            a.set(3)
            b.set(2)
        assert seen == []
        b.set(1)
    assert seen == [("a", 3)]


@pytest.mark.contract("ST8")
def test_who_subscribes_in_a_batch_hears_each_value_once():
    count = writable(0)
    early, late, later = [], [], []
    count.subscribe(early.append)
    with batch():
        count.set(1)
        count.subscribe(late.append)
        count.set(2)
        count.subscribe(later.append)
    assert (early, late, later) == ([0, 2], [1, 2], [2])
    with batch():
        count.set(3)
        last = []
        count.subscribe(last.append)
        count.set(2)
    assert (early, last) == ([0, 2], [3, 2])


@pytest.mark.contract("ST8")
def test_differs_that_raises_at_the_end_of_a_batch_tells_and_raises():
    count = writable(0, differs=lambda old, new: 1 / (new - old))
    seen = []
    count.subscribe(seen.append)
    with pytest.raises(ZeroDivisionError), batch():
        count.set(1)
        count.set(0)
    assert seen == [0, 0]


@pytest.mark.contract("ST8")
def test_a_batch_that_raises_keeps_and_tells_the_changes():
    count = writable(0)
    seen = []
    count.subscribe(seen.append)
    with pytest.raises(OSError, match="body"), batch():
        count.set(1)
        raise OSError("body")
    assert seen == [0, 1]


def raiser(error, seen):
    def run(value):
        seen.append(value)
        if value == 1:
            raise error

    return run


@pytest.mark.contract("ST9")
def test_a_subscriber_that_raises_stops_no_other():
    count = writable(0)
    before, bad, after = [], [], []
    count.subscribe(before.append)
    error = OSError("mine")
    count.subscribe(raiser(error, bad))
    count.subscribe(after.append)
    with pytest.raises(OSError, match="mine") as caught:
        count.set(1)
    assert caught.value is error
    assert "raiser.<locals>.run" in error.__notes__[0]
    assert before == bad == after == [0, 1]
    count.set(2)
    assert before == bad == after == [0, 1, 2]


@pytest.mark.contract("ST9")
def test_several_errors_come_as_a_group_from_the_outermost_set():
    count, other = writable(0), writable(0)
    errors = OSError("one"), ValueError("two"), KeyError("three")
    count.subscribe(raiser(errors[0], []))

    def nested(value):
        other.set(value)
        if value:
            raise errors[1]

    count.subscribe(nested)
    other.subscribe(raiser(errors[2], []))
    with pytest.raises(ExceptionGroup) as caught:
        count.set(1)
    assert caught.value.exceptions == errors


@pytest.mark.contract("ST9")
def test_a_batch_raises_what_subscribers_raise():
    count = writable(0)
    count.subscribe(raiser(OSError("mine"), []))
    with pytest.raises(OSError, match="mine"), batch():
        count.set(1)


@pytest.mark.contract("ST9")
def test_what_ends_a_batch_goes_before_what_subscribers_raise():
    count = writable(0)
    count.subscribe(raiser(OSError("mine"), []))
    with pytest.raises(ValueError, match="body") as caught, batch():
        count.set(1)
        raise ValueError("body")
    assert "mine" in caught.value.__notes__[0]


@pytest.mark.contract("ST9")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, asyncio.CancelledError, SystemExit])
def test_an_interruption_in_mid_notification_loses_nothing(kind):
    count = writable(0)
    double = derived(count, lambda value: value * 2)
    before, after, doubled = [], [], []
    count.subscribe(before.append)
    count.subscribe(raiser(kind("stop"), []))
    count.subscribe(raiser(OSError("mine"), []))
    count.subscribe(after.append)
    double.subscribe(doubled.append)
    with pytest.raises(kind) as caught:
        count.set(1)
    assert "mine" in "".join(caught.value.__notes__)
    assert (before, after, doubled) == ([0, 1], [0, 1], [0, 2])
    count.set(2)
    assert (before, after, doubled) == ([0, 1, 2], [0, 1, 2], [0, 2, 4])


@pytest.mark.contract("ST9")
def test_an_interrupted_computation_is_repeated():
    count, other = writable(0), writable(0)
    interrupt = [False]

    def compute(value):
        if interrupt.pop():
            raise KeyboardInterrupt
        interrupt.append(False)
        return value * 2

    double = derived(count, compute)
    both = derived((double, other), lambda a, b: (a, b))
    doubled, pairs = [], []
    double.subscribe(doubled.append)
    both.subscribe(pairs.append)
    interrupt[:] = [True]
    with pytest.raises(KeyboardInterrupt):
        count.set(1)
    interrupt[:] = [False]
    assert (double.value, both.value) == (2, (2, 0))
    other.set(1)
    assert (doubled, pairs) == ([0, 2], [(0, 0), (2, 1)])


@pytest.mark.contract("ST9")
def test_an_interrupted_first_call_is_rolled_back():
    count = writable(0)
    calls = []

    def run(value):
        calls.append(value)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        count.subscribe(run)
    count.set(1)
    assert calls == [0]
