"""Random graphs of stores, compared with a model that recomputes everything each time."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from inside import is_watched
from sockstore.stores import batch, derived, derived_emit, writable
from sockstore.stores.scheduling import Scheduler, threads

FAILED = "failed"
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


class Unlucky(Exception):
    pass


def raises_when_four(*values):
    if sum(values) % 5 == 4:
        raise Unlucky
    return sum(values) % 5


FUNCTIONS = {
    "sum": lambda *values: sum(values),
    "parity": lambda *values: sum(values) % 2,
    "half": lambda *values: sum(values) // 2,
    "weighted": lambda *values: sum(i * v for i, v in enumerate(values, 1)) % 7,
    "raises": raises_when_four,
}


class Graph:
    """Stores, and what the naive model says about them."""

    def __init__(self):
        self.stores, self.sources, self.recipes = [], [], []
        self.computed, self.started = [], []

    def add_source(self, value):
        index = len(self.stores)
        self.started.append(0)
        self.computed.append(0)

        def start(put, update):
            self.started[index] += 1
            return stop

        def stop():
            self.started[index] -= 1

        self.stores.append(writable(value, start))
        self.sources.append(index)
        self.recipes.append(value)

    def add_derived(self, name, inputs, emits=False):
        index = len(self.stores)
        fn = FUNCTIONS[name]
        self.computed.append(0)
        self.started.append(0)

        def compute(*values):
            self.computed[index] += 1
            return fn(*values)

        def compute_and_emit(emit, *values):
            emit(-1)
            emit(compute(*values))
            self.started[index] += 1
            return clean

        def clean():
            self.started[index] -= 1

        stores = [self.stores[each] for each in inputs]
        self.stores.append(
            derived_emit(stores, compute_and_emit, 0) if emits else derived(stores, compute)
        )
        self.recipes.append((fn, inputs))

    def values(self):
        values = []
        for recipe in self.recipes:
            if not isinstance(recipe, tuple):
                values.append(recipe)
                continue
            fn, inputs = recipe
            arguments = [values[each] for each in inputs]
            try:
                values.append(FAILED if FAILED in arguments else fn(*arguments))
            except Unlucky:
                values.append(FAILED)
        return values

    def ancestors(self, index):
        found, stack = {index}, [index]
        while stack:
            recipe = self.recipes[stack.pop()]
            fresh = set(recipe[1]) - found if isinstance(recipe, tuple) else set()
            found |= fresh
            stack += fresh
        return found

    def set(self, index, value):
        self.recipes[index] = value
        tolerant(lambda: self.stores[index].set(value))


def tolerant(act):
    """Run it; bad luck of a computation comes out of it, and nothing else may."""
    try:
        act()
    except* Unlucky:
        pass


@st.composite
def graphs(draw, names=tuple(FUNCTIONS)):
    graph = Graph()
    for value in draw(st.lists(st.integers(0, 3), min_size=1, max_size=4)):
        graph.add_source(value)
    for _ in range(draw(st.integers(0, 10))):
        known = st.integers(0, len(graph.stores) - 1)
        inputs = draw(st.lists(known, min_size=1, max_size=4))
        graph.add_derived(draw(st.sampled_from(names)), inputs)
    return graph


@pytest.mark.contract("ST6")
@settings(max_examples=400, deadline=None, suppress_health_check=SLOW)
@given(graphs(names=("sum", "parity", "half", "weighted")), st.data())
def test_each_change_computes_what_it_must_and_nothing_else(graph, data):
    watched = data.draw(st.sets(st.integers(0, len(graph.stores) - 1), min_size=1))
    seen = {index: [] for index in watched}
    for index in watched:
        graph.stores[index].subscribe(seen[index].append)
    live = set().union(*(graph.ancestors(index) for index in watched))
    for _ in range(data.draw(st.integers(1, 6))):
        before, counts = graph.values(), list(graph.computed)
        lengths = {index: len(values) for index, values in seen.items()}
        choice = st.tuples(st.sampled_from(graph.sources), st.integers(0, 3))
        changes = data.draw(st.lists(choice, min_size=1, max_size=3))
        if len(changes) == 1:
            graph.set(*changes[0])
        else:
            with batch():
                for change in changes:
                    graph.set(*change)
        after = graph.values()
        for index, recipe in enumerate(graph.recipes):
            if isinstance(recipe, tuple):
                due = index in live and any(before[each] != after[each] for each in recipe[1])
                made = graph.computed[index] - counts[index]
                # In a batch an input may change there and back, which costs one computation.
                assert made == due if len(changes) == 1 else due <= made <= 1
        for index, values in seen.items():
            news = [after[index]] if before[index] != after[index] else []
            assert values[lengths[index] :] == news


@pytest.mark.contract("ST6")
@settings(max_examples=300, deadline=None, suppress_health_check=SLOW)
@given(graphs(), st.data())
def test_subscribers_that_set_stores_leave_everything_consistent(graph, data):
    last, unsubscribers = {}, {}

    def follow(index, target, limit):
        def run(value):
            last[index] = value
            if graph.recipes[target] < limit:
                graph.recipes[target] += 1
                graph.stores[target].update(lambda number: number + 1)

        unsubscribers[index] = graph.stores[index].subscribe(run)

    for index in data.draw(st.sets(st.integers(0, len(graph.stores) - 1), min_size=1)):
        target = data.draw(st.sampled_from(graph.sources))
        limit = data.draw(st.integers(0, 12))
        tolerant(lambda index=index, target=target, limit=limit: follow(index, target, limit))
    for _ in range(data.draw(st.integers(1, 4))):
        graph.set(data.draw(st.sampled_from(graph.sources)), data.draw(st.integers(0, 6)))
        values = graph.values()
        for index, store in enumerate(graph.stores):
            if values[index] == FAILED:
                with pytest.raises(Unlucky):
                    _ = store.value
                continue
            assert store.value == values[index]
            if index in unsubscribers:
                assert last[index] == values[index]


class Follower:
    """A subscriber and what the model says it must have heard."""

    def __init__(self, graph, index):
        self.index, self.heard, self.expected = index, [], []
        self.subscription = graph.stores[index].subscribe(self.heard.append)

    def tell(self, value):
        if value != FAILED and (not self.expected or self.expected[-1] != value):
            self.expected.append(value)


class Stores(RuleBasedStateMachine):
    """Grow a graph, watch it, change it, in and out of batches."""

    def __init__(self):
        super().__init__()
        self.graph, self.followers, self.batches = Graph(), [], []

    @initialize()
    def begin(self):
        self.graph.add_source(1)

    @rule(value=st.integers(0, 4))
    def add_source(self, value):
        self.graph.add_source(value)

    @rule(
        name=st.sampled_from(sorted(FUNCTIONS)),
        picks=st.lists(st.integers(0, 99), min_size=1, max_size=4),
        emits=st.booleans(),
    )
    def add_derived(self, name, picks, emits):
        self.graph.add_derived(name, [pick % len(self.graph.stores) for pick in picks], emits)

    @rule(pick=st.integers(0, 99))
    def subscribe(self, pick):
        index = pick % len(self.graph.stores)
        value = self.graph.values()[index]
        if value == FAILED:
            with pytest.raises(Unlucky):
                Follower(self.graph, index)
            return
        follower = Follower(self.graph, index)
        follower.tell(value)
        self.followers.append(follower)

    @precondition(lambda self: self.followers)
    @rule(pick=st.integers(0, 99))
    def unsubscribe(self, pick):
        follower = self.followers.pop(pick % len(self.followers))
        follower.subscription()
        assert follower.heard == follower.expected

    @rule(pick=st.integers(0, 99), value=st.integers(0, 4))
    def set(self, pick, value):
        sources = self.graph.sources
        self.graph.set(sources[pick % len(sources)], value)
        self.settle()

    @rule(pick=st.integers(0, 99))
    def read(self, pick):
        index = pick % len(self.graph.stores)
        value = self.graph.values()[index]
        if value == FAILED:
            with pytest.raises(Unlucky):
                _ = self.graph.stores[index].value
        else:
            assert self.graph.stores[index].value == value

    @rule()
    def enter_batch(self):
        entered = batch()
        entered.__enter__()
        self.batches.append(entered)

    @precondition(lambda self: self.batches)
    @rule()
    def exit_batch(self):
        entered = self.batches.pop()
        tolerant(lambda: entered.__exit__(None, None, None))
        self.settle()

    def settle(self):
        if not self.batches:
            values = self.graph.values()
            for follower in self.followers:
                follower.tell(values[follower.index])

    @invariant()
    def everyone_heard_what_the_model_says(self):
        for follower in self.followers:
            assert follower.heard == follower.expected

    @invariant()
    def what_is_needed_is_started_and_nothing_else(self):
        needed = [self.graph.ancestors(follower.index) for follower in self.followers]
        live = set().union(*needed)
        for index, store in enumerate(self.graph.stores):
            assert is_watched(store) == (index in live)
            assert self.graph.started[index] in ((0, 1) if index in live else (0,))
        assert all(self.graph.started[index] for index in live & set(self.graph.sources))

    @invariant()
    def nothing_is_left_in_the_scheduler(self):
        if not self.batches:
            blank, scheduler = Scheduler(), threads.scheduler
            for slot in frozenset(Scheduler.__slots__) - {"failures"}:
                assert getattr(scheduler, slot) == getattr(blank, slot), slot

    def teardown(self):
        while self.batches:
            entered = self.batches.pop()
            tolerant(lambda entered=entered: entered.__exit__(None, None, None))


@pytest.mark.contract("ST6")
def test_the_life_of_a_graph_agrees_with_the_model():
    run_state_machine_as_test(
        Stores,
        settings=settings(
            max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=SLOW
        ),
    )
