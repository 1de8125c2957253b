"""Messages as JSON, for those who lead a connection's other end from afar."""

from __future__ import annotations

import base64

__all__ = ["from_words", "to_words"]


def to_words(message: str | bytes) -> dict[str, str]:
    """Say a message in JSON."""
    if isinstance(message, str):
        return {"text": message}
    return {"binary": base64.b64encode(message).decode()}


def from_words(words: dict[str, str]) -> str | bytes:
    """Return the message."""
    return words["text"] if "text" in words else base64.b64decode(words["binary"])
