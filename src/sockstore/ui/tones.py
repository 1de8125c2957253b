"""The colours of names: pure, for every interface."""

from __future__ import annotations

__all__ = ["TONES", "tone_of"]

TONES = 6
"""How many there are; the style sheet knows them."""


def tone_of(name: str) -> int:
    """Return the number of the colour in which a name is written, the same one everywhere.

    Example:
        >>> tone_of("Ann"), tone_of("Bob")
        (3, 5)
    """
    tone = 0
    for character in name:
        tone = (tone * 31 + ord(character)) % 9973
    return tone % TONES
