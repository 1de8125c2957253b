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


LOOPBACK = ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "localhost"]


@pytest.mark.contract("SV12")
@pytest.mark.parametrize("address", LOOPBACK)
@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LocalHost:8765", "localhost.", "localhost.:80", "api.localhost:8765"),
        *("127.0.0.1", "127.0.0.1:8765", "127.255.1.2", "[::1]", "[::1]:8765", "[0:0::1]:1"),
        *("[::ffff:127.0.0.1]:80", "[::1%lo]", "localhost:"),
    ],
)
def test_a_loopback_name_is_welcome_on_a_loopback_address(address, host):
    admission.check_host(handshake(("Host", host)), address)


@pytest.mark.contract("SV12")
@pytest.mark.parametrize("address", LOOPBACK)
@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8765", "localhost.evil.example", "127.0.0.1.evil.example"),
        *("notlocalhost", "localhostx", "0.0.0.0", "192.168.1.2:8765", "[fe80::1]", "[::]:8765"),
        *(
            "localhost:8765:1",
            "user@localhost",
            "localhost@evil.example",
            "[::1",
            "::1",
        ),
        *("127.1", "2130706433", "0x7f.1", "localhost..", "", "localhost evil", "localhost/x", "ü"),
        *("localhost,evil.example", "%6cocalhost", "loca\x00lhost"),
    ],
)
def test_another_name_is_403_and_the_refusal_names_the_option(address, host):
    with pytest.raises(Refused) as refused:
        admission.check_host(handshake(("Host", host)), address)
    assert refused.value.status == 403
    assert "--host-name" in refused.value.message
    assert refused.value.message.isascii()


@pytest.mark.contract("SV12")
@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_a_request_has_one_host(hosts):
    with pytest.raises(Refused) as refused:
        admission.check_host(handshake(*(("Host", host) for host in hosts)), "127.0.0.1")
    assert refused.value.status == 400


@pytest.mark.contract("SV12")
@pytest.mark.parametrize("address", [None, "0.0.0.0", "::", "192.168.1.2", "fe80::1", "testserver"])
def test_elsewhere_every_name_is_welcome(address):
    for hosts in (["evil.example"], [], ["a", "b"]):
        admission.check_host(handshake(*(("Host", host) for host in hosts)), address)


@pytest.mark.contract("SV12")
def test_names_that_are_allowed_are_welcome_on_a_loopback_address():
    names = admission.check_host_names(["Chat.Example.", "other.example"])
    origins = admission.check_origins(["https://page.example:8443", "http://[fd00::1]", "null"])
    for host in ("chat.example", "CHAT.example:80", "chat.example.", "other.example:1"):
        admission.check_host(handshake(("Host", host)), "127.0.0.1", names)
    for host in ("page.example", "page.example:9", "[fd00::1]:80"):
        admission.check_host(handshake(("Host", host)), "127.0.0.1", names, origins)
    admission.check_host(handshake(("Host", "any")), "127.0.0.1", origins=frozenset({"*"}))
    for host in ("", "example", "sub.chat.example", "null"):
        with pytest.raises(Refused):
            admission.check_host(handshake(("Host", host)), "127.0.0.1", names, origins)


@pytest.mark.contract("SV12")
@pytest.mark.parametrize("name", ["", "a:80", "http://a", "a/b", "[::1]", "*", "a b", "ü.example"])
def test_a_host_name_has_neither_scheme_nor_port(name):
    with pytest.raises(InvalidOption, match="host_names"):
        create_app(host_names=[name])
    with pytest.raises(InvalidOption, match="list"):
        create_app(host_names="chat.example")


def test_a_page_of_another_site_is_told_nothing_about_its_query():
    shown = handshake(("Origin", "http://evil.example"), ("Host", "a"), query=b"a=1&" * 40)
    with pytest.raises(Refused) as refused:
        admission.check_origin(shown, frozenset())
    assert refused.value.status == 403
    with pytest.raises(Refused) as refused:
        shown.token  # noqa: B018 - a property
    assert refused.value.status == 400


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
    [
        *(
            "",
            ".",
            "..",
            "-a",
            "_a",
            "a b",
            "a/b",
            "a\n",
            "a\nb",
            "\na",
            "<b>",
            "😀",
            "\u0301",
            "\ufffd",
        ),
        *("a\u200b", "\u3164", "a\u115f", "a\ufe0f", "a\u034f", "a\u2800", "a\U000e0100"),
    ],
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
    assert admission.check_name("👩\u200d👧") == "👩\u200d👧"
    bad_names = ("x" * 65, "a\x00", "a\x1b[31m", "a\u202eb", "a\u2028b", "\ud800")
    for bad in (*bad_names, "\u200b", "\u3164 \u2800", "\ufeff", "\u0301"):
        with pytest.raises(Refused) as refused:
            admission.check_name(bad)
        assert refused.value.status == 400
