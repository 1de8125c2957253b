"""Make a server's text fit to be shown: bounded, without harmful characters, with its links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from unicodedata import category
from urllib.parse import urlsplit

from sockstore.base.characters import DIRECTION_CONTROLS, harmless, has_visible, one_line

__all__ = [
    "ANONYMOUS",
    "SHOWN",
    "TONES",
    "Piece",
    "abridge",
    "as_name",
    "as_text",
    "shorten",
    "split_links",
    "tone_of",
]

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

LONGEST_LINK = 2_000
"""Characters of a link; a longer one is shown as text, since browsers may not follow it."""

MOST_LINKS = 100
"""Links of one text; later ones are shown as text."""

_CANDIDATE = re.compile(r"https?://[^\s<>\"`{}|\\^]+", re.IGNORECASE)
_TRAILING = frozenset(".,;:!?'*\u2026\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f")
"""Characters that end a sentence, in Chinese and Japanese too."""

_CLOSING, _OPENING = ")]\u00bb\u201d\u2019\u300d\uff09", "([\u00ab\u201c\u2018\u300c\uff08"
_PAIRS = dict(zip(_CLOSING, _OPENING, strict=True))
"""Closing brackets and quotation marks, and their opening ones."""

_UNSEEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
"""Categories of invisible characters; with them a link could hide where it leads."""


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


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text.

    Args:
        text: The text that is shown.
        url: The address, which equals the text; None for plain text.
    """

    text: str
    url: str | None = None


def split_links(text: str) -> tuple[Piece, ...]:
    """Divide a text into links and what is between them; together they are the text.

    Only ``http://`` and ``https://`` make a link, without a user name (``https://bank@evil.example``
    leads to evil.example), and without characters that cannot be seen. The end of a
    sentence is not part of it, nor is a bracket that was opened before it.

    Args:
        text: A text that a user wrote.

    Returns:
        The pieces; none is empty.

    Example:
        >>> [piece.url for piece in split_links("See https://example.com/a_(b), please.")]
        [None, 'https://example.com/a_(b)', None]
    """
    if "://" not in text:
        return (Piece(text),) if text else ()
    pieces: list[Piece] = []
    end = 0
    for start, url in islice(_links(text), MOST_LINKS):
        if start > end:
            pieces.append(Piece(text[end:start]))
        pieces.append(Piece(url, url))
        end = start + len(url)
    if end < len(text):
        pieces.append(Piece(text[end:]))
    return tuple(pieces)


def _links(text: str) -> Iterator[tuple[int, str]]:
    for match in _CANDIDATE.finditer(text):
        start = match.start()
        if start and text[start - 1].isalnum():
            continue  # "xhttp://" is another scheme
        url = _without_end(match[0]) if len(match[0]) <= 2 * LONGEST_LINK else ""
        if _is_link(url):
            yield start, url


def _without_end(url: str) -> str:
    """Leave out the end of the sentence, and the brackets that were opened before the url."""
    end = len(url)
    closed = {
        bracket: url.count(bracket) - url.count(opening) for bracket, opening in _PAIRS.items()
    }
    while end:
        last = url[end - 1]
        if closed.get(last, 0) > 0:
            closed[last] -= 1
        elif last not in _TRAILING:
            break
        end -= 1
    return url[:end]


def _is_link(url: str) -> bool:
    if not 0 < len(url) <= LONGEST_LINK:
        return False
    if any(category(character) in _UNSEEN for character in url):
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname and parts.port != 0) and "@" not in parts.netloc
    except ValueError:
        return False
