"""Whatever a server sends, what is shown of it is bounded and can be displayed."""

from __future__ import annotations

import json

import pytest

from sockstore.ui.text import NAME_SHOWN, SHOWN, abridge, as_name, as_text, shorten


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
