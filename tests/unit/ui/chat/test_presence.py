"""Who is in the room, however long it is watched and however large it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore import Message
from sockstore.ui.chat.presence import NAMES_KEPT, MembersFollower


def room(*frames: dict[str, object]) -> MembersFollower:
    presence = MembersFollower()
    for number, frame in enumerate(frames, 1):
        presence.read(Message(frame, "json", number, 0.0))
    return presence


def here(*names: str | None, count: object = None) -> dict[str, object]:
    return {"type": "presence", "members": list(names), "count": count}


@pytest.mark.contract("SV1")
@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([], ""),
        ([here("Ann")], "1 here: Ann"),
        ([here("Bob", "Ann", "Ann")], "3 here: Ann (2), Bob"),
        ([here("Ann", None)], "2 here: Ann, Anonymous"),
        ([here(*"abcdefg")], "7 here: a, b, c, d, e and 2 more"),
        ([here(*"abc", count=250)], "250 here: a, b, c and 247 more"),
        ([here("a", "a", "b", "c", "d", "e", "f")], "7 here: a (2), b, c, d, e and 1 more"),
        ([here("Ann"), {"type": "join", "sender": "Bob", "count": 2}], "2 here: Ann, Bob"),
        ([here("Ann", "Bob"), {"type": "leave", "sender": "Bob"}], "1 here: Ann"),
        ([{"type": "leave", "sender": "Bob"}], ""),
        ([here("Ann", count=True)], "1 here: Ann"),
        ([here("Ann", count=-1)], "1 here: Ann"),
        ([here("Ann", count=10**5000)], "1 here: Ann"),
    ],
)
def test_the_text_says_how_many_and_the_first_few(frames, text):
    assert room(*frames).text == text


def test_who_is_here_is_known_long_after_its_frame_has_left_the_log():
    chatter = [{"type": "message", "content": "hello"}] * 5000
    assert room(here("Ann"), *chatter).text == "1 here: Ann"


def test_a_server_that_lets_people_in_for_ever_fills_no_memory():
    frames = [{"type": "join", "sender": f"n{number}"} for number in range(NAMES_KEPT + 500)]
    assert len(room(*frames).names) == NAMES_KEPT
    assert room(*frames).text.startswith(f"{NAMES_KEPT + 500} here")
    assert len(room(here(*["a"] * 100_000)).names) == NAMES_KEPT


def test_who_is_in_the_room_follows_presence_join_and_leave():
    story = [
        {"type": "presence", "members": ["Bob", "Ann", None], "count": 3},
        {"type": "join", "sender": "Cid"},
        {"type": "leave", "sender": "Bob"},
        {"type": "leave", "sender": "Nobody"},
    ]
    assert room(*story).names == ("Ann", "Anonymous", "Cid")
    assert room(*story, {"type": "presence", "members": ["Zoe"]}).names == ("Zoe",)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(
    st.lists(
        ANYTHING
        | st.dictionaries(
            st.sampled_from(["type", "sender", "members", "count"]),
            ANYTHING | st.sampled_from(["presence", "join", "leave"]),
        ),
        max_size=6,
    )
)
def test_whatever_a_server_sends_names_are_texts(story):
    assert all(isinstance(name, str) for name in room(*story).names)
