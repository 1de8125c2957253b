"""Who the user is: a terminal keeps nothing, so one is made for this process."""

from __future__ import annotations

from functools import cache

from sockstore.stores import Readable, readable
from sockstore.ui.chat.author import Author

__all__ = ["author_of_process"]


@cache
def author_of_process() -> Readable[Author]:
    """Return the user of this process, the same one in all its screens."""
    return readable(Author(Author.new_secret()))
