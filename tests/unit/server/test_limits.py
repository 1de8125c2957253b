"""The limits of a server, and what they refuse."""

from __future__ import annotations

import pytest

from sockstore import InvalidOption
from sockstore.server import Limits
from sockstore.server.limits import log_limit

pytestmark = pytest.mark.contract("SV3")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_message_bytes", 63),
        ("max_message_bytes", 1.5),
        ("rate", 0),
        ("rate", float("inf")),
        ("rate", float("nan")),
        ("burst", 0),
        ("burst", 1_000_001),
        ("buffer_bytes", 131_071),
        ("buffer_messages", 15),
        ("close_seconds", 0),
        ("clients", 0),
        ("connections_per_address", 0),
        ("handshakes_per_address", 0),
        ("history_messages", -1),
        ("announced_members", -1),
        ("subscriptions", 0),
        ("connect_seconds", 0),
        ("ping_seconds", 0),
        ("pong_seconds", float("nan")),
    ],
)
def test_a_limit_that_cannot_work_is_refused_by_its_name(option, value):
    with pytest.raises(InvalidOption) as refused:
        Limits(**{option: value})
    assert refused.value.option == option


def test_a_history_frame_never_fills_the_buffer_that_it_goes_into():
    assert Limits().history_bytes + Limits().max_message_bytes < Limits().buffer_bytes
    assert Limits(buffer_bytes=200_000).history_bytes == 100_000


@pytest.mark.parametrize("limits", [Limits(), Limits(buffer_bytes=131_072, buffer_messages=16)])
def test_a_page_of_the_history_fits_a_buffer_that_is_half_full(limits):
    assert 2 * limits.page_bytes <= limits.buffer_bytes
    assert 1 <= limits.page_messages <= limits.buffer_messages // 2


def test_the_log_gets_one_line_a_minute():
    lines = log_limit(10.0)
    moments = [10.0, 10.0, 69.9, 70.0, 100.0, 131.0]
    assert [now for now in moments if lines.take(now)] == [10.0, 70.0, 131.0]
