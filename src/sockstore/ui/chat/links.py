"""Find the links in a text; a link leads to the place that it shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from unicodedata import category
from urllib.parse import urlsplit

__all__ = ["Piece", "split_links"]

LONGEST_LINK = 2_000
"""Characters of a link; a longer one is shown as text, since browsers may not follow it."""

MOST_LINKS = 100
"""Links of one text; later ones are shown as text."""

_CANDIDATE = re.compile(r"https?://[^\s<>\"`{}|\\^]+", re.IGNORECASE)
_TRAILING = frozenset(".,;:!?'*\u2026\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f")
"""Characters that end a sentence, in Chinese and Japanese too."""

_PAIRS = {
    ")": "(",
    "]": "[",
    "\u00bb": "\u00ab",
    "\u201d": "\u201c",
    "\u2019": "\u2018",
    "\u300d": "\u300c",
    "\uff09": "\uff08",
}
"""Closing brackets and quotation marks, and their opening ones."""

_UNSEEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
"""Categories of invisible characters; with them a link could hide where it leads."""


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
    if "://" not in text:
        return
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
