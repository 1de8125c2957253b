"""Keep messages in chunks, and make views on them that never change.

A view is a window on the chunks of its moment: making one copies nothing, and eviction starts a new
list of chunks instead of changing one that a view may hold.

A JSON message is kept as the text that arrived, and decoded when it is first read: a thousand
decoded messages that are only kept would cost more than receiving them, in memory that is not
in the cache and in rounds of the garbage collector (measured: a third of the messages a second).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Iterator, Sequence
from functools import cache
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Final, TypeAlias, overload

from sockstore.base.checks import require_count
from sockstore.base.codecs import decode_json

if TYPE_CHECKING:
    from sockstore.base.records import Message, MessageKind
    from sockstore.protocols.outputs import News

__all__ = ["CHUNK", "Entry", "Kept", "MessageView", "message_type"]

CHUNK = 256

Entry: TypeAlias = "Message | str"
"""A message; or what one is made of that was not read yet: its JSON text, or the frame of a
protocol, which its `News` reads."""

_index = itemgetter(0)


@cache
def message_type() -> type[Message]:
    """Return `Message`, which is loaded late: see `sockstore.base.records`."""
    from sockstore.base.records import Message  # noqa: PLC0415 - it loads msgspec

    return Message


class Chunk:
    """Some messages in a row.

    Args:
        key: The key of the subscription whose messages they are, or None.

    Attributes:
        entries: The messages.
        times: When they came: (index of the first, Unix seconds, what reads their frames, or None
            for texts) for each slice.
    """

    __slots__ = ("_key", "entries", "times")

    def __init__(self, key: Hashable) -> None:
        self._key = key
        self.entries: list[Entry] = []
        self.times: list[tuple[int, float, News | None]] = []

    def message(self, index: int, number: int) -> Message:
        """Return a message, decoded; it is kept decoded, as it may be read again."""
        entry = self.entries[index]
        if not isinstance(entry, str):
            return entry
        kind: MessageKind = "json"
        _, received_at, news = self.times[bisect_right(self.times, index, key=_index) - 1]
        if news is None:
            data, place = decode_json(entry), None
        else:
            data, place = news.again(entry)
            kind = "text" if isinstance(data, str) else "json"
        message = message_type()(data, kind, number, received_at, place, self._key)
        self.entries[index] = message
        return message

    def messages(self, first: int, end: int, number: int) -> Iterator[Message]:
        """Yield the messages from one index to another; each is decoded when its turn comes.

        Args:
            first: The index of the first one.
            end: The index behind the last one.
            number: The number of the message with the index 0.
        """
        for index, entry in enumerate(self.entries[first:end], first):
            yield self.message(index, number + index) if isinstance(entry, str) else entry


class MessageView(Sequence["Message"]):
    """The messages of one moment; it never changes.

    Args:
        chunks: The chunks.
        size: Messages in a full chunk.
        first: Where the view begins in the chunks.
        length: How many messages it has.
        number: The number of its first message.
    """

    __slots__ = ("_chunks", "_first", "_length", "_number", "_size")

    def __init__(
        self,
        chunks: list[Chunk] | None = None,
        size: int = CHUNK,
        first: int = 0,
        length: int = 0,
        number: int = 1,
    ) -> None:
        self._chunks = [] if chunks is None else chunks
        self._size = size
        self._first = first
        self._length = length
        self._number = number

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Message]: ...
    def __getitem__(self, index: int | slice) -> Message | Sequence[Message]:
        if isinstance(index, slice):
            return tuple(self._at(i) for i in range(*index.indices(self._length)))
        if index < 0:
            index += self._length
        if not 0 <= index < self._length:
            raise IndexError(f"a view of {self._length} messages has no index {index}")
        return self._at(index)

    def __iter__(self) -> Iterator[Message]:
        size, first, number = self._size, self._first, self._number - self._first
        end = first + self._length
        return chain.from_iterable(
            self._chunks[start // size].messages(max(0, first - start), end - start, number + start)
            for start in range(first - first % size, end, size)
        )

    def __repr__(self) -> str:
        return f"<MessageView of {self._length} messages>"

    def _at(self, index: int) -> Message:
        chunk, offset = divmod(self._first + index, self._size)
        return self._chunks[chunk].message(offset, self._number + index)


class Kept:
    """The last `history` messages.

    Args:
        history: Messages to keep; None keeps all, 0 none.
        key: The key of the subscription whose messages they are, or None.

    Attributes:
        key: The same.
        keeps: Whether any are kept.
        size: Entries in a full chunk.
        total: How many messages arrived; set by the writer of the log.
        window: The chunks that are kept, and how many were left behind; replaced, both at once,
            whenever some are left behind.
    """

    __slots__ = ("_history", "keeps", "key", "size", "total", "window")

    def __init__(self, history: int | None, key: Hashable = None) -> None:
        require_count("history", history, optional=True)
        self.size: int = CHUNK if history is None else max(1, min(CHUNK, history))
        self.total: int = 0
        self._history = history
        self.keeps: Final[bool] = history != 0
        self.key: Final = key
        self.window: tuple[list[Chunk], int] = ([Chunk(key)], 0)

    def __len__(self) -> int:
        return self.total if self._history is None else min(self.total, self._history)

    def view(self) -> MessageView:
        """Return the kept messages, the oldest first, without copying them."""
        history = self._history
        while True:
            window = chunks, left_behind = self.window
            total = self.total
            length = total if history is None or total < history else history
            # Read again if another thread replaced the window between the two reads.
            if self.window is window:
                first = total - length
                begins_at = first - left_behind * self.size
                return MessageView(chunks, self.size, begins_at, length, first + 1)

    def entries(self, received_at: float, news: News | None = None) -> list[Entry]:
        """Return where to append entries that came at that time, until it has `size` of them.

        With `news` they are frames, which it reads.
        """
        if self._history == 0:
            return []
        chunk = self.window[0][-1]
        times = chunk.times
        if not times or times[-1][1] != received_at or times[-1][2] is not news:
            times.append((len(chunk.entries), received_at, news))
        return chunk.entries

    def next_entries(self, received_at: float, news: News | None = None) -> list[Entry]:
        """Begin a chunk, and drop the chunks that no present view can reach."""
        chunks, left_behind = self.window
        if self._history != 0:
            chunks.append(Chunk(self.key))
        if self._history:
            oldest_kept = max(0, self.total - self._history)
            surplus = oldest_kept // self.size - left_behind
            if surplus > 0:
                self.window = (chunks[surplus:], left_behind + surplus)
        return self.entries(received_at, news)
