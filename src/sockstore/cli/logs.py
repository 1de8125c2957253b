"""The log of a server that a command runs: on standard error, each record harmless."""

from __future__ import annotations

import logging
from typing import Any

from sockstore.base.characters import harmless, one_line

__all__ = ["TO_STANDARD_ERROR", "HarmlessFormatter"]


class HarmlessFormatter(logging.Formatter):
    """Writes a record on one line: paths and names that clients choose command no terminal.

    The traceback of an error in the server has its lines, and nothing that commands a terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        text = f"{record.levelname}: {one_line(record.getMessage())}"
        if record.exc_info and not isinstance(record.exc_info, bool):
            text = f"{text}\n{harmless(self.formatException(record.exc_info))}"
        return text


TO_STANDARD_ERROR: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"harmless": {"()": HarmlessFormatter}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "harmless"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
"""For `logging.config.dictConfig`."""
