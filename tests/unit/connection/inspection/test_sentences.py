"""What only some connections say of themselves: `explain`, and events of the timeline."""

from __future__ import annotations

import pytest

from sockstore import ConnectionState
from sockstore.connection.inspection.explain import Circumstances, explain
from sockstore.connection.inspection.subscriptions import Subscribed, SubscriptionGap


@pytest.mark.parametrize(
    ("circumstances", "expected"),
    [
        (
            Circumstances(ConnectionState("open"), 5.0, is_writable=False, messages_waiting=1),
            "Connected to the server for 5.0 s. The network takes no more for now, so what is sent "
            "waits. 1 message waits to be sent.",
        ),
        (
            Circumstances(ConnectionState("open"), 5.0, messages_unanswered=3),
            "Connected to the server for 5.0 s. 3 messages have not been acknowledged yet.",
        ),
        (
            Circumstances(ConnectionState("open"), 5.0, messages_unanswered=9, repeats=["a"]),
            "Connected to the server for 5.0 s. 9 messages have not been acknowledged yet. "
            "1 of them waits to be sent again, to 'a'.",
        ),
        (
            Circumstances(
                ConnectionState("open"), 5.0, messages_unanswered=9, repeats=[*"abacad", "a"]
            ),
            "Connected to the server for 5.0 s. 9 messages have not been acknowledged yet. "
            "7 of them wait to be sent again, to 'a', 'b', 'c' and 1 more.",
        ),
    ],
)
def test_explain_says_what_only_some_connections_know(circumstances, expected):
    assert explain(circumstances) == expected


@pytest.mark.parametrize(
    ("recovered", "expected"),
    [
        (None, "Subscribed to 'a'."),
        (True, "Subscribed to 'a'; all that was missed comes."),
        (False, "Subscribed to 'a'; not all that was missed can be had."),
    ],
)
def test_a_subscription_says_what_it_recovered(recovered, expected):
    assert Subscribed(0.0, ("a",), 1, 0.0, recovered).text == expected


def test_a_burst_of_gaps_is_told_by_their_reason_and_counts_what_is_missing():
    first = SubscriptionGap(0.0, ("a",), 1, 0.0, "trimmed", 4)
    both = first.joined(SubscriptionGap(0.5, ("b",), 1, 0.5, "trimmed", 5))
    assert both.text == "9 messages of 'a' and 'b' will not come (trimmed)."
    unknown = both.joined(SubscriptionGap(0.6, ("c",), 1, 0.6, "trimmed"))
    assert unknown.text == "Messages of 'a', 'b' and 'c' may be missing (trimmed)."
    assert first.joined(SubscriptionGap(0.5, ("b",), 1, 0.5, "epoch")) is None
    assert first.joined(SubscriptionGap(1.5, ("b",), 1, 1.5, "trimmed")) is None
