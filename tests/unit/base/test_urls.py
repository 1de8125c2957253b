"""WebSocket urls: checked early, shown without their secrets."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore import InvalidURI
from sockstore.base.urls import check_url, is_secure, place_of, redact_url, tls_name


@pytest.mark.contract("CN4")
@pytest.mark.parametrize(
    "url",
    [
        "ws://localhost",
        "ws://localhost:8765/echo",
        "wss://example.com/feed?token=abc&x=1",
        "WSS://Example.COM:443/",
        "ws://user:pass@host/",
        "ws://user:@host/",
        "ws://[::1]:8765/echo",
        "ws://[fe80::1%25eth0]/",
        "ws://127.0.0.1:1/",
        "ws://h:65535/",
        "ws://h:/",
        "ws://münchen.example/straße?q=ü",
        "ws://my_service:80/",
        "ws://host./",
        "ws://h/a/@b:c",
    ],
)
def test_a_good_url_is_returned_as_it_is(url):
    assert check_url(url) == url


@pytest.mark.contract("CN4")
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "must begin with ws:// or wss://"),
        ("localhost:8765", "must begin with ws:// or wss://"),
        ("//localhost", "must begin with ws:// or wss://"),
        ("/echo", "must begin with ws:// or wss://"),
        ("http://localhost", "must begin with ws:// or wss://"),
        ("https://localhost", "must begin with ws:// or wss://"),
        ("wsss://localhost", "must begin with ws:// or wss://"),
        ("ws://", "no host"),
        ("ws:///echo", "no host"),
        ("ws://:80/", "no host"),
        ("ws:localhost", "no host"),
        ("ws://h:0/", "port is 0"),
        ("ws://h:65536/", "number from 1 to 65535"),
        ("ws://h:99999999999/", "number from 1 to 65535"),
        ("ws://h:-1/", "number from 1 to 65535"),
        ("ws://h:abc/", "number from 1 to 65535"),
        ("ws://h:٣/", "number from 1 to 65535"),
        ("ws://[::1/", "host or port cannot be read"),
        ("ws://[::1]host.example/", "host or port cannot be read"),
        ("ws://user:password@[::1]x:80/", "host or port cannot be read"),
        ("ws://x[::1]/", "host or port cannot be read"),
        ("ws://h/#part", "no #fragment"),
        ("ws://h/#", "no #fragment"),
        ("ws://me@h/", "user name without a password"),
        ("ws://a..b/", "not a valid domain name"),
        ("ws://a%2fb/", "not a valid domain name"),
        ("ws://a%40b/", "not a valid domain name"),
        ("ws://%ff/", "not a valid domain name"),
        ("ws://fa\u200dx.de/", "not a valid domain name"),
        ("ws://[fe80::1%]/", "host or port cannot be read"),
        ("ws://me%3Ayou:x@h/", "user name has a colon"),
        ("ws://me:%ff@h/", "not valid UTF-8"),
        ("ws://me:a%0Ab@h/", "control characters"),
        (f"ws://{'a' * 64}/", "not a valid domain name"),
        (" ws://h/", "white space or control"),
        ("ws://h/ ", "white space or control"),
        ("ws://h/a b", "white space or control"),
        ("ws://h/\n", "white space or control"),
        ("ws://h/\r\nHost: evil", "white space or control"),
        ("ws://h/\tx", "white space or control"),
        ("ws://h/\0", "white space or control"),
        ("ws://h/\x1f", "white space or control"),
        ("ws://h/\x7f", "white space or control"),
        ("ws://h/\x9f", "white space or control"),
        ("ws://h/\u3000", "white space or control"),
        ("ws://h/\ud800", "white space or control"),
    ],
)
def test_a_bad_url_is_refused_with_the_reason(url, words):
    with pytest.raises(InvalidURI) as caught:
        check_url(url)
    assert isinstance(caught.value, ValueError)
    assert words in caught.value.why
    assert "\n" not in str(caught.value)


@pytest.mark.contract("CN4")
@pytest.mark.parametrize("url", [None, 3, b"ws://h/", ["ws://h/"], object()])
def test_what_is_no_string_is_refused(url):
    with pytest.raises(InvalidURI, match="give a string such as 'ws://localhost:8765/echo'"):
        check_url(url)


@pytest.mark.contract("CN4")
@given(st.text())
def test_any_text_is_either_returned_or_refused(text):
    for url in (text, f"ws://{text}", f"ws://h/{text}", f"ws://h:{text}/"):
        try:
            assert check_url(url) is url
        except InvalidURI:
            continue
        url.encode()


@pytest.mark.contract("CN14")
@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ws://h:80/a/b", "ws://h:80/a/b"),
        ("wss://me:secret@h/feed?token=abc", "wss://***@h/feed?***"),
        ("ws://me:p@ss@h/", "ws://***@h/"),
        ("ws://h/@someone/x", "ws://h/@someone/x"),
        ("ws://h?t", "ws://h?***"),
        ("ws://h/#t?u", "ws://h/#***"),
        ("ws://[::1]:80/?a@b", "ws://[::1]:80/?***"),
        ("ws://h/?a=x@y", "ws://h/?***"),
        ("ws://h:99999/x", "ws://h:99999/x"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url, shown):
    assert redact_url(url) == shown


@pytest.mark.contract("CN14")
@pytest.mark.parametrize(
    "url",
    [
        "me:SECRET@h/path",
        "ws:me:SECRET@h",
        "ws:/me:SECRET@h",
        "ws:///me:SECRET@h",
        "ws://me:SEC/RET@h/",
        "ws://me:SEC?RET@h/",
        "ws://me:SEC#RET@h/",
        " ws://me:SECRET@h/",
        "ws:\\\\me:SECRET@h/",
        "me:SECRET@foo://bar",
        "ws://me:SECRET@h:0/",
        "ws:/h?token=SEC@RET",
        b"ws://me:SECRET@h/?SECRET",
        ["ws://me:SECRET@h/"],
    ],
)
def test_what_is_no_url_is_refused_without_showing_its_secrets(url):
    with pytest.raises(InvalidURI) as caught:
        check_url(url)
    for part in ("SEC", "RET"):
        assert part not in str(caught.value)
        assert part not in repr(caught.value)


SECRET = st.text(string.ascii_uppercase, min_size=8, max_size=8).map(lambda text: f"<{text}>")
NOISE = st.text(string.ascii_lowercase + string.digits + "-._~!$&'()*+,;=%:", max_size=6)


@pytest.mark.contract("CN14")
@given(
    secret=SECRET,
    scheme=st.sampled_from(["ws://", "wss://", "WS://", "http://"]),
    host=st.sampled_from(["h", "example.com", "[::1]"]),
    port=st.sampled_from(["", ":1", ":65535", ":0", ":x"]),
    path=st.sampled_from(["", "/", "/a/b", "/@a", "/a:b@c"]),
    noise=NOISE,
)
def test_redaction_never_leaks_a_secret(secret, scheme, host, port, path, noise):
    user = f"{noise}{secret}:{secret}{noise}"
    for place in (
        f"{scheme}{user}@{host}{port}{path}",
        f"{scheme}{user}@{host}{port}{path}?{noise}{secret}",
        f"{scheme}{host}{port}{path}?{noise}={secret}{noise}&x={secret}",
        f"{scheme}{host}{port}{path}?{noise}@{secret}",
        f"{scheme}{host}{port}{path}#{secret}{noise}",
        f"{user}@{host}{port}{path}",
        f"{host}{port}{path}?{secret}",
    ):
        assert secret not in redact_url(place)


@pytest.mark.contract("CN14")
@given(secret=SECRET, cut=st.integers(1, 9), odd=st.sampled_from("/?#"))
def test_a_password_that_should_have_been_escaped_is_not_shown_either(secret, cut, odd):
    shown = redact_url(f"ws://me:{secret[:cut]}{odd}{secret[cut:]}@h/")
    assert not set(secret) & set(shown)


@pytest.mark.contract("CN14")
@given(st.text())
def test_redaction_takes_any_text(text):
    assert isinstance(redact_url(text), str)


@pytest.mark.contract("CN13")
@pytest.mark.parametrize(
    ("url", "secure"),
    [("ws://h", False), ("wss://h", True), ("WSS://h", True), ("Ws://wss:x@h", False)],
)
def test_wss_asks_for_tls_however_it_is_written(url, secure):
    assert is_secure(url) == secure


# Where a url leads


@pytest.mark.contract("CN18")
@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("ws://h", "/"),
        ("ws://h?x", "/?x"),
        ("ws://h/a%20b?t=x%3D%3D", "/a%20b?t=x%3D%3D"),
        ("ws://h/a%20b?t=x%3D%3D&n=é", "/a%20b?t=x%3D%3D&n=%C3%A9"),
        ("ws://münchen.example/a%20b?t=%3D", "/a%20b?t=%3D"),
        ("ws://h/é%C3%A9", "/%C3%A9%C3%A9"),
        ("ws://h/100%?50%é", "/100%?50%%C3%A9"),
        ("ws://h/%zz%e9", "/%zz%e9"),
        ("ws://h/😀;v=1/b", "/%F0%9F%98%80;v=1/b"),
        ('ws://h/{a}|"b"?<c>', "/%7Ba%7D%7C%22b%22?%3Cc%3E"),
    ],
)
def test_what_is_encoded_stays_as_it_is_and_the_rest_is_encoded_once(url, path):
    assert place_of(check_url(url)).path == path


@pytest.mark.contract("CN18")
@given(st.text().map(lambda text: f"ws://h/{text}"))
def test_encoding_a_second_time_changes_nothing(url):
    try:
        path = place_of(check_url(url)).path
    except InvalidURI:
        return
    assert path.isascii()
    assert place_of(check_url(f"ws://h{path}")).path == path


@pytest.mark.contract("CN18")
@pytest.mark.parametrize(
    ("url", "host", "authority", "certificate"),
    [
        ("wss://Feed.Example.:443/", "feed.example.", "feed.example.", "feed.example"),
        ("ws://h:8080/", "h", "h:8080", "h"),
        ("ws://127.0.0.1/", "127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("ws://[::1]:80/", "::1", "[::1]", "::1"),
        ("wss://[fe80::1%25lo]:1/", "fe80::1%lo", "[fe80::1]:1", "fe80::1"),
        ("wss://[FE80::1%lo]/", "fe80::1%lo", "[fe80::1]", "fe80::1"),
        ("wss://[fe80::1%251]/", "fe80::1%1", "[fe80::1]", "fe80::1"),
        ("wss://[fe80::1%25En-0]/", "fe80::1%En-0", "[fe80::1]", "fe80::1"),
        ("ws://München.example/", "xn--mnchen-3ya.example", "xn--mnchen-3ya.example", None),
        ("ws://m%C3%BCnchen.example/", "xn--mnchen-3ya.example", "xn--mnchen-3ya.example", None),
        ("ws://faß.de/", "xn--fa-hia.de", "xn--fa-hia.de", None),
        ("ws://FAß。de./", "xn--fa-hia.de.", "xn--fa-hia.de.", "xn--fa-hia.de"),
        ("ws://βόλος.com/", "xn--nxasmm1c.com", "xn--nxasmm1c.com", None),
    ],
)
def test_a_host_is_resolved_named_and_certified_in_its_own_way(url, host, authority, certificate):
    place = place_of(check_url(url))
    assert (place.host, place.authority) == (host, authority)
    assert tls_name(place.host) == (certificate or host)


@pytest.mark.contract("CN18")
def test_user_info_is_decoded_once():
    place = place_of(check_url("ws://m%20e:p%2540%3A%C3%BC@h/"))
    assert (place.user, place.password) == ("m e", "p%40:ü")
    assert "p%40" not in repr(place)
