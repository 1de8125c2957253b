"""From what a user writes to a history."""

from __future__ import annotations

from pathlib import Path

from sockstore.errors import InvalidOption
from sockstore.server.history.base import History
from sockstore.server.history.sqlite import SqliteHistory
from sockstore.server.presence import LocalPresence, Presence

__all__ = ["IN_MEMORY", "open_history", "presence_for"]

IN_MEMORY = "sqlite:///:memory:"
SCHEME = "sqlite:///"


def open_history(history: History | str) -> History:
    """Return the history that an address names; does no I/O.

    Args:
        history: ``"sqlite:///PATH"``, ``"sqlite:///:memory:"`` (kept only while the server
            runs), or a history, which is returned as it is.

    Raises:
        InvalidOption: If it is neither.
    """
    if not isinstance(history, str):
        return history
    path = history.removeprefix(SCHEME)
    if not history.startswith(SCHEME) or not path or "\0" in path:
        raise InvalidOption("history", history, "give 'sqlite:///PATH' or 'sqlite:///:memory:'")
    return SqliteHistory(None if path == ":memory:" else Path(path).expanduser())


def presence_for(history: History) -> Presence:
    """Return what knows who is in the rooms of a history; does no I/O.

    Args:
        history: What several servers may share.
    """
    del history
    return LocalPresence()
