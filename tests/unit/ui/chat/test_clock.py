"""The times of a chat's lines, in their reader's day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sockstore.ui.chat.clock import day_of, local_time, time_of_day

pytestmark = pytest.mark.contract("UI3")

NOW = datetime(2026, 3, 5, 0, 30, tzinfo=UTC)
EAST = timezone(timedelta(hours=9))
WEST = timezone(timedelta(hours=-5))


@pytest.mark.parametrize(
    ("time", "zone", "day"),
    [
        ("2026-03-05T00:00:00+00:00", UTC, "Today"),
        ("2026-03-04T23:59:59+00:00", UTC, "Yesterday"),
        ("2026-03-04T23:59:59+00:00", EAST, "Today"),
        ("2026-03-05T00:10:00+00:00", WEST, "Today"),
        ("2026-03-04T04:59:00+00:00", WEST, "Yesterday"),
        ("2026-03-03T12:00:00+00:00", UTC, "Tue 3 March"),
        ("2026-03-06T12:00:00+00:00", UTC, "Fri 6 March"),
        ("2025-12-31T12:00:00+00:00", UTC, "Wed 31 December 2025"),
        ("2025-12-31T23:30:00+00:00", EAST, "Thu 1 January"),
        (None, UTC, ""),
        ("yesterday", UTC, ""),
        ("0001-01-01T00:00:00+00:00", WEST, ""),
    ],
)
def test_a_line_has_the_day_that_its_reader_has(time, zone, day):
    assert day_of(time, NOW, zone) == day


def test_a_line_has_the_minute_that_its_reader_has():
    assert time_of_day("2026-03-05T00:05:59+00:00", EAST) == "09:05"
    assert time_of_day("2026-03-05T00:05:59+00:00", WEST) == "19:05"
    assert time_of_day(None) == ""
    assert time_of_day("noon") == ""


def test_without_a_zone_it_is_the_machines():
    moment = local_time("2026-03-05T00:05:59+00:00")
    assert moment == datetime(2026, 3, 5, 0, 5, 59, tzinfo=UTC)
    assert moment.utcoffset() == moment.replace(tzinfo=None).astimezone().utcoffset()
