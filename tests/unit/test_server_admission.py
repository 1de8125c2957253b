"""Who may come in, decided from the handshake alone."""

from __future__ import annotations

import pytest

from sockstore import InvalidOption
from sockstore.server import ChatServer, admission, create_app
from sockstore.server.admission import Handshake, Refused

pytestmark = pytest.mark.contract("SV4")


def handshake(*headers: tuple[str, str], query: bytes = b"") -> Handshake:
    return Handshake.read([(n.encode(), v.encode("latin-1")) for n, v in headers], query)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://example.com", "example.com"),
        ("http://example.com:80", "example.com"),
        ("https://example.com", "example.com:443"),
        ("https://example.com", "example.com"),  # behind a proxy that ends TLS
        ("http://EXAMPLE.com:8080", "example.COM:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_a_page_of_the_same_host_and_port_is_welcome(origin, host):
    admission.check_origin(handshake(("Origin", origin), ("Host", host)), frozenset())


@pytest.mark.parametrize(
    "headers",
    [
        [("origin", "http://example.com"), ("host", "example.com:8080")],
        [("origin", "http://example.com:8080"), ("host", "example.com")],
        [("origin", "http://a.example"), ("host", "b.example")],
        [("origin", "null"), ("host", "null")],
        [("origin", "example.com"), ("host", "example.com")],
        [("origin", "://"), ("host", "")],
        [("origin", "http://example.com")],
        [("origin", "http://a"), ("origin", "http://a"), ("host", "a")],
        [("origin", "http://a"), ("host", "a"), ("host", "b")],
        [("origin", "http://a.example\x00"), ("host", "a.example\x00")],
    ],
)
def test_every_other_page_is_403(headers):
    with pytest.raises(Refused) as refused:
        admission.check_origin(handshake(*headers), frozenset({"https://allowed.example"}))
    assert refused.value.status == 403


@pytest.mark.parametrize(
    "origin", ["example.com", "", "http://", "http://a/b", "http://a b", "*.a"]
)
def test_an_allow_list_holds_origins_only(origin):
    with pytest.raises(InvalidOption, match="allowed_origins"):
        create_app(allowed_origins=[origin])


def test_a_single_text_is_no_allow_list():
    with pytest.raises(InvalidOption, match="list"):
        create_app(allowed_origins="*")


@pytest.mark.parametrize("token", ["", 5])
def test_a_token_that_cannot_work_is_refused_and_not_repeated(token):
    with pytest.raises(InvalidOption, match="token"):
        ChatServer(token=token)


@pytest.mark.parametrize("history", ["", "chat.db", "postgres://h", "sqlite:///", "sqlite://h/x"])
def test_an_address_that_is_no_history_is_refused(history):
    with pytest.raises(InvalidOption, match="history"):
        ChatServer(history=history)


def test_the_header_wins_over_the_query():
    assert handshake(query=b"token=q").token == "q"
    assert handshake(("Authorization", "Bearer  h "), query=b"token=q").token == "h"
    assert handshake(("Authorization", "Basic eA=="), query=b"token=q").token == "q"
    assert handshake().token is None


@pytest.mark.parametrize("name", ["a", "Z9", "a.b-c_d", "日本語", "हिन्दी", "straße", "x" * 64])
def test_rooms_have_names_of_any_language(name):
    assert admission.check_room(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "-a", "_a", "a b", "a/b", "a\n", "<b>", "😀", "\u0301", "\ufffd"],
    ids=ascii,
)
def test_every_other_room_is_404(name):
    with pytest.raises(Refused) as refused:
        admission.check_room(name)
    assert refused.value.status == 404


@pytest.mark.parametrize("name", ["x" * 65, "é" * 10_000, "e\u0301" * 200], ids=len)
def test_a_name_that_is_too_long_is_404(name):
    with pytest.raises(Refused) as refused:
        admission.check_room(name)
    assert refused.value.status == 404


def test_a_room_has_one_form():
    assert admission.check_room("cafe\u0301") == admission.check_room("caf\u00e9")


def test_a_name_may_be_anything_visible():
    assert admission.check_name(" Ann O'Neil 😀 <b> ") == "Ann O'Neil 😀 <b>"
    assert admission.check_name(None) is None
    assert admission.check_name("  ") is None
    for bad in ("x" * 65, "a\x00", "a\x1b[31m", "a\u202eb", "a\u2028b", "\ud800"):
        with pytest.raises(Refused) as refused:
            admission.check_name(bad)
        assert refused.value.status == 400
