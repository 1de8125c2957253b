"""Who came and who left is told by what is true afterwards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore.ui.chat.comings import BACK_WITHIN, NAMES_KEPT, Coming, Comings

pytestmark = pytest.mark.contract("UI3")

CAME, LEFT = Coming("Bob", has_joined=True), Coming("Bob", has_joined=False)
BACK = Coming("Bob", has_joined=True, is_back=True)


def test_a_second_tab_neither_comes_nor_leaves():
    room = Comings()
    assert [room.join("Bob", 0), room.join("Bob", 1), room.leave("Bob", 2)] == [CAME, None, None]
    assert room.leave("Bob", 3) == LEFT


@pytest.mark.parametrize(("away", "told"), [(BACK_WITHIN, BACK), (BACK_WITHIN + 1, CAME)])
def test_who_comes_back_soon_has_not_left(away, told):
    room = Comings()
    room.list_all(["Ann", "Bob"], 0)
    assert room.leave("Bob", 10) == LEFT
    assert room.join("Bob", 10 + away) == told


def test_a_list_of_all_takes_back_who_is_there_again():
    room = Comings()
    room.list_all(["Ann", "Bob"], 0)
    room.leave("Bob", 10)
    assert room.list_all(["Ann", "Bob", "Cid"], 11) == [BACK]
    assert room.list_all(["Ann", "Bob"], 12) == []


def test_those_without_a_name_are_told_each_time():
    room = Comings()
    told = [room.join("Anonymous", 0), room.join("Anonymous", 0), room.leave("Anonymous", 0)]
    assert [each is not None and each.has_joined for each in told] == [True, True, False]


def test_of_members_the_first_list_is_no_news_and_an_empty_one_is_unknown():
    room = Comings()
    assert room.change_to([], 0) == []
    assert room.change_to(["Ann", "Bob"], 0) == []
    assert room.change_to([], 1) == []
    assert room.change_to(["Ann"], 2) == [LEFT]
    assert room.change_to(["Ann", "Bob", "Bob"], 3) == [BACK]
    assert room.change_to(["Ann", "Bob"], 4) == []


def test_no_server_fills_the_memory():
    room = Comings()
    for number in range(3 * NAMES_KEPT):
        room.join(f"n{number}", 0)
        room.leave(f"gone {number}", 0)
    assert len(room._here) <= NAMES_KEPT
    assert len(room._left) <= NAMES_KEPT


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["Ann", "Bob"])), max_size=30))
def test_nobody_is_told_to_have_left_who_is_there(story):
    room, here, shown = Comings(), {"Ann": 0, "Bob": 0}, set()
    for now, (joins, name) in enumerate(story):
        if not joins and not here[name]:
            continue  # a server tells of nobody who was not there
        here[name] += 1 if joins else -1
        told = room.join(name, now) if joins else room.leave(name, now)
        if told is not None:
            (shown.discard if told.has_joined else shown.add)(name)
        assert shown == {name for name in shown if not here[name]}
