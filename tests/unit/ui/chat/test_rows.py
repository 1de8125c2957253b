"""The rows of a chat: what stands together, and the times in the day of their reader."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sockstore.ui.chat.rows import Line, Row, local_time, new_day, rows

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
    assert new_day(Row(Line("1", "hello", time=time)), NOW, zone) == day


@pytest.mark.parametrize(
    ("time", "previous_time", "day"),
    [
        ("2026-03-04T23:59:59+00:00", "2026-03-04T00:00:00+00:00", ""),
        ("2026-03-05T00:00:00+00:00", "2026-03-04T23:59:59+00:00", "Today"),
        ("2026-03-04T23:59:59+00:00", "2026-03-05T00:00:00+00:00", "Yesterday"),
        ("2026-03-05T00:00:00+00:00", "yesterday", "Today"),
        (None, "2026-03-04T23:59:59+00:00", ""),
    ],
)
def test_a_day_is_named_where_it_begins(time, previous_time, day):
    row = Row(Line("1", "hello", time=time), previous_time)
    assert new_day(row, NOW, UTC) == day


def test_a_line_has_the_minute_that_its_reader_has():
    time = "2026-03-05T00:05:59+00:00"
    assert [f"{local_time(time, zone):%H:%M}" for zone in (EAST, WEST)] == ["09:05", "19:05"]
    assert local_time(None) is None
    assert local_time("noon") is None


def test_without_a_zone_it_is_the_machines():
    moment = local_time("2026-03-05T00:05:59+00:00")
    assert moment == datetime(2026, 3, 5, 0, 5, 59, tzinfo=UTC)
    assert moment.utcoffset() == moment.replace(tzinfo=None).astimezone().utcoffset()


def test_rows_know_the_sender_and_the_time_before_them():
    hello = Line("1", "hello", "Ann", "2026-03-01T12:00:00+00:00")
    joined = Line("2", "Bob joined", kind="notice")
    own = Line("3", "mine", "Ann", "2026-03-02T12:00:00+00:00", mark="sent")
    more = Line("4", "more", "Ann", mark="acknowledged")
    gap = Line("5", "1 message is missing here", kind="gap", offset=9)
    made = list(rows([hello, hello, joined, own, more, gap], "3", can_be_filled=True))
    assert [row.continues for row in made] == [False, True, False, False, True, False]
    assert [row.is_first_unread for row in made] == [False, False, False, True, False, False]
    assert [row.can_be_filled for row in made] == [False] * 5 + [True]
    assert [row.previous_time for row in made] == [None, *[hello.time] * 3, *[own.time] * 2]


@pytest.mark.parametrize(
    ("time", "previous", "continues"),
    [
        ("2026-03-01T12:04:59+00:00", "2026-03-01T12:00:00+00:00", True),
        ("2026-03-01T14:04:59+02:00", "2026-03-01T12:00:00+00:00", True),
        ("2026-03-01T12:05:00+00:00", "2026-03-01T12:00:00+00:00", False),
        ("2026-03-01T11:55:00+00:00", "2026-03-01T12:00:00+00:00", False),
        ("2026-03-01T12:00:00+00:00", None, False),
        (None, "2026-03-01T12:00:00+00:00", True),
        (None, None, True),
    ],
)
def test_messages_of_one_sender_stand_together_for_five_minutes(time, previous, continues):
    before, line = Line("1", "hello", "Ann", previous), Line("2", "again", "Ann", time)
    assert [row.continues for row in rows([before, line])] == [False, continues]
