"""A rate with a burst allowance, on the side that limits and on the side that keeps below."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore.base.token_bucket import TokenBucket

pytestmark = pytest.mark.contract("SV3")


def test_a_bucket_gives_its_burst_at_once_and_then_its_rate():
    bucket = TokenBucket(rate=2, burst=3, now=10.0)
    assert [bucket.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(10.4)
    assert bucket.take(10.5)
    assert not bucket.take(10.5)
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_goes_back_gives_nothing():
    bucket = TokenBucket(rate=1, burst=1, now=10.0)
    assert bucket.take(10.0)
    assert not bucket.take(5.0)
    assert not bucket.take(10.5)
    assert bucket.take(11.0)


def test_an_unlimited_bucket_is_never_empty():
    bucket = TokenBucket.below(None, 10, now=10.0)
    assert all(bucket.take(10.0) for _ in range(1000))
    assert bucket.take(5.0)
    assert bucket.next_token is None


def test_it_says_when_the_next_token_comes():
    bucket = TokenBucket(rate=2, burst=1, now=10.0)
    assert bucket.next_token is None
    assert bucket.take(10.0)
    assert bucket.next_token == 10.5
    assert not bucket.has_token(10.25)
    assert bucket.next_token == 10.5
    assert bucket.has_token(10.5)
    assert bucket.next_token is None


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])
def test_tokens_that_come_in_fractions_are_not_lost_to_rounding(share):
    bucket = TokenBucket(rate=1, burst=1, now=0.0)
    assert bucket.take(0.0)
    now = 0.0
    while (wait := bucket.next_token) is not None and now < 2:
        now = min(wait, now + share)
        bucket.has_token(now)
    assert now == pytest.approx(1.0)
    assert bucket.take(now)


def test_a_sender_that_keeps_below_a_limit_does_not_reach_it():
    limit, pace = TokenBucket(20, 100, 0.0), TokenBucket.below(20, 100, 0.0)
    for tick in range(1000):
        if pace.take(tick / 100):
            assert limit.take(tick / 100)


@given(
    st.floats(0.01, 1000),
    st.integers(1, 100),
    st.lists(st.floats(0, 10), max_size=200),
)
def test_a_bucket_never_gives_more_than_its_burst_and_its_rate(rate, burst, waits):
    bucket = TokenBucket(rate, burst, 0.0)
    now, given_out = 0.0, 0
    for wait in waits:
        now += wait
        given_out += bucket.take(now)
        assert given_out <= burst + rate * now + 1e-6
