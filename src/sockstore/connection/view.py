"""Show a connection to one holder: its state and its messages, as stores and streams."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from sockstore.base.errors import ScopeClosed, SockstoreError
from sockstore.base.state import ConnectionState, Phase, SocketInfo
from sockstore.connection.engine import ENDED, Engine, ended_by
from sockstore.connection.inspection.observer import Stats
from sockstore.connection.inspection.timeline import TimelineEvent
from sockstore.connection.own_loop import FOREIGN_THREAD
from sockstore.stores import Readable, derived, readonly
from sockstore.stores.binding import adopt

if TYPE_CHECKING:
    from sockstore.base.records import Message
    from sockstore.messages.buffer import Overflow
    from sockstore.messages.log import MessageView
    from sockstore.messages.stream import MessageStream

__all__ = ["ConnectionView", "Gate", "engine_of", "gate_of"]

T = TypeVar("T")


class Gate:
    """Says whether a holder may act on its connection.

    Attributes:
        is_left: Whether the scope that owns the connection was left; then only reading is legal
            (PV5). Set by `leave`.
        why_unused: Why a share of a connection is not in use; None if it is (PV7). Set by `use`.
        is_shut: Whether one of the two is true; set with them.
    """

    __slots__ = ("is_left", "is_shut", "why_unused")

    def __init__(self) -> None:
        self.is_left: bool = False
        self.why_unused: str | None = None
        self.is_shut: bool = False

    def leave(self) -> None:
        """The scope was left."""
        self.is_left = self.is_shut = True

    def use(self, why_unused: str | None) -> None:
        """The share is in use from now on, or is not, because of `why_unused`."""
        self.why_unused = why_unused
        self.is_shut = self.is_left or why_unused is not None

    def check(self, action: str) -> None:
        """Raise `ScopeClosed` for an action after the scope was left."""
        if self.is_left:
            raise ScopeClosed(action)

    def require_use(self, action: str) -> None:
        """Raise `RuntimeError`, too, if the share is not in use."""
        self.check(action)
        if self.why_unused is not None:
            raise RuntimeError(f"{action}(): {self.why_unused}")


class ConnectionView:
    """The read-only side of a connection, for one holder: stores, streams and figures.

    The view keeps the engine alive.

    Args:
        engine: The connection's parts, which views may share.
        state: The snapshot that this view shows.

    Attributes:
        messages: The last messages, a store and a log.
    """

    def __init__(self, engine: Engine, state: Readable[ConnectionState]) -> None:
        self.messages: Final = engine.messages
        self._engine = engine
        self._driver = engine.driver
        self._sender = engine.driver.sender
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
        return self._engine.adopt_late(self._driver.observer.timeline.store)

    @cached_property
    def latency(self) -> Readable[float | None]:
        """Seconds that the last ping took to be answered; None before the first."""
        return self._engine.adopt_late(self._driver.observer.latency_store)

    def explain(self) -> str:
        """Say in one paragraph what the connection is doing, and why.

        Returns:
            A few sentences for people, without secrets.

        Example:
            >>> from sockstore import WebSocketStore
            >>> WebSocketStore("ws://localhost").explain()
            'Nothing has been asked for yet: connect() opens a connection to ws://localhost.'
        """
        states = self._engine.subscription_states()
        return self._driver.observer.explain(self._driver.own.now(), states)

    def stats(self) -> Stats:
        """Return the figures: attempts, losses, messages, latency and more.

        Example:
            >>> from sockstore import WebSocketStore
            >>> WebSocketStore("ws://localhost").stats().attempts
            0
        """
        return self._driver.observer.stats(
            self._state.value.phase,
            self._driver.own.now(),
            received=self._engine.messages_received,
            bytes_waiting=self._driver.buffered_amount,
            subscriptions=self._engine.subscription_states(),
        )

    # Messages

    def stream(
        self,
        where: Callable[[Message], object] | None = None,
        *,
        limit: int = 256,
        overflow: Overflow = "error",
        gaps: bool = False,
    ) -> MessageStream:
        """Return an asynchronous iterator over the messages from now on.

        Any number of streams read independently; each gets every message once and in order,
        across reconnects.

        Args:
            where: Which messages to take; None takes all.
            limit: Messages that may wait for the reader.
            overflow: Above that, ``"error"`` raises `Lagged` in the reader, ``"drop_oldest"``
                counts in `MessageStream.dropped`.
            gaps: Whether to be told where messages are missing, by a `Message` of kind ``"gap"``
                whose data is a `Gap`, and which `where` is not asked about: at every reconnection.

        Returns:
            The iterator. It ends when the connection closes, raises when it fails, and ends at
            once if the connection has ended already.

        Raises:
            InvalidOption: If `limit` or `overflow` cannot be used.
            ScopeClosed: If its provider has been left.
        """
        from sockstore.messages.buffer import Buffer  # noqa: PLC0415 - as `Engine`
        from sockstore.messages.stream import MessageStream  # noqa: PLC0415 - as `Engine`

        self._gate.check("stream")
        state = self._state.value
        buffer = self._engine.open_buffer(
            Buffer, where, limit, overflow, gaps=gaps, view=self, state=state
        )
        return MessageStream(buffer)

    async def ready(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - CONTRACT CN4
        """Wait until the connection is open.

        Args:
            timeout: Seconds to wait at most; None waits through all attempts.

        Raises:
            ConnectionEnded: If it is closed, or failed.
            TimeoutError: If it did not open in time; it goes on trying.
            RuntimeError: If ``on_open`` would wait here for its own end.
        """
        self._driver.callables.refuse_in_opening("ready()", "use what opening.receive() returns")
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
        """Wait until everything that was sent so far was handed over, or acknowledged.

        What waits for an acknowledgement is what a protocol such as `Centrifuge` sends.

        Args:
            timeout: Seconds to wait at most; None waits without a limit.

        Raises:
            TimeoutError: If it took longer.
            DeliveryError: If the connection ended, or the last message expired.
        """
        async with asyncio.timeout(timeout):
            await self._sender.drain()

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


def engine_of(connection: ConnectionView) -> Engine:
    """Return the engine of a connection, for the rest of the package."""
    return connection._engine  # noqa: SLF001 - users have no name for it


def gate_of(connection: ConnectionView) -> Gate:
    """Return the gate of a connection, for its provider."""
    return connection._gate  # noqa: SLF001 - users have no name for it
