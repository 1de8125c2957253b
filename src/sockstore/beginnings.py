"""What a connection says first, kept for the streams that its ``on_open`` makes.

A server may speak before ``on_open`` has its turn: while a session is recovered, a snapshot is
loaded, or ``on_open`` itself waits for something else. Nothing is held back for that, since
``on_open`` may wait for an answer or read a stream: subscribers and streams that exist are told at
once, and a stream that ``on_open`` makes later begins with what was said before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sockstore.streams import MessageStream

if TYPE_CHECKING:
    from sockstore.records import Message

__all__ = ["Beginning"]

MOST_KEPT: Final = 10_000
"""Messages; a stream that is made later is told by `Lagged` how many more there were."""


class Beginning(MessageStream):
    """A stream of the log that keeps what a connection has said since its handshake.

    Args:
        transport: The number of the connection's transport.

    Attributes:
        transport: The same.
    """

    __slots__ = ("transport",)

    def __init__(self, transport: int) -> None:
        super().__init__(limit=MOST_KEPT, gaps=True)
        self.transport = transport

    def give(self, stream: MessageStream) -> None:
        """Let a stream of ``on_open`` begin with what none of its streams has taken so far."""
        stream.begin_with(tuple(self._waiting), self._missed, self._forget)

    def _forget(self, taken: Message) -> None:
        if self._waiting and self._waiting[0] is taken:
            self._waiting.popleft()
        else:
            kept = [message for message in self._waiting if message is not taken]
            self._waiting.clear()
            self._waiting.extend(kept)
