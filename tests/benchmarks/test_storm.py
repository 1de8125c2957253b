"""The suite "storm" sees who comes back when."""

from __future__ import annotations

import logging

import pytest
from benchmarks.harness.programs import python, run
from benchmarks.harness.rounds import run_suite
from benchmarks.storm.busiest import busiest_second, shares
from benchmarks.storm.ours import storm
from benchmarks.storm.peers import PEERS, arrivals
from benchmarks.storm.suite import storm_suite

from sockstore.testing import VirtualClock

CLIENTS = 100


@pytest.mark.parametrize(
    ("times", "most"),
    [([], 0), ([3.0], 1), ([0, 0.9, 1.0], 2), ([2.0, 0.0, 2.5, 2.9, 3.1], 3), ([1.0] * 7, 7)],
)
def test_the_busiest_second_begins_anywhere(times, most):
    assert busiest_second(times) == most


def test_an_attempt_that_no_client_makes_has_no_figure():
    assert shares({1: [0.0, 0.1, 5.0, 9.0], 5: [], 10: []}, 4) == {"attempt 1": 50.0}


@pytest.fixture
def quiet():
    before = logging.root.manager.disable
    logging.disable()
    yield
    logging.disable(before)


@pytest.mark.usefixtures("quiet")
def test_every_store_makes_every_attempt_within_its_default_schedule():
    clock = VirtualClock()
    made = clock.run(storm(clock, CLIENTS))
    assert list(made) == [1, 5, 10]
    assert [len(times) for times in made.values()] == [CLIENTS] * 3
    # The first within 1 s; then half to all of 2, 4, 8, 16 s, and of 30 s each.
    for attempt, least, most in ((1, 0, 1), (5, 15, 31), (10, 90, 181)):
        assert least <= min(made[attempt]) <= max(made[attempt]) <= most


def test_the_program_says_it_as_json():
    figures = run(python("benchmarks.storm.ours", "--clients", "20"), core=None)
    assert list(figures) == ["attempt 1", "attempt 5", "attempt 10"]
    assert figures["attempt 1"] == 100


@pytest.mark.parametrize("peer", PEERS)
def test_of_a_peer_all_clients_make_an_attempt_or_none(peer):
    waits, _ = PEERS[peer]
    made = arrivals(waits, CLIENTS)
    assert all(0 <= time < 1000 for times in made.values() for time in times)
    assert {len(times) for times in made.values()} <= {0, CLIENTS}


def test_who_has_no_jitter_comes_back_at_once_and_who_gave_up_does_not():
    measured = run_suite(storm_suite(20), rounds=1, say=lambda _: None)
    for peer in ("partysocket", "phoenix.js", "VueUse"):
        assert measured.figures(peer, "attempt 5") == [100.0]
    assert measured.figures("SignalR", "attempt 5") == []
    assert measured.figures("graphql-ws", "attempt 10") == []
    assert not measured.absent
