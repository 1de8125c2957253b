"""The pure decision after an outcome, and the schedules behind it."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore import (
    Classification,
    Close,
    ConnectionLost,
    FailureReason,
    HandshakeFailed,
    InvalidURI,
    Outcome,
    Reconnect,
    StopReconnecting,
)
from sockstore.base.options import reconnect_policy
from sockstore.machine.reconnect import (
    GiveUp,
    Goodbye,
    RefreshNow,
    RetryAfter,
    Streak,
    classified_by,
    decide,
)

REFUSED = HandshakeFailed("ws://h/", "refused")
LOSS = Outcome(exception=ConnectionLost("broke"), close=Close(1006), uptime=100.0)


def http(status, retry_after=None):
    return HandshakeFailed("ws://h/", "no", kind="http", status=status, retry_after=retry_after)


def after(policy, outcome, streak=None, *, can_refresh=False):
    means = classified_by(policy, outcome)
    return decide(policy, outcome, streak or Streak(), means=means, can_refresh=can_refresh)


class Fixed(random.Random):
    """Draws the same number always."""

    def __init__(self, drawn):
        super().__init__()
        self.drawn = drawn

    def random(self):
        return self.drawn


# Schedules


@pytest.mark.contract("RC1")
def test_linear_is_the_guides_schedule_without_jitter_unless_asked_for():
    waits = [Reconnect.linear().wait(n, Outcome()) for n in range(1, 6)]
    assert waits == [3, 6, 9, 12, 15]
    assert Reconnect.linear().attempts == 5
    jittered = Reconnect.linear(10, jitter=0.5, rng=Fixed(1.0))
    assert jittered.wait(1, Outcome()) == 5


@pytest.mark.contract("RC1", "RC2")
def test_what_reconnect_may_be():
    policy = Reconnect.linear()
    assert reconnect_policy(policy) is policy
    assert reconnect_policy(False) is None
    assert reconnect_policy(None) is None
    default = reconnect_policy(True)
    assert default.attempts is None
    assert default.schedule == Reconnect.exponential().schedule


@pytest.mark.contract("RC2")
@pytest.mark.parametrize(("drawn", "share"), [(0.0, 1.0), (1.0, 0.5)])
def test_exponential_doubles_up_to_its_maximum_and_half_of_it_is_drawn(drawn, share):
    policy = Reconnect.exponential(rng=Fixed(drawn))
    waits = [policy.wait(n, Outcome()) for n in range(2, 9)]
    assert waits == [share * step for step in (2, 4, 8, 16, 30, 30, 30)]


@pytest.mark.contract("RC2")
@pytest.mark.parametrize("base", [0.5, 1, 4])
def test_the_very_first_retry_is_drawn_uniformly_from_0_to_base(base):
    policy = Reconnect.exponential(base=base, rng=random.Random(1))
    waits = sorted(policy.wait(1, Outcome()) for _ in range(2000))
    assert 0 <= waits[0] < 0.01 * base
    assert 0.99 * base < waits[-1] <= base
    quarters = [sum(q <= 4 * wait / base < q + 1 for wait in waits) for q in range(4)]
    assert min(quarters) > 400


@pytest.mark.contract("RC2")
def test_a_thousand_clients_dropped_together_return_apart_and_further_apart_each_time():
    clients = [Reconnect.exponential(rng=random.Random(seed)) for seed in range(1000)]
    times = [0.0] * 1000
    spans = []
    for attempt in range(1, 7):
        times = [
            time + client.wait(attempt, Outcome())
            for time, client in zip(times, clients, strict=True)
        ]
        spans.append(max(times) - min(times))
        per_tenth = [0] * (int(max(times) * 10) + 1)
        for time in times:
            per_tenth[int(time * 10)] += 1
        assert max(per_tenth) < 150, f"they come together at attempt {attempt}"
    assert 0.95 < spans[0] <= 1
    assert spans == sorted(spans)
    assert spans[-1] > 10


@pytest.mark.contract("RC2")
def test_without_jitter_exponential_is_exact_and_its_first_wait_too():
    policy = Reconnect.exponential(jitter=0)
    assert [policy.wait(n, Outcome()) for n in (1, 2, 3)] == [1, 2, 4]


@pytest.mark.contract("RC2")
def test_a_callable_is_a_schedule_and_is_told_attempt_and_outcome():
    told = []
    policy = Reconnect(schedule=lambda attempt, outcome: told.append((attempt, outcome)) or 7)
    assert after(policy, LOSS).seconds == 7
    assert told == [(1, LOSS)]


@pytest.mark.contract("RC2")
@pytest.mark.parametrize(
    "make",
    [
        Reconnect.linear,
        Reconnect.exponential,
        lambda **options: Reconnect(schedule=lambda attempt, outcome: attempt, **options),
    ],
)
def test_every_schedule_takes_jitter_and_rng(make):
    waits = [make(jitter=0.3, rng=random.Random(7)).wait(3, Outcome()) for _ in range(2)]
    assert waits[0] == waits[1]
    assert make(jitter=0.3, rng=random.Random(8)).wait(3, Outcome()) != waits[0]


@pytest.mark.contract("RC2")
@given(
    base=st.floats(0.001, 100),
    factor=st.floats(1, 10),
    extra=st.floats(0, 1000),
    attempt=st.integers(1, 10**9),
    jitter=st.floats(0, 1),
)
def test_exponential_waits_are_finite_and_bounded_at_any_attempt(
    base, factor, extra, attempt, jitter
):
    policy = Reconnect.exponential(base, factor, base + extra, jitter=jitter)
    assert 0 <= policy.wait(attempt, Outcome()) <= max(base + extra, base) * (1 + 1e-9)


@pytest.mark.contract("RC2")
@pytest.mark.parametrize("rng", [None, random.Random(1)])
def test_two_policies_never_share_their_randomness_by_accident(rng):
    for policy in (Reconnect.exponential(rng=rng), Reconnect.linear(rng=rng)):
        # The operating system's has no state, so there is nothing that two could share.
        assert policy.rng is rng or (rng is None and type(policy.rng) is random.SystemRandom)


# Counting


@pytest.mark.contract("RC3")
@pytest.mark.parametrize(("attempts", "failures", "retries"), [(3, 2, True), (3, 3, False)])
def test_the_nth_retry_is_the_last(attempts, failures, retries):
    policy = Reconnect.linear(attempts=attempts)
    decision = after(policy, Outcome(exception=REFUSED), Streak(failures))
    assert isinstance(decision, RetryAfter) == retries
    if not retries:
        assert decision.reason is FailureReason.ATTEMPTS_EXHAUSTED
        assert str(decision.error) == "Failed to reconnect after 3 attempts"
        assert decision.error.__cause__ is REFUSED


@pytest.mark.contract("RC3")
def test_attempts_none_never_gives_up():
    policy = Reconnect.exponential(attempts=None)
    decision = after(policy, Outcome(exception=REFUSED), Streak(10**9))
    assert decision.streak.failures == 10**9 + 1
    assert decision.seconds <= 30


@pytest.mark.contract("RC4")
@pytest.mark.parametrize(("uptime", "failures"), [(4.9, 4), (5.0, 1), (None, 4)])
def test_only_a_connection_that_lived_resets_the_count(uptime, failures):
    policy = Reconnect.linear(min_uptime=5)
    outcome = Outcome(exception=ConnectionLost("broke"), close=Close(1006), uptime=uptime)
    assert after(policy, outcome, Streak(3)).streak.failures == failures


@pytest.mark.contract("RC3", "CN9")
def test_reconnecting_that_is_off_gives_up_with_the_error_that_happened():
    decision = after(None, LOSS)
    assert decision.reason is FailureReason.RECONNECTING_IS_OFF
    assert decision.error is LOSS.exception


# Kinds of outcomes


def ended(code, uptime=9.0, exception=None):
    error = exception or ConnectionLost(f"closed with {code}")
    return Outcome(exception=error, close=Close(code, clean=True), uptime=uptime)


@pytest.mark.contract("RC5")
@pytest.mark.parametrize("code", [1000, 1005])
@pytest.mark.parametrize(
    ("policy", "returns"),
    [
        (None, False),
        (Reconnect.linear(attempts=0), False),
        (Reconnect.linear(), True),
        (Reconnect.linear(after_goodbye=True), True),
        (Reconnect.linear(after_goodbye=False), False),
        (Reconnect.linear().held_by_provider(), False),
        (Reconnect.linear(after_goodbye=True).held_by_provider(), True),
        (Reconnect.exponential(classify={1001: "goodbye"}), True),
    ],
)
def test_who_returns_after_a_goodbye(policy, code, returns):
    decision = after(policy, ended(code))
    assert type(decision) is (RetryAfter if returns else Goodbye)
    if returns:
        assert str(decision.streak.error) == f"closed with {code}", "then it is a loss"


@pytest.mark.contract("RC5")
def test_a_given_policy_stays_the_same_but_for_what_was_left_open():
    policy = Reconnect.exponential(base=2, classify={4406: "fatal"}, rng=random.Random(1))
    held = policy.held_by_provider()
    assert held.after_goodbye is False
    assert held.rng is policy.rng
    assert (held.schedule, held.classify) == (policy.schedule, policy.classify)
    asked = Reconnect.linear(after_goodbye=True)
    assert asked.held_by_provider() is asked


# One's own classification

TABLE = {
    4406: "fatal",
    1008: "retry",
    404: "retry",
    503: "unauthorised",
    1012: "throttle",
    4000: "goodbye",
    1000: "retry",
}


@pytest.mark.contract("RC6")
@pytest.mark.parametrize(
    ("outcome", "decided"),
    [
        (ended(4406), "fatal close code"),
        (ended(1008, uptime=0.1), "retry 1"),
        (ended(1008, uptime=100), "retry 1"),
        (Outcome(exception=http(404)), "retry 1"),
        (Outcome(exception=http(503)), "unauthorised"),
        (ended(1012), "retry 5"),
        (ended(4000), "goodbye"),
        (ended(1000), "retry 1"),
        # What is not listed falls through.
        (ended(1005), "goodbye"),
        (ended(4401), "unauthorised"),
        (Outcome(exception=http(410)), "fatal HTTP status"),
        (Outcome(exception=REFUSED), "retry 1"),
    ],
)
@pytest.mark.parametrize("form", ["table", "function"])
def test_an_own_classification_stands_over_the_table(outcome, decided, form):
    def function(outcome):
        return TABLE.get(outcome.status or (outcome.close and outcome.close.code))

    policy = Reconnect(
        schedule=lambda attempt, outcome: attempt,
        classify=TABLE if form == "table" else function,
        after_goodbye=False,
    )
    match after(policy, outcome):
        case RetryAfter(seconds=seconds):
            assert decided == f"retry {seconds:g}"
        case Goodbye():
            assert decided == "goodbye"
        case GiveUp(reason=reason):
            assert decided == reason


@pytest.mark.contract("RC6", "RC5")
@pytest.mark.parametrize("after_goodbye", [None, True, False])
def test_what_one_calls_a_goodbye_oneself_is_final(after_goodbye):
    policy = Reconnect.linear(after_goodbye=after_goodbye, classify={4000: "goodbye"})
    assert isinstance(after(policy, ended(4000)), Goodbye)


@pytest.mark.contract("RC6")
def test_a_function_classifies_what_has_no_number():
    def function(outcome):
        return "fatal" if getattr(outcome.exception, "kind", None) == "network" else None

    policy = Reconnect.exponential(classify=function)
    assert after(policy, Outcome(exception=REFUSED)).reason is FailureReason.CLASSIFIED_AS_FATAL


@pytest.mark.contract("RC6", "CN11")
def test_an_own_classification_is_not_asked_when_a_callable_stopped_it():
    policy = Reconnect.exponential(classify=lambda outcome: "retry")
    decision = after(policy, Outcome(exception=StopReconnecting("enough")))
    assert decision.reason is FailureReason.STOPPED_BY_CALLABLE


@pytest.mark.contract("RC6")
def test_a_table_is_copied_compared_and_shown():
    mine = {4406: "fatal", 1013: None}
    policy = Reconnect.linear(classify=mine)
    mine[4406] = "retry"
    assert policy == Reconnect.linear(classify={4406: Classification.FATAL})
    assert hash(policy) == hash(Reconnect.linear(classify={4406: "fatal"}))
    assert "classify={4406: 'fatal'}" in repr(policy)


@pytest.mark.contract("RC6")
@pytest.mark.parametrize("uptime", [None, 0.0, 4.9, 5.0, 3600.0])
def test_1008_refuses_credentials_only_before_min_uptime(uptime):
    decision = after(Reconnect.linear(min_uptime=5), ended(1008, uptime=uptime), can_refresh=True)
    lived = uptime is not None and uptime >= 5
    assert type(decision) is (RetryAfter if lived else RefreshNow)
    longer = after(Reconnect.linear(min_uptime=4000), ended(1008, uptime=uptime), can_refresh=True)
    assert isinstance(longer, RefreshNow)


@pytest.mark.contract("CN11")
def test_stop_reconnecting_is_terminal_whatever_the_policy():
    decision = after(Reconnect.exponential(), Outcome(exception=StopReconnecting("enough")))
    assert decision.reason is FailureReason.STOPPED_BY_CALLABLE
    assert str(decision.error) == "enough"


@pytest.mark.contract("RC6")
@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome(exception=InvalidURI("x", "bad")), FailureReason.FATAL_URL),
        (Outcome(exception=http(404)), FailureReason.FATAL_HTTP_STATUS),
        (Outcome(close=Close(1002), uptime=99), FailureReason.FATAL_CLOSE_CODE),
    ],
)
def test_a_fatal_outcome_gives_up_with_its_reason(outcome, reason):
    decision = after(Reconnect.exponential(), outcome)
    assert decision.reason is reason
    assert str(decision.error)


@pytest.mark.contract("RC6")
@pytest.mark.parametrize(("failures", "step"), [(0, 5), (3, 5), (4, 5), (5, 6), (9, 10)])
def test_throttle_waits_at_least_the_fifth_step(failures, step):
    policy = Reconnect(schedule=lambda attempt, outcome: attempt)
    decision = after(policy, Outcome(exception=http(429)), Streak(failures))
    assert decision.seconds == step
    assert decision.streak.failures == failures + 1


@pytest.mark.contract("RC6", "RC2")
def test_throttle_does_not_take_the_short_first_wait():
    policy = Reconnect.exponential(rng=Fixed(1.0))
    assert after(policy, Outcome(exception=http(429))).seconds == 8


@pytest.mark.contract("RC7")
def test_refresh_belongs_to_the_same_attempt():
    decision = after(Reconnect.linear(), Outcome(exception=http(401)), Streak(2), can_refresh=True)
    assert isinstance(decision, RefreshNow)
    assert (decision.streak.failures, decision.streak.refreshing) == (2, True)


@pytest.mark.contract("RC7")
def test_a_refused_handshake_is_refreshed_even_if_reconnecting_is_off():
    refused = Outcome(exception=http(401))
    assert isinstance(after(None, refused, can_refresh=True), RefreshNow)
    lost = Outcome(close=Close(4401), uptime=9)
    assert isinstance(after(None, lost, can_refresh=True), GiveUp)


@pytest.mark.contract("RC7")
@pytest.mark.parametrize(
    ("streak", "can_refresh"), [(Streak(), False), (Streak(refreshing=True), True)]
)
def test_unauthorised_without_a_callable_or_twice_in_a_row_gives_up(streak, can_refresh):
    outcome = Outcome(exception=http(403))
    decision = after(Reconnect.linear(), outcome, streak, can_refresh=can_refresh)
    assert decision.reason is FailureReason.UNAUTHORISED
    assert decision.error is outcome.exception


@pytest.mark.contract("RC8")
@given(asked=st.floats(0, 1e9))
def test_retry_after_is_kept_from_1_to_300_seconds(asked):
    decision = after(Reconnect.linear(), Outcome(exception=http(503, asked)))
    assert decision.seconds == min(max(asked, 1), 300)


@pytest.mark.contract("RC8")
@pytest.mark.parametrize("asked", [float("nan"), float("inf")])
def test_a_retry_after_that_is_no_time_is_ignored(asked):
    decision = after(Reconnect.linear(3.0), Outcome(exception=http(503, asked)))
    assert decision.seconds == 3.0


@pytest.mark.contract("RC7")
def test_a_server_that_accepts_and_then_refuses_the_credentials_is_not_asked_for_ever():
    refused = Outcome(close=Close(4401), uptime=0.5)
    policy = Reconnect.linear(min_uptime=0)
    first = after(policy, refused, can_refresh=True)
    assert isinstance(first, RefreshNow)
    second = after(policy, refused, first.streak, can_refresh=True)
    assert second.reason is FailureReason.UNAUTHORISED


@pytest.mark.contract("RC8")
def test_retry_after_does_not_give_attempts_back():
    decision = after(Reconnect.linear(attempts=5), Outcome(exception=http(503, 1)), Streak(5))
    assert decision.reason is FailureReason.ATTEMPTS_EXHAUSTED


@pytest.mark.contract("RC9")
@pytest.mark.parametrize(
    ("returned", "error"),
    [
        ("3", TypeError),
        (None, TypeError),
        (True, TypeError),
        (-0.001, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (10**400, ValueError),
    ],
)
def test_a_schedule_that_returns_nonsense_raises_and_shows_it(returned, error):
    policy = Reconnect(schedule=lambda attempt, outcome: returned)
    with pytest.raises(error, match="schedule returned"):
        after(policy, LOSS)
