"""Check the names of rooms and senders, by the same rules on the server and the client."""

from __future__ import annotations

import unicodedata

from sockstore.base.characters import DIRECTION_CONTROLS, has_visible, is_invisible
from sockstore.base.errors import InvalidOption

__all__ = ["check_room", "check_sender"]

LONGEST_ROOM = 64
LONGEST_SENDER = 64


def check_room(name: str) -> str:
    """Return the name of a room in its one form (NFC).

    A name has 1 to 64 characters: letters and digits of any language that can be seen, "-", "_"
    and ".", and begins with a letter or digit.

    Raises:
        InvalidOption: If the name is not valid.

    Source:
        P1 in PROTOCOL.md.

    Example:
        >>> check_room("cafe\u0301") == "caf\u00e9"
        True
    """
    # Only the beginning is normalized: longer names are refused anyway.
    normal = unicodedata.normalize("NFC", name[: 4 * LONGEST_ROOM])
    if (
        len(name) > 4 * LONGEST_ROOM
        or not 1 <= len(normal) <= LONGEST_ROOM
        or not normal[0].isalnum()
        or not all(character in "-_." or _is_word(character) for character in normal)
    ):
        raise InvalidOption(
            "room",
            name[:LONGEST_ROOM],
            f"a name has 1 to {LONGEST_ROOM} letters, digits, '-', '_' or '.', "
            "and begins with a letter or digit",
        )
    return normal


def check_sender(name: str | None) -> str | None:
    """Return the sender's name without the blanks around it; None if there is none.

    Raises:
        InvalidOption: If it has more than 64 characters, control characters, or no visible ones.

    Source:
        P2 in PROTOCOL.md.

    Example:
        >>> check_sender("  Ann "), check_sender(" ")
        ('Ann', None)
    """
    stripped = (name or "").strip()
    if len(stripped) > LONGEST_SENDER or not all(map(_is_visible, stripped)):
        raise InvalidOption(
            "name",
            stripped[:LONGEST_SENDER],
            f"a name has at most {LONGEST_SENDER} characters, and no control characters",
        )
    if stripped and not has_visible(stripped):
        raise InvalidOption("name", stripped, "a name has characters that can be seen")
    return stripped or None


def _is_word(character: str) -> bool:
    # Some letters are invisible, such as the Hangul filler: two rooms must not look the same.
    if is_invisible(character):
        return False
    # Marks (M) are parts of letters in many scripts, such as the vowels of Hindi.
    return character.isalnum() or unicodedata.category(character).startswith("M")


def _is_visible(character: str) -> bool:
    # Characters that change the direction could make one name look like another.
    category = unicodedata.category(character)
    return category not in {"Cc", "Cs", "Zl", "Zp"} and character not in DIRECTION_CONTROLS
