"""Making text fit to be shown: whatever a server sends, it is bounded, and it can be displayed."""

from __future__ import annotations

import json
import re
from itertools import islice

__all__ = ["ANONYMOUS", "SHOWN", "abridge", "as_name", "as_text", "clean", "shorten"]

ANONYMOUS = "Anonymous"

SHOWN = 10_000
"""Characters of one message that are shown; nobody reads more of it in a chat."""

JSON_SHOWN = 4_000
"""Characters of one record; writing it costs more than passing a text on."""

NAME_SHOWN = 64
"""Characters of a name that are shown, as many as the server allows."""

TOO_DEEP = "(JSON that cannot be shown)"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_TURNS = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C))
"""What turns the direction of writing: in a name it would turn what is written after it."""


def clean(text: str) -> str:
    r"""Replace what cannot be shown, and what would command a terminal instead of being shown.

    Halves of surrogate pairs and control characters become U+FFFD; tabs and new lines stay.

    Example:
        >>> clean("caf\ud83d\x1b[31m") == "caf\ufffd\ufffd[31m"
        True
    """
    text = _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def shorten(text: str, limit: int = SHOWN) -> str:
    """Keep the beginning of a long text, and say how much more there is; what is kept is clean.

    Example:
        >>> shorten("x" * 1_012, limit=10)
        'xxxxxxxxxx … (1,002 more characters)'
    """
    if len(text) <= limit:
        return clean(text)
    return f"{clean(text[:limit])} … ({len(text) - limit:,} more characters)"


def abridge(text: str, limit: int) -> str:
    """Leave out the middle of a long sentence, whose end often says the most.

    Example:
        >>> abridge("cannot connect to ws://localhost/xxxxxxxxxx: HTTP 404", limit=26)
        'cannot conne … x: HTTP 404'
    """
    if len(text) <= limit:
        return clean(text)
    half = (limit - 3) // 2
    return clean(f"{text[: limit - 3 - half]} … {text[-half:]}")


def as_name(sender: object) -> str:
    """Return how somebody is called; who has no name is anonymous."""
    if not isinstance(sender, str):
        return ANONYMOUS
    name = clean(sender[: NAME_SHOWN + 1]).translate(_TURNS).strip()
    return (name if len(name) <= NAME_SHOWN else f"{name[:NAME_SHOWN]}…") or ANONYMOUS


def as_text(data: object) -> str:
    """Return JSON as indented text, and text as it is; of too much, the beginning."""
    if isinstance(data, bytes):
        return f"{len(data)} bytes"
    return shorten(data) if isinstance(data, str) else _indented(data)


def _indented(data: object) -> str:
    """Write no more of it than is shown: a megabyte of JSON takes seconds to indent."""
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
