"""A server with an echo and durable chat rooms, for demos, tests and small teams.

It needs the extra ``server``: ``pip install 'sockstore[server]'``.
"""

from sockstore.server.app import create_app
from sockstore.server.chat_server import ChatServer
from sockstore.server.history import (
    History,
    HistoryError,
    HistoryUnavailable,
    NotStored,
    SqliteHistory,
)
from sockstore.server.limits import Limits

__all__ = [
    "ChatServer",
    "History",
    "HistoryError",
    "HistoryUnavailable",
    "Limits",
    "NotStored",
    "SqliteHistory",
    "create_app",
]
