"""What only some connections say of themselves: `explain`, and events of the timeline."""

from __future__ import annotations

import pytest

from sockstore import ConnectionState
from sockstore.connection.inspection.explain import Circumstances, explain
from sockstore.connection.inspection.timeline import Opened


@pytest.mark.parametrize(
    ("circumstances", "expected"),
    [
        (
            Circumstances(ConnectionState("open", recovered=True), 5.0),
            "Connected to the server for 5.0 s. All that was missed before has come.",
        ),
        (
            Circumstances(ConnectionState("open", recovered=False), 5.0),
            "Connected to the server for 5.0 s. The server could not give all that was missed "
            "before.",
        ),
        (
            Circumstances(ConnectionState("open"), 5.0, is_writable=False, messages_waiting=1),
            "Connected to the server for 5.0 s. The network takes no more for now, so what is sent "
            "waits. 1 message waits to be sent.",
        ),
        (
            Circumstances(ConnectionState("open"), 5.0, messages_unanswered=3),
            "Connected to the server for 5.0 s. 3 messages have not been acknowledged yet.",
        ),
    ],
)
def test_explain_says_what_only_some_connections_know(circumstances, expected):
    assert explain(circumstances) == expected


def test_an_opening_says_what_a_session_recovered():
    assert (
        Opened(0.0, 1.0, None, recovered=True).text == "Open after 1.0 s. All that was missed came."
    )
    assert "Not all" in Opened(0.0, 1.0, None, recovered=False).text
