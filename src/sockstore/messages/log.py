"""Show the messages that arrived to users: the message log."""

from __future__ import annotations

from collections.abc import Callable

from sockstore.base.plain_calls import START_A_TASK, refuse_async
from sockstore.messages.kept import MessageView
from sockstore.messages.writer import LogWriter, Tell
from sockstore.stores import Readable
from sockstore.stores.binding import node_of

__all__ = ["MessageLog", "MessageView"]


class MessageLog(Readable[MessageView]):
    """The messages that a connection received: a store of the last `history` of them.

    Args:
        writer: The writer of the log.
    """

    __slots__ = ("_writer",)

    def __init__(self, writer: LogWriter) -> None:
        super().__init__(node_of(writer.store))
        self._writer = writer

    @property
    def value(self) -> MessageView:
        """The last `history` messages, oldest first; made without copying them."""
        return self._writer.kept.view()

    @property
    def total(self) -> int:
        """How many messages arrived."""
        return self._writer.kept.total

    @property
    def dropped(self) -> int:
        """How many messages arrived and are no longer kept."""
        return self.total - len(self)

    def __len__(self) -> int:
        return len(self._writer.kept)

    def __repr__(self) -> str:
        return f"<MessageLog of {len(self)} messages, total={self.total} dropped={self.dropped}>"

    def on_append(self, fn: Tell) -> Callable[[], None]:
        """Call `fn` once for each message, in order, with no coalescing.

        Args:
            fn: Called with each `Message` from now on; its errors go to the event loop's
                exception handler and stop nothing.

        Returns:
            How to unsubscribe; calling it again does nothing.

        Raises:
            TypeError: If `fn` is a coroutine function.

        Example:
            >>> from sockstore import WebSocketStore
            >>> connection = WebSocketStore("ws://localhost")
            >>> stop = connection.messages.on_append(lambda message: print(message.data))
            >>> stop()
        """
        refuse_async(fn, "on_append()", f"{START_A_TASK}, or iterate over connection.stream()")
        return self._writer.on_append(fn)
