"""Which lines are shown, to a reader at the end and to one who goes back."""

from __future__ import annotations

import pytest

from sockstore.ui.chat.lines import Line
from sockstore.ui.chat.rows import rows
from sockstore.ui.chat.window import PAGE, Window

pytestmark = pytest.mark.contract("UI3")


def lines(start: int, end: int) -> list[Line]:
    return [Line(f"{number}", f"message {number}", "Ann") for number in range(start, end)]


def numbers(shown) -> range:
    found = [int(line.key) for line in shown]
    assert found == list(range(found[0], found[-1] + 1))
    return range(found[0], found[-1] + 1)


def test_a_reader_at_the_end_sees_the_newest_lines():
    window = Window(10)
    assert numbers(window.of(lines(0, 5), at_end=True)) == range(5)
    assert numbers(window.of(lines(0, 50), at_end=True)) == range(40, 50)
    assert (window.start, window.is_full) == (40, False)


def test_nothing_that_a_reader_above_sees_goes_when_messages_come():
    window = Window(10)
    window.of(lines(0, 50), at_end=True)
    assert numbers(window.of(lines(0, 80), at_end=False)) == range(40, 80)
    assert numbers(window.of(lines(30, 90), at_end=False)) == range(40, 90)


def test_older_lines_that_are_known_come_at_once_a_page_at_a_time():
    window = Window(10)
    window.of(lines(0, 500), at_end=True)
    window.extend()
    assert numbers(window.of(lines(0, 500), at_end=False)) == range(490 - PAGE, 500)
    assert numbers(window.of(lines(0, 500), at_end=False)) == range(490 - PAGE, 500)


@pytest.mark.parametrize("at_end", [True, False])
def test_older_lines_that_come_later_are_shown_when_they_come(at_end):
    window = Window(10)
    window.of(lines(100, 110), at_end=True)
    window.extend()
    window.of(lines(100, 110), at_end=at_end)
    assert numbers(window.of(lines(60, 110), at_end=at_end)) == range(60, 110)
    assert numbers(window.of(lines(60, 111), at_end=at_end))[0] in {60, 61}


def test_back_at_the_end_there_are_as_many_as_before():
    window = Window(10)
    window.of(lines(0, 500), at_end=True)
    window.extend()
    window.of(lines(0, 500), at_end=False)
    assert numbers(window.of(lines(0, 501), at_end=True)) == range(491, 501)


def test_more_than_the_most_are_never_shown():
    window = Window(10, most=30)
    window.of(lines(0, 100), at_end=True)
    for _ in range(3):
        window.extend()
        assert numbers(window.of(lines(0, 100), at_end=False)) == range(70, 100)
    assert window.is_full
    assert numbers(window.of(lines(0, 120), at_end=False)) == range(90, 120)


def test_a_first_line_that_is_forgotten_leaves_the_newest():
    window = Window(10)
    window.of(lines(0, 20), at_end=False)
    assert numbers(window.of(lines(100, 150), at_end=False)) == range(140, 150)


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
