"""Recognise the messages of one person by their ids."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from functools import cache
from hashlib import blake2b
from json import dumps

from sockstore.stores import Readable, readable

__all__ = ["Author", "author_of_process"]

BYTES = 16
"""Bytes of each half of an id: enough that none can be guessed."""
LENGTH = 22
"""Characters of each half."""


class Author:
    """One person, whose messages are known by their ids.

    An id is a random number and a signature of the message, which needs the person's secret. So
    whoever keeps the secret (a browser, for all its tabs and after a reload) needs to keep no list
    of what was sent, and nobody else can make a message that is taken for one of this person, nor
    copy an id of theirs to another text or another room.

    Args:
        secret: The secret; it never leaves this process.

    Example:
        >>> ann = Author(Author.new_secret())
        >>> id = ann.sign("lobby", "hello", "2026-03-01T12:00:00Z")
        >>> ann.wrote("lobby", id, "hello", "2026-03-01T12:00:00Z")
        True
        >>> ann.wrote("help", id, "hello", "2026-03-01T12:00:00Z")
        False
    """

    def __init__(self, secret: str) -> None:
        self._key = blake2b(secret.encode()).digest()

    @staticmethod
    def new_secret() -> str:
        """Return a secret that nobody can guess."""
        return secrets.token_urlsafe(32)

    def sign(self, room: str, content: str, timestamp: str) -> str:
        """Return an id for a message that is about to be sent; each call returns another one."""
        number = _text(secrets.token_bytes(BYTES))
        return number + self._signature(number, room, content, timestamp)

    def wrote(self, room: str, id: str | None, content: str, timestamp: str) -> bool:  # noqa: A002 - its name
        """Whether this person has sent the message with this id."""
        if id is None or len(id) != 2 * LENGTH:
            return False
        signature = self._signature(id[:LENGTH], room, content, timestamp)
        return secrets.compare_digest(id[LENGTH:].encode(), signature.encode())

    def _signature(self, number: str, *message: str) -> str:
        signed = dumps([number, *message]).encode()
        return _text(blake2b(signed, key=self._key, digest_size=BYTES).digest())


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


@cache
def author_of_process() -> Readable[Author]:
    """Return the user of this process, for what keeps nothing: the same one in all its screens."""
    return readable(Author(Author.new_secret()))
