"""Addresses of rooms, as the server reads them."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore import InvalidOption
from sockstore.server import admission
from sockstore.ui.chat.rooms import name_of, named, room_of, rooms_url

pytestmark = pytest.mark.contract("UI1", "SV4")

LOBBY = "ws://localhost:8765/chat/lobby?token=a%20b&name=Ann"


@pytest.mark.parametrize(
    ("url", "room"),
    [
        (LOBBY, "lobby"),
        ("wss://example.com/talk/chat/lobby", "lobby"),
        ("ws://h/chat/caf%C3%A9", "caf\u00e9"),
        ("ws://h/chat/cafe%CC%81", "caf\u00e9"),
        ("ws://h/chat/\u65e5\u672c", "\u65e5\u672c"),
        ("ws://h/chat/", None),
        ("ws://h/chat", None),
        ("ws://h/chat/a/b", None),
        ("ws://h/chat/a%2Fb", None),
        ("ws://h/chat/%FF", None),
        ("ws://h/chat/-a", None),
        ("ws://h/echo?x=/chat/lobby", None),
        ("ws://chat/lobby", None),
        ("http://h/chat/lobby", None),
        ("", None),
    ],
)
def test_a_url_leads_to_a_room_or_to_none(url, room):
    assert room_of(url) == room


@pytest.mark.parametrize(
    ("url", "all_rooms"),
    [
        (LOBBY, "ws://localhost:8765/connection/websocket?token=a%20b&name=Ann"),
        ("wss://h/a/chat?x", "wss://h/a/connection/websocket?x"),
        ("ws://h", "ws://h/connection/websocket"),
        ("ws://h/connection/websocket/", "ws://h/connection/websocket"),
        ("ws://h/chat/a/b", "ws://h/chat/a/b/connection/websocket"),
    ],
)
def test_where_a_server_has_all_its_rooms_the_rest_of_the_url_is_kept(url, all_rooms):
    assert rooms_url(url) == all_rooms


def test_a_name_is_put_into_a_url_replaced_and_taken_out():
    base = "ws://localhost:8765/chat/lobby?token=a%20b"
    assert named(LOBBY, "Bob & Co") == f"{base}&name=Bob%20%26%20Co"
    assert named(f"{base}&name=a&n%61me=b", "c") == f"{base}&name=c"
    assert named(LOBBY, " ") == named(LOBBY, None) == base
    assert named("ws://h/echo", "\u00e9") == "ws://h/echo?name=%C3%A9"
    assert named("ws://h/echo?name=x", "") == "ws://h/echo"


@pytest.mark.parametrize("name", ["x" * 65, "a\x00b", "a\u202eb", "\ud83d", "a\nb"])
def test_a_name_that_nobody_can_have_is_refused_with_the_reason(name):
    with pytest.raises(InvalidOption, match="at most 64 characters, and no control"):
        named(LOBBY, name)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("", None),
        ("?name=", None),
        ("?name=Ann", "Ann"),
        ("?name=A+n%20n&name=Bob", "A n n"),
        ("?xname=Ann", None),
        ("?name=%00", None),
    ],
)
def test_the_name_in_a_url_is_the_one_that_the_server_reads(query, name):
    assert name_of(f"ws://h/chat/lobby{query}") == name


@given(st.text() | st.text(st.characters(categories=["L", "N", "M", "P", "Zs"]), max_size=70))
def test_what_the_server_would_refuse_is_refused_and_nothing_else(text):
    try:
        name = admission.check_name(text)
    except admission.Denied:
        with pytest.raises(InvalidOption):
            named(LOBBY, text)
    else:
        url = named(LOBBY, text)
        query = admission.Handshake.read([], urlsplit(url).query.encode()).query
        assert name_of(url) == name == admission.check_name(query.get("name"))
        assert query["token"] == "a b"
