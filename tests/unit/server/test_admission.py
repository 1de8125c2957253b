"""Who may come in, decided from the handshake alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Router

from sockstore import InvalidOption
from sockstore.server import ChatServer, admission, create_app
from sockstore.server.middleware import HostGuard

pytestmark = pytest.mark.contract("SV4")

Headers = list[tuple[str, str]]


def answer(
    app: Any, headers: Headers, *, address: str | None = None, query: bytes = b""
) -> tuple[int, str]:
    """Return the status and the text with which an application answers a client of the echo.

    Args:
        app: The application.
        headers: Those of the opening handshake.
        address: The one that the server listens on.
        query: That of the URL.
    """
    status, text = 0, ""
    events = iter(["websocket.connect", "websocket.disconnect"])

    async def receive() -> dict[str, object]:
        return {"type": next(events), "code": 1000}

    async def send(event: dict[str, Any]) -> None:
        nonlocal status, text
        status = 101 if event["type"] == "websocket.accept" else event.get("status", status)
        text += event.get("body", b"").decode()

    scope = {
        "type": "websocket",
        "path": "/echo",
        "query_string": query,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
        "server": address and (address, 80),
        "extensions": {"websocket.http.response": {}},
    }
    asyncio.run(app(scope, receive, send))
    return status, text


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
    assert answer(create_app(), [("Origin", origin), ("Host", host)]) == (101, "")


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
    status, text = answer(create_app(allowed_origins=["https://allowed.example"]), headers)
    assert status == 403
    assert "allow that origin" in text


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
    assert answer(create_app(), [("Host", host)], address=address) == (101, "")


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
    status, text = answer(create_app(), [("Host", host)], address=address)
    assert status == 403
    assert "--host-name" in text
    assert text.isascii()


@pytest.mark.contract("SV12")
@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_a_request_has_one_host(hosts):
    headers = [("Host", host) for host in hosts]
    assert answer(create_app(), headers, address="127.0.0.1")[0] == 400


@pytest.mark.contract("SV12")
@pytest.mark.parametrize("address", [None, "0.0.0.0", "::", "192.168.1.2", "fe80::1", "testserver"])
def test_elsewhere_every_name_is_welcome(address):
    for hosts in (["evil.example"], [], ["a", "b"]):
        headers = [("Host", host) for host in hosts]
        assert answer(create_app(), headers, address=address) == (101, "")


@pytest.mark.contract("SV12")
def test_names_that_are_allowed_are_welcome_on_a_loopback_address():
    names = ["Chat.Example.", "other.example"]
    origins = ["https://page.example:8443", "http://[fd00::1]", "null"]

    def status(host: str, **options: list[str]) -> int:
        return answer(create_app(**options), [("Host", host)], address="127.0.0.1")[0]

    for host in ("chat.example", "CHAT.example:80", "chat.example.", "other.example:1"):
        assert status(host, host_names=names) == 101
    for host in ("page.example", "page.example:9", "[fd00::1]:80"):
        assert status(host, host_names=names, allowed_origins=origins) == 101
    assert status("any", allowed_origins=["*"]) == 101
    for host in ("", "example", "sub.chat.example", "null"):
        assert status(host, host_names=names, allowed_origins=origins) == 403


@pytest.mark.contract("SV12")
def test_a_guard_that_allows_more_names_does_not_let_them_in_to_the_chat():
    server = ChatServer(host_names=["chat.example"])
    app = HostGuard(Router(server.routes), host_names=["chat.example", "pages.example"])
    assert answer(app, [("Host", "chat.example")], address="127.0.0.1")[0] == 101
    assert answer(app, [("Host", "pages.example")], address="127.0.0.1")[0] == 403
    assert answer(Router(server.routes), [("Host", "evil.example")], address="::1")[0] == 403


@pytest.mark.contract("SV12")
def test_a_host_that_was_changed_behind_the_guard_is_checked_again():
    server = Router(ChatServer().routes)

    async def forwarded(scope, receive, send):
        headers = [
            (n, b"evil.example" if n.lower() == b"host" else value) for n, value in scope["headers"]
        ]
        await server({**scope, "headers": headers}, receive, send)

    assert answer(HostGuard(server), [("Host", "localhost")], address="127.0.0.1")[0] == 101
    assert answer(HostGuard(forwarded), [("Host", "localhost")], address="127.0.0.1")[0] == 403


@pytest.mark.contract("SV12")
@pytest.mark.parametrize("name", ["", "a:80", "http://a", "a/b", "[::1]", "*", "a b", "ü.example"])
def test_a_host_name_has_neither_scheme_nor_port(name):
    with pytest.raises(InvalidOption, match="host_names"):
        create_app(host_names=[name])
    with pytest.raises(InvalidOption, match="list"):
        create_app(host_names="chat.example")


def test_a_page_of_another_site_is_told_nothing_about_its_query():
    headers, query = [("Origin", "http://evil.example"), ("Host", "a")], b"a=1&" * 40
    assert answer(create_app(), headers, query=query)[0] == 403
    assert answer(create_app(), headers[1:], query=query)[0] == 400


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


@pytest.mark.parametrize(
    ("headers", "query", "token"),
    [
        ([], b"token=q", "q"),
        ([], b"token=q&token=r", "q"),
        ([("Authorization", "Bearer  h ")], b"token=q", "h"),
        ([("Authorization", "Basic eA==")], b"token=q", "q"),
        ([], b"", None),
    ],
)
def test_the_header_wins_over_the_query(headers, query, token):
    given = []

    def check(token: str | None) -> bool:
        given.append(token)
        return True

    assert answer(create_app(token=check), headers, query=query) == (101, "")
    assert given == [token]


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
    with pytest.raises(admission.Denied) as refused:
        admission.check_room(name)
    assert refused.value.status == 404


@pytest.mark.parametrize("name", ["x" * 65, "é" * 10_000, "e\u0301" * 200], ids=len)
def test_a_name_that_is_too_long_is_404(name):
    with pytest.raises(admission.Denied) as refused:
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
        with pytest.raises(admission.Denied) as refused:
            admission.check_name(bad)
        assert refused.value.status == 400


@given(st.text() | st.text(st.characters(categories=["L", "N", "M", "P", "C"])))
def test_a_room_is_refused_or_stays_the_same_when_it_is_checked_again(name):
    try:
        checked = admission.check_room(name)
    except admission.Denied as error:
        refused = error
    else:
        refused = None
    if refused is not None:
        assert refused.status == 404
    else:
        assert 1 <= len(checked) <= 64
        assert admission.check_room(checked) == checked
        assert "/" not in checked


@given(
    st.lists(
        st.tuples(st.sampled_from([b"origin", b"host", b"authorization", b"x"]), st.binary()),
        max_size=5,
    ),
    st.binary(),
    st.sets(st.sampled_from(["https://a.example", "null"])),
)
def test_no_handshake_crashes_the_door(headers, query, allowed):
    refused = None
    try:
        handshake = admission.Handshake.read(headers, query)
        admission.check_origin(handshake, frozenset(allowed))
        admission.check_name(handshake.query.get("name"))
        assert handshake.token is None or isinstance(handshake.token, str)
    except admission.Denied as error:
        refused = error
    if refused is not None:
        assert refused.status in {400, 403}
        assert refused.message.endswith(".")
        assert refused.message.isprintable()
