"""Add arriving messages to the log, and notify its readers, callbacks and topics."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from operator import is_not
from time import time
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sockstore.base.positions import Gap, Publication
from sockstore.messages.buffer import Beginning, Buffer, Readers
from sockstore.messages.kept import Kept, MessageView, message_type
from sockstore.stores import Readable, batch, readable, writable
from sockstore.stores.binding import node_of

if TYPE_CHECKING:
    from sockstore.messages.message import Message, MessageKind

__all__ = ["LogWriter", "Report", "Tell"]

Report: TypeAlias = Callable[[Exception, str], None]
"""``report(error, where)``: a user's callable raised."""

Tell: TypeAlias = "Callable[[Message], object]"


class LogWriter:
    """Write arriving messages into a log, and notify its readers.

    Args:
        history: Messages to keep; None keeps all, 0 none.
        report: Receives the errors of users' callables.

    Attributes:
        kept: The messages that are kept, and their number.
        store: The store of views that subscribers watch.
    """

    __slots__ = (
        "_beginning",
        "_fresh_topics",
        "_node",
        "_notified",
        "_on_append",
        "_readers",
        "_received_at",
        "_report",
        "_slice_over",
        "_tell",
        "_topics",
        "kept",
        "store",
    )

    def __init__(self, history: int | None, report: Report) -> None:
        self.kept: Final = Kept(history)
        self._report = report
        self._notified = 0  # the total at the last notification; set by `end_slice`
        self._received_at = 0.0  # set by `begin_slice`
        self._slice_over = False  # set by `stop_slice`, `_tell_readers`; reset by `begin_slice`
        # The callbacks, and the function that calls them: set by `_call_on_append`.
        self._on_append: tuple[_Callback, ...] = ()
        self._tell: Tell | None = None
        self._readers = Readers()
        # The first messages of a connection; set by `keep_beginning`, reset by `drop_beginning`.
        self._beginning: Beginning | None = None
        # The watched topics by field and key, and those with news; `end_slice` publishes these.
        self._topics: dict[str, dict[Hashable, list[_Topic]]] = {}
        self._fresh_topics: list[_Topic] = []
        # Each view is a new object: comparing views would take time and always find a change.
        self.store: Final = writable(MessageView(), self._watch, differs=is_not)
        self._node = node_of(self.store)

    # Called by the log

    def on_append(self, fn: Tell) -> Callable[[], None]:
        """Call `fn` once for each message; return how to unsubscribe."""
        entry = _Callback(fn)
        self._call_on_append((*self._on_append, entry))

        def unsubscribe() -> None:
            entry.fn = None
            self._call_on_append(tuple(other for other in self._on_append if other is not entry))

        return unsubscribe

    def topic(self, key: Hashable, field: str) -> Readable[Any]:
        """Return a store of the latest data in which ``data[field] == key``; None before."""

        def start(set_: Callable[[Any], None], _: object) -> Callable[[], None]:
            topic = _Topic(set_)
            listening = self._topics.setdefault(field, {}).setdefault(key, [])
            listening.append(topic)
            set_(self._latest(key, field))

            def stop() -> None:
                topic.is_new = False
                listening.remove(topic)
                if not listening:
                    self._topics[field].pop(key, None)
                if not self._topics[field]:
                    del self._topics[field]

            return stop

        return readable(None, start)

    # Called by the link and the receiver

    def begin_slice(self) -> int:
        """Begin a slice: the messages that follow were received together.

        Returns:
            How many messages arrived before.
        """
        self._received_at = time()
        self._slice_over = False
        return self.kept.total

    def stop_slice(self) -> None:
        """End the slice after the message that is being delivered."""
        self._slice_over = True

    def append(
        self, data: object, kind: MessageKind, publication: Publication | None = None
    ) -> bool:
        """Add one message; return whether the slice should end now."""
        kept = self.kept
        message = message_type()(data, kind, kept.total + 1, self._received_at, publication)
        entries = kept.entries(self._received_at)
        if len(entries) == kept.size:
            entries = kept.next_entries(self._received_at)
        entries.append(message)
        kept.total += 1
        if self._topics:
            self._mark_topics(data)
        if self._readers.buffers:
            self._readers.fresh.append(message)
            self._tell_readers()
        if (tell := self._tell) is not None:
            try:
                tell(message)
            except Exception as error:  # noqa: BLE001 - a user's bug never drops the link
                self._report(error, "on_append")
        return self._slice_over

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
        received_at, kept, readers = self._received_at, self.kept, self._readers
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
                    if self._topics:
                        self._mark_topics(data)
                    if readers.buffers:
                        readers.fresh.append(message)
                    if (tell := self._tell) is not None:
                        try:
                            tell(message)
                        except Exception as error:  # noqa: BLE001 - a user's bug drops no link
                            self._report(error, "on_append")
                if self._slice_over:
                    break
        finally:
            if readers.fresh:
                self._tell_readers()
        return self._slice_over

    def next_message(self, data: object, kind: MessageKind) -> Message:
        """Return the message that would be appended next."""
        return message_type()(data, kind, self.kept.total + 1, self._received_at)

    def expect(self, count: int) -> None:
        """Make room in the streams for so many messages at once."""
        self._readers.expect(count)

    def append_gap(self, gap: Gap) -> None:
        """Tell the streams that ask for it that messages are missing here."""
        message = message_type()(gap, "gap", self.kept.total, time())
        self._readers.tell_gap(message)

    def end_slice(self) -> None:
        """Notify subscribers once, if anything arrived."""
        if self._notified == self.kept.total:
            return
        self._notified = self.kept.total
        try:
            if self._fresh_topics:
                with batch():
                    self._publish_topics()
                    if self._node.live:
                        self.store.set(self.kept.view())
            elif self._node.live:
                self.store.set(self.kept.view())
        except Exception as error:  # noqa: BLE001 - a user's bug never drops the link (ST9)
            self._report(error, "a subscriber of the messages")

    def keep_beginning(self, transport: int) -> None:
        """Keep the messages of this connection for streams that its ``on_open`` makes."""
        self.drop_beginning()
        self._beginning = Beginning(transport)
        self._readers.add(self._beginning)

    def drop_beginning(self, transport: int | None = None) -> None:
        """Stop keeping first messages: ``on_open`` has ended; None means any transport's."""
        beginning = self._beginning
        if beginning is not None and transport in {None, beginning.transport}:
            beginning.close()
            self._beginning = None

    def add_stream(self, buffer: Buffer, opening: int | None = None) -> None:
        """Give a reader every message from now on, for as long as its buffer is referenced.

        Args:
            buffer: The messages that wait for it.
            opening: The transport whose ``on_open`` makes it: it gets earlier messages, too.
        """
        self._readers.add(buffer)
        beginning = self._beginning
        if beginning is not None and beginning.transport == opening:
            beginning.give(buffer)

    def end_streams(self, error: Exception | None, owner: object = None) -> None:
        """End the streams of one owner; None ends all, because the connection has ended."""
        self._readers.end(error, owner)

    # Telling

    def _tell_readers(self) -> None:
        if self._readers.tell():
            self._slice_over = True

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

    def _watch(self, set_: Callable[[MessageView], None], _: object) -> None:
        set_(self.kept.view())

    # Topics

    def _latest(self, key: Hashable, field: str) -> Any:
        for message in reversed(self.kept.view()):
            data = message.data
            if isinstance(data, dict) and field in data and data[field] == key:
                return data
        return None

    def _mark_topics(self, data: object) -> None:
        if not isinstance(data, dict):
            return
        for field, topics in self._topics.items():
            if field not in data:
                continue
            try:
                listening = topics.get(data[field], ())
            except TypeError:  # it cannot be hashed, so no topic has it as its key
                continue
            for topic in listening:
                topic.latest = data
                if not topic.is_new:
                    topic.is_new = True
                    self._fresh_topics.append(topic)

    def _publish_topics(self) -> None:
        fresh, self._fresh_topics = self._fresh_topics, []
        for topic in fresh:
            if topic.is_new:
                topic.is_new = False
                topic.set(topic.latest)


class _Topic:
    """The latest data of one topic, until the slice ends."""

    __slots__ = ("is_new", "latest", "set")

    def __init__(self, set_: Callable[[Any], None]) -> None:
        self.set = set_
        self.latest: object = None
        self.is_new = False


class _Callback:
    """One subscription of `on_append`; after unsubscribing `fn` is None and is not called."""

    __slots__ = ("fn",)

    def __init__(self, fn: Tell) -> None:
        self.fn: Tell | None = fn
