"""Where the messages of rooms are kept."""

from sockstore.server.history.base import History, HistoryError, HistoryUnavailable, NotStored
from sockstore.server.history.sqlite import SqliteHistory
from sockstore.server.storage import IN_MEMORY, open_history

__all__ = [
    "IN_MEMORY",
    "History",
    "HistoryError",
    "HistoryUnavailable",
    "NotStored",
    "SqliteHistory",
    "open_history",
]
