"""What a reader sees of a chat: which lines are shown, and which of them are unread."""

from __future__ import annotations

import pytest

from sockstore.ui.chat.view_model import PAGE, Line, Unread, Window

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


def line(number: int, **fields: object) -> Line:
    return Line(f"id m{number}", "hello", **{"sender": "Ann", **fields})


LINES = [line(number) for number in range(10)]


def read(*story: tuple[list[Line], bool]) -> Unread:
    unread = Unread()
    for lines, at_end in story:
        unread.read(lines, at_end)
    return unread


def test_at_the_end_nothing_is_unread():
    unread = read(([], True), (LINES[:3], True), (LINES, True))
    assert (unread.count, unread.first) == (0, None)


def test_what_comes_while_the_reader_looks_elsewhere_is_counted_from_the_first():
    unread = read((LINES[:3], True), (LINES[:3], False), (LINES[:5], False), (LINES, False))
    assert (unread.count, unread.first) == (7, LINES[3].key)


def test_the_marker_stays_while_it_is_read_and_goes_with_the_next_message():
    unread = read((LINES[:3], True), (LINES[:5], False), (LINES[:5], True))
    assert (unread.count, unread.first) == (0, LINES[3].key)
    unread.read(LINES[:5], True)
    assert unread.first == LINES[3].key
    unread.read(LINES[:6], True)
    assert (unread.count, unread.first) == (0, None)


def test_a_reader_who_turns_away_again_has_seen_all_that_was_there():
    unread = read((LINES[:3], True), (LINES[:5], False), (LINES[:6], True), (LINES[:6], False))
    assert (unread.count, unread.first) == (0, None)
    unread.read(LINES[:7], False)
    assert (unread.count, unread.first) == (1, LINES[6].key)


def test_what_came_after_the_reader_had_left_is_news_though_it_was_shown_as_seen():
    unread = read((LINES[:3], True), (LINES[:5], True))
    unread.leave(LINES[2].key)
    unread.read(LINES[:5], False)
    assert (unread.count, unread.first) == (2, LINES[3].key)
    unread.read(LINES[:6], False)
    assert (unread.count, unread.first) == (3, LINES[3].key)


def test_who_left_at_a_line_that_is_gone_or_came_back_at_once_has_seen_all():
    unread = read((LINES[:5], True))
    unread.leave("gone")
    unread.read(LINES[:5], False)
    assert unread.count == 0
    unread.leave(LINES[2].key)
    unread.read(LINES[:5], True)
    unread.read(LINES[:5], False)
    assert unread.count == 0


def test_who_left_at_an_own_message_that_still_moves_has_seen_what_stands_before_it():
    own = Line("post 1", "mine", "Bob", mark="sent")
    lines = [*LINES[:3], own, *LINES[3:5]]
    unread = read((lines, True))
    unread.leave(own.key)
    unread.read(lines, False)
    assert (unread.count, unread.first) == (2, LINES[3].key)


def test_own_messages_notices_gaps_and_older_pages_do_not_count():
    seen = LINES[5:8]
    news = [
        Line("n1", "Bob joined", kind="notice"),
        Line("post 1", "mine", "Bob", mark="sent"),
        Line("gap 8", "2 messages are missing here", kind="gap"),
        Line("e1", "not stored", kind="error"),
    ]
    unread = read((seen, True), ([*LINES[:8], *news], False))
    assert (unread.count, unread.first) == (0, None)
    unread.read([*LINES[:8], *news, LINES[9]], at_end=False)
    assert (unread.count, unread.first) == (1, LINES[9].key)


def test_an_own_message_that_moves_when_it_comes_back_hides_nothing():
    waiting = Line("post 1", "mine", "Bob", mark="sent")
    back = Line("post 1", "mine", "Bob", mark="acknowledged")
    unread = read(([*LINES[:3], waiting], True), ([*LINES[:3], waiting, LINES[3]], False))
    assert unread.count == 1
    unread.read([*LINES[:4], back], at_end=False)
    assert (unread.count, unread.first) == (1, LINES[3].key)


def test_a_gap_that_is_filled_moves_nothing():
    gap = Line("gap 2", "1 message is missing here", kind="gap")
    unread = read(([*LINES[:2], gap], True), ([*LINES[:2], gap], False), (LINES[:4], False))
    assert unread.first == LINES[2].key
    assert unread.count == 2


def test_when_all_that_was_seen_is_gone_everything_kept_is_unread():
    unread = read((LINES[:3], True), (LINES[4:], False))
    assert (unread.count, unread.first) == (6, LINES[4].key)
    assert read((LINES[:3], False)).count == 3
