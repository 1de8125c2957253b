"""Links in what people write: what is shown is where it leads."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sockstore.ui.text import LONGEST_LINK, MOST_LINKS, Piece, split_links

pytestmark = pytest.mark.contract("UI3")


def links(text: str) -> list[str]:
    return [piece.url for piece in split_links(text) if piece.url is not None]


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("https://example.com", "https://example.com"),
        ("see https://example.com/a?b=c&d#e.", "https://example.com/a?b=c&d#e"),
        ("HTTP://EXAMPLE.com!", "HTTP://EXAMPLE.com"),
        ("(https://example.com)", "https://example.com"),
        ("(see https://example.com/a_(b)).", "https://example.com/a_(b)"),
        ("https://example.com/a_(b)_c", "https://example.com/a_(b)_c"),
        ("[https://example.com/]", "https://example.com/"),
        ("<https://example.com/>", "https://example.com/"),
        ('"https://example.com/"', "https://example.com/"),
        ("is it https://example.com/?", "https://example.com/"),
        ("https://example.com/a,b;c:d", "https://example.com/a,b;c:d"),
        ("https://b\u00fccher.example/\u00fc", "https://b\u00fccher.example/\u00fc"),
        ("https://\u4f8b\u3048.jp/\u9053\u3002", "https://\u4f8b\u3048.jp/\u9053"),
        ("http://127.0.0.1:8765/x", "http://127.0.0.1:8765/x"),
        ("http://[::1]:8765/x", "http://[::1]:8765/x"),
        ("line\nhttps://example.com\nline", "https://example.com"),
        ("https://example.com/@ann", "https://example.com/@ann"),
    ],
)
def test_a_link_ends_where_a_reader_would_say(text, link):
    assert links(text) == [link]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "javascript:alert(1)",
        "ftp://example.com",
        "xhttps://example.com",
        "https://",
        "https://.",
        "https:///path",
        "https://user@example.com",
        "https://bank.example:secret@evil.example",
        "https://example.com:99999",
        "https://example.com:0",
        "https://[example.com",
        "https://example.com/\u202egpj.exe",
        "https://example.com/a\u200bb",
        "https://example.com/a\x00b",
        "https://example.com/\ud83d",
        "https://example.com/" + "x" * LONGEST_LINK,
    ],
)
def test_what_could_mislead_is_no_link(text):
    assert links(text) == []
    assert split_links(text) == ((Piece(text),) if text else ())


def test_text_and_links_take_turns():
    assert split_links("a https://b.example, http://c.example") == (
        Piece("a "),
        Piece("https://b.example", "https://b.example"),
        Piece(", "),
        Piece("http://c.example", "http://c.example"),
    )


def test_only_so_many_are_links():
    text = "https://a.example " * 1000
    pieces = split_links(text)
    assert len(pieces) <= 2 * MOST_LINKS + 1
    assert "".join(piece.text for piece in pieces) == text


@given(
    st.lists(
        st.sampled_from(
            [
                "https://",
                "http://",
                "a.example",
                "/",
                "(",
                ")",
                "[",
                "]",
                ".",
                "@",
                " ",
                "\u202e",
                ":",
            ]
        )
        | st.text(max_size=3)
    ).map("".join)
)
@example("https://a.example/))))((((")
def test_the_pieces_are_the_text_and_a_link_is_what_is_shown(text):
    pieces = split_links(text)
    assert "".join(piece.text for piece in pieces) == text
    for piece in pieces:
        assert piece.text
        assert piece.url in {None, piece.text}
        if piece.url is not None:
            assert piece.url.lower().startswith(("http://", "https://"))
            assert not piece.url.endswith((".", ",", " "))
            assert "\u202e" not in piece.url


@pytest.mark.parametrize(
    "unit", ["https://", "https://a)", "(", "https://a.example/ ", ")https://("]
)
def test_a_long_text_takes_time_in_proportion(unit):
    # A quadratic search would take longer than any test may.
    text = (unit * 1_000_000)[:2_000_000]
    assert "".join(piece.text for piece in split_links(text)) == text
