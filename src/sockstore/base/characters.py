"""Replace or detect characters that control a terminal, turn the text or cannot be seen."""

from __future__ import annotations

import re
from unicodedata import category

__all__ = ["DIRECTION_CONTROLS", "harmless", "has_visible", "is_invisible", "one_line"]

DIRECTION_CONTROLS = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
"""Characters that change the direction of the text after them."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_BREAK = re.compile(r"\s*[\t\n\u2028\u2029]\s*")

_TURNS = dict.fromkeys(map(ord, DIRECTION_CONTROLS), "\ufffd")

_INVISIBLE = re.compile(
    # Unicode's Default_Ignorable_Code_Point, and three blanks that are not part of it.
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)

_UNSEEN = frozenset({"Cc", "Cf", "Cs"})
"""Categories of characters that are not seen, besides marks and blanks."""


def harmless(text: str) -> str:
    r"""Replace characters that cannot be shown, or that would control a terminal.

    Halves of surrogate pairs and control characters become U+FFFD; tabs and new lines stay.

    Example:
        >>> harmless("caf\ud83d\x1b[31m") == "caf\ufffd\ufffd[31m"
        True
    """
    if text.isprintable():
        return text
    text = _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def one_line(text: str) -> str:
    r"""Make a text harmless for one line of a terminal.

    Line breaks and tabs become a space, characters that change the direction U+FFFD.

    Example:
        >>> one_line("bye\nsockstore: all is well")
        'bye sockstore: all is well'
    """
    if text.isprintable():
        return text
    return _BREAK.sub(" ", harmless(text)).translate(_TURNS)


def is_invisible(character: str) -> bool:
    """Whether a character is invisible, though it is neither a blank nor a control character."""
    return _INVISIBLE.fullmatch(character) is not None


def has_visible(text: str) -> bool:
    """Whether a text has a visible character; marks without a letter do not count.

    Example:
        >>> has_visible("Ann"), has_visible("\u200b\u3164"), has_visible("\u0301")
        (True, False, False)
    """
    for character in text:
        kind = category(character)
        if kind[0] not in "MZ" and kind not in _UNSEEN and not _INVISIBLE.match(character):
            return True
    return False
