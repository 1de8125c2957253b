"""Reading stores in one thread while another one uses them (ST12)."""

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from threading import Barrier, get_ident

import pytest

from sockstore import derived, get, readable, readonly, writable
from sockstore.stores import derived_emit

pytestmark = pytest.mark.contract("ST12")

ROUNDS = 300


def elsewhere(fn):
    """What `fn` returns, or raises, in another thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(fn).result()


def source(*, is_set):
    """A store that belongs to this thread, or to none yet."""
    store = writable(0)
    if is_set:
        store.set(1)
        store.set(0)
    return store


class Inner:
    """Reads a store in another thread, at a moment within a computation of this thread."""

    def __init__(self):
        self.thread = get_ident()
        self.store = None
        self.found = []

    def look(self):
        # The other thread computes too, and would look again.
        if get_ident() == self.thread:
            self.found += [elsewhere(lambda: self.store.value), elsewhere(lambda: get(self.store))]
            self.found.append(elsewhere(lambda: repr(self.store)))


def computed(number, inner):
    def compute(value):
        inner.look()
        return value + 5

    return derived(number, compute)


def computed_from_two(number, inner):
    def compute(first, second):
        inner.look()
        return first + second + 5

    return derived([number, writable(0)], compute)


def computed_from_a_computed(number, inner):
    return derived(computed(number, inner), lambda value: value)


def an_input_of_what_is_read(number, inner):
    return derived((number, computed(number, inner)), lambda _, value: value)


def handed_out(number, inner):
    return readonly(computed(number, inner))


KINDS = [
    computed,
    computed_from_two,
    computed_from_a_computed,
    an_input_of_what_is_read,
    handed_out,
]


@pytest.mark.parametrize("is_set", [True, False])
@pytest.mark.parametrize("make", KINDS)
def test_another_thread_reads_a_store_while_its_first_value_is_computed(make, is_set):
    inner = Inner()
    store = inner.store = make(source(is_set=is_set), inner)
    store.subscribe(print)()
    assert store.value == 5
    assert inner.found[0:2] == inner.found[3:5] == [5, 5]
    assert all("<Readable 5" in text for text in inner.found[2::3])


@pytest.mark.parametrize("make", KINDS)
def test_another_thread_reads_the_last_value_while_the_next_is_computed(make):
    inner = Inner()
    number = source(is_set=True)
    store = inner.store = make(number, inner)
    with store.subscribe(print):
        inner.found.clear()
        number.set(1)
        assert inner.found[:2] == [5, 5]
    assert elsewhere(lambda: store.value) == 6


def test_another_thread_reads_what_is_emitted_at_once_not_the_value_before():
    inner = Inner()
    number = source(is_set=True)

    def compute(emit, value):
        inner.look()
        emit(value + 5)

    store = inner.store = derived_emit(number, compute, "initial")
    with store.subscribe(print):
        assert inner.found[:2] == [5, 5]
    number.set(1)
    inner.found.clear()
    with store.subscribe(print):
        assert inner.found[:2] == [6, 6]


def test_another_thread_reads_what_a_start_sets_not_the_value_before():
    inner = Inner()

    def start(put, _):
        inner.look()
        put(5)

    for make in (writable, readable):
        store = inner.store = make("before", start)
        inner.found.clear()
        with store.subscribe(print):
            assert inner.found[:2] == [5, 5]


def test_another_thread_reads_a_store_of_another_library_while_it_is_subscribed_to():
    inner = Inner()

    class Bare:
        def subscribe(self, run):
            inner.look()
            run(5)
            return lambda: None

    store = inner.store = derived(Bare(), lambda value: value)
    with store.subscribe(print):
        assert inner.found[:2] == [5, 5]


def test_reading_a_store_of_no_thread_does_not_take_it():
    """Another thread subscribes to it and sets it meanwhile."""
    reader, number, told = [], writable(0), []

    def compute(value):
        if reader == [get_ident()]:
            reader.clear()
            elsewhere(lambda: (store.subscribe(told.append), number.set(1)))
        return value + 5

    store = derived(number, compute)
    reader.append(get_ident())
    assert store.value == 5
    assert told == [5, 6]
    assert store.value == 6


def test_two_threads_start_a_store_of_no_thread_for_their_readings():
    inner, running, starts = Inner(), set(), []

    def start(put, _):
        running.add(get_ident())
        starts.append(get_ident())
        inner.look()
        put(5)
        return lambda: running.remove(get_ident())

    store = inner.store = derived(readable(0, start), lambda value: value)
    assert store.value == 5
    assert inner.found[:2] == [5, 5]
    assert not running
    assert len(starts) == 3


def test_another_thread_reads_the_error_and_what_follows_it():
    number = source(is_set=True)
    store = derived(number, lambda value: 1 / value)
    number.set(1)
    with store.subscribe(print):
        with pytest.raises(ZeroDivisionError):
            number.set(0)
        with pytest.raises(ZeroDivisionError):
            elsewhere(lambda: store.value)
        assert "division" in elsewhere(lambda: repr(store))
        number.set(1)
        assert elsewhere(lambda: store.value) == 1


@pytest.mark.parametrize("is_set", [True, False])
def test_a_computation_that_reads_itself_is_refused_in_every_thread(is_set):
    store = derived(source(is_set=is_set), lambda _: store.value)
    for read in (lambda: store.value, lambda: elsewhere(lambda: store.value)):
        with pytest.raises(RuntimeError, match="first value is computed"):
            read()


def test_what_emits_and_what_starts_may_read_itself_in_every_thread():
    number = source(is_set=True)
    emitting = derived_emit(number, lambda emit, _: emit(emitting.value + 1), 0)
    started = writable(0, lambda put, _: put(started.value + 1))
    started.set(0)
    for store in (emitting, started):
        assert elsewhere(lambda store=store: store.value) == 1
        assert store.value == 1


@pytest.fixture
def hasty_threads():
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def emitting(number):
    return derived_emit(number, lambda emit, value: emit(sum([value, 5])), 5)


def plain(number):
    return derived([number, writable(0)], lambda *values: sum([*values, 5]))


def deep(number):
    return derived([plain(number), plain(number)], lambda first, _: sum([first]))


def deep_and_handed_out(number):
    return readonly(deep(number))


@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.parametrize(
    ("make", "is_set"),
    [(emitting, True), *product([plain, deep, deep_and_handed_out], [True, False])],
)
def test_one_thread_reads_while_another_subscribes_and_sets(make, is_set):
    for _ in range(10):
        number = source(is_set=is_set)
        store = make(number)
        together, done = Barrier(2), []

        def read(store=store, together=together, done=done):
            found = set()
            together.wait()
            while not done:
                found |= {store.value, get(store)}
                repr(store)
            return found

        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read)
            try:
                together.wait()
                for value in range(ROUNDS // 10):
                    with store.subscribe(lambda _: None):
                        number.set(value)
            finally:
                done.append(True)
            assert reading.result() <= set(range(5, 5 + ROUNDS // 10))
