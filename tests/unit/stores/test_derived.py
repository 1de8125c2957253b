"""Derived stores: consistent in every graph, computed once, without recursion."""

import gc
import sys
from weakref import finalize

import pytest

from sockstore.stores import batch, derived, derived_emit, get, readable, readonly, writable

DEEP = 1_000 if sys.platform == "emscripten" else 20_000


class Counted:
    def __init__(self, fn):
        self.fn = fn
        self.calls = 0

    def __call__(self, *values):
        self.calls += 1
        return self.fn(*values)


def watch(store):
    seen = []
    store.subscribe(seen.append)
    return seen


@pytest.mark.contract("ST6")
def test_a_diamond_is_computed_once_for_each_change():
    source = writable(1)
    left, right = derived(source, lambda v: v + 1), derived(source, lambda v: v * 10)
    total = Counted(lambda a, b: (a, b))
    seen = watch(derived((left, right), total))
    source.set(2)
    assert seen == [(2, 10), (3, 20)]
    assert total.calls == 2


@pytest.mark.contract("ST6")
def test_paths_of_uneven_length_never_mix():
    source = writable(0)
    path = source
    for _ in range(5):
        path = derived(path, lambda v: v)
    for inputs in ((source, path), (path, source)):
        difference = Counted(lambda a, b: a - b)
        seen = watch(derived(inputs, difference))
        for value in range(1, 4):
            source.set(value)
        assert (seen, difference.calls) == ([0], 4)
        source.set(0)


@pytest.mark.contract("ST6")
def test_a_thousand_inputs_do_not_mix():
    source = writable(0)
    inputs = [derived(source, lambda v, i=i: v + i) for i in range(1_000)]
    total = Counted(lambda *values: sum(values))
    seen = watch(derived(inputs, total))
    source.set(1)
    assert seen == [499_500, 500_500]
    assert total.calls == 2


@pytest.mark.contract("ST6")
def test_a_ladder_of_diamonds_is_linear():
    source = writable(0)
    counted = [Counted(lambda a, b: a + b) for _ in range(60)]
    a = b = source
    for fn in counted:
        a, b = b, derived((a, b), fn)
    watch(b)
    source.set(1)
    assert {fn.calls for fn in counted} == {2}


@pytest.mark.contract("ST6")
def test_it_is_not_computed_when_no_input_changed():
    source, fine = writable(0), Counted(lambda v: v)
    parity = derived(source, lambda v: v % 2)
    seen = watch(derived(parity, fine))
    source.set(2)
    source.set(4)
    assert (seen, fine.calls) == ([0], 1)
    source.set(5)
    assert (seen, fine.calls) == ([0, 1], 2)


@pytest.mark.contract("ST6")
def test_a_chain_is_as_deep_as_you_like():
    source = writable(0)
    end = source
    for _ in range(DEEP):
        end = derived(end, lambda v: v + 1)
    assert end.value == DEEP
    seen = []
    unsubscribe = end.subscribe(seen.append)
    source.set(1)
    unsubscribe()
    assert seen == [DEEP, DEEP + 1]
    freed = []
    finalize(end, freed.append, None)
    end.subscribe(seen.append)
    del end, unsubscribe, source
    gc.collect()
    assert freed


@pytest.mark.contract("ST6")
def test_a_deep_chain_that_never_ran_is_freed():
    freed = []
    end = writable(0)
    for _ in range(DEEP * 5):
        fn = Counted(lambda v: v + 1)
        finalize(fn, freed.append, None)
        end = derived(end, fn)
    del end, fn
    gc.collect()
    assert len(freed) == DEEP * 5


@pytest.mark.contract("ST6")
def test_it_is_live_only_while_somebody_watches():
    source, double = writable(1), Counted(lambda v: v * 2)
    store = derived(source, double)
    source.set(2)
    assert double.calls == 0
    unsubscribe = store.subscribe(lambda _: None)
    source.set(3)
    assert (store.value, double.calls) == (6, 2)
    unsubscribe()
    source.set(4)
    assert double.calls == 2
    assert (store.value, get(store), double.calls) == (8, 8, 4)


@pytest.mark.contract("ST6")
def test_the_same_store_twice_is_one_link():
    stops = []
    source = writable(1, lambda put, update: lambda: stops.append(1))
    total = Counted(lambda a, b: a + b)
    store = derived((source, source), total)
    seen = []
    unsubscribe = store.subscribe(seen.append)
    source.set(2)
    unsubscribe()
    assert (seen, total.calls, stops) == ([2, 4], 2, [1])


@pytest.mark.contract("ST6")
def test_a_derived_without_inputs_is_constant():
    assert derived([], lambda: 7).value == 7
    assert watch(derived((), lambda: 7)) == [7]


@pytest.mark.contract("ST6")
def test_a_derived_that_raises_keeps_its_last_value_and_recovers():
    source = writable(1)
    inverse = derived(source, lambda v: 1 / v)
    seen = watch(inverse)
    with pytest.raises(ZeroDivisionError) as caught:
        source.set(0)
    assert "<lambda>" in caught.value.__notes__[0]
    assert seen == [1.0]
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            _ = inverse.value
    with pytest.raises(ZeroDivisionError):
        inverse.subscribe(print)
    source.set(2)
    assert (seen, inverse.value) == ([1.0, 0.5], 0.5)


@pytest.mark.contract("ST6")
def test_a_derived_that_recovers_to_its_last_value_is_silent():
    source = writable(1)
    inverse = derived(source, lambda v: 1 / v)
    total = derived((inverse, source), lambda a, b: (a, b))
    seen, totals = watch(inverse), watch(total)
    with pytest.raises(ZeroDivisionError):
        source.set(0)
    with pytest.raises(ZeroDivisionError):
        _ = total.value
    source.set(1)
    assert (seen, inverse.value, total.value) == ([1.0], 1.0, (1.0, 1))
    assert totals == [(1.0, 1), (1.0, 1)]


@pytest.mark.contract("ST6")
def test_what_depends_on_one_that_raises_is_not_computed_from_old_values():
    source, other = writable(1), writable(0)
    inverse = derived(source, lambda v: 1 / v)
    pair = Counted(lambda a, b: (a, b))
    store = derived((inverse, other), pair)
    seen = watch(store)
    with pytest.raises(ZeroDivisionError):
        source.set(0)
    other.set(1)
    assert (seen, pair.calls) == ([(1.0, 0)], 1)
    source.set(2)
    assert (seen, pair.calls) == ([(1.0, 0), (0.5, 1)], 2)


@pytest.mark.contract("ST6")
def test_the_traceback_of_an_error_does_not_grow_with_reading():
    source = writable(1)
    inverse = derived(source, lambda v: 1 / v)
    watch(inverse)
    with pytest.raises(ZeroDivisionError):
        source.set(0)
    lengths = set()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError) as caught:
            _ = inverse.value
        lengths.add(len(caught.traceback))
    assert len(lengths) == 1


@pytest.mark.contract("ST6")
def test_a_computation_that_reads_itself_says_so():
    store = derived(writable(1), lambda v: store.value)
    with pytest.raises(RuntimeError, match="first value is computed"):
        store.subscribe(print)


@pytest.mark.contract("ST6")
def test_differs_of_a_derived_store_decides():
    source = writable(1)
    store = derived(source, lambda v: [v // 2], differs=lambda old, new: old != new)
    after = Counted(len)
    seen = watch(store)
    watch(derived(store, after))
    for value in range(2, 6):
        source.set(value)
    assert (seen, after.calls) == ([[0], [1], [2]], 3)


@pytest.mark.contract("ST6")
def test_subscribing_in_a_batch_computes_from_the_new_values():
    source = writable(1)
    double = derived(source, lambda v: v * 2)
    early, late = watch(double), []
    with batch():
        source.set(2)
        increment = Counted(lambda v: v + 1)
        derived(double, increment).subscribe(late.append)
        assert increment.calls == 1
        source.set(3)
    assert (early, late) == ([2, 6], [5, 7])


@pytest.mark.contract("ST6")
def test_a_computation_that_sets_a_store_lets_lower_levels_go_first():
    source, other = writable(0), writable(0)
    first = derived(source, lambda v: v)
    below = derived(other, lambda v: v)
    watch(derived(first, lambda v: other.set(v) or v))
    pair = Counted(lambda a, b: (a, b))
    seen = watch(derived((first, below), pair))
    source.set(1)
    assert (seen, pair.calls) == ([(0, 0), (1, 1)], 2)


@pytest.mark.contract("ST6")
def test_a_computation_may_read_a_store_that_is_not_its_input():
    source = writable(1)
    end = derived(derived(source, lambda v: v * 10), lambda v: v + 1)
    ends = watch(end)
    seen = watch(derived(source, lambda v: (v, end.value)))
    others = watch(derived(source, lambda v: (end.value, v)))
    for value in (2, 3):
        source.set(value)
    assert ends == [11, 21, 31]
    assert seen == [(1, 11), (2, 21), (3, 31)]
    assert others == [(11, 1), (21, 2), (31, 3)]


@pytest.mark.contract("ST6")
def test_a_reader_in_mid_computation_does_not_disturb_those_that_still_wait():
    source = writable(1)
    ends = []
    seen = watch(derived(source, lambda v: (v, [end.value for end in ends])))
    middle = derived(source, lambda v: v * 10)
    ends.append(derived(middle, lambda v: v + 1))
    told = watch(ends[0])
    source.set(2)
    source.set(3)
    assert seen == [(1, []), (2, [21]), (3, [31])]
    assert told == [11, 21, 31]


@pytest.mark.contract("ST6")
def test_who_recovers_compares_with_what_its_subscribers_know():
    source = writable(1)
    inverse = derived(source, lambda v: 1 / v)
    seen = watch(inverse)
    with pytest.raises(ZeroDivisionError), batch():
        source.set(2)
        assert inverse.value == 0.5
        source.set(0)
    source.set(2)
    assert seen == [1.0, 0.5]


class Bare:
    """A store of another library: it has subscribe and nothing else."""

    def __init__(self, value, wrap=lambda leave: leave):
        self.value, self.runs, self.wrap = value, [], wrap

    def subscribe(self, run):
        self.runs.append(run)
        run(self.value)
        return self.wrap(lambda: self.runs.remove(run))

    def put(self, value):
        self.value = value
        for run in list(self.runs):
            run(value)


class Handle:
    def __init__(self, leave):
        self.unsubscribe = leave


class Disposable:
    def __init__(self, leave):
        self.dispose = leave


@pytest.mark.contract("ST1")
@pytest.mark.parametrize("wrap", [lambda leave: leave, Handle, Disposable])
def test_a_foreign_store_is_an_input(wrap):
    foreign, own = Bare(1, wrap), writable(10)
    assert get(foreign) == 1
    store = derived((foreign, own), lambda a, b: a + b)
    seen = []
    unsubscribe = store.subscribe(seen.append)
    foreign.put(2)
    own.set(20)
    unsubscribe()
    assert seen == [11, 12, 22]
    assert foreign.runs == []
    assert readonly(foreign).value == 2


@pytest.mark.contract("ST6")
def test_a_foreign_store_does_not_glitch_either():
    foreign = Bare(1)
    left, right = derived(foreign, lambda v: v), derived(foreign, lambda v: v)
    seen = watch(derived((left, right, foreign), lambda *values: values))
    foreign.put(2)
    assert seen == [(1, 1, 1), (2, 2, 2)]
    assert len(foreign.runs) == 1


@pytest.mark.contract("ST1")
def test_what_is_not_a_store_is_refused():
    with pytest.raises(TypeError, match="3 is not a store"):
        derived(3, lambda v: v)
    strange = Bare(1, lambda leave: 3)
    with pytest.raises(TypeError, match="no way to unsubscribe"):
        get(strange)


@pytest.mark.contract("ST1")
def test_what_a_foreign_store_says_after_leaving_is_ignored():
    foreign = Bare(1, lambda leave: lambda: None)
    seen = []
    unsubscribe = readonly(foreign).subscribe(seen.append)
    unsubscribe()
    foreign.put(2)
    assert seen == [1]


@pytest.mark.contract("ST7")
def test_a_cleanup_runs_before_the_next_computation_and_at_the_end():
    source = writable(1)
    events = []

    def compute(emit, value):
        events.append(f"compute {value}")
        emit(value * 2)
        return lambda: events.append(f"clean {value}")

    store = derived_emit(source, compute, 0)
    unsubscribe = store.subscribe(events.append)
    source.set(2)
    unsubscribe()
    assert events == ["compute 1", 2, "clean 1", "compute 2", 4, "clean 2"]
    assert store.value == 4
    assert events[-2:] == ["compute 2", "clean 2"]


@pytest.mark.contract("ST7")
def test_emitting_later_is_a_change_like_any_other():
    source, emitters = writable(1), []
    store = derived_emit(source, lambda emit, value: emitters.append(emit), "initial")
    both = watch(derived((store, source), lambda a, b: (a, b)))
    seen = watch(store)
    emitters[0]("first")
    source.set(2)
    emitters[0]("stale")
    emitters[1]("second")
    emitters[1]("second")
    assert seen == ["initial", "first", "second"]
    assert both == [("initial", 1), ("first", 1), ("first", 2), ("second", 2)]


@pytest.mark.contract("ST7")
def test_emitting_after_the_last_has_left_is_ignored():
    emitters = []
    store = derived_emit(writable(1), lambda emit, value: emitters.append(emit), 0)
    store.subscribe(print)()
    emitters[0](5)
    assert watch(store) == [0]


@pytest.mark.contract("ST7")
def test_emitting_at_once_is_glitch_free():
    source = writable(1)
    store = derived_emit(source, lambda emit, value: emit(value * 2), 0)
    seen = watch(derived((source, store), lambda a, b: (a, b)))
    source.set(2)
    assert seen == [(1, 2), (2, 4)]


@pytest.mark.contract("ST7")
def test_an_emitting_function_that_raises_recovers_too():
    source = writable(1)
    cleaned = []

    def compute(emit, value):
        emit(1 / value)
        return lambda: cleaned.append(value)

    store = derived_emit(source, compute, 0.0)
    seen = watch(store)
    with pytest.raises(ZeroDivisionError):
        source.set(0)
    with pytest.raises(ZeroDivisionError):
        _ = store.value
    source.set(2)
    assert (seen, store.value, cleaned) == ([1.0, 0.5], 0.5, [1])


@pytest.mark.contract("ST7")
def test_a_cleanup_that_raises_does_not_stop_the_next_computation():
    source = writable(1)

    def compute(emit, value):
        emit(value)
        return lambda: 1 / 0

    seen = watch(derived_emit(source, compute, 0))
    with pytest.raises(ZeroDivisionError):
        source.set(2)
    assert seen == [1, 2]


@pytest.mark.contract("ST7")
def test_a_failing_input_cleans_up_and_fails_the_emitting_store():
    source, cleaned = writable(1), []
    inverse = derived(source, lambda v: 1 / v)

    def compute(emit, value):
        emit(value)
        return lambda: cleaned.append(value)

    store = derived_emit(inverse, compute, 0.0)
    seen = watch(store)
    with pytest.raises(ZeroDivisionError):
        source.set(0)
    assert cleaned == [1.0]
    source.set(4)
    assert (seen, store.value) == ([1.0, 0.25], 0.25)


@pytest.mark.contract("ST7")
def test_a_cleanup_must_be_a_function_or_none():
    store = derived_emit(writable(1), lambda emit, value: 3, 0)
    with pytest.raises(TypeError, match="returned 3"):
        store.subscribe(print)


@pytest.mark.contract("ST11")
def test_stores_have_readable_names():
    count = writable(3)
    assert repr(count) == "<Writable 3>"
    assert "3" in repr(readable(3))
    assert "test_stores_have_readable_names" in repr(derived(count, lambda v: v))
    assert "Bare" in repr(readonly(Bare(1)))
