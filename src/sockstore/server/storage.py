"""Choose the history and the presence that an address names."""

from __future__ import annotations

from pathlib import Path

from sockstore.base.errors import InvalidOption
from sockstore.base.urls import redact_url
from sockstore.server.history.base import History
from sockstore.server.history.sqlite import SqliteHistory
from sockstore.server.redis.history import RedisHistory
from sockstore.server.redis.presence import RedisPresence
from sockstore.server.rooms.presence import LocalPresence, Presence

__all__ = ["IN_MEMORY", "open_history", "presence_for"]

IN_MEMORY = "sqlite:///:memory:"
SCHEME = "sqlite:///"
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def open_history(history: History | str) -> History:
    """Return the history that an address names; does no I/O.

    Args:
        history: ``"sqlite:///PATH"``, ``"sqlite:///:memory:"`` (kept only while the server
            runs), ``"redis://HOST:PORT/DB"`` (shared by all servers that use it), or a history,
            which is returned as it is.

    Raises:
        InvalidOption: If it is none of these.
    """
    if not isinstance(history, str):
        return history
    if history.startswith(REDIS_SCHEMES):
        return RedisHistory(history)
    path = history.removeprefix(SCHEME)
    if not history.startswith(SCHEME) or not path or "\0" in path:
        raise InvalidOption(
            "history",
            redact_url(history),
            "give 'sqlite:///PATH', 'sqlite:///:memory:' or 'redis://HOST/DB'",
        )
    try:
        return SqliteHistory(None if path == ":memory:" else Path(path).expanduser())
    except RuntimeError as error:  # "~user" has no home
        raise InvalidOption("history", history, str(error).rstrip(".").lower()) from None


def presence_for(history: History) -> Presence:
    """Return the presence for the rooms of a history; does no I/O.

    Args:
        history: The history, which several servers may share.
    """
    return RedisPresence(history) if isinstance(history, RedisHistory) else LocalPresence()
