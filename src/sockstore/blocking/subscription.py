"""What a connection has asked its server to keep telling it, for code that blocks."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeAlias, TypeVar, overload

from sockstore.base.checks import require_callable
from sockstore.base.errors import ConnectionEnded, InvalidOption
from sockstore.base.records import Message
from sockstore.blocking.callbacks import Runner, Unsubscriber
from sockstore.blocking.handlers import answering
from sockstore.blocking.hold import Hold
from sockstore.blocking.listeners import Listener, Listeners
from sockstore.blocking.receipts import Receipt, check_wait
from sockstore.blocking.streams import Buffer, CallbackBuffer, MessageStream
from sockstore.blocking.waiting import require_timeout
from sockstore.connection import subscription as asynchronous
from sockstore.connection.subscription import feed_of, tells_gaps
from sockstore.machine.subscriptions import SubscriptionState
from sockstore.messages.buffer import Overflow
from sockstore.messages.log import MessageView
from sockstore.stores import Readable

if TYPE_CHECKING:
    from sockstore.base.positions import Position
    from sockstore.protocols.outputs import Member

__all__ = ["Subscription"]

T = TypeVar("T")
V = TypeVar("V")
BufferT = TypeVar("BufferT", bound=Buffer)

Source: TypeAlias = Callable[[asynchronous.Subscription[Any]], Readable[T]]
"""A callable that picks or makes a store of a subscription."""

NAMES = ("state", "latest", "messages", "members")


class Subscription(Generic[T]):
    """What a blocking WebSocket has asked its server to keep telling it.

    It is made by `WebSocket.subscribe`. Release it by `unsubscribe`, or use it in a ``with`` block;
    one that is dropped is released with a `ResourceWarning`. Its methods may be called from any
    thread.

    Args:
        inner: The subscription of the connection.
        hold: Calls functions where the connection lives.
        runner: Runs callbacks and handlers.
        listeners: The callbacks of the WebSocket.
        websocket: The WebSocket; the subscription keeps it alive.

    Example:
        >>> from sockstore.blocking import WebSocket
        >>> from sockstore.protocols import Topics
        >>> ws = WebSocket("ws://localhost", protocol=Topics(key=lambda data: data.get("type")))
        >>> with ws.subscribe("price") as prices:
        ...     prices, prices.latest
        (<Subscription 'price' waiting>, None)
    """

    def __init__(
        self,
        inner: asynchronous.Subscription[T],
        hold: Hold,
        runner: Runner,
        listeners: Listeners,
        websocket: object,
    ) -> None:
        self._inner = inner
        self._feed = feed_of(inner)
        self._hold = hold
        self._runner = runner
        self._listeners = listeners
        self._websocket = websocket

    # Reading, in any thread

    @property
    def key(self) -> Hashable:
        """What was subscribed to."""
        return self._inner.key

    @property
    def state(self) -> SubscriptionState:
        """What it does now: waiting, subscribing, subscribed, refused or ended, and why."""
        return self._feed.state.value

    @property
    def messages(self) -> MessageView:
        """Its last `history` messages; they do not stand in those of the WebSocket."""
        return self._hold.call(lambda: self._inner.messages.value)

    @property
    def latest(self) -> T | None:
        """The data of its last message; None before the first."""
        latest: T | None = self._feed.log.last
        return latest

    @property
    def position(self) -> Position | None:
        """How far it has been read, to go on from after a restart, as `Subscription.position`."""
        return self._hold.call(lambda: self._inner.position)

    @property
    def members(self) -> tuple[Member, ...]:
        """Who is in it. Between two connections it keeps what the last one told.

        Raises:
            RuntimeError: If the protocol does not know members.
        """
        return self._hold.call(lambda: self._inner.members.value)

    def ready(self, timeout: float | None = None) -> Any:
        """Wait until the server has accepted it, and return its answer.

        Args:
            timeout: Seconds to wait at most; None waits through all attempts.

        Returns:
            What the server answered, decoded; None if this protocol has no answers.

        Raises:
            SubscriptionRefused: If the server refused or ended it.
            ConnectionEnded: If the connection is closed, or failed.
            TimeoutError: If no answer came in time.
            RuntimeError: If it was released, or if it would never return: before `connect`, or on
                the loop's thread.
        """
        require_timeout(timeout)
        return self._hold.run("ready", self._inner.ready, timeout)

    def __iter__(self) -> MessageStream:
        """Iterate over its messages, beginning with those that are kept."""

        def begin() -> Buffer:
            gaps = tells_gaps(self._inner)
            buffer = Buffer(limit=self._feed.limit, gaps=gaps, owner=self._inner)
            buffer.begin_with(tuple(self._inner.messages.value))
            self._feed.add_reader(buffer)
            return buffer

        return self._read(begin)

    def stream(
        self,
        where: Callable[[Message], object] | None = None,
        *,
        limit: int | None = None,
        overflow: Overflow = "error",
        gaps: bool | None = None,
    ) -> MessageStream:
        """Return a blocking iterator over its messages from now on.

        The arguments and errors are those of `sockstore.Subscription.stream`.
        """
        return self._read(lambda: self._open(Buffer, where, limit, overflow, gaps=gaps))

    def history(
        self, limit: int = 100, before: int | None = None, timeout: float | None = 10.0
    ) -> list[Message]:
        """Return older messages, as the server keeps them; they do not stand in `messages`.

        The arguments and errors are those of `sockstore.Subscription.history`.

        Raises:
            RuntimeError: If it would never return: before `connect`, or on the loop's thread.
        """
        return self._hold.run("history", self._inner.history, limit, before, timeout)

    def _read(self, begin: Callable[[], Buffer]) -> MessageStream:
        buffer = self._hold.call(begin)
        return MessageStream(buffer, self._hold.check_may_wait, self._why_over)

    def _open(
        self,
        kind: type[BufferT],
        where: Callable[[Message], object] | None,
        limit: int | None,
        overflow: Overflow,
        *,
        gaps: bool | None,
    ) -> BufferT:
        limit = self._feed.limit if limit is None else limit
        gaps = tells_gaps(self._inner) if gaps is None else gaps
        buffer = kind(where, limit, overflow, gaps=gaps, owner=self._inner)
        self._feed.add_reader(buffer)
        return buffer

    def _why_over(self) -> Exception:
        return self._feed.over or ConnectionEnded("the connection was closed")

    # Callbacks

    @overload
    def on_change(
        self, what: Literal["state"], callback: Listener[SubscriptionState]
    ) -> Unsubscriber: ...
    @overload
    def on_change(self, what: Literal["latest"], callback: Listener[T | None]) -> Unsubscriber: ...
    @overload
    def on_change(
        self, what: Literal["messages"], callback: Listener[MessageView]
    ) -> Unsubscriber: ...
    @overload
    def on_change(
        self, what: Literal["members"], callback: Listener[tuple[Member, ...]]
    ) -> Unsubscriber: ...
    @overload
    def on_change(self, what: Source[V], callback: Listener[V]) -> Unsubscriber: ...

    def on_change(
        self,
        what: Literal["state", "latest", "messages", "members"] | Source[Any],
        callback: Listener[Any],
    ) -> Unsubscriber:
        """Call `callback` with one of its stores' values, now and on every change.

        A slow callback gets the newest value only. Its exceptions are logged and stop nothing.

        Args:
            what: ``"state"``, ``"latest"``, ``"messages"`` or ``"members"``; or a callable that
                picks or makes a store of the `sockstore.Subscription` that it is given.
            callback: Called with one value, where the callbacks of the WebSocket run.

        Returns:
            Call it to stop, or use it in a `with` block.

        Raises:
            InvalidOption: If it is another word.
            RuntimeError: If the protocol does not know members.
        """
        if callable(what):
            require_callable("what", what)
        elif what not in NAMES:
            raise InvalidOption("what", what, f"give a callable, or one of {', '.join(NAMES)}")

        def pick() -> Readable[Any]:
            inner = self._inner
            store: Readable[Any] = what(inner) if callable(what) else getattr(inner, what)
            return store

        return Unsubscriber(self._listeners.on_change(pick, callback), self)

    def on_message(
        self,
        callback: Listener[Message],
        *,
        where: Callable[[Message], object] | None = None,
        limit: int | None = None,
        overflow: Overflow = "error",
        gaps: bool | None = None,
    ) -> Unsubscriber:
        """Call `callback` with each of its messages from now on, in order, over all reconnects.

        It keeps the subscription, also if this handle is dropped. Else it is as
        `WebSocket.on_message`.

        Args:
            callback: Called with each message, where the callbacks of the WebSocket run.
            where: As for `stream`.
            limit: As for `stream`.
            overflow: As for `stream`.
            gaps: As for `stream`.

        Returns:
            Call it to stop, or use it in a `with` block.

        Raises:
            InvalidOption: If `limit` or `overflow` cannot be used.
        """
        stop = self._listeners.on_message(
            lambda: self._open(CallbackBuffer, where, limit, overflow, gaps=gaps),
            self._feed.add_reader,
            callback,
        )
        return Unsubscriber(stop, self)

    # Saying something

    def send(  # noqa: PLR0917 - as `WebSocket.send`
        self,
        data: Any,
        ttl: float | None = None,
        key: Hashable = None,
        urgent: bool = False,  # noqa: FBT001, FBT002 - as `WebSocket.send`
        now: bool = False,  # noqa: FBT001, FBT002 - as `WebSocket.send`
        id: str | None = None,  # noqa: A002 - as `WebSocket.send`
        *,
        wait: bool = False,
    ) -> Receipt:
        """Send a message to what is subscribed to, a room for example.

        The arguments are those of `WebSocket.send`, and the errors those of
        `sockstore.Subscription.send`; `Receipt.wait` blocks.

        Raises:
            RuntimeError: If the wait would never return: before `connect`, or on the loop's thread.
        """
        check_wait(wait=wait, now=now)
        inner = self._inner
        if wait:
            asend, run = inner.asend, self._hold.run
            receipt = run("send", asend, data, ttl=ttl, key=key, urgent=urgent, id=id)
        else:
            receipt = self._hold.call(inner.send, data, ttl, key, urgent, now, id)
        return Receipt(receipt, self._hold.wait_for, self._hold.call, websocket=self._websocket)

    def request(self, data: Any, timeout: float | None = 10.0, *, idempotent: bool = False) -> Any:
        """Send a request to what is subscribed to, and return its answer.

        The arguments and errors are those of `sockstore.Subscription.request`.

        Raises:
            RuntimeError: If it would never return: before `connect`, or on the loop's thread.
        """
        return self._hold.run("request", self._inner.request, data, timeout, idempotent=idempotent)

    def handle(self, name: str, fn: Callable[..., object]) -> Unsubscriber:
        """Answer what the server calls in this subscription; `fn` runs as in `WebSocket.handle`.

        The other arguments and the errors are those of `sockstore.Subscription.handle`.
        """
        stop = self._hold.call(self._inner.handle, name, answering(fn, self._runner))
        return Unsubscriber(self._hold.bind(stop), self)

    # Releasing

    def unsubscribe(self) -> None:
        """Release it: its iterators end, and the last handle of a key unsubscribes.

        It may be called from every thread and callback, and more than once.
        """
        if not self._hold.is_in_another_process:
            self._hold.call(self._inner.unsubscribe)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.unsubscribe()

    def __repr__(self) -> str:
        return repr(self._inner)
