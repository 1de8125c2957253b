"""Build the parts of one connection, and hold them."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import finalize, ref

from sockstore.base.codecs import CodecLike, make_codec, make_encoder
from sockstore.base.errors import ConnectionEnded
from sockstore.base.outcomes import Outcome
from sockstore.base.state import ConnectionState, Phase
from sockstore.connection.driver import Driver
from sockstore.connection.endpoint import Endpoint, open_link
from sockstore.connection.navigation import CloseOnNavigate
from sockstore.connection.own_loop import FOREIGN_THREAD
from sockstore.connection.receiver import Receiver
from sockstore.connection.requests import Requests
from sockstore.connection.user_tasks import call_on_open
from sockstore.machine import Machine, Settings
from sockstore.machine import effects as order
from sockstore.machine import events as fact
from sockstore.stores import Readable, Writable, readonly, writable
from sockstore.stores.binding import adopt, bind, bind_with, is_watched
from sockstore.transports.base import TransportFactory, TransportOptions

if TYPE_CHECKING:
    from sockstore.base.records import Message
    from sockstore.connection.talks import Talks
    from sockstore.connection.user_side import UserEffect
    from sockstore.connection.users import Users
    from sockstore.machine.subscriptions import SubscriptionState
    from sockstore.messages.buffer import Buffer, Overflow
    from sockstore.protocols.base import BaseProtocol

__all__ = ["ENDED", "Engine", "caller", "ended_by"]

T = TypeVar("T")
BufferT = TypeVar("BufferT", bound="Buffer")

ENDED: frozenset[Phase] = frozenset({"closing", "closed", "failed"})
"""The phases in which no further message will come by itself."""


class Engine:
    """The parts of one connection: machine, driver, log, receiver and requests.

    A `WebSocketStore` and the leases on it are views on one engine. The driver refers to the engine
    weakly, because the event loop refers to the driver.

    Args:
        connection: The `WebSocketStore` that is given to ``on_open``.
        settings: The options of the machine.
        endpoint: The url, headers and subprotocols.
        on_open: The user's callable, or None.
        make_opening: Makes the `Opening` that they are given.
        navigation: Listens for navigations until the connection has ended.
        transport: Makes a transport for each attempt.
        transport_options: The options that all of them share.
        codec: The user's codec.
        on_error: The user's callable, or None.
        should_reconnect: The user's callable, or None.
        protocol: What frames mean on the server.
        history: Messages that the log keeps; None keeps all.
    """

    def __init__(
        self,
        connection: Any,
        settings: Settings,
        endpoint: Endpoint,
        on_open: Callable[[Any], object] | None,
        navigation: CloseOnNavigate,
        *,
        make_opening: Callable[..., Any],
        transport: TransportFactory,
        transport_options: TransportOptions,
        codec: CodecLike | None,
        on_error: Callable[[Exception, str | bytes], object] | None,
        should_reconnect: Callable[[Outcome], object] | None,
        protocol: BaseProtocol,
        history: int | None,
    ) -> None:
        # Imported here, as it loads the JSON codec, which takes as long as the rest of the import.
        from sockstore.messages.log import MessageLog  # noqa: PLC0415
        from sockstore.messages.writer import LogWriter  # noqa: PLC0415

        self.connection = connection
        self.endpoint = endpoint
        self._on_open = on_open
        self._make_opening = make_opening
        self._navigation = navigation
        self._transport = transport
        self._transport_options = transport_options
        self._should_reconnect = should_reconnect
        checked = make_codec(codec)
        self.encoder: Final[Callable[[Any], str | bytes]] = make_encoder(
            checked, only_json=protocol.carries_json
        )
        self.machine: Final = Machine(settings, endpoint.url)
        where = caller()
        self.driver: Final = Driver(self.machine, ref(self), where)
        self.finalizer: Final = finalize(self, _dropped, self.driver, where)
        self.finalizer.atexit = False
        # Who uses a lazy connection; None if it is not lazy.
        self.users: Final = None if settings.linger is None else self._make_users()
        stay = None if self.users is None else self.users.stay
        self.log: Final = LogWriter(history, self.driver.report, stay)
        self.messages: Final = MessageLog(self.log)
        self.requests: Final = Requests(protocol, self.encoder, self.driver)
        self.receiver: Final = Receiver(
            self.log,
            checked,
            on_error,
            self.driver.report,
            requests=self.requests,
            heartbeat=settings.heartbeat,
        )
        self.snapshot: Final = writable(self.machine.state)
        # The stores that belong to the loop's thread, those of subscriptions excepted; `adopt_late`
        # adds those made at first use.
        self._stores: list[Readable[Any]] = [self.snapshot, self.log.store]
        # Subscriptions and calls: None without a protocol that has them.
        self.talks: Final = None if settings.is_plain else self._make_talks(protocol)
        for store in self._stores:
            adopt(store, FOREIGN_THREAD, owner=connection)
        # Both are made by `buffered_amount`.
        self._buffered: Writable[int] | None = None
        self._buffered_shown: Readable[int]

    # Called by the views

    def bind(self, action: str) -> None:
        """Bind the connection and its stores to the running event loop.

        Raises:
            RuntimeError: If no loop runs here, or the connection lives on another one.
        """
        self._bind(action)
        if self.users is not None:
            self.users.look_soon()

    def _bind(self, action: str) -> None:
        own = self.driver.own
        if own.bind(action):
            # The loop of a `VirtualClock` has a virtual wall clock.
            self.driver.observer.wall_clock = getattr(own.loop, "wall_clock", time.time)
            self.adopt()

    def adopt(self) -> None:
        """Give the stores to the calling thread."""
        bind(*self._stores, *(() if self.talks is None else self.talks.subscriptions.stores))

    @property
    def buffered_amount(self) -> Readable[int]:
        """Bytes that were sent and not yet given to the network, the outbox included."""
        if self._buffered is None:
            self._buffered = writable(0, self._watch_buffered)
            adopt(self._buffered, FOREIGN_THREAD, owner=self.connection)
            self.driver.shows_buffered = True
            self._buffered_shown = self.adopt_late(self._buffered)
        return self._buffered_shown

    def adopt_late(self, store: Readable[T]) -> Readable[T]:
        """Adopt a store that is made at its first use; it belongs to the loop of the others."""
        if store not in self._stores:  # each view asks for its own
            self._stores.append(store)
        bind_with(store, self.log.store)
        return readonly(store)

    def open_buffer(
        self,
        kind: type[BufferT],
        where: Callable[[Message], object] | None,
        limit: int,
        overflow: Overflow,
        *,
        gaps: bool,
        view: Any = None,
        state: ConnectionState | None = None,
        is_use: bool = True,
    ) -> BufferT:
        """Return the buffer of a new stream, as `WebSocketStore.stream` says.

        Args:
            kind: The class of the buffer.
            where: Which messages to take; None takes all.
            limit: Messages that may wait for the reader.
            overflow: The action above that.
            gaps: Whether it yields gaps.
            view: The object that the buffer keeps alive; the `WebSocketStore` itself by default.
            state: The state that the view shows, if it has one of its own.
            is_use: Whether a lazy connection is in use by it from now on.
        """
        view = self.connection if view is None else view
        buffer = kind(where, limit, overflow, gaps=gaps, owner=view)
        state = self.snapshot.value if state is None else state
        if state.phase in ENDED:
            buffer.end(ended_by(state) if state.phase == "failed" else None)
        else:
            (self.log.add_stream if is_use else self.log.listen)(buffer)
            buffer.check_wait = self._check_reading
        return buffer

    def _check_reading(self) -> None:
        self.driver.callables.refuse_in_opening("reading a stream", "use opening.receive()")

    def release_subscriptions(self, holder: object) -> None:
        """Release what one holder of the connection has subscribed to."""
        if self.talks is not None:
            self.talks.subscriptions.release_all(holder)

    @property
    def messages_received(self) -> int:
        """Messages that came, those of subscriptions included."""
        of_subscriptions = 0 if self.talks is None else self.talks.subscriptions.received
        return self.log.kept.total + of_subscriptions

    def subscription_states(self) -> list[tuple[Hashable, SubscriptionState]]:
        """Return the key and the state of each subscription."""
        return [] if self.talks is None else self.talks.subscriptions.states()

    def _make_users(self) -> Users:
        from sockstore.connection.users import Users  # noqa: PLC0415 - few programs need it

        return Users(ref(self))

    def _make_talks(self, protocol: BaseProtocol) -> Talks:
        from sockstore.connection.talks import Talks  # noqa: PLC0415 - few programs need it

        talks = Talks(protocol, self.driver, self.requests, self.encoder, self.log)
        self.receiver.subscriptions = talks.subscriptions
        return talks

    def call_soon(self, fn: Callable[[], object]) -> bool:
        """Call a function on the loop that the connection is in use on; return whether it is."""
        own = self.driver.own
        if own.loop is None or own.is_closed() or self.driver.at_rest:
            return False
        own.call_soon(fn)
        return True

    def look_at_users(self) -> None:
        """Tell the machine whether a lazy connection has users; it connects if it has."""
        has_users = bool(self.users)
        if self.endpoint.url is not None and self.machine.should_begin(has_users=has_users):
            self._bind("connect")
            self._navigation.listen()
        if self.driver.own.loop is not None:
            self.driver.dispatch(fact.UsersChanged(has_users, self.endpoint.url))

    def await_use(self) -> None:
        """Let a lazy connection connect on the running loop as soon as it is used."""
        self._bind("connect")
        self.driver.dispatch(fact.UsersChanged(bool(self.users), self.endpoint.url, arms=True))
        self._navigation.listen()

    # Called by the driver

    def carry_out(self, effect: UserEffect) -> None:
        """Carry out an effect that concerns users."""
        driver = self.driver
        match effect:
            case order.OpenTransport(transport=number, attempt=attempt):
                # Without the engine: an attempt under way does not keep the connection alive.
                parts = self.endpoint, self._transport, self._transport_options
                driver.start_attempt(number, attempt, partial(open_link, attempt, *parts))
            case order.DeliverGap(gap=gap):
                self.log.append_gap(gap)
            case order.RunOnOpen(transport=number, is_reconnection=is_reconnection):
                link = driver.link(number)
                opening = self._make_opening(
                    self.connection, driver, self.receiver, link, is_reconnection=is_reconnection
                )
                assert self._on_open is not None  # noqa: S101 - `RunOnOpen` needs one
                driver.callables.run_on_open(number, partial(call_on_open, self._on_open, opening))
            case order.AskPredicate(question=question, outcome=outcome):
                driver.callables.ask_predicate(question, self._ask_predicate, outcome)
            case _:
                assert self.talks is not None  # noqa: S101 - only a protocol gives such orders
                self.talks.carry_out(effect)

    def look_at_users_soon(self) -> None:
        """Something may wait for a lazy connection that is not open."""
        users = self.users
        if users is not None and self.machine.should_begin(has_users=bool(users)):
            users.look_soon()

    def show(self, state: ConnectionState) -> None:
        """Show a snapshot to everyone."""
        self.look_at_users_soon()
        before = self.snapshot.value
        if state is before:
            return
        if state.phase in ENDED:
            self._navigation.stop()
            if before.phase not in ENDED:
                error = ended_by(state) if state.phase == "failed" else None
                self.log.end_streams(error)
                if self.talks is not None:
                    self.talks.subscriptions.end(error or ended_by(state), error)
        elif before.phase in ENDED and self.talks is not None:
            self.talks.subscriptions.begin()
        self.tell(self.snapshot, state, "the connection's state")
        if self.requests.waiting:
            self.requests.connection_changed(state.phase)

    def end_turn(self) -> None:
        """Release subscriptions whose handles were dropped in this turn."""
        if self.talks is not None:
            self.talks.subscriptions.release_dropped()

    def show_buffered(self) -> None:
        """Show how much waits to be sent."""
        if self._buffered is not None and is_watched(self._buffered):
            self.tell(self._buffered, self.driver.buffered_amount, "buffered_amount")

    def tell(self, store: Writable[T], value: T, name: str) -> None:
        """Set a store, and report what its subscribers raise: their bug drops no link (ST9)."""
        try:
            store.set(value)
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            self.driver.report(error, f"a subscriber of {name}")

    def _ask_predicate(self, outcome: Outcome) -> object:
        return True if self._should_reconnect is None else self._should_reconnect(outcome)

    def _watch_buffered(self, set_: Callable[[int], None], _: object) -> None:
        set_(self.driver.buffered_amount)


def ended_by(state: ConnectionState) -> ConnectionEnded:
    """Return the error to raise in waiters for a connection that has ended."""
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


def caller() -> str:
    """Return where the user's code made the connection."""
    frame = sys._getframe(1)  # noqa: SLF001 - inspect.stack() reads source files
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("sockstore."):
        frame = frame.f_back
    return sys.intern(f"{frame.f_code.co_filename}:{frame.f_lineno}")


def _dropped(driver: Driver, where: str) -> None:
    """The last reference to a connection is gone: end its open parts."""
    if driver.at_rest:
        return
    # The garbage collector runs in any thread.
    driver.own.call_soon(driver.abort)
    warnings.warn(
        f"a WebSocketStore created at {where} was dropped while it was in use; "
        "close it, or use it in an `async with` block",
        ResourceWarning,
        stacklevel=2,
    )
