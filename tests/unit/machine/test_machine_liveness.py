"""Liveness: pings, the proof of life, idle connections and a loop that was blocked."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore.machine.events import DeadlineReached
from sockstore.machine.liveness import check, next_check, started


def begin(ping_interval=20.0, ping_timeout=20.0, idle_timeout=None):
    return started(
        0.0, ping_interval=ping_interval, ping_timeout=ping_timeout, idle_timeout=idle_timeout
    )


def observed(heard=0, **more):
    return DeadlineReached(heard, **more)


def pinged(**options):
    """What is known after the first ping, at 20 s."""
    return check(begin(**options), observed(), 20.0).liveness


@pytest.mark.contract("LV1")
def test_the_first_ping_goes_after_one_interval():
    liveness = begin()
    assert next_check(liveness) == 20
    assert not check(liveness, observed(), 19.9).ping
    assert check(liveness, observed(), 20.0).ping


@pytest.mark.contract("LV1")
def test_each_ping_has_its_own_payload():
    liveness, payloads = begin(), set()
    for number in range(1, 101):
        liveness = check(liveness, observed(number), number * 20.0).liveness
        payloads.add(liveness.payload)
    assert len(payloads) == 100
    assert all(len(payload) == 4 for payload in payloads)


@pytest.mark.contract("LV1")
def test_silence_after_a_ping_is_a_loss_at_the_timeout_and_not_before():
    liveness = pinged(ping_timeout=15.0)
    assert next_check(liveness) == 35
    assert check(liveness, observed(), 34.9).lost is None
    assert check(liveness, observed(), 35.0).lost == "no answer to ping"


@pytest.mark.contract("LV1")
def test_any_inbound_byte_after_the_ping_proves_life():
    verdict = check(pinged(), observed(heard=1), 40.0)
    assert verdict.lost is None
    assert verdict.ping


@pytest.mark.contract("LV1")
def test_bytes_before_the_ping_prove_nothing_about_the_time_after_it():
    liveness = check(begin(), observed(heard=7), 20.0).liveness
    assert check(liveness, observed(heard=7), 40.0).lost == "no answer to ping"


@pytest.mark.contract("LV1")
def test_a_timeout_longer_than_the_interval_counts_from_the_oldest_unanswered_ping():
    liveness, times = begin(ping_interval=10.0, ping_timeout=25.0), []
    while True:
        now = next_check(liveness)
        verdict = check(liveness, observed(), now)
        times.append((now, verdict.ping, verdict.lost))
        if verdict.lost:
            break
        liveness = verdict.liveness
    assert times == [
        (10, True, None),
        (20, True, None),
        (30, True, None),
        (35, False, "no answer to ping"),
    ]


@pytest.mark.contract("LV1")
def test_without_pings_and_idle_timeout_nothing_is_checked():
    assert next_check(begin(ping_interval=None)) == math.inf


@pytest.mark.contract("LV1", "MS2")
def test_silence_says_nothing_while_this_side_does_not_read():
    liveness = pinged(idle_timeout=30.0)
    verdict = check(liveness, observed(reading_paused=True), 40.0)
    assert verdict.lost is None
    assert next_check(verdict.liveness) > 40


@pytest.mark.contract("LV3")
def test_a_connection_without_messages_is_idle_although_bytes_flow():
    liveness = begin(idle_timeout=30.0)
    assert check(liveness, observed(heard=5), 29.9).lost is None
    assert check(liveness, observed(heard=5), 30.0).lost == "no message for 30 s"


@pytest.mark.contract("LV3")
def test_a_message_starts_the_idle_time_anew():
    liveness = begin(idle_timeout=30.0, ping_interval=None)
    verdict = check(liveness, observed(last_message_at=12.0), 30.0)
    assert verdict.lost is None
    assert next_check(verdict.liveness) == 42
    assert check(verdict.liveness, observed(last_message_at=12.0), 42.0).lost


@pytest.mark.contract("LV3")
def test_a_message_of_an_earlier_time_does_not_shorten_the_idle_time():
    liveness = replace(begin(idle_timeout=30.0, ping_interval=None), quiet_since=10.0)
    assert check(liveness, observed(last_message_at=2.0), 39.0).lost is None


@pytest.mark.contract("LV4")
@pytest.mark.parametrize(
    ("timeout", "late", "blocked"),
    [(20, 9.9, False), (20, 10, True), (20, 500, True), (0.1, 0.2, False), (0.1, 0.25, True)],
)
def test_only_a_check_that_comes_far_too_late_finds_a_blocked_loop(timeout, late, blocked):
    verdict = check(pinged(ping_timeout=timeout), observed(), 20.0 + timeout + late)
    assert verdict.ping == blocked
    assert (verdict.lost is None) == blocked
    assert verdict.blocked_for == (pytest.approx(late) if blocked else None)


@pytest.mark.contract("LV4")
def test_the_extra_ping_is_sent_once():
    probed = check(pinged(), observed(), 100.0).liveness
    assert next_check(probed) == 120
    assert check(probed, observed(), 300.0).lost == "no answer to ping"


@pytest.mark.contract("LV4")
def test_a_peer_that_answers_the_extra_ping_may_get_another_one_later():
    probed = check(pinged(), observed(), 100.0).liveness
    alive = check(probed, observed(heard=1), 120.0).liveness
    assert check(alive, observed(heard=1), 200.0).blocked_for == 60


@pytest.mark.contract("LV4")
def test_a_late_first_ping_is_no_reason_to_give_up():
    verdict = check(begin(), observed(), 500.0)
    assert verdict.lost is None
    assert next_check(verdict.liveness) == 520


@pytest.mark.contract("LV1", "LV3", "LV4")
@given(
    interval=st.sampled_from([None, 5.0, 20.0]),
    timeout=st.sampled_from([3.0, 20.0, 50.0]),
    idle=st.sampled_from([None, 30.0]),
    steps=st.lists(st.tuples(st.booleans(), st.booleans(), st.sampled_from([0.0, 0.0, 30.0]))),
)
def test_every_check_is_followed_by_a_later_one_or_ends_the_connection(
    interval, timeout, idle, steps
):
    liveness, heard, pings = begin(interval, timeout, idle), 0, 0
    for hears, paused, late in steps:
        due = next_check(liveness)
        if due == math.inf:
            assert interval is None
            return
        now, heard = due + late, heard + hears
        verdict = check(liveness, observed(heard, reading_paused=paused), now)
        if verdict.lost is not None:
            assert not verdict.ping
            assert not paused
            assert not (hears and verdict.lost == "no answer to ping")
            return
        liveness = verdict.liveness
        pings += verdict.ping
        assert liveness.pings == pings
        assert next_check(liveness) > now
