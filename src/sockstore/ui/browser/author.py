"""Who the visitor is: the browser keeps it, for all its tabs and after a reload."""

from __future__ import annotations

from functools import cache

from sockstore.stores import Readable, readable
from sockstore.ui.browser.dom import Storage
from sockstore.ui.chat.author import Author

__all__ = ["author_of_browser"]

KEY = "sockstore author"


@cache
def author_of_browser() -> Readable[Author]:
    """Return the visitor; one whom nobody knows if the browser may keep nothing."""
    kept = Storage("localStorage", KEY)
    secret = kept.read()
    if not secret:
        secret = Author.new_secret()
        kept.write(secret)
    return readable(Author(secret))
