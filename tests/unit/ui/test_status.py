"""What the connection status says in each situation."""

from __future__ import annotations

import pytest

from sockstore import ConnectionLost, ConnectionState, Failure, FailureReason, SocketInfo
from sockstore.ui.status import StatusText, describe

LOST = ConnectionLost("no answer to ping")


@pytest.mark.contract("UI2")
@pytest.mark.parametrize(
    ("state", "said"),
    [
        (
            ConnectionState("idle"),
            StatusText("disconnected", "Disconnected from chat server"),
        ),
        (
            ConnectionState("connecting"),
            StatusText("disconnected", "Disconnected from chat server", "Connecting …"),
        ),
        (
            ConnectionState("open", socket=SocketInfo("ws://localhost")),
            StatusText("connected", "Connected to chat server"),
        ),
        (
            ConnectionState("waiting", attempt=2, retry_at=14.2, exception=LOST),
            StatusText("error", "Connection error: no answer to ping", "Retry 2 in 5 s"),
        ),
        (
            ConnectionState("waiting", attempt=1, retry_at=9.0, exception=LOST),
            StatusText("error", "Connection error: no answer to ping", "Retry 1 in 1 s"),
        ),
        (
            ConnectionState("connecting", attempt=2, exception=LOST),
            StatusText("error", "Connection error: no answer to ping", "Retry 2 …"),
        ),
        (
            ConnectionState("closing"),
            StatusText("disconnected", "Disconnected from chat server"),
        ),
        (
            ConnectionState("closed"),
            StatusText("disconnected", "Disconnected from chat server", action="Connect"),
        ),
        (
            ConnectionState(
                "failed",
                exception=LOST,
                failure=Failure(FailureReason.UNAUTHORISED, LOST),
            ),
            StatusText("error", "Connection error: no answer to ping", action="Retry"),
        ),
    ],
    ids=lambda value: value.phase if isinstance(value, ConnectionState) else "",
)
def test_each_phase_says_the_guides_sentence_and_what_comes_next(state, said):
    assert describe(state, now=10.0) == said


@pytest.mark.contract("UI2")
def test_a_countdown_never_says_more_than_the_wait_that_was_chosen():
    for now in (0.1, 0.7, 8123.4567, 5e6 + 0.3):
        state = ConnectionState("waiting", attempt=1, retry_at=now + 120, exception=LOST)
        assert describe(state, now).detail == "Retry 1 in 120 s"


@pytest.mark.contract("UI2")
def test_a_very_long_error_is_shown_with_both_of_its_ends():
    lost = ConnectionLost("why " + "x" * 10_000 + " HTTP 404")
    text = describe(ConnectionState("failed", exception=lost), now=0.0).text
    assert text.startswith("Connection error: why ")
    assert text.endswith(" HTTP 404")
    assert len(text) < 400
