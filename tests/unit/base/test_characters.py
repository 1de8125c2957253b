"""Whatever somebody else writes commands no terminal, and names can be seen."""

from __future__ import annotations

from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore.base.characters import DIRECTION_CONTROLS, harmless, has_visible, one_line

ANY_TEXT = st.text(st.characters(categories=None) | st.characters(categories=["Cs"]))


@given(ANY_TEXT)
def test_what_is_harmless_can_be_sent_commands_no_terminal_and_keeps_the_rest(text):
    shown = harmless(text)
    shown.encode()
    assert not [one for one in shown if category(one) == "Cc" and one not in "\t\n"]
    if not [one for one in text if category(one) in {"Cc", "Cs"}]:
        assert shown == text


@pytest.mark.contract("UI3")
def test_new_lines_and_tabs_stay():
    assert harmless("one\r\ntwo\n\tthree") == "one\ntwo\n\tthree"
    assert harmless("\x1b[31mred\x9b\r") == "\ufffd[31mred\ufffd\ufffd"


@pytest.mark.contract("CL2")
@given(ANY_TEXT)
def test_one_line_has_neither_controls_nor_a_second_line_nor_a_turn(text):
    shown = one_line(text)
    shown.encode()
    assert len(f"{shown}.".splitlines()) == 1
    assert not [one for one in shown if category(one) in {"Cc", "Zl", "Zp"}]
    assert not DIRECTION_CONTROLS & set(shown)


@pytest.mark.contract("CL2")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bye\r\n[connected]", "bye [connected]"),
        ("a\u2028b\u2029c\td", "a b c d"),
        ("\u009b2J\x07\x7f", "\ufffd2J\ufffd\ufffd"),
        ("\u202eevil\u2066", "\ufffdevil\ufffd"),
        ("caf\u00e9 \u05e9\u200f 👩\u200d👧", "caf\u00e9 \u05e9\u200f 👩\u200d👧"),
    ],
)
def test_a_close_reason_cannot_begin_a_line_of_its_own(text, shown):
    assert one_line(text) == shown


@pytest.mark.contract("SV4")
@pytest.mark.parametrize("name", ["Ann", "7", "-", "😀", "👩\u200d👧", "❤\ufe0f", "日本", "\ue000"])
def test_what_a_reader_sees_is_visible(name):
    assert has_visible(name)


@pytest.mark.contract("SV4")
@pytest.mark.parametrize(
    "name",
    [
        *("\u200b", "\ufeff", "\u00ad", "\u2060", "\u200d", "\u200e", "\u061c", "\u180e"),
        *("\u3164", "\u115f", "\u1160", "\uffa0", "\u2800", "\u17b4", "\u034f", "\u2065"),
        *("\ufe0f", "\U000e0100", "\U000e0041", "\U0001d173", "\u0301", "\u0301\u0300", ""),
        *("\u00a0", "\u3000", "\u2003", "\u200b \u3164", "\x00", "\ud800"),
    ],
    ids=ascii,
)
def test_what_a_reader_does_not_see_is_not(name):
    assert not has_visible(name)
