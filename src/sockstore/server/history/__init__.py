"""Histories of rooms: their interface, and the implementation in SQLite."""

from sockstore.server.history.base import History, HistoryError, HistoryUnavailable, NotStored
from sockstore.server.history.sqlite import SqliteHistory

__all__ = [
    "History",
    "HistoryError",
    "HistoryUnavailable",
    "NotStored",
    "SqliteHistory",
]
