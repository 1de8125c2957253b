"""Whatever a server sends, what is shown of it is bounded and can be displayed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import sockstore
from sockstore.ui.text import (
    LONGEST_LINK,
    MOST_LINKS,
    NAME_SHOWN,
    SHOWN,
    TONES,
    Piece,
    abridge,
    as_name,
    as_text,
    shorten,
    split_links,
    tone_of,
)


def nested(depth: int) -> object:
    data: object = 1
    for _ in range(depth):
        data = [data]
    return data


@pytest.mark.contract("UI3")
def test_of_a_long_text_the_beginning_is_shown_and_how_much_more_there_is():
    text = "x" * 2**20
    assert shorten(text) == "x" * SHOWN + " … (1,038,576 more characters)"
    assert as_text("short") == "short"


@pytest.mark.contract("UI3", "UI5")
@pytest.mark.parametrize(
    "data",
    [
        nested(100_000),
        list(range(1_000_000)),
        {"a" * 2**20: "b" * 2**20},
        ["\ud800" * 2**20],
        10**5000,
        [10**5000],
        float("nan"),
        {1: {2: 3}},
    ],
    ids=["deep", "wide", "long", "surrogates", "digits", "digits inside", "NaN", "keys"],
)
def test_no_json_is_too_much_to_be_shown(data):
    shown = as_text(data)
    shown.encode()
    assert 0 < len(shown) < 2 * SHOWN + 200


def test_json_that_is_short_enough_is_shown_whole():
    for data in ({"a": [1, {"b": None}]}, [], {}, [[]], "", 1.5, True, {"ü": "👍"}):
        if not isinstance(data, str):
            assert as_text(data) == json.dumps(data, indent=2, ensure_ascii=False)


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("Ann", "Ann"),
        (" Ann ", "Ann"),
        ("\u202enna", "nna"),
        ("\u202e", "Anonymous"),
        ("", "Anonymous"),
        (None, "Anonymous"),
        (7, "Anonymous"),
        ("x" * 100_000, "x" * NAME_SHOWN + "…"),
        ("half \ud83d", "half \ufffd"),
        ("Ann\nBob says: hello", "Ann Bob says: hello"),
        ("\u200b\u2060", "Anonymous"),
        ("\u3164", "Anonymous"),
    ],
)
def test_a_name_is_short_and_turns_nothing(sender, name):
    assert as_name(sender) == name


def test_of_a_long_sentence_both_ends_are_kept():
    said = abridge("beginning " + "x" * 10_000 + " end", 100)
    assert said.startswith("beginning ")
    assert said.endswith(" end")
    assert len(said) == 100
    assert abridge("short", 100) == "short"


def test_json_is_shown_indented_and_bytes_by_their_number():
    assert as_text({"a": [1]}) == json.dumps({"a": [1]}, indent=2)
    assert as_text("text") == "text"
    assert as_text(b"123") == "3 bytes"


# Links: what is shown is where they lead


def links(text: str) -> list[str]:
    return [piece.url for piece in split_links(text) if piece.url is not None]


@pytest.mark.contract("UI3")
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


@pytest.mark.contract("UI3")
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


@pytest.mark.contract("UI3")
def test_text_and_links_take_turns():
    assert split_links("a https://b.example, http://c.example") == (
        Piece("a "),
        Piece("https://b.example", "https://b.example"),
        Piece(", "),
        Piece("http://c.example", "http://c.example"),
    )


@pytest.mark.contract("UI3")
def test_only_so_many_are_links():
    text = "https://a.example " * 1000
    pieces = split_links(text)
    assert len(pieces) <= 2 * MOST_LINKS + 1
    assert "".join(piece.text for piece in pieces) == text


@pytest.mark.contract("UI3")
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


@pytest.mark.contract("UI3")
@pytest.mark.parametrize(
    "unit", ["https://", "https://a)", "(", "https://a.example/ ", ")https://("]
)
def test_a_long_text_takes_time_in_proportion(unit):
    # A quadratic search would take longer than any test may.
    text = (unit * 1_000_000)[:2_000_000]
    assert "".join(piece.text for piece in split_links(text)) == text


# The colours of names: the same in Python as in the pages that Vue draws

SOURCE = Path(sockstore.__file__).with_name("ui")
NAMES = ["", "Ann", "Bob", "Zoë", "日本語", "👩‍👩‍👧", "x" * 64]


@pytest.mark.contract("UI3")
def test_the_style_sheet_has_all_tones():
    style = (SOURCE / "web" / "chat.css").read_text()
    assert set(re.findall(r'data-tone="(\d)"', style)) == {str(tone) for tone in range(TONES)}


@pytest.mark.contract("UI3")
def test_a_name_has_the_same_tone_in_every_kit():
    source = (SOURCE / "nicegui" / "chat_line.js").read_text()
    if shutil.which("node") is None:
        pytest.skip("no Node.js here")
    body = re.search(r"tone\(\) \{(.*?)\n    \}", source, re.DOTALL)[1]
    tones = re.search(r"const TONES = (\d+)", source)[1]
    program = f"""const TONES = {tones};
        const tone = function () {{ {body} }};
        console.log(JSON.stringify({NAMES!r}.map((sender) => tone.call({{ sender }}))));"""
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([tone_of(name) for name in NAMES]).replace(" ", "").strip()
