"""Errors keep their facts as attributes and say them in one sentence."""

import copy
import inspect
import pickle

import pytest

from sockstore import (
    Close,
    ConnectionEnded,
    ConnectionLost,
    DeliveryError,
    FailureReason,
    HandshakeFailed,
    InvalidOption,
    InvalidURI,
    Lagged,
    OutcomeUnknown,
    ProviderNotFound,
    RequestFailed,
    ScopeClosed,
    SockstoreError,
    StopReconnecting,
    SubscriptionRefused,
)

MODULE = inspect.getmodule(SockstoreError)

EXAMPLES = [
    InvalidURI("http://h/", "it must begin with ws:// or wss://"),
    InvalidOption("limit", 0, "give a whole number of at least 1"),
    HandshakeFailed("ws://h/", "HTTP 503", kind="http", status=503, retry_after=12.0),
    ConnectionLost("no answer to ping", Close(1006)),
    ConnectionEnded("it ended", reason=FailureReason.POLICY_ERROR, close=Close(1002)),
    DeliveryError("expired", "it waited too long"),
    OutcomeUnknown("the connection broke"),
    Lagged(7),
    ProviderNotFound("chat", ["default"]),
    RequestFailed(-32601, "no such method"),
    ScopeClosed("send"),
    StopReconnecting("enough"),
    SubscriptionRefused("btcusdt@trade", "unknown symbol"),
    SubscriptionRefused("btcusdt@trade", "", has_ended=True),
]

each_error = pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)


def test_every_public_error_has_an_example_here():
    assert {type(error).__name__ for error in EXAMPLES} | {"SockstoreError"} == set(MODULE.__all__)


@each_error
def test_every_error_but_the_signal_is_a_sockstore_error(error):
    assert isinstance(error, SockstoreError) != isinstance(error, StopReconnecting)


@each_error
def test_an_error_is_one_sentence_on_one_line(error):
    text = str(error)
    assert text
    assert "\n" not in text


@each_error
@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
)
def test_an_error_survives_copying_and_pickling_with_its_facts(error, clone):
    other = clone(error)
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert vars(other) == vars(error)


@pytest.mark.parametrize(
    ("error", "also"),
    [(EXAMPLES[0], ValueError), (EXAMPLES[1], ValueError), (EXAMPLES[8], LookupError)],
)
def test_errors_of_usage_are_builtin_errors_too(error, also):
    assert isinstance(error, also)


def test_the_tree_at_the_top_of_the_module_names_every_error_and_its_facts():
    for error in EXAMPLES:
        (line,) = [
            line
            for line in MODULE.__doc__.splitlines()
            if line.lstrip("│├└─ ").startswith(type(error).__name__)
        ]
        for fact in vars(error):
            assert fact in line


@pytest.mark.contract("MS4")
def test_lagged_says_how_many_were_missed():
    assert "missed 7 messages" in str(Lagged(7))


@pytest.mark.contract("PV4")
def test_provider_not_found_lists_the_names_in_scope():
    assert "'chat'" in str(ProviderNotFound("chat", ["a", "b"]))
    assert "in scope: 'a', 'b'" in str(ProviderNotFound("chat", ["a", "b"]))
    assert "in scope: none" in str(ProviderNotFound("chat"))


@pytest.mark.contract("SU6")
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            SubscriptionRefused("x", "no such x"),
            "the server refused the subscription 'x': no such x",
        ),
        (SubscriptionRefused("x", ""), "the server refused the subscription 'x'"),
        (
            SubscriptionRefused("x", "gone", has_ended=True),
            "the server ended the subscription 'x': gone",
        ),
        (SubscriptionRefused("x", "", has_ended=True), "the server ended the subscription 'x'"),
    ],
)
def test_a_subscription_that_the_server_ended_was_not_refused(error, sentence):
    assert str(error) == sentence
