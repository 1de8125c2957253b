"""The heartbeat of the application: when it is sent, and what counts as an answer."""

from __future__ import annotations

import pytest

from sockstore.machine import events, liveness

NOTHING = events.DeadlineReached()


def check(pulse, now, observed=NOTHING):
    return liveness.check_pulse(pulse, observed, now, tolerance=3.0)


def begin(timeout=5.0):
    return liveness.started_pulse(0.0, interval=15.0, timeout=timeout)


def sent(now=15.0):
    beat = check(begin(), now)
    assert beat.send
    return beat.pulse


@pytest.mark.contract("LV2")
def test_it_is_due_after_each_interval_and_its_answer_after_the_timeout():
    assert liveness.next_beat(begin()) == 15
    assert not check(begin(), 14.9).send
    assert liveness.next_beat(sent()) == 20
    assert liveness.next_beat(check(begin(timeout=None), 15.0).pulse) == 30


@pytest.mark.contract("LV2")
def test_without_an_answer_it_is_lost_at_the_timeout_and_not_before():
    assert check(sent(), 19.9).lost is None
    assert check(sent(), 20.0).lost == "no answer to heartbeat"


@pytest.mark.contract("LV2")
@pytest.mark.parametrize(("at", "lives"), [(14.9, False), (15.0, True), (17.0, True)])
def test_a_word_of_the_servers_program_since_then_proves_life(at, lives):
    beat = check(sent(), 20.0, events.DeadlineReached(last_data_at=at))
    assert (beat.lost is None) == lives
    assert (liveness.next_beat(beat.pulse) == 30) == lives


@pytest.mark.contract("LV2")
def test_bytes_alone_prove_nothing_for_a_websocket_layer_sends_them_by_itself():
    assert check(sent(), 20.0, events.DeadlineReached(heard=7)).lost == "no answer to heartbeat"


@pytest.mark.contract("LV2", "MS2")
def test_while_we_do_not_read_silence_says_nothing():
    assert check(sent(), 20.0, events.DeadlineReached(reading_paused=True)).lost is None


@pytest.mark.contract("LV2")
def test_a_second_one_before_the_answer_does_not_set_the_clock_back():
    pulse = liveness.started_pulse(0.0, interval=2.0, timeout=5.0)
    for now in (2.0, 4.0, 6.0):
        beat = check(pulse, now)
        assert beat.send
        pulse = beat.pulse
    assert check(pulse, 7.0).lost == "no answer to heartbeat"


@pytest.mark.contract("LV2", "LV4")
def test_after_a_blocked_loop_there_is_one_more_and_only_one():
    late = check(sent(), 23.5)
    assert late.send
    assert late.lost is None
    assert check(late.pulse, 28.5).lost == "no answer to heartbeat"
    assert check(late.pulse, 60.0).lost == "no answer to heartbeat", "late once more"
    answered = check(late.pulse, 28.4, events.DeadlineReached(last_data_at=25.0)).pulse
    again = check(answered, 38.5).pulse
    assert check(again, 60.0).send, "another block gets another one"


@pytest.mark.contract("LV5")
def test_one_that_is_sent_at_once_has_all_its_time():
    pulse = liveness.beat_at_once(sent(), 19.0)
    assert liveness.next_beat(pulse) == 24
    assert check(pulse, 23.9).lost is None
    assert check(pulse, 24.0).lost == "no answer to heartbeat"
