"""A log with its pen: what a connection writes into it, and what users see of it."""

from __future__ import annotations

from collections.abc import Callable

from sockstore.messages.log import MessageLog
from sockstore.messages.writer import LogWriter


class WrittenLog(MessageLog):
    """A message log that a test writes itself, by its `writer`."""

    __slots__ = ("writer",)

    def __init__(self, history: int | None, report: Callable[[Exception, str], None]) -> None:
        self.writer = LogWriter(history, report)
        super().__init__(self.writer)
