"""The opening handshake's words: requests, redirects, and our names for foreign failures."""

from __future__ import annotations

import errno
import logging
import socket
import ssl
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeaderValue, NegotiationError

from sockstore import (
    Classification,
    Deflate,
    HandshakeFailed,
    InvalidURI,
    Outcome,
    classify,
)
from sockstore.transports.answers import Answer, NotAnAnswerError
from sockstore.transports.base import Target, TransportOptions
from sockstore.transports.native.handshake import (
    NoSubprotocolError,
    RefusedError,
    make_request,
    redirect_of,
    translate,
)

header_values = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"])
).map(str.strip)

URL = "wss://me:secret@a.test/path?token=secret"


def refusal(status: int, *headers: tuple[str, str]) -> RefusedError:
    return RefusedError(Answer(status=status, reason="Reason", headers=headers))


# Requests


def headers_of(target: Target, **options: object) -> Headers:
    _, request = make_request(target, TransportOptions(**options))  # type: ignore[arg-type]
    return request.headers


def test_a_request_has_what_rfc_6455_asks_for() -> None:
    headers = headers_of(Target(url="ws://a.test:81/path?x=1"))
    assert headers["Host"] == "a.test:81"
    assert headers["Upgrade"] == "websocket"
    assert headers["Connection"] == "Upgrade"
    assert headers["Sec-WebSocket-Version"] == "13"
    assert headers["User-Agent"].startswith("sockstore/")
    assert "Sec-WebSocket-Protocol" not in headers
    assert "Sec-WebSocket-Extensions" not in headers


@pytest.mark.contract("CN13")
def test_compression_and_subprotocols_are_offered_if_asked_for() -> None:
    headers = headers_of(Target(url=URL, subprotocols=("b", "a")), compression=True)
    assert headers["Sec-WebSocket-Protocol"] == "b, a"
    assert headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")


@pytest.mark.contract("CN18")
@pytest.mark.parametrize(
    ("deflate", "offer"),
    [
        (True, "permessage-deflate; client_max_window_bits"),
        (Deflate(), "permessage-deflate; client_max_window_bits"),
        (Deflate(client_max_window_bits=None), "permessage-deflate"),
        (Deflate(client_max_window_bits=8), "permessage-deflate; client_max_window_bits=8"),
        (
            Deflate(
                server_no_context_takeover=True,
                client_no_context_takeover=True,
                server_max_window_bits=8,
                client_max_window_bits=15,
            ),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
            "server_max_window_bits=8; client_max_window_bits=15",
        ),
    ],
)
def test_compression_is_offered_with_its_parameters(deflate: Deflate | bool, offer: str) -> None:
    assert headers_of(Target(url=URL), compression=deflate)["Sec-WebSocket-Extensions"] == offer


@pytest.mark.parametrize("name", ["User-Agent", "authorization", "HOST", "Origin"])
def test_a_header_of_the_users_takes_the_place_of_ours(name: str) -> None:
    assert headers_of(Target(url=URL, headers=((name, "own"),))).get_all(name) == ["own"]


@pytest.mark.contract("CN18")
@pytest.mark.parametrize("url", ["ws://[fe80::1%251]:81/", "ws://[fe80::1%1]:81/"])
def test_a_zone_leads_to_its_interface_and_is_not_sent(url: str) -> None:
    protocol, request = make_request(Target(url=url), TransportOptions())
    assert request.headers.get_all("Host") == ["[fe80::1]:81"]
    (address,) = socket.getaddrinfo(protocol.uri.host, 81, type=socket.SOCK_STREAM)
    assert address[4] == ("fe80::1", 81, 0, 1)


@pytest.mark.contract("CN18")
def test_a_request_says_what_the_url_says() -> None:
    url = "ws://m%20e:p%3A@münchen.example.:81/a%20b/ü?t=%3D"
    _, request = make_request(Target(url=url), TransportOptions())
    assert request.path == "/a%20b/%C3%BC?t=%3D"
    assert request.headers["Host"] == "xn--mnchen-3ya.example.:81"
    assert request.headers["Authorization"] == f"Basic {b64encode(b'm e:p:').decode()}"


def test_a_header_may_be_repeated() -> None:
    own = (("X-A", "1"), ("X-A", "2"))
    assert headers_of(Target(url=URL, headers=own)).get_all("x-a") == ["1", "2"]


@pytest.mark.contract("CN14")
def test_the_protocol_logs_nothing_at_any_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    target = Target(url=URL, headers=(("Authorization", "Bearer secret"),))
    protocol, request = make_request(target, TransportOptions())
    protocol.send_request(request)
    assert not protocol.debug
    assert not caplog.records


# Redirects


def following(url: str, location: str, status: int = 302) -> str | None:
    target = redirect_of(Target(url=url), refusal(status, ("Location", location)))
    return None if target is None else target.url


@pytest.mark.contract("CN13")
@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/x", "ws://a.test:81/x"),
        ("x", "ws://a.test:81/p/x"),
        ("../x", "ws://a.test:81/x"),
        ("?y=2", "ws://a.test:81/p/q?y=2"),
        ("//b.test/x", "ws://b.test/x"),
        ("http://b.test/x", "ws://b.test/x"),
        ("HTTP://b.test/x", "ws://b.test/x"),
        ("https://b.test/x", "wss://b.test/x"),
        ("ws://b.test/x", "ws://b.test/x"),
        ("WSS://b.test/x", "wss://b.test/x"),
    ],
)
def test_a_location_is_read_as_browsers_read_it(location: str, leads_to: str) -> None:
    assert following("ws://a.test:81/p/q?y=1", location) == leads_to


@pytest.mark.parametrize("status", [200, 300, 304, 305, 401, 503])
def test_other_statuses_lead_nowhere(status: int) -> None:
    assert following("ws://a.test/", "/x", status) is None


def test_other_failures_lead_nowhere() -> None:
    assert redirect_of(Target(url=URL), OSError()) is None


SECRETS = (("Authorization", "1"), ("COOKIE", "2"), ("Proxy-Authorization", "3"), ("Host", "a"))


@pytest.mark.contract("CN13")
@pytest.mark.parametrize(
    ("url", "location", "is_same"),
    [
        ("ws://a.test/", "/x", True),
        ("ws://a.test/", "ws://a.test:80/x", True),
        ("ws://A.test/", "ws://a.TEST/x", True),
        ("wss://a.test/", "https://a.test:443/", True),
        ("ws://a.test/", "ws://a.test:81/", False),
        ("ws://a.test/", "ws://b.test/", False),
        ("ws://a.test/", "ws://sub.a.test/", False),
        ("ws://a.test/", "wss://a.test/", False),
        ("ws://a.test/", "wss://a.test:80/", False),
        ("ws://a.test/", "//b.test/", False),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, location: str, is_same: bool) -> None:
    own = (*SECRETS, ("X-Own", "kept"))
    target = redirect_of(Target(url=url, headers=own), refusal(307, ("Location", location)))
    assert target is not None
    assert target.headers == (own if is_same else (("X-Own", "kept"),))


@pytest.mark.contract("CN18")
@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("ws://a.test/x", "ws://me:p%40@a.test/x"),
        ("http://a.test:80/x", "ws://me:p%40@a.test:80/x"),
        ("/x", "ws://me:p%40@a.test/x"),
        ("ws://you:q@a.test/x", "ws://you:q@a.test/x"),
        ("ws://b.test/x", "ws://b.test/x"),
        ("wss://a.test/x", "wss://a.test/x"),
    ],
)
def test_user_info_is_for_its_own_origin(location: str, leads_to: str) -> None:
    assert following("ws://me:p%40@a.test/", location) == leads_to


@pytest.mark.contract("CN18")
def test_a_location_of_utf_8_is_read_as_such() -> None:
    location = "/straße?x=%20".encode().decode("latin-1")
    assert following("ws://a.test/", location) == "ws://a.test/straße?x=%20"


@pytest.mark.contract("CN13")
def test_a_redirect_out_of_tls_is_refused_and_shows_no_secret() -> None:
    failure = refusal(302, ("Location", "http://b.test/?t=secret"))
    with pytest.raises(HandshakeFailed, match="not encrypted") as caught:
        redirect_of(Target(url=URL), failure)
    assert "secret" not in repr(caught.value)


@given(header_values)
@example("http://[::1")
@example("http://a.test:port/")
@example("ws://a.test/#there")
def test_no_location_breaks_anything_but_itself(location: str) -> None:
    try:
        url = following("ws://a.test/p", location)
    except InvalidURI:
        return
    assert url is not None
    assert url.startswith(("ws://", "wss://"))


# Failures


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "network", "host name cannot be resolved"),
        (ConnectionRefusedError(), "network", "is the server running?"),
        (ConnectionResetError(), "network", "reset during the handshake"),
        (TimeoutError(), "network", "did not answer"),
        (OSError(errno.ENETUNREACH, "Connect call failed"), "network", "Network is unreachable"),
        (OSError("odd"), "network", "odd"),
        (OSError(), "network", "OSError"),
        (EOFError(), "network", "ended the connection during the handshake"),
        (ssl.SSLError(1, "[SSL: WRONG] wrong"), "network", "TLS failed"),
        (ssl.SSLCertVerificationError(1, "x"), "certificate", "certificate was not accepted"),
        (NoSubprotocolError(), "subprotocol", "none of the offered"),
        (NegotiationError("unsupported subprotocol: x"), "subprotocol", "not offered"),
        (NegotiationError("no extensions supported"), "protocol", "not a WebSocket handshake"),
        (NotAnAnswerError("no"), "protocol", "not a WebSocket handshake: no"),
        (refusal(404), "http", "HTTP 404 Reason"),
        (ValueError("me:secret"), "protocol", "failed with ValueError"),
        (InvalidHeaderValue("Upgrade", "secret"), "protocol", "invalid Upgrade header: ***"),
    ],
    ids=lambda value: repr(value)[:40],
)
@pytest.mark.contract("CN14")
def test_every_foreign_failure_gets_a_name_and_no_secret(
    error: Exception, kind: str, words: str
) -> None:
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_message = "self-signed certificate"  # OpenSSL does
    elif isinstance(error, ssl.SSLError):
        error.reason = "WRONG"
    failed = translate(Target(url=URL), error)
    assert isinstance(failed, HandshakeFailed)
    assert failed.kind == kind
    assert words in str(failed)
    assert failed.__cause__ is (None if "secret" in str(error) else error)
    assert "secret" not in repr(failed)
    assert str(failed).startswith("cannot connect to wss://***@a.test/path?***: ")


def test_our_own_errors_stay_what_they_are() -> None:
    for error in (HandshakeFailed("x", "y"), InvalidURI("x", "y")):
        assert translate(Target(url=URL), error) is error


# Retry-After


def retry_after_of(*values: str) -> float | None:
    failed = translate(Target(url=URL), refusal(429, *(("Retry-After", value) for value in values)))
    assert isinstance(failed, HandshakeFailed)
    assert classify(Outcome(exception=failed)) is Classification.THROTTLE
    return failed.retry_after


@pytest.mark.contract("RC8")
@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0.0), ("12", 12.0), (" 12 ", 12.0), ("9" * 500, 999_999_999.0)],
)
def test_retry_after_in_seconds(value: str, seconds: float) -> None:
    assert retry_after_of(value) == seconds


@pytest.mark.contract("RC8")
def test_retry_after_as_a_date() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=100)
    for value in (format_datetime(soon, usegmt=True), soon.strftime("%a %b %d %H:%M:%S %Y")):
        seconds = retry_after_of(value)
        assert seconds is not None
        assert 90 < seconds <= 100
    assert retry_after_of("Sun, 06 Nov 1994 08:49:37 GMT") == 0.0


@pytest.mark.contract("RC8")
@given(header_values)
@example("²")
@example("-1")
@example("1e3")
@example("Mon, 01 Jan 99999 00:00:00 GMT")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
def test_any_retry_after_is_seconds_or_nothing(value: str) -> None:
    seconds = retry_after_of(value)
    assert seconds is None or seconds >= 0


@pytest.mark.contract("RC8")
def test_two_retry_afters_say_nothing() -> None:
    assert retry_after_of("1", "2") is None
