"""Make a server's text fit to be shown: bounded, and without harmful characters."""

from __future__ import annotations

import json
from itertools import islice

from sockstore.base.characters import DIRECTION_CONTROLS, harmless, has_visible, one_line

__all__ = ["ANONYMOUS", "SHOWN", "TONES", "abridge", "as_name", "as_text", "shorten", "tone_of"]

ANONYMOUS = "Anonymous"

SHOWN = 10_000
"""Characters of one message that are shown."""

JSON_SHOWN = 4_000
"""Characters of one message of JSON that are shown; indenting costs more than copying a text."""

NAME_SHOWN = 64
"""Characters of a name that are shown, as many as the server allows."""

TONES = 6
"""Colours of names; the style sheet has as many."""

TOO_DEEP = "(JSON that cannot be shown)"

_MARKS = dict.fromkeys(map(ord, (*DIRECTION_CONTROLS, "\u200e", "\u200f", "\u061c")))
"""Characters that turn the direction of writing, also of the text after a name."""


def shorten(text: str, limit: int = SHOWN) -> str:
    """Keep the beginning of a long text, made harmless, and say how much more there is.

    Example:
        >>> shorten("x" * 1_012, limit=10)
        'xxxxxxxxxx … (1,002 more characters)'
    """
    if len(text) <= limit:
        return harmless(text)
    return f"{harmless(text[:limit])} … ({len(text) - limit:,} more characters)"


def abridge(text: str, limit: int) -> str:
    """Leave out the middle of a long sentence, whose end often says the most.

    Example:
        >>> abridge("cannot connect to ws://localhost/xxxxxxxxxx: HTTP 404", limit=26)
        'cannot conne … x: HTTP 404'
    """
    if len(text) <= limit:
        return harmless(text)
    half = (limit - 3) // 2
    return harmless(f"{text[: limit - 3 - half]} … {text[-half:]}")


def as_name(sender: object) -> str:
    """Return a sender's name to show; a sender without a visible name is anonymous."""
    if not isinstance(sender, str) or not has_visible(sender[: NAME_SHOWN + 1]):
        return ANONYMOUS
    name = one_line(sender[: NAME_SHOWN + 1].translate(_MARKS)).strip()
    return (name if len(name) <= NAME_SHOWN else f"{name[:NAME_SHOWN]}…") or ANONYMOUS


def tone_of(name: str) -> int:
    """Return the number of a name's colour, which is the same in every kit.

    Example:
        >>> tone_of("Ann"), tone_of("Bob")
        (3, 5)
    """
    tone = 0
    for character in name:
        tone = (tone * 31 + ord(character)) % 9973
    return tone % TONES


def as_text(data: object) -> str:
    """Return JSON as indented text, and text as it is; only the beginning if it is long."""
    if isinstance(data, bytes):
        return f"{len(data)} bytes"
    return shorten(data) if isinstance(data, str) else _indented(data)


def _indented(data: object) -> str:
    """Indent no more than is shown: a megabyte of JSON takes seconds to indent."""
    pieces = json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(data)
    written = 0
    kept: list[str] = []
    try:
        for piece in pieces:
            kept.append(shorten(piece, JSON_SHOWN))
            written += len(piece)
            if written > JSON_SHOWN:
                break
        more = any(True for _ in islice(pieces, 1))
    except (ValueError, RecursionError):  # a number of 5,000 digits, for example
        return TOO_DEEP
    return "".join(kept) + (" …" if more else "")
