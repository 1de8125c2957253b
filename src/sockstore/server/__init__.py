"""The server that the demos, tests and small teams use: an echo and durable chat rooms.

It needs the extra: ``pip install 'sockstore[server]'``.
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
