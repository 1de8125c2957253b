"""Add arriving messages to the log, and notify its readers and callbacks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from itertools import chain, islice
from operator import is_not
from time import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import finalize

from sockstore.base.positions import Gap
from sockstore.messages.buffer import Buffer, Readers
from sockstore.messages.kept import Kept, MessageView, message_type
from sockstore.stores import writable
from sockstore.stores.binding import node_of

if TYPE_CHECKING:
    from sockstore.base.records import Message, MessageKind, Publication
    from sockstore.protocols.outputs import News

__all__ = ["LogWriter", "Report", "Tell"]

Report: TypeAlias = Callable[[Exception, str], None]
"""``report(error, where)``: a user's callable raised."""

Tell: TypeAlias = "Callable[[Message], object]"

Stay: TypeAlias = Callable[[], Callable[[], object]]


class LogWriter:
    """Write arriving messages into a log, and notify its readers.

    Args:
        history: Messages to keep; None keeps all, 0 none.
        report: Receives the errors of users' callables.
        stay: Notes one more reader, and returns how to note that it has left; None if nobody wants
            to know.
        key: The key of the subscription whose messages they are; None for a connection's.
        fresh: Where the log of a subscription notes that it is in a slice.

    Attributes:
        fresh: The same.
        last: The data of the last message of a subscription; set with each by its feed, and here.
        is_sink: Whether `extend_news` takes the messages of a subscription; set by
            `Subscriptions`.
        kept: The messages that are kept, and their number.
        store: The store of views that subscribers watch.
        node: Of the store; ``live`` while anybody watches it.
        received_at: When the messages of the slice came, in seconds since the epoch; set by
            `begin_slice`, and for the log of a subscription by `Subscriptions.deliver`.
        slice_over: Whether the slice should end now; set by `stop_slice` and `_tell_readers`, reset
            where `received_at` is set.
    """

    __slots__ = (
        "_notified",
        "_on_append",
        "_readers",
        "_report",
        "_stay",
        "_tell",
        "fresh",
        "is_sink",
        "kept",
        "last",
        "node",
        "received_at",
        "slice_over",
        "store",
    )

    def __init__(
        self,
        history: int | None,
        report: Report,
        stay: Stay | None = None,
        key: Hashable = None,
        fresh: list[LogWriter] | None = None,
    ) -> None:
        self.fresh: Final[list[LogWriter]] = [] if fresh is None else fresh
        self.last: Any = None
        self.is_sink: bool = False
        self.kept: Final = Kept(history, key)
        self._report = report
        self._stay = stay
        self._notified = 0  # the total at the last notification; set by `end_slice`
        self.received_at: float = 0.0
        self.slice_over: bool = False
        # The callbacks, and the function that calls them: set by `_call_on_append`.
        self._on_append: tuple[_Callback, ...] = ()
        self._tell: Tell | None = None
        self._readers = Readers()
        # Each view is a new object: comparing views would take time and always find a change.
        self.store: Final = writable(MessageView(), self._watch, differs=is_not)
        self.node: Final = node_of(self.store)

    # Called by the log

    def on_append(self, fn: Tell) -> Callable[[], None]:
        """Call `fn` once for each message; return how to unsubscribe."""
        entry = _Callback(fn)
        self._call_on_append((*self._on_append, entry))
        leave = None if self._stay is None else self._stay()

        def unsubscribe() -> None:
            entry.fn = None
            if leave is not None:
                leave()
            self._call_on_append(tuple(other for other in self._on_append if other is not entry))

        return unsubscribe

    # Called by the link and the receiver

    def begin_slice(self) -> int:
        """Begin a slice: the messages that follow were received together.

        Returns:
            How many messages arrived before.
        """
        self.received_at = time()
        self.slice_over = False
        return self.kept.total

    def stop_slice(self) -> None:
        """End the slice after the message that is being delivered."""
        self.slice_over = True

    def append(
        self, data: object, kind: MessageKind, publication: Publication | None = None
    ) -> bool:
        """Add one message; return whether the slice should end now."""
        kept = self.kept
        message = message_type()(
            data, kind, kept.total + 1, self.received_at, publication, kept.key
        )
        entries = kept.entries(self.received_at)
        if len(entries) == kept.size:
            entries = kept.next_entries(self.received_at)
        entries.append(message)
        kept.total += 1
        if self._readers.buffers:
            self._readers.fresh.append(message)
            self._tell_readers()
        if (tell := self._tell) is not None:
            try:
                tell(message)
            except Exception as error:  # noqa: BLE001 - a user's bug never drops the link
                self._report(error, "on_append")
        return self.slice_over

    def extend_news(  # noqa: C901 - hot
        self, news: News, items: Iterator[News | str], now: float, outer: LogWriter
    ) -> News | str | None:
        """Add the messages of one room that come in a row; return the first item that is another's.

        It returns None if no more came, or if the slice should end. What is kept of a message is
        its frame, and a message is made only for those who read it now. Streams get theirs by
        `tell_readers`, many at once. This is the hot path of rooms, in one frame of Python.

        Args:
            news: The first one.
            items: What follows.
            now: When the slice came: the log is not in this slice yet if it has another time.
            outer: The log of the connection, whose slice ends with the link.
        """
        kept, readers, keeps = self.kept, self._readers, self.kept.keeps
        make, key, size = message_type(), kept.key, kept.size
        if self.received_at is not now:
            self.received_at, self.slice_over = now, False
            self.fresh.append(self)
        entries = kept.entries(now, news)
        for item in chain((news,), items):
            if item is not news:
                return item
            if len(entries) == size:
                entries = kept.next_entries(now, news)
            if keeps:
                entries.append(news.frame)
            kept.total += 1
            data = self.last = news.data
            tell = self._tell
            if tell is not None or readers.buffers:
                kind: MessageKind = "text" if data.__class__ is str else "json"
                message = make(data, kind, kept.total, now, news.place(), key)
                if readers.buffers:
                    readers.fresh.append(message)
                    if len(readers.fresh) >= readers.most:
                        self._tell_readers()
                if tell is not None:
                    try:
                        tell(message)
                    except Exception as error:  # noqa: BLE001 - a user's bug never drops the link
                        self._report(error, "on_append")
                # A callback, or the filter of a stream, has released it or made another handle.
                if not self.is_sink:
                    return None if outer.slice_over else next(items, None)
            # A slice ends between frames only, or at once if the link is retired.
            if (self.slice_over and not news.more) or outer.slice_over:
                return None
        return None

    def tell_readers(self) -> bool:
        """Give streams what `append_frame` added; return whether the slice should end now."""
        if self._readers.fresh:
            self._tell_readers()
        return self.slice_over

    def append_text(self, text: str, data: object) -> bool:
        """Add one message that came as JSON; return whether the slice should end now.

        What is kept is the text, and a message is made only for those who read it now.
        """
        kept, received_at = self.kept, self.received_at
        entries = kept.entries(received_at)
        if len(entries) == kept.size:
            entries = kept.next_entries(received_at)
        entries.append(text)
        kept.total += 1
        if self._readers.buffers or self._tell is not None:
            message = message_type()(data, "json", kept.total, received_at, None, kept.key)
            if self._readers.buffers:
                self._readers.fresh.append(message)
                self._tell_readers()
            if (tell := self._tell) is not None:
                try:
                    tell(message)
                except Exception as error:  # noqa: BLE001 - a user's bug never drops the link
                    self._report(error, "on_append")
        return self.slice_over

    def extend(  # noqa: C901 - hot
        self,
        texts: Iterator[str],
        decode: Callable[[str], Any],
        otherwise: Callable[[str, Exception], object],
    ) -> bool:
        """Add JSON texts until none is left or the slice should end; return whether it should.

        This is the hot path: it does what `append` does for each of them, in one frame.

        Args:
            texts: The texts; each is taken only when it is its turn.
            decode: Makes the data of a text; must do the same when it is called again.
            otherwise: Called with a text that `decode` cannot decode.
        """
        received_at, kept, readers = self.received_at, self.kept, self._readers
        number, size = kept.total, kept.size
        make = message_type()
        entries = kept.entries(received_at)
        if readers.buffers:
            texts = islice(texts, readers.most)
        try:
            for text in texts:
                try:
                    data = decode(text)
                except (ValueError, RecursionError) as error:
                    otherwise(text, error)
                    entries = kept.entries(received_at)
                    number = kept.total
                else:
                    if len(entries) == size:
                        entries = kept.next_entries(received_at)
                    entries.append(text)
                    kept.total = number = number + 1
                    message = make(data, "json", number, received_at)
                    if readers.buffers:
                        readers.fresh.append(message)
                    if (tell := self._tell) is not None:
                        try:
                            tell(message)
                        except Exception as error:  # noqa: BLE001 - a user's bug drops no link
                            self._report(error, "on_append")
                if self.slice_over:
                    break
        finally:
            if readers.fresh:
                self._tell_readers()
        return self.slice_over

    def message(self, data: object, kind: MessageKind, place: Publication | None) -> Message:
        """Return a message that is not in the log; its number is 0."""
        return message_type()(data, kind, 0, time(), place, self.kept.key)

    def expect(self, count: int) -> None:
        """Make room in the streams for so many messages at once."""
        self._readers.expect(count)

    def append_gap(self, gap: Gap) -> None:
        """Tell the streams that ask for it that messages are missing here."""
        message = message_type()(gap, "gap", self.kept.total, time(), None, self.kept.key)
        self._readers.tell_gap(message)

    def end_slice(self) -> None:
        """Notify subscribers once, if anything arrived."""
        if self._notified == self.kept.total:
            return
        self._notified = self.kept.total
        try:
            if self.node.live:
                self.store.set(self.kept.view())
        except Exception as error:  # noqa: BLE001 - a user's bug never drops the link (ST9)
            self._report(error, "a subscriber of the messages")

    def add_stream(self, buffer: Buffer) -> None:
        """Give a reader every message from now on, for as long as its buffer is referenced."""
        self.listen(buffer)
        self.note_use(buffer)

    def listen(self, buffer: Buffer) -> None:
        """Give a reader every message, without being a use of a lazy connection."""
        self._readers.add(buffer)

    def note_use(self, buffer: Buffer) -> None:
        """A lazy connection is in use until this reader ends."""
        if self._stay is not None and buffer.when_over is None:
            buffer.when_over = self._stay()
            finalize(buffer, buffer.when_over).atexit = False

    def end_streams(self, error: Exception | None, owner: object = None) -> None:
        """End the streams of one owner; None ends all, because the connection has ended."""
        self._readers.end(error, owner)

    # Telling

    def _tell_readers(self) -> None:
        if self._readers.tell():
            self.slice_over = True

    def _call_on_append(self, callbacks: tuple[_Callback, ...]) -> None:
        self._on_append = callbacks
        # A single callback is called directly.
        self._tell = callbacks[0].fn if len(callbacks) == 1 else self._tell_all
        if not callbacks:
            self._tell = None

    def _tell_all(self, message: Message) -> None:
        for callback in self._on_append:
            if (fn := callback.fn) is not None:
                try:
                    fn(message)
                except Exception as error:  # noqa: BLE001 - a user's bug never drops the link
                    self._report(error, "on_append")

    def _watch(self, set_: Callable[[MessageView], None], _: object) -> Callable[[], object] | None:
        set_(self.kept.view())
        is_sample = self.node.starting is None
        return None if self._stay is None or is_sample else self._stay()


class _Callback:
    """One subscription of `on_append`; after unsubscribing `fn` is None and is not called."""

    __slots__ = ("fn",)

    def __init__(self, fn: Tell) -> None:
        self.fn: Tell | None = fn
