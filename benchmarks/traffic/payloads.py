"""Build the payloads: JSON texts of a given size, as a feed of prices would send them."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["SIZES", "payload", "record"]

SIZES = (32, 256, 2048)
"""Bytes of a JSON text, as in the tables."""


def record(size: int, number: int) -> dict[str, Any]:
    """Return the data of a message of that size.

    Args:
        size: One of `SIZES`.
        number: From 1, below 1,000,000; different in every message.
    """
    if size <= 32:
        return {"id": number, "p": _price(number)}
    head = {"id": number, "type": "price", "symbol": f"SYM{number % 97:02}", "note": ""}
    levels: list[dict[str, Any]] = []
    while len(_text({**head, "levels": levels})) + 60 < size:
        level = len(levels)
        levels.append({"bid": _price(number + level), "ask": _price(number - level), "size": level})
    return {**head, "levels": levels}


def payload(size: int, number: int) -> str:
    """Return the JSON text of a message, of exactly `size` bytes.

    Example:
        >>> [len(payload(size, 7)) for size in SIZES]
        [32, 256, 2048]
    """
    said = record(size, number)
    text = _text(said)
    if size <= 32:
        return text[:-1] + " " * (size - len(text)) + "}"
    return _text({**said, "note": "x" * (size - len(text))})


def _price(number: int) -> float:
    return round(100 + (number % 8999) / 100 + 0.001, 3)


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
