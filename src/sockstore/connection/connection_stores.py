"""What a connection shows: its state and messages, as stores and streams."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from sockstore.base.errors import ConnectionEnded, ScopeClosed, SockstoreError
from sockstore.base.positions import Position
from sockstore.base.state import ConnectionState, Phase, SocketInfo
from sockstore.connection.driver import Driver
from sockstore.connection.inspection.explain import circumstances, explain
from sockstore.connection.inspection.observer import Stats
from sockstore.connection.inspection.timeline import TimelineEvent
from sockstore.connection.threads import FOREIGN_THREAD
from sockstore.stores import Readable, Writable, derived, readonly, writable
from sockstore.stores.binding import adopt, bind, bind_with, is_watched

if TYPE_CHECKING:
    from sockstore.messages.log import MessageLog, MessageView
    from sockstore.messages.message import Message
    from sockstore.messages.stream import MessageStream, Overflow

__all__ = ["ENDED", "ConnectionStores", "ended_by"]

T = TypeVar("T")
StreamT = TypeVar("StreamT", bound="MessageStream")

ENDED: frozenset[Phase] = frozenset({"closing", "closed", "failed"})
"""The phases in which no further message will come by itself."""


class ConnectionStores:
    """The stores of one connection, all derived from one snapshot; they keep it alive.

    Args:
        state: The first snapshot.
        messages: The log.
        driver: Knows how much waits to be sent, and is told what subscribers raise.

    Attributes:
        messages: The last messages, a store and a log.
    """

    def __init__(self, state: ConnectionState, messages: MessageLog, driver: Driver) -> None:
        self.messages = messages
        self._driver = driver
        self._scope_left = False
        self._buffered: Writable[int] | None = None
        self._snapshot = writable(state)
        self._state: Readable[ConnectionState] = self._snapshot
        for store in (self._state, messages):
            adopt(store, FOREIGN_THREAD, owner=self)

    @cached_property
    def state(self) -> Readable[ConnectionState]:
        """The snapshot that all other stores of the connection's state are derived from."""
        return readonly(self._state)

    @cached_property
    def socket(self) -> Readable[SocketInfo | None]:
        """The open socket, or None."""
        return self._derive("socket", operator.is_not)

    @cached_property
    def connected(self) -> Readable[bool]:
        """Whether the connection is open."""
        return self._derive("connected")

    @cached_property
    def error(self) -> Readable[SockstoreError | None]:
        """The last attempt's or connection's error, until one opens; its text is the sentence."""
        return self._derive("exception", operator.is_not)

    @cached_property
    def status(self) -> Readable[Literal["connected", "disconnected", "error"]]:
        """The guide's status: ``"error"`` if there is one, else connected or disconnected."""
        return self._derive("status")

    @cached_property
    def phase(self) -> Readable[Phase]:
        """The fine state: idle, connecting, open, waiting, closing, closed or failed."""
        return self._derive("phase")

    def _derive(
        self, name: str, differs: Callable[[Any, Any], bool] | None = None
    ) -> Readable[Any]:
        store = derived(self._state, operator.attrgetter(name), differs=differs)
        adopt(store, FOREIGN_THREAD)
        return store

    @cached_property
    def buffered_amount(self) -> Readable[int]:
        """Bytes that were sent and not yet given to the network, the outbox included."""
        self._buffered = writable(0, self._watch_buffered)
        adopt(self._buffered, FOREIGN_THREAD, owner=self)
        return self._late(self._buffered)

    def _late(self, store: Readable[T]) -> Readable[T]:
        """Show a store that is made late, since few ask for it; it belongs where all others do."""
        bind_with(store, self.messages)
        return readonly(store)

    # The inspector

    @cached_property
    def timeline(self) -> Readable[tuple[TimelineEvent, ...]]:
        """The last 200 events: attempts, ends, decisions with their reason, waits, gaps, hints."""
        return self._late(self._driver.observer.timeline.store)

    @cached_property
    def latency(self) -> Readable[float | None]:
        """Seconds that the last ping took to be answered; None before the first."""
        return self._late(self._driver.observer.latency_store)

    def explain(self) -> str:
        """Say in one paragraph what the connection is doing, and why.

        Returns:
            A few sentences for people, without secrets.

        Example:
            >>> from sockstore import WebSocketStore
            >>> WebSocketStore("ws://localhost").explain()
            'Nothing has been asked for yet: connect() opens a connection to ws://localhost.'
        """
        machine, observer = self._driver.machine, self._driver.observer
        return explain(circumstances(machine, observer.latency, self._driver.now))

    def stats(self) -> Stats:
        """Return the figures: attempts, losses, messages, latency and more.

        Example:
            >>> from sockstore import WebSocketStore
            >>> WebSocketStore("ws://localhost").stats().attempts
            0
        """
        machine, observer = self._driver.machine, self._driver.observer
        session = machine.session
        return Stats(
            phase=self._state.value.phase,
            attempts=observer.attempts,
            connections=observer.connections,
            losses=observer.losses,
            open_seconds=observer.open_seconds(self._driver.now),
            messages_received=self.messages.total,
            messages_sent=observer.messages_sent,
            messages_waiting=len(machine.outbox),
            messages_unanswered=0 if session is None else session.unanswered,
            bytes_waiting=self._driver.buffered_amount,
            latency=observer.latency,
        )

    # Messages

    def stream(
        self,
        where: Callable[[Message], object] | None = None,
        *,
        limit: int = 256,
        overflow: Overflow = "error",
        gaps: bool | None = None,
    ) -> MessageStream:
        """Return an asynchronous iterator over the messages from now on.

        Inside ``on_open`` it begins with the first message of this connection that no other stream
        of ``on_open`` has taken, however early the server spoke.

        Any number of streams read independently; each gets every message once and in order,
        across reconnects.

        Args:
            where: Which messages to take; None takes all.
            limit: Messages that may wait for the reader.
            overflow: Above that, ``"error"`` raises `Lagged` in the reader, ``"drop_oldest"``
                counts in `MessageStream.dropped`.
            gaps: Whether to be told where messages are missing, by a `Message` of kind ``"gap"``
                whose data is a `Gap`, and which `where` is not asked about. None tells it with a
                session; without one there is a gap at every reconnection, since nobody counts.

        Returns:
            The iterator. It ends when the connection closes, raises when it fails, and ends at
            once if the connection has ended already.

        Raises:
            InvalidOption: If `limit` or `overflow` cannot be used.
            ScopeClosed: If its provider has been left.
        """
        from sockstore.messages.stream import MessageStream  # noqa: PLC0415 - see `WebSocketStore`

        return self.open_stream(MessageStream, where, limit, overflow, gaps=gaps)

    def open_stream(
        self,
        kind: type[StreamT],
        where: Callable[[Message], object] | None,
        limit: int,
        overflow: Overflow,
        *,
        gaps: bool | None,
    ) -> StreamT:
        """Return a stream of that kind, as `stream` says."""
        self.check_scope("stream")
        if gaps is None:
            gaps = self._driver.machine.session is not None
        stream = kind(where, limit, overflow, gaps=gaps, owner=self)
        state = self._state.value
        if state.phase in ENDED:
            stream.end(ended_by(state) if state.phase == "failed" else None)
        else:
            self.messages.add_stream(stream, self._driver.opening)
        return stream

    async def ready(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - CONTRACT CN4
        """Wait until the connection is open.

        Args:
            timeout: Seconds to wait at most; None waits through all attempts.

        Raises:
            ConnectionEnded: If it is closed, or failed.
            TimeoutError: If it did not open in time; it goes on trying.
        """
        try:
            state = await self.state.wait_for(
                lambda state: state.phase == "open" or state.phase in ENDED, timeout
            )
        except TimeoutError:
            error = self._state.value.error
            because = f"; the last error: {error}" if error else ""
            raise TimeoutError(f"not connected within {timeout:g} s{because}") from None
        if state.phase != "open":
            raise ended_by(state)

    @property
    def position(self) -> Position | None:
        """What was seen last of a session's room, to go on from after a restart; else None.

        Keep it together with what you did with the message: ``Session(since=position)`` begins
        with the next one. A message has a `Publication.position` of its own, too.
        """
        session = self._driver.machine.session
        return None if session is None else session.position

    def select(
        self, fn: Callable[[MessageView], T], *, differs: Callable[[T, T], bool] | None = None
    ) -> Readable[T]:
        """Return a store of what `fn` makes of the messages, told only when that changes.

        Args:
            fn: Called with the last `history` messages after each slice of new ones.
            differs: ``differs(old, new)`` tells whether it changed; needed for containers.

        Returns:
            The store.

        Example:
            >>> from sockstore import WebSocketStore
            >>> WebSocketStore("ws://localhost").select(len).value
            0
        """
        return derived(self.messages, fn, differs=differs)

    def topic(self, key: Hashable, *, field: str = "type") -> Readable[Any]:
        """Return a store of the latest JSON object whose `field` equals `key`.

        Args:
            key: The value to look for, for example ``"price"``.
            field: Where to look for it; the guide's messages have a ``type``.

        Returns:
            The store; None until there was such a message.

        Example:
            >>> from sockstore import WebSocketStore
            >>> price = WebSocketStore("ws://localhost").topic("price")
            >>> with price.subscribe(print):
            ...     pass
            None
        """
        return self.messages.topic(key, field)

    # What a provider calls

    def leave_scope(self) -> None:
        """The scope that owns this connection is left: from now on only reading is legal."""
        self._scope_left = True

    def check_scope(self, action: str) -> None:
        """Refuse what is legal only while the scope is there (PV5)."""
        if self._scope_left:
            raise ScopeClosed(action)

    # What the driver calls

    def bound(self) -> None:
        """The stores belong to the thread of the loop from now on."""
        late = () if self._buffered is None else (self._buffered,)
        for store in (self._state, self.messages, *late, *self._driver.observer.stores):
            bind(store)

    def publish(self, state: ConnectionState) -> None:
        """Show a new snapshot to everyone."""
        before = self._state.value
        if state is before:
            return
        if state.phase in ENDED and before.phase not in ENDED:
            self.messages.end_streams(ended_by(state) if state.phase == "failed" else None)
        try:
            self._snapshot.set(state)
        except Exception as error:  # noqa: BLE001 - a user's bug never drops the link (ST9)
            self._driver.report(error, "a subscriber of the connection's state")

    def buffered_changed(self) -> None:
        """Tell who watches `buffered_amount`."""
        if self._buffered is not None and is_watched(self._buffered):
            try:
                self._buffered.set(self._driver.buffered_amount)
            except Exception as error:  # noqa: BLE001 - a user's bug never drops the link (ST9)
                self._driver.report(error, "a subscriber of buffered_amount")

    def _watch_buffered(self, set_: Callable[[int], None], _: object) -> None:
        set_(self._driver.buffered_amount)


def ended_by(state: ConnectionState) -> ConnectionEnded:
    """Return the error for whoever waits for a connection that is over."""
    reason = None if state.failure is None else state.failure.reason
    if isinstance(state.exception, ConnectionEnded):
        why = str(state.exception)
    elif state.phase == "failed":
        why = f"the connection failed ({reason}): {state.error}"
    else:
        why = f"the connection is {state.phase}"
    ended = ConnectionEnded(why, reason=reason, close=state.close)
    ended.__cause__ = state.exception
    return ended
