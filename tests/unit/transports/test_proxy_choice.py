"""Which proxy leads to a server: options, variables of the environment, NO_PROXY."""

from __future__ import annotations

import pytest

from sockstore import InvalidOption
from sockstore.transports.proxies import Proxy, ProxyFailedError, parse_proxy, proxy_for


@pytest.fixture(autouse=True)
def _no_proxies_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http", "https", "ws", "wss", "socks", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)


@pytest.mark.contract("CN13")
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://proxy.example", ("http", "proxy.example", 80, None, "")),
        ("HTTPS://Proxy.Example/", ("https", "proxy.example", 443, None, "")),
        ("http://me:p%40ss%3A@proxy.example:3128", ("http", "proxy.example", 3128, "me", "p@ss:")),
        ("http://me@proxy.example", ("http", "proxy.example", 80, "me", "")),
        ("socks5://[::1]:9", ("socks5", "::1", 9, None, "")),
        ("socks5h://bücher.example", ("socks5h", "xn--bcher-kva.example", 1080, None, "")),
        ("socks4://127.0.0.1", ("socks4", "127.0.0.1", 1080, None, "")),
        ("socks4a://127.0.0.1", ("socks4a", "127.0.0.1", 1080, None, "")),
    ],
)
def test_the_url_of_a_proxy_says_how_to_speak_to_whom(url: str, expected: tuple) -> None:
    proxy = parse_proxy(url)
    assert (proxy.scheme, proxy.host, proxy.port, proxy.user, proxy.password) == expected


@pytest.mark.contract("CN13", "CN14")
@pytest.mark.parametrize(
    "url",
    [
        "ftp://me:SECRET@proxy.example",
        "me:SECRET@proxy.example:3128",
        "http://me:SECRET@",
        "http://me:SECRET@proxy.example:0",
        "http://me:SECRET@proxy.example:99999",
        "http://me:SECRET@pro\rxy.example",
        "http://me:SECRET@pro xy.example",
        "http://me:SECRET@[::1",
        "http://me:SECRET@a..ü",
    ],
)
def test_what_is_no_url_of_a_proxy_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(InvalidOption, match="proxy=") as caught:
        parse_proxy(url)
    assert "SECRET" not in str(caught.value)
    assert "SECRET" not in repr(caught.value)


@pytest.mark.contract("CN14")
def test_a_proxy_is_shown_without_user_and_password() -> None:
    proxy = parse_proxy("socks5://SECRET:SECRET@[::1]:9")
    assert str(proxy) == "socks5://[::1]:9"
    assert "SECRET" not in repr(proxy)


@pytest.mark.contract("CN13")
@pytest.mark.parametrize(
    ("variables", "secure", "expected"),
    [
        ({}, True, None),
        ({"HTTP_PROXY": "http://a:1"}, False, "http://a:1"),
        ({"HTTP_PROXY": "http://a:1"}, True, None),
        ({"HTTPS_PROXY": "http://a:1", "HTTP_PROXY": "http://b:1"}, False, "http://a:1"),
        ({"HTTPS_PROXY": "http://a:1", "ALL_PROXY": "http://b:1"}, True, "http://a:1"),
        ({"ALL_PROXY": "socks5h://b:1"}, True, "socks5h://b:1"),
        ({"SOCKS_PROXY": "b:1", "HTTPS_PROXY": "http://a:1"}, True, "socks5h://b:1"),
        ({"SOCKS_PROXY": "http://b:1"}, False, "socks5h://b:1"),
        ({"WSS_PROXY": "http://w:1", "SOCKS_PROXY": "socks5://b:1"}, True, "http://w:1"),
        ({"WS_PROXY": "http://w:1"}, False, "http://w:1"),
        ({"WS_PROXY": "http://w:1"}, True, None),
        ({"HTTPS_PROXY": "a:1"}, True, "http://a:1"),
        ({"HTTPS_PROXY": ""}, True, None),
        (
            {"https_proxy": "http://small:1", "HTTPS_PROXY": "http://great:1"},
            True,
            "http://small:1",
        ),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "*"}, True, None),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "example.com"}, True, None),
        ({"HTTPS_PROXY": "http://a:1", "no_proxy": "b, .example.com"}, True, None),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "chat.example.com:8765"}, True, None),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "chat.example.com:1"}, True, "http://a:1"),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "ample.com"}, True, "http://a:1"),
    ],
)
def test_the_environment_is_asked_as_websockets_does(
    variables: dict[str, str],
    secure: bool,
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = proxy_for("chat.example.com", 8765, True, secure=secure)
    assert (None if found is None else str(found)) == expected
    for never in (None, False):
        assert proxy_for("chat.example.com", 8765, never, secure=secure) is None
    named = proxy_for("chat.example.com", 8765, "http://named:1", secure=secure)
    assert named == Proxy(scheme="http", host="named", port=1)


@pytest.mark.contract("CN13")
def test_a_proxy_of_the_environment_that_cannot_be_used_fails_the_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://a:1")
    with pytest.raises(ProxyFailedError, match="gopher://a:1") as caught:
        proxy_for("chat.example.com", 8765, True, secure=True)
    assert caught.value.kind == "option"
