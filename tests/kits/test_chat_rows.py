"""The rows of a chat as the terminal writes them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sockstore.ui.chat.rows import Line, Row, rows
from sockstore.ui.textual.room import row_content

pytestmark = pytest.mark.contract("UI3")

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)


def said(key: str, time: str | None, **fields: object) -> Line:
    return Line(key, f"text {key}", "Ann", time, **fields)


def written(*lines: Line, first_unread: str | None = None) -> list[str]:
    return [row_content(row, NOW, UTC).plain for row in rows(lines, first_unread)]


def test_messages_of_one_sender_share_a_name_and_a_time_until_some_minutes_or_a_day_passed():
    assert written(
        said("1", "2026-03-04T23:50:00Z"),
        said("2", "2026-03-04T23:54:00Z"),
        said("3", "2026-03-04T23:59:30Z"),
        said("4", "2026-03-05T00:01:00Z"),
        said("5", None),
    ) == [
        "── Yesterday ──\nAnn 23:50\ntext 1",
        "text 2",
        "Ann 23:59\ntext 3",
        "── Today ──\nAnn 00:01\ntext 4",
        "text 5",
    ]


def test_the_marker_of_what_is_new_begins_anew():
    first, second = said("1", "2026-03-05T10:00:00Z"), said("2", "2026-03-05T10:01:00Z")
    assert written(first, second, first_unread="2") == [
        "── Today ──\nAnn 10:00\ntext 1",
        "── New ──\nAnn 10:01\ntext 2",
    ]


@pytest.mark.parametrize(
    ("mark", "shown"),
    [
        ("queued", "text 1 …"),
        ("sent", "text 1 ✓"),
        ("acknowledged", "text 1 ✓✓"),
        ("failed", "text 1 Not delivered"),
    ],
)
def test_an_own_message_has_its_mark_behind_it(mark, shown):
    assert written(said("1", None, mark=mark)) == [f"Ann\n{shown}"]


def test_a_gap_that_can_be_filled_says_how():
    gap = Line("1", "3 messages are missing here", kind="gap", offset=4)
    assert row_content(Row(gap), NOW, UTC).plain == "3 messages are missing here"
    shown = row_content(Row(gap, can_be_filled=True), NOW, UTC).plain
    assert shown == "3 messages are missing here (click to load them)"
