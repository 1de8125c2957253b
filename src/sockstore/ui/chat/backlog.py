"""Load older messages of a room, when its reader scrolls back and to fill gaps.

The next request is decided by `sockstore.ui.chat.loading`. Here it is sent, and answers are taken:
from the messages of a plain connection (`ConnectionBacklog`), or from the history of a
subscription (`sockstore.ui.chat.room_backlog`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from operator import is_not
from weakref import WeakKeyDictionary, ref

from sockstore.base.records import Message
from sockstore.base.state import ConnectionState
from sockstore.connection.connection import Connection
from sockstore.connection.receipts import Receipt
from sockstore.stores import Readable, writable
from sockstore.ui.chat.lines import Page, history_of
from sockstore.ui.chat.loading import LoadState, Shown, see
from sockstore.ui.chat.transcript import Transcript
from sockstore.ui.pacing import Bookmark

__all__ = ["Backlog", "ConnectionBacklog", "backlog_of"]

LOOKED_THROUGH = 10_000
"""Messages that are searched for the history on entry when a follower begins."""


class Backlog:
    """Loads older messages of a room; the base of one for each kind of source.

    A component that shows them calls `follow` while it is mounted, and `shown` after each change,
    which decides what is loaded next. Gaps are filled without asking the reader, up to some pages
    after each opening.

    Attributes:
        has_older: Whether there may be messages older than what is shown.
        is_loading: Whether a page that the reader wants is on its way.
        arrived: How many pages wait for `take_pages`, or did.
    """

    def __init__(self) -> None:
        # The answers of the server; each answer about the history replaces it.
        self._load_state = LoadState()
        # The lines that are shown; `shown` sets it.
        self._shown = Shown()
        # Whether a history has come that is not shown yet; answers set it, `shown` clears it.
        self._is_behind = False
        self._has_older = writable(value=False, differs=is_not)
        self._is_loading = writable(value=False, differs=is_not)
        self._arrived = writable(0)
        self.has_older: Readable[bool] = self._has_older
        self.is_loading: Readable[bool] = self._is_loading
        self.arrived: Readable[int] = self._arrived

    def follow(self) -> Callable[[], None]:
        """Follow the source, and load what is missing.

        Returns:
            How to leave, for `Scope.on_destroy`; calling it again does nothing.
        """
        raise NotImplementedError

    def take_pages(self) -> list[Page]:
        """Return the pages that came and are not among the messages, each once."""
        return []

    def shown(self, transcript: Transcript) -> None:
        """Note what is shown now, and load what is missing in it.

        Args:
            transcript: The transcript that a `Conversation` of this source made.
        """
        self._shown = see(transcript.lines, is_full=transcript.is_full)
        self._is_behind = False
        self._has_older.set(self._load_state.has_older(self._shown))
        self._go_on()

    def load_older(self) -> None:
        """Load the page before the oldest message that is shown, if there is one.

        One page is loaded at a time. A request that a lost connection left open is repeated.
        """
        if self._shown.oldest is not None and self._load_state.has_older(self._shown):
            self.load_before(self._shown.oldest)

    def load_before(self, offset: int) -> None:
        """Load the page before a message, to fill the gap there.

        Args:
            offset: The `Line.offset` of the gap.
        """
        self._load_state = replace(self._load_state, wanted=offset)
        self._go_on()

    def _next(self) -> int | None:
        """Return the offset before which to ask for messages now; None for nothing."""
        # The gaps are known again once the history is shown.
        return self._load_state.next(Shown() if self._is_behind else self._shown)

    def _has_asked(self, before: int) -> None:
        """Count a page that was asked for; the reader may have any number."""
        if before != self._load_state.wanted:
            self._load_state = replace(self._load_state, pages=self._load_state.pages - 1)

    def _tell(self, *, is_asked: bool) -> None:
        is_wanted = self._load_state.is_open and self._load_state.wanted is not None
        self._is_loading.set(is_wanted and is_asked)

    def _go_on(self) -> None:
        """Ask for what is missing, unless an answer is on its way."""
        raise NotImplementedError


class ConnectionBacklog(Backlog):
    """Loads older messages of a plain connection's room; they come as its messages.

    All components that show a connection share its backlog, which loads until the last of them has
    left. With a server whose history frames have no ``more`` it does nothing.

    Args:
        connection: The connection; it is not kept alive.

    Example:
        >>> from sockstore import WebSocketStore
        >>> from sockstore.ui.chat.lines import Line
        >>> backlog = backlog_of(WebSocketStore("ws://localhost/chat/lobby"))
        >>> stop = backlog.follow()
        >>> backlog.shown(Transcript((Line("a", "hello", offset=7),)))
        >>> backlog.load_older()
        >>> stop()
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = ref(connection)
        # How many components follow it; `follow` and `_leave` count.
        self._followers = 0
        # How far the connection's log was read, for all followers together.
        self._bookmark = Bookmark()
        # The offset of the page that is on its way, and the receipt of the request for it.
        self._asked: int | None = None
        self._receipt: Receipt | None = None
        # Whether the connection was open at the last change of its state; `_see` sets it.
        self._was_open = False

    def follow(self) -> Callable[[], None]:
        """Follow the connection, and load what is missing, until the last follower has left."""
        connection = self._connection()
        if connection is None:
            return lambda: None
        self._followers += 1
        leave_messages = connection.messages.on_append(self._hear)
        for message in connection.messages.value[-LOOKED_THROUGH:]:
            self._hear(message)
        leave_state = connection.state.subscribe(self._see)
        has_left = False

        def leave() -> None:
            nonlocal has_left
            if not has_left:
                has_left = True
                leave_messages()
                leave_state()
                self._leave()

        return leave

    def _leave(self) -> None:
        self._followers -= 1
        if not self._followers:
            self._asked = self._receipt = None
            self._was_open = False
            self._load_state = replace(self._load_state, wanted=None)
            self._is_loading.set(False)

    def _hear(self, message: Message) -> None:
        """Read a message about the history, unless a follower has read it before."""
        data = message.data
        if not isinstance(data, dict):
            return
        kind = data.get("type")
        if kind not in ("history", "error") or not self._bookmark.advance(message):
            return
        if kind == "error":
            if self._asked is not None and data.get("code") == "history_unavailable":
                self._asked = self._receipt = None
                self._load_state = self._load_state.refused()
                self._go_on()
        elif (history := history_of(message)) is not None:
            self._is_behind = True
            if history.before is None:
                self._load_state = self._load_state.entered(history)
                self._has_older.set(self._load_state.has_older(self._shown))
            else:
                self._load_state = self._load_state.paged(history)
                if history.before == self._asked:
                    self._asked = self._receipt = None
            self._go_on()

    def _see(self, state: ConnectionState) -> None:
        """Follow the connection's state: a request under way is lost with its connection."""
        is_open = state.phase == "open"
        if self._was_open and not is_open:
            # A request that waits in the outbox is sent after the next opening.
            if self._receipt is None or self._receipt.state != "queued":
                self._asked = self._receipt = None
            self._load_state = replace(self._load_state, is_open=False)
        self._was_open = is_open
        self._go_on()

    def _go_on(self) -> None:
        connection = self._connection()
        if self._receipt is not None and not self._receipt:
            self._asked = self._receipt = None  # it left the outbox unsent
        if connection is not None and self._followers and self._was_open and self._asked is None:
            before = self._next()
            if before is not None:
                self._ask(connection, before)
        self._tell(is_asked=self._asked is not None)

    def _ask(self, connection: Connection, before: int) -> None:
        receipt = connection.send({"type": "history", "before": before})
        if receipt:
            self._asked, self._receipt = before, receipt
            self._has_asked(before)


_backlogs: WeakKeyDictionary[Connection, ConnectionBacklog] = WeakKeyDictionary()


def backlog_of(connection: Connection) -> ConnectionBacklog:
    """Return the backlog of a connection, which all components that show it share."""
    backlog = _backlogs.get(connection)
    if backlog is None:
        backlog = _backlogs[connection] = ConnectionBacklog(connection)
    return backlog
