"""Who the visitor of a page is: the browser keeps it, for all its tabs and after a reload."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from nicegui import Client
from nicegui.events import GenericEventArguments

from sockstore.stores import Writable, writable
from sockstore.ui.chat.author import Author

__all__ = ["author_of", "know_author"]

LEAST, MOST = 16, 200
"""Characters of a secret; our pages send nothing else."""

_authors: WeakKeyDictionary[Client, Writable[Author]] = WeakKeyDictionary()


def author_of(client: Client) -> Writable[Author]:
    """Return the visitor of a page; another one, whom nobody knows, until the browser says who."""
    author = _authors.get(client)
    if author is None:
        author = _authors[client] = writable(Author(Author.new_secret()))
    return author


def know_author(event: GenericEventArguments) -> None:
    """Note who the visitor is.

    Args:
        event: The browser's event, with the secret that it keeps.
    """
    match event.args:
        case str() as secret if LEAST <= len(secret) <= MOST:
            author_of(event.client).set(Author(secret))
        case _:  # a browser that may keep nothing
            pass
