"""The one public table: what an outcome means for the next attempt."""

import pytest

from sockstore import (
    Classification,
    Close,
    ConnectionLost,
    FailureReason,
    HandshakeFailed,
    InvalidOption,
    InvalidURI,
    Outcome,
    classify,
)
from sockstore.base.outcomes import reason_of_fatal

RETRY, THROTTLE, UNAUTHORISED, GOODBYE, FATAL = (
    Classification.RETRY,
    Classification.THROTTLE,
    Classification.UNAUTHORISED,
    Classification.GOODBYE,
    Classification.FATAL,
)

CLOSE_CODES = {
    GOODBYE: [1000, 1005],
    FATAL: [1002, 1003, 1007, 1009, 1010, 4400, 4404, 4410],
    UNAUTHORISED: [1008, 3000, 4401, 4403],
    THROTTLE: [1013, 4429],
    RETRY: [1001, 1004, 1006, 1011, 1012, 1014, 1015, 2999, 3001, 4000, 4402, 4500, 4999],
}

HTTP_STATUSES = {
    FATAL: [400, 402, 404, 405, 406, 409, 410, 411, 414, 418, 421, 422, 426, 428, 431, 451, 499],
    UNAUTHORISED: [401, 403, 407],
    THROTTLE: [429],
    RETRY: [408, 425, 500, 501, 502, 503, 504, 511, 520, 599, 200, 204, 301, 399],
}


def pairs(table):
    return [(number, meaning) for meaning, numbers in table.items() for number in numbers]


def failed(kind, **facts):
    return HandshakeFailed("ws://h/", "no", kind=kind, **facts)


@pytest.mark.contract("RC6")
@pytest.mark.parametrize("opened_before", [False, True])
@pytest.mark.parametrize(("code", "meaning"), pairs(CLOSE_CODES))
def test_what_each_close_code_means(code, meaning, opened_before):
    outcome = Outcome(
        exception=ConnectionLost("lost"), close=Close(code), uptime=1, opened_before=opened_before
    )
    assert classify(outcome) is meaning


@pytest.mark.contract("RC6")
@pytest.mark.parametrize("opened_before", [False, True])
@pytest.mark.parametrize(("status", "meaning"), pairs(HTTP_STATUSES))
def test_what_each_http_status_means(status, meaning, opened_before):
    outcome = Outcome(exception=failed("http", status=status), opened_before=opened_before)
    assert classify(outcome) is meaning


@pytest.mark.contract("RC6")
def test_every_other_close_code_is_retried():
    special = {code for meaning, codes in CLOSE_CODES.items() for code in codes if meaning != RETRY}
    for code in set(range(1000, 5000)) - special:
        assert classify(Outcome(close=Close(code))) is RETRY


@pytest.mark.contract("RC6")
@pytest.mark.parametrize(
    ("kind", "first", "later"),
    [
        ("network", RETRY, RETRY),
        ("timeout", RETRY, RETRY),
        ("protocol", RETRY, RETRY),
        ("option", RETRY, RETRY),
        ("on_open", RETRY, RETRY),
        ("certificate", FATAL, RETRY),
        ("subprotocol", FATAL, RETRY),
    ],
)
def test_what_each_failure_of_the_transport_means_before_and_after_a_first_success(
    kind, first, later
):
    assert classify(Outcome(exception=failed(kind))) is first
    assert classify(Outcome(exception=failed(kind), opened_before=True)) is later


@pytest.mark.contract("RC6", "CN11")
@pytest.mark.parametrize("opened_before", [False, True])
def test_a_bad_url_is_fatal_whenever_it_comes(opened_before):
    outcome = Outcome(exception=InvalidURI("x", "bad"), opened_before=opened_before)
    assert classify(outcome) is FATAL


@pytest.mark.contract("RC6")
def test_an_outcome_that_says_nothing_is_retried():
    assert classify(Outcome()) is RETRY
    assert classify(Outcome(exception=OSError("?"))) is RETRY


@pytest.mark.contract("CN9", "RC6")
@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (Outcome(exception=InvalidURI("x", "bad")), FailureReason.FATAL_URL),
        (Outcome(exception=InvalidOption("headers", "A", "bad")), FailureReason.FATAL_OPTION),
        (Outcome(exception=failed("certificate")), FailureReason.FATAL_TLS),
        (Outcome(exception=failed("subprotocol")), FailureReason.NO_SUBPROTOCOL),
        (Outcome(exception=failed("http", status=404)), FailureReason.FATAL_HTTP_STATUS),
        (Outcome(close=Close(1002)), FailureReason.FATAL_CLOSE_CODE),
    ],
)
def test_each_fatal_outcome_has_its_reason(outcome, reason):
    assert classify(outcome) is FATAL
    assert reason_of_fatal(outcome) is reason


@pytest.mark.contract("RC8")
@pytest.mark.parametrize(("status", "seconds"), [(429, 7), (503, 7), (500, None), (301, None)])
def test_retry_after_counts_on_429_and_503_only(status, seconds):
    outcome = Outcome(exception=failed("http", status=status, retry_after=7))
    assert outcome.status == status
    assert outcome.retry_after == seconds


@pytest.mark.contract("RC6")
def test_an_outcome_without_http_has_no_status():
    outcome = Outcome(exception=ConnectionLost("lost"), close=Close(1006))
    assert (outcome.status, outcome.retry_after) == (None, None)


@pytest.mark.contract("CN2")
@pytest.mark.parametrize(
    ("close", "text"),
    [
        (Close(1000), "1000 (normal closure)"),
        (Close(1011, "no disk"), "1011 (internal error): no disk"),
        (Close(4242), "4242"),
        (Close(4242, "why"), "4242: why"),
    ],
)
def test_a_close_says_its_code_its_name_and_its_reason(close, text):
    assert str(close) == text


@pytest.mark.contract("CN9")
def test_a_failure_reason_equals_its_text():
    assert FailureReason.ATTEMPTS_EXHAUSTED == "attempts exhausted"
    assert f"{FailureReason.POLICY_ERROR}" == "policy error"
