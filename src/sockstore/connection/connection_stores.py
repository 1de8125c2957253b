"""Show the state and the messages of a connection, as stores and streams."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from sockstore.base.errors import ScopeClosed, SockstoreError
from sockstore.base.positions import Position
from sockstore.base.state import ConnectionState, Phase, SocketInfo
from sockstore.connection.engine import ENDED, Engine, ended_by
from sockstore.connection.inspection.explain import circumstances, explain
from sockstore.connection.inspection.observer import Stats
from sockstore.connection.inspection.timeline import TimelineEvent
from sockstore.connection.own_loop import FOREIGN_THREAD
from sockstore.stores import Readable, derived, readonly
from sockstore.stores.binding import adopt

if TYPE_CHECKING:
    from sockstore.messages.log import MessageView
    from sockstore.messages.message import Message
    from sockstore.messages.stream import MessageStream, Overflow

__all__ = ["ConnectionStores", "Gate", "engine_of", "gate_of"]

T = TypeVar("T")
P = ParamSpec("P")


class Gate:
    """Open until the scope that owns a connection is left; from then on only reading is legal."""

    def __init__(self) -> None:
        self.is_left = False  # set by `leave`, which the provider calls

    def leave(self) -> None:
        """The scope is left."""
        self.is_left = True

    def check(self, action: str) -> None:
        """Refuse actions that are legal only while the scope is there (PV5)."""
        if self.is_left:
            raise ScopeClosed(action)


class ConnectionStores:
    """A view on an engine: stores derived from one snapshot. It keeps the engine alive.

    Args:
        engine: The connection's parts.
        state: The snapshot that this view shows.

    Attributes:
        messages: The last messages, a store and a log.
    """

    def __init__(self, engine: Engine, state: Readable[ConnectionState]) -> None:
        self.messages = engine.messages
        self._engine = engine
        self._driver = engine.driver
        self._state = state
        self._gate = Gate()

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

    @property
    def buffered_amount(self) -> Readable[int]:
        """Bytes that were sent and not yet given to the network, the outbox included."""
        return self._engine.buffered_amount

    # The inspector

    @cached_property
    def timeline(self) -> Readable[tuple[TimelineEvent, ...]]:
        """The last 200 events: attempts, ends, decisions with their reason, waits, gaps, hints."""
        return self._engine.late(self._driver.observer.timeline.store)

    @cached_property
    def latency(self) -> Readable[float | None]:
        """Seconds that the last ping took to be answered; None before the first."""
        return self._engine.late(self._driver.observer.latency_store)

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
        return explain(circumstances(machine, observer.latency, self._driver.own.now()))

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
            open_seconds=observer.open_seconds(self._driver.own.now()),
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
                session; without one there is a gap at every reconnection.

        Returns:
            The iterator. It ends when the connection closes, raises when it fails, and ends at
            once if the connection has ended already.

        Raises:
            InvalidOption: If `limit` or `overflow` cannot be used.
            ScopeClosed: If its provider has been left.
        """
        from sockstore.messages.stream import MessageStream  # noqa: PLC0415 - see `WebSocketStore`

        self._gate.check("stream")
        state = self._state.value
        return self._engine.open_stream(
            MessageStream, where, limit, overflow, gaps=gaps, view=self, state=state
        )

    async def ready(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - CONTRACT CN4
        """Wait until the connection is open.

        Args:
            timeout: Seconds to wait at most; None waits through all attempts.

        Raises:
            ConnectionEnded: If it is closed, or failed.
            TimeoutError: If it did not open in time; it goes on trying.
        """
        try:
            state = await self._state.wait_for(
                lambda state: state.phase == "open" or state.phase in ENDED, timeout
            )
        except TimeoutError:
            error = self._state.value.error
            because = f"; the last error: {error}" if error else ""
            raise TimeoutError(f"not connected within {timeout:g} s{because}") from None
        if state.phase != "open":
            raise ended_by(state)

    async def drain(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - CONTRACT OB4
        """Wait until everything that was sent so far was handed over; with a session, is stored.

        Args:
            timeout: Seconds to wait at most; None waits without a limit.

        Raises:
            TimeoutError: If it took longer.
            DeliveryError: If the connection ended, or the last message expired.
        """
        async with asyncio.timeout(timeout):
            await self._driver.sender.drain()

    def call_threadsafe(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function on the connection's event loop, from any thread.

        Args:
            fn: For example ``connection.send``.
            args: Its positional arguments.
            kwargs: Its keyword arguments.

        Returns:
            A `concurrent.futures.Future` of its result or error.

        Raises:
            RuntimeError: If the connection has not been connected on any loop.
            TypeError: If it is a coroutine function.

        Example:
            ::

                receipt = connection.call_threadsafe(connection.send, "hello").result()
        """
        return self._driver.own.call_threadsafe(fn, *args, **kwargs)

    @property
    def position(self) -> Position | None:
        """The last message of a session's room, to go on from after a restart; else None.

        Keep it together with what you did with the message: ``Session(since=position)`` begins
        with the next one. A message has a `Publication.position` of its own, too.
        """
        session = self._driver.machine.session
        return None if session is None else session.position

    def select(
        self, fn: Callable[[MessageView], T], *, differs: Callable[[T, T], bool] | None = None
    ) -> Readable[T]:
        """Return a store of the result of `fn` for the messages; it changes only with that result.

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
        return self._engine.log.topic(key, field)


def engine_of(connection: ConnectionStores) -> Engine:
    """Return the engine of a connection, for the rest of the package."""
    return connection._engine  # noqa: SLF001 - no name for users


def gate_of(connection: ConnectionStores) -> Gate:
    """Return the gate of a connection, for its provider."""
    return connection._gate  # noqa: SLF001 - no name for users
