"""Writable and readable stores: the contract of a single store."""

import enum
import gc
import math

import pytest

import sockstore.stores
from sockstore.stores import (
    Readable,
    Unsubscriber,
    Writable,
    batch,
    changed,
    derived,
    get,
    readable,
    readonly,
    subscribe_weakly,
    writable,
)


@pytest.mark.contract("ST1")
def test_a_store_has_a_value_and_get_reads_it():
    count = writable(1)
    assert (count.value, get(count), get(readonly(count))) == (1, 1, 1)


@pytest.mark.contract("ST1")
def test_readonly_and_readable_offer_no_set():
    for store in (readonly(writable(1)), readable(1)):
        assert isinstance(store, Readable)
        assert not isinstance(store, Writable)
        assert not hasattr(store, "set")
        assert not hasattr(store, "update")


@pytest.mark.contract("ST1")
def test_readonly_follows_its_store():
    count = writable(1)
    seen = []
    readonly(count).subscribe(seen.append)
    count.set(2)
    assert seen == [1, 2]


@pytest.mark.contract("ST2")
def test_subscribe_calls_at_once_and_on_every_change():
    count = writable(1)
    seen = []
    unsubscribe = count.subscribe(seen.append)
    assert seen == [1]
    count.set(2)
    count.update(lambda number: number + 1)
    unsubscribe()
    count.set(4)
    assert seen == [1, 2, 3]


@pytest.mark.contract("ST2")
def test_unsubscribing_twice_does_nothing_more():
    stops = []
    store = writable(1, lambda put, update: lambda: stops.append(1))
    first, second = store.subscribe(print), store.subscribe(print)
    first()
    first()
    assert stops == []
    second()
    second()
    assert stops == [1]


@pytest.mark.contract("ST2")
def test_an_unsubscriber_is_a_context_manager():
    count = writable(1)
    seen = []
    with count.subscribe(seen.append) as unsubscribe:
        assert unsubscribe.active
        count.set(2)
    count.set(3)
    assert seen == [1, 2]
    assert not unsubscribe.active


@pytest.mark.contract("ST15")
@pytest.mark.parametrize("make", [writable, readable, lambda value: derived([], lambda: value)])
def test_what_subscribe_returns_is_an_unsubscriber(make):
    store = make(1)
    for unsubscribe in (store.subscribe(print), subscribe_weakly(store, print)):
        assert type(unsubscribe) is Unsubscriber
        assert unsubscribe.active
        unsubscribe()
        assert not unsubscribe.active
    assert not hasattr(sockstore.stores, "Subscription")


@pytest.mark.contract("ST12")
def test_a_foreign_store_can_be_watched_weakly():
    class Foreign:
        left = 0

        def subscribe(self, run):
            self.run = run
            run(1)
            return self

        def unsubscribe(self):
            self.left += 1

    class Label:
        def show(self, value):
            seen.append(value)

    seen, foreign, label = [], Foreign(), Label()
    subscribe_weakly(foreign, label.show)
    foreign.run(2)
    del label
    assert (seen, foreign.left) == ([1, 2], 1)


@pytest.mark.contract("ST1")
def test_a_store_shows_users_only_what_the_contract_has():
    names = {"stream", "subscribe", "value", "wait_for"}
    for store in (readable(1), readonly(writable(1)), derived(writable(1), abs)):
        assert {name for name in dir(store) if not name.startswith("_")} == names
    assert {name for name in dir(writable(1)) if not name.startswith("_")} == {
        *names,
        "set",
        "update",
    }


@pytest.mark.contract("ST3")
def test_the_same_function_twice_is_two_subscriptions():
    count = writable(1)
    seen = []
    first = count.subscribe(seen.append)
    count.subscribe(seen.append)
    first()
    count.set(2)
    assert seen == [1, 1, 2]


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Size(enum.IntEnum):
    SMALL = 1


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Text(str):
    __slots__ = ()


class Trap:
    def __eq__(self, other):
        raise AssertionError("a user's __eq__ is never called")

    __hash__ = None


TRAP = Trap()
LIST: list[int] = []


@pytest.mark.contract("ST4")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, None),
        (True, True),
        (1000**9, 1000**9),
        (0.5, 0.5),
        (math.nan, float("nan")),
        (complex(1, math.nan), complex(1, math.nan)),
        ("ab" * 50, "abab" * 25),
        (b"ab" * 50, b"abab" * 25),
        (Colour.RED, Colour(1)),
        (Size.SMALL, Size(1)),
        (Right.READ | Right.WRITE, Right.WRITE | Right.READ),
    ],
)
def test_equal_simple_values_are_no_news(old, new):
    assert not changed(old, new)
    store = writable(old)
    seen = []
    store.subscribe(seen.append)
    store.set(new)
    assert len(seen) == 1


@pytest.mark.contract("ST4")
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (None, False),
        (1, True),
        (1, 1.0),
        (1, Size.SMALL),
        (complex(1, math.nan), complex(2, math.nan)),
        (math.nan, 0.0),
        ("a", "b"),
        ("a", b"a"),
        (Colour.RED, Colour.BLUE),
        (Text("a"), Text("a")),
        ((), ()),
        (LIST, LIST),
        (TRAP, TRAP),
        (TRAP, Trap()),
        (TRAP, None),
        (None, TRAP),
    ],
)
def test_everything_else_is_news(old, new):
    assert changed(old, new)
    store = writable(old)
    seen = []
    store.subscribe(seen.append)
    store.set(new)
    assert len(seen) == 2


@pytest.mark.contract("ST4")
def test_differs_decides_in_place_of_the_rule():
    store = writable([1], differs=lambda old, new: old != new)
    seen = []
    store.subscribe(seen.append)
    store.set([1])
    store.set([2])
    assert seen == [[1], [2]]


@pytest.mark.contract("ST4")
def test_differs_compares_with_the_value_that_was_kept():
    store = writable(0, differs=lambda old, new: abs(old - new) > 1)
    store.set(1)
    assert store.value == 0
    store.set(2)
    assert store.value == 2


@pytest.mark.contract("ST4")
def test_differs_that_raises_changes_nothing():
    store = writable(0, differs=lambda old, new: 1 / new)
    with pytest.raises(ZeroDivisionError):
        store.set(0)
    store.set(1)
    assert store.value == 1


def clock(events, value=1):
    def start(put, update):
        events.append("start")
        put(value)
        update(lambda number: number + 1)
        return lambda: events.append("stop")

    return start


@pytest.mark.contract("ST5")
def test_start_runs_for_the_first_subscriber_and_stop_for_the_last():
    events = []
    store = readable(0, clock(events))
    first = store.subscribe(events.append)
    second = store.subscribe(events.append)
    assert events == ["start", 2, 2]
    first()
    assert events == ["start", 2, 2]
    second()
    assert events == ["start", 2, 2, "stop"]


@pytest.mark.contract("ST5")
def test_a_store_starts_again_after_the_last_has_left():
    events = []
    store = writable(0, clock(events))
    store.subscribe(events.append)()
    store.set(7)
    store.subscribe(events.append)()
    assert events == ["start", 2, "stop", "start", 2, "stop"]


@pytest.mark.contract("ST5")
def test_reading_an_idle_store_starts_and_stops_it():
    events = []
    store = readable(0, clock(events))
    assert (store.value, get(store)) == (2, 2)
    assert events == ["start", "stop"] * 2


@pytest.mark.contract("ST5")
def test_a_start_that_raises_is_rolled_back_and_can_start_again():
    attempts = []

    def start(put, update):
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("no")

    store = writable(1, start)
    seen = []
    with pytest.raises(OSError, match="no"):
        store.subscribe(seen.append)
    store.set(2)
    assert seen == []
    store.subscribe(seen.append)
    store.set(3)
    assert (seen, len(attempts)) == ([2, 3], 2)


@pytest.mark.contract("ST5")
def test_a_first_call_that_raises_is_rolled_back():
    events = []
    store = readable(0, clock(events))
    calls = []

    def run(value):
        calls.append(value)
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        store.subscribe(run)
    assert events == ["start", "stop"]
    store.subscribe(events.append)
    assert calls == [2]


@pytest.mark.contract("ST5")
def test_a_first_call_that_sets_and_raises_is_not_called_again():
    count = writable(0)
    calls, others = [], []
    count.subscribe(others.append)

    def run(value):
        calls.append(value)
        count.set(value + 1)
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        count.subscribe(run)
    assert (calls, others) == ([0], [0, 1])


@pytest.mark.contract("ST5")
def test_one_that_raises_among_several_inputs_stops_those_that_had_started():
    events = []
    healthy = readable(0, clock(events))

    def start(put, update):
        raise OSError("no")

    broken = readable(0, start)
    total = derived((healthy, broken), lambda a, b: a + b)
    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            total.subscribe(print)
        with pytest.raises(OSError, match="no"):
            get(total)
    assert events == ["start", "stop"] * 4


@pytest.mark.contract("ST5")
def test_start_must_return_a_function_or_none():
    store = writable(0, lambda put, update: 3)
    with pytest.raises(TypeError, match="start returned 3"):
        store.subscribe(print)


@pytest.mark.contract("ST5")
def test_a_stop_that_raises_raises_from_unsubscribe_after_all_have_stopped():
    events = []

    def bad_stop():
        raise OSError("stop")

    bad = readable(1, lambda put, update: bad_stop)
    good = readable(0, clock(events))
    unsubscribe = derived((bad, good), lambda a, b: a + b).subscribe(print)
    with pytest.raises(OSError, match="stop"):
        unsubscribe()
    assert events == ["start", "stop"]
    unsubscribe()


@pytest.mark.contract("ST5")
def test_start_may_set_other_stores_and_subscribe_to_its_own():
    other = writable(0)
    seen, own = [], []
    other.subscribe(seen.append)

    def start(put, update):
        other.set(1)
        store.subscribe(own.append)()
        put(5)

    store = writable(0, start)
    store.subscribe(own.append)
    assert seen == [0, 1]
    assert own == [0, 5]


@pytest.mark.contract("ST5")
def test_a_visitor_during_start_does_not_stop_the_store():
    events = []

    def start(put, update):
        events.append("start")
        store.subscribe(lambda _: None)()
        return lambda: events.append("stop")

    store = writable(0, start)
    first, second = store.subscribe(print), store.subscribe(print)
    first()
    assert events == ["start"]
    second()
    assert events == ["start", "stop"]


@pytest.mark.contract("ST5")
def test_inputs_stop_in_the_order_of_the_inputs():
    events = []
    inputs = [
        readable(0, lambda put, update, name=name: lambda: events.append(name)) for name in "abc"
    ]
    derived(inputs, lambda *values: values).subscribe(print)()
    assert events == ["a", "b", "c"]


@pytest.mark.contract("ST5")
def test_what_a_start_did_elsewhere_before_it_raised_is_told():
    other = writable(0)
    seen = []
    other.subscribe(seen.append)

    def start(put, update):
        other.set(1)
        raise OSError("no")

    for act in (writable(0, start).subscribe, lambda _: writable(0, start).value):
        with pytest.raises(OSError, match="no"):
            act(print)
        assert seen[-1] == 1
        other.set(0)
    assert seen == [0, 1, 0, 1, 0]


@pytest.mark.contract("ST5")
def test_a_start_that_raises_is_tried_again_even_if_it_left_a_subscriber():
    starts, seen = [], []

    def start(put, update):
        starts.append(1)
        if len(starts) == 1:
            store.subscribe(seen.append)
            raise OSError("no")

    store = writable(0, start)
    with pytest.raises(OSError, match="no"):
        store.subscribe(print)
    store.subscribe(print)
    assert len(starts) == 2


@pytest.mark.contract("ST5")
def test_the_first_error_goes_before_one_of_undoing():
    def bad_stop():
        raise ValueError("stop")

    def start(put, update):
        raise OSError("start")

    bad = readable(0, lambda put, update: bad_stop)
    with pytest.raises(OSError, match="start") as caught:
        derived((bad, readable(0, start)), lambda a, b: a).subscribe(print)
    assert "stop" in caught.value.__notes__[0]


@pytest.mark.contract("ST12")
def test_the_garbage_collector_may_strike_at_any_moment():
    ended, seen = [], []
    source = writable(0, lambda put, update: lambda: ended.append(True))

    class Label:
        def __init__(self, store):
            self.myself = self
            subscribe_weakly(store, self.show)

        def show(self, value):
            pass

    threshold = gc.get_threshold()
    gc.set_threshold(3, 2, 2)
    try:
        unsubscribe = derived(source, lambda v: v).subscribe(seen.append)
        for value in range(1, 300):
            for _ in range(3):
                Label(derived(source, lambda v: [v]))
            source.set(value)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    source.set(-1)
    assert seen == [*range(300), -1]
    assert not ended
    unsubscribe()
    assert ended == [True]


@pytest.mark.contract("ST5")
def test_start_may_unsubscribe_others():
    other = writable(0)
    seen = []
    unsubscribe = other.subscribe(seen.append)
    store = writable(0, lambda put, update: unsubscribe())
    store.subscribe(print)
    other.set(1)
    assert seen == [0]


@pytest.mark.contract("ST5")
def test_a_stop_may_subscribe_again():
    events = []

    def start(put, update):
        events.append("start")
        return stop

    def stop():
        events.append("stop")
        if len(events) == 2:
            store.subscribe(seen.append)

    store = writable(0, start)
    seen = []
    store.subscribe(print)()
    store.set(1)
    assert (events, seen) == (["start", "stop", "start"], [0, 1])


@pytest.mark.contract("ST12")
def test_a_weak_subscription_ends_with_its_function():
    stops = []
    store = writable(0, lambda put, update: lambda: stops.append(1))
    seen = []

    def run(value):
        seen.append(value)

    subscription = subscribe_weakly(store, run)
    store.set(1)
    del run
    gc.collect()
    assert (stops, subscription.active) == ([1], False)
    store.set(2)
    assert seen == [0, 1]


@pytest.mark.contract("ST12")
def test_a_weak_subscription_of_a_bound_method_lives_as_long_as_its_object():
    seen = []

    class Label:
        def show(self, value):
            seen.append(value)

    label, store = Label(), writable(0)
    subscribe_weakly(store, label.show)
    gc.collect()
    store.set(1)
    del label
    store.set(2)
    assert seen == [0, 1]


@pytest.mark.contract("ST12")
def test_a_weak_subscriber_that_dies_in_mid_notification_is_not_called():
    store = writable(0)
    seen, labels = [], []

    class Label:
        def show(self, value):
            seen.append(value)

    labels.append(Label())
    store.subscribe(lambda value: value and labels.clear())
    subscription = subscribe_weakly(store, labels[0].show)
    store.set(1)
    assert (seen, subscription.active) == ([0], False)


@pytest.mark.contract("ST12")
def test_a_weak_subscriber_may_be_collected_while_a_change_lists_who_is_to_be_told():
    class Label:
        def __init__(self):
            self.itself = self

        def show(self, value):
            pass

    usual = gc.get_threshold()
    for objects in range(5):
        store, seen = writable(0), []
        # So many that Python has no tuple of this size at hand, but has to make one.
        for _ in range(30):
            store.subscribe(seen.append)
        gc.set_threshold(0)
        subscribe_weakly(store, Label().show)
        # The collector strikes when so many more objects were made.
        gc.set_threshold(gc.get_count()[0] + objects)
        try:
            store.set(1)
        finally:
            gc.set_threshold(*usual)
        assert seen == [0] * 30 + [1] * 30


@pytest.mark.contract("ST12")
def test_a_strong_subscription_keeps_its_function():
    seen = []
    store = writable(0)

    class Label:
        def show(self, value):
            seen.append(value)

    store.subscribe(Label().show)
    gc.collect()
    store.set(1)
    assert seen == [0, 1]


@pytest.mark.contract("ST8")
def test_a_batch_is_read_through_and_told_at_its_end():
    a, b = writable(1), writable(2)
    total = derived((a, b), lambda x, y: x + y)
    seen = []
    total.subscribe(seen.append)
    with batch():
        a.set(10)
        assert (a.value, total.value) == (10, 12)
        b.set(20)
        assert seen == [3]
    assert seen == [3, 30]
