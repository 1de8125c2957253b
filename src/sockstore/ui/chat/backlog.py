"""Load older messages of a room, when its reader scrolls back and to fill gaps.

The next request is a pure function of the lines that are shown (`Shown`) and of the server's
answers (`LoadState`); `Backlog` follows a connection and sends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from operator import is_not
from weakref import WeakKeyDictionary, ref

from sockstore.base.state import ConnectionState
from sockstore.connection.connection import Connection
from sockstore.connection.receipts import Receipt
from sockstore.messages.message import Message
from sockstore.stores import Readable, writable
from sockstore.ui.chat.lines import HistoryFrame, Line, history_of
from sockstore.ui.chat.transcript import Transcript
from sockstore.ui.pacing import Bookmark

__all__ = ["Backlog", "LoadState", "Shown", "backlog_of", "see"]

PAGES_BY_ITSELF = 3
"""Pages that are loaded after each opening to fill gaps; the rest is loaded on demand."""

LOOKED_THROUGH = 10_000
"""Messages that are searched for the history on entry when a follower begins."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The part of the room's log that is shown.

    Args:
        oldest: The offset of the oldest message; None if none has one.
        gaps: The offsets right after the places where messages are missing, the newest first.
        is_full: Whether no older ones are taken in.
    """

    oldest: int | None = None
    gaps: tuple[int, ...] = ()
    is_full: bool = False


@dataclass(frozen=True, slots=True)
class LoadState:
    """What the server answered so far, and what the reader wants to see.

    Args:
        is_open: Whether the server has sent the history on entry, and can be asked for more.
        floor: The offset below which the server keeps nothing.
        wanted: The offset before which the reader wants to see more; None for nothing.
        answered: The offset of the last page that came; messages that are still missing before it
            cannot be loaded.
        pages: How many more pages may be loaded to fill gaps without the reader asking.
    """

    is_open: bool = False
    floor: float = inf
    wanted: int | None = None
    answered: int | None = None
    pages: int = 0

    def entered(self, history: HistoryFrame) -> LoadState:
        """Return the state after the history on entry."""
        if history.more is None:
            return LoadState()
        return replace(
            self,
            is_open=True,
            floor=_floor(history, inf) if not history.more else 0,
            answered=None,
            pages=PAGES_BY_ITSELF,
        )

    def paged(self, page: HistoryFrame) -> LoadState:
        """Return the state after a page."""
        assert page.before is not None  # noqa: S101 - a page has it
        floor = self.floor if page.more else max(self.floor, _floor(page, page.before))
        wanted = None if self.wanted == page.before else self.wanted
        return replace(self, floor=floor, wanted=wanted, answered=page.before)

    def refused(self) -> LoadState:
        """Return the state after a page that the server could not read."""
        return replace(self, wanted=None, pages=0)

    def has_older(self, shown: Shown) -> bool:
        """Whether there may be older messages than the oldest that is shown."""
        oldest = shown.oldest
        return (
            oldest is not None
            and oldest > max(1, self.floor)
            and oldest != self.answered
            and not shown.is_full
        )

    def next(self, shown: Shown) -> int | None:
        """Return the offset before which to ask for messages now; None for nothing."""
        if not self.is_open:
            return None
        if self.wanted is not None:
            return self.wanted
        if not self.pages:
            return None
        for gap in shown.gaps:
            if gap > self.floor and gap != self.answered:
                return gap
        return None


def see(lines: Sequence[Line], *, is_full: bool = False) -> Shown:
    """Return what lines show of the room's present log, which comes after all earlier ones.

    Args:
        lines: Oldest first.
        is_full: Whether no older ones are taken in.

    Example:
        >>> see([Line("a", "hello", offset=7), Line("b", "hello again", offset=8)])
        Shown(oldest=7, gaps=(), is_full=False)
    """
    oldest: int | None = None
    gaps: list[int] = []
    for line in reversed(lines):
        if line.offset is None:
            continue
        if oldest is not None and line.offset > oldest:
            break  # this line is of an earlier log
        if line.kind == "gap":
            gaps.append(line.offset)
        oldest = line.offset
    return Shown(oldest, tuple(gaps), is_full)


def _floor(history: HistoryFrame, otherwise: float) -> float:
    return min(history.offsets, default=otherwise)


class Backlog:
    """Loads older messages of a connection's room; they come as messages of the connection.

    A component that shows them calls `follow` while it is mounted, and `shown` after each change,
    which decides what is loaded next. Gaps are filled without asking the reader, up to some pages
    after each opening. With a server whose history frames have no ``more`` it does nothing.

    Args:
        connection: The connection; it is not kept alive.

    Attributes:
        has_older: Whether there may be messages older than what is shown.
        is_loading: Whether a page that the reader wants is on its way.

    Example:
        >>> from sockstore import WebSocketStore
        >>> backlog = backlog_of(WebSocketStore("ws://localhost/chat/lobby"))
        >>> stop = backlog.follow()
        >>> backlog.shown(Transcript((Line("a", "hello", offset=7),)))
        >>> backlog.load_older()
        >>> stop()
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = ref(connection)
        # How many components follow it; `follow` and `_leave` count.
        self._followers = 0
        # The answers of the server; each message about the history replaces it.
        self._load_state = LoadState()
        # The lines that the followers show; `shown` sets it.
        self._shown = Shown()
        # Whether a history has come that is not shown yet; `_hear` sets it, `shown` clears it.
        self._is_behind = False
        # How far the connection's log was read, for all followers together.
        self._bookmark = Bookmark()
        # The offset of the page that is on its way, and the receipt of the request for it.
        self._asked: int | None = None
        self._receipt: Receipt | None = None
        # Whether the connection was open at the last change of its state; `_see` sets it.
        self._was_open = False
        self._has_older = writable(value=False, differs=is_not)
        self._is_loading = writable(value=False, differs=is_not)
        self.has_older: Readable[bool] = self._has_older
        self.is_loading: Readable[bool] = self._is_loading

    def follow(self) -> Callable[[], None]:
        """Follow the connection, and load what is missing, until the last follower has left.

        Returns:
            How to leave, for `Scope.on_destroy`; calling it again does nothing.
        """
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

    def shown(self, transcript: Transcript) -> None:
        """Note what is shown now, and load what is missing in it.

        Args:
            transcript: The transcript that a `Conversation` of this connection made.
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
        if not isinstance(data, dict) or message.publication is not None:
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
        """Ask for what is missing, unless an answer is on its way."""
        connection = self._connection()
        if self._receipt is not None and not self._receipt:
            self._asked = self._receipt = None  # it left the outbox unsent
        if connection is not None and self._followers and self._was_open and self._asked is None:
            # The gaps are known again once the history is shown.
            before = self._load_state.next(Shown() if self._is_behind else self._shown)
            if before is not None:
                self._ask(connection, before)
        is_wanted = self._load_state.is_open and self._load_state.wanted is not None
        self._is_loading.set(is_wanted and self._asked is not None)

    def _ask(self, connection: Connection, before: int) -> None:
        receipt = connection.send({"type": "history", "before": before})
        if receipt:
            self._asked, self._receipt = before, receipt
            if before != self._load_state.wanted:
                self._load_state = replace(self._load_state, pages=self._load_state.pages - 1)


_backlogs: WeakKeyDictionary[Connection, Backlog] = WeakKeyDictionary()


def backlog_of(connection: Connection) -> Backlog:
    """Return the backlog of a connection, which all components that show it share."""
    backlog = _backlogs.get(connection)
    if backlog is None:
        backlog = _backlogs[connection] = Backlog(connection)
    return backlog
