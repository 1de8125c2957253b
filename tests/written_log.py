"""A log, and a stream, that a test writes itself, as a connection does, and reads as users do."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from sockstore import MessageStream
from sockstore.messages.buffer import Buffer
from sockstore.messages.log import MessageLog
from sockstore.messages.writer import LogWriter


class WrittenLog(MessageLog):
    """A message log that a test writes itself, by its `writer`."""

    __slots__ = ("_added", "writer")

    def __init__(self, history: int | None, report: Callable[[Exception, str], None]) -> None:
        self.writer = LogWriter(history, report)
        self._added: weakref.WeakSet[Buffer] = weakref.WeakSet()
        super().__init__(self.writer)

    @property
    def readers(self) -> int:
        """How many of the streams that were added are still referenced."""
        return len(self._added)

    def add(self, stream: WrittenStream) -> None:
        """Give a stream every message from now on."""
        self.writer.add_stream(stream.writer)
        self._added.add(stream.writer)


class WrittenStream(MessageStream):
    """A stream that a test writes itself, by its `writer`."""

    __slots__ = ("writer",)

    def __init__(self, *args: Any, **options: Any) -> None:
        self.writer = Buffer(*args, **options)
        super().__init__(self.writer)
