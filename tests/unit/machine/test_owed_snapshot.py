"""The snapshot that a handle is owed: loaded at first, after each gap, and until it was loaded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore.machine.snapshots import OwedSnapshot

pytestmark = pytest.mark.contract("SU7")


def owed_with(limit=3):
    return OwedSnapshot(limit, float)


def running(owed):
    owed.subscribed()
    assert owed.begun(owed.attempt)
    return owed.attempt


def test_it_is_loaded_once_the_server_has_accepted():
    owed = owed_with()
    assert (owed.is_owed, owed.attempt) == (True, None)
    assert not owed.hold("early")
    attempt = running(owed)
    owed.hold("late")
    assert list(owed.loaded(attempt)) == ["early", "late"]
    assert (owed.is_owed, owed.attempt) == (False, None)
    owed.lost()
    owed.subscribed()
    assert owed.attempt is None, "a reconnection that the protocol heals owes nothing"


def test_a_gap_makes_a_load_under_way_worthless():
    owed = owed_with()
    old = running(owed)
    owed.hold("before the gap")
    owed.missed()
    assert not owed.begun(old)
    assert owed.loaded(old) is None
    owed.hold("behind it")
    assert list(owed.loaded(owed.attempt)) == ["behind it"]


def test_a_load_that_fails_is_begun_again_by_the_schedule():
    owed = owed_with()
    for failures in (1.0, 2.0):
        attempt = running(owed)
        owed.failed(attempt)
        owed.failed(attempt)
        assert (owed.is_owed, owed.delay) == (True, failures)


def test_a_load_that_fails_without_a_connection_is_begun_by_the_next_one():
    owed = owed_with()
    attempt = running(owed)
    owed.lost()
    owed.failed(attempt)
    assert owed.attempt is None
    owed.subscribed()
    assert (owed.attempt, owed.delay) == (attempt + 1, 0.0)


def test_above_the_limit_one_gap_is_told_and_loads_are_paced():
    owed = owed_with(limit=2)
    first = running(owed)
    told = [owed.hold(n) for n in range(10)]
    assert told == [False, False, True] + [False] * 7
    assert (owed.attempt, owed.delay) == (first + 1, 0.0), "not again before it has begun"
    assert owed.begun(owed.attempt)
    assert not any(owed.hold(n) for n in range(10, 20))
    assert (owed.attempt, owed.delay) == (first + 2, 1.0)
    assert list(owed.loaded(owed.attempt)) == [18, 19]


EVENTS = st.sampled_from(
    ["subscribed", "lost", "missed", "message", "message", "begin", "loaded", "failed", "ended"]
)


@given(st.lists(EVENTS, max_size=60))
def test_every_message_is_delivered_behind_a_snapshot_or_a_gap_stands_in_its_place(events):
    owed, is_live, number, delivered = owed_with(limit=3), False, 0, []
    for event in [*events, "lost", "subscribed", "begin", "loaded"]:
        match event:
            case "subscribed":
                if is_live:
                    continue
                is_live = True
                owed.subscribed()
            case "lost":
                is_live = False
                owed.lost()
            case "missed" if is_live:
                owed.missed()
                delivered.append("gap")
            case "message" if is_live:
                number += 1
                if not owed.is_owed:
                    delivered.append(number)
                elif owed.hold(number):
                    delivered.append("gap")
            case "begin" if owed.attempt is not None:
                owed.begun(owed.attempt)
            case "loaded" if owed.attempt is not None:
                was_owed = owed.is_owed
                held = owed.loaded(owed.attempt)
                assert was_owed
                delivered += ["snapshot", *held]
            case "failed" if owed.attempt is not None:
                owed.failed(owed.attempt)
            case "ended":
                is_live = False
                owed.ended()
                delivered.append("gap")  # the streams end
        assert (owed.attempt is not None) <= owed.is_owed
        assert not (is_live and owed.is_owed and owed.attempt is None), "it is always owed a load"
    assert not owed.is_owed
    numbers, last, must_load = [], 0, True
    for each in delivered:
        if each == "gap":
            must_load = True
        elif each == "snapshot":
            must_load = False
        else:
            assert not must_load, "nothing is delivered between a gap and a snapshot"
            assert each > last
            numbers.append(each)
            last = each
    assert delivered[-1] == "snapshot" or delivered[-1] == number
