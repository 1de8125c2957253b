"""Who looks at the demo's chat, and what the browser remembers."""

from __future__ import annotations

import re
from http.cookies import SimpleCookie

import pytest

from sockstore.demo.visitor import MOST_ROOMS, ROOMS, Visitor, visitor

pytestmark = pytest.mark.contract("CL1")


def remembered(who: Visitor) -> dict[str, str]:
    """What a browser would send back."""
    return {key: one.value for text in who.cookies for key, one in SimpleCookie(text).items()}


def test_who_asks_for_nothing_is_a_guest_in_the_first_room_and_stays_the_same_one():
    guest = visitor("", "", {})
    assert re.fullmatch(r"Guest \d{3}", guest.name)
    assert (guest.room, guest.rooms) == ("lobby", ROOMS)
    assert visitor("help", "", remembered(guest)).name == guest.name


def test_a_name_and_rooms_are_remembered_whatever_they_look_like():
    ann = visitor("café", " Ann; Bob=1 ", {})
    again = visitor("", "", remembered(ann))
    assert again.name == "Ann; Bob=1"
    assert again.rooms == (*ROOMS, "café")


def test_the_link_to_a_room_keeps_the_name_of_this_tab():
    ann = visitor("lobby", "Ann & Bob", {"sockstore-name": "Somebody"})
    assert ann.path("café") == "/chat?room=caf%C3%A9&name=Ann+%26+Bob"


def test_only_rooms_that_there_can_be_are_shown_the_latest_first_and_not_too_many():
    many = ",".join(f"room{number}" for number in range(50))
    who = visitor(
        "new", "", {"sockstore-rooms": f"<b>,{'x' * 100},,{many}", "sockstore-name": "%00"}
    )
    assert who.rooms[: len(ROOMS) + 2] == (*ROOMS, "new", "room0")
    assert len(who.rooms) == MOST_ROOMS
    assert who.name.startswith("Guest")
    assert visitor("<b>", "", {}).rooms == ROOMS
    assert visitor("<b>", "", {}).room == "<b>"
