import json
import subprocess
import sys

import pytest
from benchmarks.stores.guarantees import LEAST, count_all, keeps_all
from benchmarks.stores.peer import Peer, Store
from benchmarks.stores.suite import stores_suite
from benchmarks.stores.timing import TooSlow, at_most


def test_our_program_prints_a_figure_for_every_row():
    command = [sys.executable, "-m", "benchmarks.stores.client", "sockstore", "--quick"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    figures = json.loads(done.stdout)
    assert set(figures) == {row.name for row in stores_suite().rows}
    assert keeps_all(figures)
    assert all(figure >= 0 for figure in figures.values())


def test_every_target_names_a_contender():
    suite = stores_suite()
    against = {target.against for row in suite.rows for target in row.targets}
    assert against - {None} <= {one.name for one in suite.contenders}


def test_a_library_that_tells_depth_first_is_found_out():
    counts = count_all(Peer(DepthFirst, DepthFirst.computed))
    assert not keeps_all(counts)
    assert all(counts[row] > least for row, least in LEAST.items())


def test_what_takes_too_long_is_given_up():
    with pytest.raises(TooSlow), at_most(0.01):
        while True:
            pass


class DepthFirst:
    """The simplest store there is: it calls everyone at once, so it mixes old and new."""

    own = None

    def __init__(self, value):
        self._value = value
        self._runs = []

    @classmethod
    def computed(cls, inputs: list[Store], fn):
        def compute():
            return fn(*[one.read() for one in inputs])

        store = cls(compute())
        for one in inputs:
            one.subscribe(lambda _: store.change(compute()))
        return store

    def read(self):
        return self._value

    def subscribe(self, run):
        self._runs.append(run)
        return lambda: self._runs.remove(run)

    def change(self, value):
        self._value = value
        for run in tuple(self._runs):
            run(value)
