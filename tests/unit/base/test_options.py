"""Options refuse what cannot work when they are made, in one clear sentence."""

import math
import random
import ssl
import sys

import pytest

from sockstore import InvalidOption, Outbox, Outcome, Reconnect, WebSocketStore
from sockstore.machine import Settings

NO_NUMBERS = [math.nan, math.inf, -math.inf, 10**400, -(10**400), "3", True, [], {}, 1j, object()]
NOT_POSITIVE = [*NO_NUMBERS, 0, -1, 0.0, -0.5]
NEGATIVE = [*NO_NUMBERS, -1, -0.5]
NO_COUNTS = [1.0, 1.5, math.nan, "3", True, False, -1, [], {}]


def bad(make, option, values):
    return [(make, option, value) for value in values]


BAD_VALUES = [
    *bad(Reconnect.linear, "interval", [*NOT_POSITIVE, None]),
    *bad(Reconnect.linear, "attempts", NO_COUNTS),
    *bad(Reconnect.linear, "jitter", [*NEGATIVE, 1.1, None]),
    *bad(Reconnect.linear, "min_uptime", [*NEGATIVE, None]),
    *bad(Reconnect.exponential, "base", [*NOT_POSITIVE, None]),
    *bad(Reconnect.exponential, "factor", [*NEGATIVE, 0.99, None]),
    *bad(Reconnect.exponential, "max", [*NEGATIVE, 0.5, None]),
    *bad(Reconnect.exponential, "attempts", NO_COUNTS),
    *bad(Reconnect.exponential, "jitter", [*NEGATIVE, 1.1, None]),
    *bad(Reconnect.exponential, "min_uptime", [*NEGATIVE, None]),
    *bad(Reconnect, "schedule", [None, 3, "linear", [1, 2, 3]]),
    *bad(Outbox, "limit", [*NO_COUNTS, 0, None]),
    *bad(Outbox, "max_bytes", [*NO_COUNTS, 0, None]),
    *bad(Outbox, "ttl", NOT_POSITIVE),
    *bad(Outbox, "max_message_bytes", [*NO_COUNTS, 0]),
    *bad(Outbox, "overflow", ["drop", "", None, 3, [], {}, True]),
    *bad(Settings, "connect_timeout", [*NOT_POSITIVE, None]),
    *bad(Settings, "close_timeout", [*NOT_POSITIVE, None]),
    *bad(Settings, "ping_interval", NOT_POSITIVE),
    *bad(Settings, "ping_timeout", [*NOT_POSITIVE, None]),
    *bad(Settings, "idle_timeout", NOT_POSITIVE),
]


@pytest.mark.contract("RC2", "OB2", "LV1", "LV3")
@pytest.mark.parametrize(("make", "option", "value"), BAD_VALUES)
def test_a_bad_value_is_refused_in_one_sentence_that_says_what_would_be_right(make, option, value):
    with pytest.raises(InvalidOption) as caught:
        make(**{option: value})
    error = caught.value
    assert isinstance(error, ValueError)
    assert error.option == option
    assert error.value is value
    text = str(error)
    assert text.startswith(f"{option}=")
    assert " cannot be used: give " in text
    assert "\n" not in text


@pytest.mark.contract("RC2")
@pytest.mark.parametrize("spread_first", [*NEGATIVE, None])
def test_a_bad_spread_is_refused(spread_first):
    with pytest.raises(InvalidOption, match="spread_first"):
        Reconnect(schedule=lambda attempt, outcome: 1, spread_first=spread_first)


@pytest.mark.contract("RC1")
@pytest.mark.parametrize("value", [1, 0, "yes", [], Outcome(), 3.0])
def test_reconnect_is_true_false_none_or_a_policy(value):
    with pytest.raises(InvalidOption, match="give True, False or a Reconnect"):
        WebSocketStore("ws://h", reconnect=value)


@pytest.mark.contract("RC2", "RC3", "OB2")
@pytest.mark.parametrize(
    ("make", "values"),
    [
        (Reconnect.linear, {"interval": 1, "attempts": 0, "jitter": 1, "min_uptime": 0}),
        (Reconnect.linear, {"attempts": None, "jitter": 0}),
        (Reconnect.exponential, {"base": 30, "factor": 1, "max": 30}),
        (Reconnect.exponential, {"base": 0.001, "factor": 1e9, "max": 1e9}),
        (Outbox, {"limit": 1, "max_bytes": 1, "ttl": 0.001, "overflow": "drop_oldest"}),
        (Settings, {"ping_interval": None, "idle_timeout": None}),
    ],
)
def test_values_at_the_edge_are_taken(make, values):
    assert make(**values)


@pytest.mark.contract("RC2")
def test_options_are_frozen_and_comparable_whatever_their_randomness():
    assert Reconnect.linear() == Reconnect.linear(rng=random.Random(5))
    assert Reconnect.linear() != Reconnect.linear(4)
    with pytest.raises(AttributeError):
        Reconnect.linear().attempts = 7
    with pytest.raises(AttributeError):
        Outbox().limit = 7


@pytest.mark.contract("RC1", "OB2")
def test_the_defaults_are_the_contracts():
    assert Outbox() == Outbox(limit=1000, max_bytes=8 * 2**20, ttl=None, overflow="refuse")
    assert (Reconnect.linear().attempts, Reconnect.linear().min_uptime) == (5, 5)
    settings = Settings()
    assert (settings.connect_timeout, settings.close_timeout) == (10, 5)
    assert (settings.ping_interval, settings.ping_timeout) == (20, 20)
    assert settings.idle_timeout is None


def test_small_checks_take_none_and_what_they_ask_for():
    Reconnect.linear(attempts=None)
    WebSocketStore("ws://h", on_open=None, ssl=None)
    WebSocketStore("ws://h", on_open=print)
    with pytest.raises(InvalidOption, match="on_open=3 cannot be used: give a callable"):
        WebSocketStore("ws://h", on_open=3)


@pytest.mark.skipif(sys.platform == "emscripten", reason="a browser has TLS of its own")
def test_a_tls_context_is_one_of_pythons():
    WebSocketStore("ws://h", ssl=ssl.create_default_context())
    with pytest.raises(InvalidOption, match=r"ssl='3' cannot be used: give an ssl\.SSLContext"):
        WebSocketStore("ws://h", ssl="3")


@pytest.mark.contract("CN1")
@pytest.mark.parametrize(
    ("option", "value"),
    [("transport", 7), ("compression", "yes"), ("on_open", 3), ("ssl", True), ("outbox", 5)],
)
def test_an_option_of_a_connection_that_cannot_work_is_refused_at_construction(option, value):
    with pytest.raises(InvalidOption, match=f"^{option}={value!r} cannot be used: give "):
        WebSocketStore("ws://localhost", **{option: value})


@pytest.mark.contract("CN5")
@pytest.mark.parametrize("reason", [None, b"bytes", "x" * 124])
def test_a_close_reason_that_cannot_be_sent_is_refused_before_anything_happens(reason):
    connection = WebSocketStore("ws://localhost")
    with pytest.raises(ValueError, match=r"^(the )?close reason"):
        connection.close(reason=reason)
    assert connection.phase.value == "idle"
