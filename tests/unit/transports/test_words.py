"""What a refusal says: the server's own words, harmless, and without our secrets."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore.transports.answers import Answer
from sockstore.transports.base import Target
from sockstore.transports.words import (
    cause_without_secrets,
    clean,
    hiding,
    quoted,
    refusal,
    words_of,
)

NOT_HARMLESS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What breaks a line, controls a terminal or turns the text."""


def said(body: str | bytes, kind: str = "", *, encoding: str = "") -> str:
    """Return what a refusal says behind its status."""
    headers = (("content-type", kind),) if kind else ()
    headers += (("Content-Encoding", encoding),) if encoding else ()
    raw = body.encode() if isinstance(body, str) else body
    words = words_of(Answer(status=403, reason="Forbidden", headers=headers, body=raw))
    head, _, rest = words.partition(": ")
    assert head == "answered HTTP 403 Forbidden"
    return rest


@pytest.mark.contract("CN17")
@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("origin not allowed\nmore", "text/plain; charset=utf-8", "origin not allowed"),
        ("\r\n  origin not allowed  \r\n", "text/plain", "origin not allowed"),
        ("no kind", "", "no kind"),
        ("zu groß", "text/plain", "zu groß"),
        ("zu groß".encode("latin-1"), "text/plain; charset=ISO-8859-1", "zu groß"),
        ("zu groß".encode("latin-1"), "text/plain", ""),
        (b"\xef\xbb\xbfwith a mark", "text/plain", "with a mark"),
        ("x" * 500, "text/plain", "x" * 199 + "…"),
        ("a\x1b[31mb\x07\x9b1m\u202ec\td", "text/plain", "a\ufffd[31mb\ufffd\ufffd1m\ufffdc d"),
        ("<html><body>no</body></html>", "text/html", ""),
        ("no", "text/html", ""),
        ("<!doctype html><p>no", "text/plain", ""),
        (" <p>no", "", ""),
        ("no", "application/octet-stream", ""),
        (b"\x1f\x8b\x08\0garbage", "", ""),
        ("", "text/plain", ""),
        ("forbidden", "text/plain", ""),
        ('{"message": "expired"}', "application/json", "expired"),
        ('{"error": "expired"}', "application/json; charset=utf-8", "expired"),
        ('{"detail": "expired"}', "application/problem+json", "expired"),
        ('{"error": {"message": "expired", "code": 7}}', "text/plain", "expired"),
        ('{"error": "e", "message": "m", "detail": "d"}', "", "m"),
        ('{"message": 3, "error": null, "detail": "d"}', "", "d"),
        ('"expired"', "application/json", "expired"),
        ('{"message": "a\\nb\\u001b[1m"}', "application/json", "a b\ufffd[1m"),
        ('{"code": 7}', "application/json", ""),
        ("[1]", "application/json", ""),
        ('{"message": "cut', "application/json", ""),
        ("[" * 4000, "application/json", ""),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_refusal_says_what_people_can_read_of_its_body(
    body: str | bytes, kind: str, words: str
) -> None:
    assert said(body, kind) == words


@pytest.mark.contract("CN17")
def test_a_body_that_was_cut_may_end_within_a_character() -> None:
    body = "ends in chara\u00e9".encode()[:-1]
    assert words_of(Answer(status=403, body=body, is_whole=False)).endswith(": ends in chara")
    assert words_of(Answer(status=403, body=body)) == "answered HTTP 403"


@pytest.mark.contract("CN17")
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
def test_a_compressed_body_says_nothing(encoding: str) -> None:
    assert said("text", "text/plain", encoding=encoding) == ""
    assert said("text", "text/plain", encoding="identity") == "text"


@pytest.mark.contract("CN17", "CN14")
@pytest.mark.parametrize(
    "body",
    [
        "the token S3CRET-1 has expired",
        "Bearer S3CRET-1",
        "S3CRET-2",
        "s3cret-2",
        "sid S3CRET-3",
        "?token=S3CRET/4",
        "?token=S3CRET%2F4",
        "user S3CRET-5",
        "password S3CRET 6",
        "UzNDUkVULTU6UzNDUkVUIDY=",
        "base64url.bearer.S3CRET-7",
        json.dumps({"message": "no S3CRET-1"}),
        "x" * 190 + "S3CRET-8" * 200,
    ],
)
def test_a_body_that_repeats_what_we_sent_does_not_show_it(body: str) -> None:
    target = Target(
        url="wss://S3CRET-5:S3CRET%206@a.test/?token=S3CRET%2F4&flag",
        headers=(
            ("Authorization", "Bearer S3CRET-1"),
            ("X-Api-Key", "S3CRET-2"),
            ("Cookie", "theme=dark; sid=S3CRET-3"),
            ("X-Long", "S3CRET-8" * 1000),
            ("Origin", "https://app.test"),
        ),
        subprotocols=("chat", "base64url.bearer.S3CRET-7"),
    )
    answer = Answer(status=401, reason=body, body=body.encode())
    shown = str(refusal(target, answer, None))
    assert "S3CRET" not in shown.upper()
    assert "UzNDUkVU" not in shown
    assert "***" in shown


@pytest.mark.contract("CN17")
def test_what_is_not_secret_stays_in_the_servers_words() -> None:
    target = Target(
        url="wss://a.test/room?v=2",
        headers=(("Origin", "https://app.test"),),
        subprotocols=("chat.v2",),
    )
    words = b"Pages of https://app.test may not speak chat.v2, of v2, here."
    failed = refusal(target, Answer(status=403, reason="Forbidden", body=words), 7.0)
    assert str(failed) == (
        f"cannot connect to wss://a.test/room?***: the server answered HTTP 403 Forbidden: "
        f"{words.decode()}"
    )
    assert (failed.body, failed.status, failed.retry_after) == (words, 403, 7.0)


@pytest.mark.contract("CN17")
@given(st.text(), st.lists(st.text(max_size=40), max_size=3))
def test_cleaned_words_are_one_harmless_line(text: str, secrets: list[str]) -> None:
    line = clean(hiding(secrets)(text))
    assert len(line) <= 200
    assert not NOT_HARMLESS.search(line)


@pytest.mark.contract("CN17")
@given(st.binary(max_size=300), st.sampled_from(["", "text/plain", "application/json", "TEXT/X"]))
def test_any_body_says_something_harmless_or_nothing(body: bytes, kind: str) -> None:
    words_of(Answer(status=500, headers=(("Content-Type", kind),), body=body))


@pytest.mark.contract("CN14")
def test_an_error_that_quotes_the_url_is_quoted_without_its_secrets() -> None:
    target = Target(url="ws://me:SECRET@a.test/x?token=S3CRET")
    error = ValueError(f"SyntaxError: the URL '{target.url}' is invalid\x1b[1m.")
    said = quoted(target, error)
    assert said == "SyntaxError: the URL 'ws://***:***@a.test/x?token=***' is invalid\ufffd[1m."
    assert cause_without_secrets(target, error) is None
    assert cause_without_secrets(target, harmless := ValueError("no")) is harmless


@pytest.mark.contract("CN17", "CN14")
@pytest.mark.parametrize(
    ("target", "body"),
    [
        (
            {"headers": (("Authorization", "Basic am9lOmh1bnRlcjIhcHc="),)},
            "wrong: hunter2!pw",
        ),
        (
            {"headers": (("Authorization", "Basic am9lOmh1bnRlcjIhcHc="),)},
            "wrong: joe:hunter2!pw",
        ),
        (
            {"headers": (("Authorization", 'Token token="hunter2!pw"'),)},
            "wrong: hunter2!pw",
        ),
        ({"headers": (("X-Key", "hunter2!/pw"),)}, "wrong: hunter2%21%2Fpw"),
        ({"headers": (("Cookie", 'a=1; sid="hunter2!pw"'),)}, "wrong: hunter2!pw"),
        ({"headers": (("Cookie", "sid=hunter2%21pw"),)}, "wrong: hunter2!pw"),
        ({"url": "ws://host/?a=1;token=hunter2!pw"}, "wrong: hunter2!pw"),
        ({"url": "ws://host/?filter=token=hunter2!pw"}, "wrong: hunter2!pw"),
        ({"subprotocols": ("access_token", "hunter2!pw")}, "wrong: hunter2!pw"),
    ],
)
def test_a_secret_is_hidden_however_it_was_wrapped(target: dict[str, Any], body: str) -> None:
    answer = Answer(status=403, reason="Forbidden", body=body.encode())
    error = refusal(Target(**{"url": "ws://host/", **target}), answer, None)
    assert str(error).endswith("HTTP 403 Forbidden: wrong: ***")
