"""Read the outline of a command that is valid JSON (RFC 8259), but that msgspec does not read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import msgspec

__all__ = ["DEEPEST", "read_outline", "what_is_wrong"]

DEEPEST = 120
"""Levels of nesting that are read: those that a message may have, and those of its frame."""

LONGEST_NUMBER = 16
"""Most digits of an integer that is read; 2^53 has as many."""

_PIECES = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]+|[\]}]+|[^"\[\]{}]+')
"""An unterminated string matches to the end: to search its end again and again could take hours."""


def read_outline(text: str) -> Any:
    """Return the value of a JSON text, with 0 for long integers and null for deeply nested values.

    Args:
        text: A text that msgspec does not read.

    Raises:
        ValueError: If it is not valid JSON. In the deeply nested parts only strings and the number
            of brackets are checked.

    Source:
        RFC 8259 sections 6, 8.2 and 9: the grammar allows numbers of any size, halves of surrogate
        pairs and any depth; a parser may set limits.

    Example:
        >>> read_outline('{"id": 1, "data": 1e400}')
        {'id': 1, 'data': inf}
    """
    return _decoder.decode("".join(_shallow(text)))


def what_is_wrong(error: Exception) -> str:
    """Say why msgspec does not read a valid JSON text, as the end of a sentence.

    Args:
        error: The exception of msgspec.
    """
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, msgspec.ValidationError):
        return "it has a number that is out of range"
    return "it has half of a surrogate pair"


def _shallow(text: str) -> Iterator[str]:
    depth = 0
    for piece in _PIECES.findall(text):
        if piece[0] in "[{":
            yield piece[: max(0, DEEPEST - depth)]
            if depth <= DEEPEST < depth + len(piece):
                yield "null"
            depth += len(piece)
        elif piece[0] in "]}":
            yield piece[max(0, depth - DEEPEST) :]
            depth -= len(piece)
        elif depth <= DEEPEST:
            yield piece


def _integer(text: str) -> int:
    return int(text) if len(text) <= LONGEST_NUMBER else 0


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not valid JSON")


_decoder = json.JSONDecoder(parse_int=_integer, parse_constant=_refuse_constant)
