"""`Subscription`: what a connection has asked its server to keep telling it, as users hold it."""

from __future__ import annotations

import gc
import warnings
from collections.abc import AsyncIterator, Callable, Hashable
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar
from weakref import finalize

from sockstore.base.checks import require_count, require_seconds
from sockstore.base.sending import SendOptions
from sockstore.connection.feed import Feed, add_handler
from sockstore.connection.own_loop import FOREIGN_THREAD
from sockstore.connection.receipts import Delivery, Receipt
from sockstore.connection.subscriptions import Latest
from sockstore.machine.subscriptions import SubscriptionState
from sockstore.messages.buffer import Buffer
from sockstore.messages.log import MessageLog
from sockstore.messages.stream import MessageStream
from sockstore.stores import Readable, readonly
from sockstore.stores.binding import adopt

if TYPE_CHECKING:
    from sockstore.base.positions import Position
    from sockstore.base.records import Message
    from sockstore.connection.talks import Talks
    from sockstore.messages.buffer import Overflow
    from sockstore.protocols.outputs import Member

__all__ = [
    "Subscription",
    "connection_of",
    "feed_of",
    "subscriptions_in_use",
    "talks_of",
    "tells_gaps",
]

T = TypeVar("T")

SETTLED: Final = frozenset({"subscribed", "refused", "ended"})
"""The phases that `Subscription.ready` waits for."""


class Subscription(Generic[T]):
    """What a connection has asked its server to keep telling it: one of many on one connection.

    It is made by `WebSocketStore.subscribe`. Release it by `unsubscribe`, or use it in an
    ``async with`` block; leaving the provider of the connection releases it, too.

    Attributes:
        key: What was subscribed to.
        messages: Its messages, a store and a log; they do not stand in those of the connection.

    Example:
        >>> from sockstore import WebSocketStore
        >>> from sockstore.protocols import Topics
        >>> by_type = Topics(key=lambda data: data.get("type"))
        >>> prices = WebSocketStore("ws://localhost", protocol=by_type).subscribe("price")
        >>> prices
        <Subscription 'price' waiting>
        >>> prices.unsubscribe()
    """

    def __init__(self, talks: Talks, feed: Feed, owner: Any, where: str) -> None:
        self.key: Hashable = feed.key
        self.messages: MessageLog = MessageLog(feed.log)
        self._talks = talks
        self._feed = feed
        self._owner = owner  # it keeps the connection alive
        self._released = finalize(self, _dropped, talks, feed, where)
        self._released.atexit = False

    # Reading

    @cached_property
    def state(self) -> Readable[SubscriptionState]:
        """What it does: waiting, subscribing, subscribed, refused or ended, and why."""
        return readonly(self._feed.state)

    @cached_property
    def latest(self) -> Readable[T | None]:
        """The data of its last message, as a store; None before the first.

        While the store is watched it keeps the subscription, also if this handle is released or
        not kept: ``connection.subscribe(key).latest`` asks the server for no longer than needed.
        """
        self._feed.is_lent = True
        store: Readable[T | None] = Readable(Latest(self._talks.subscriptions, self._feed))
        adopt(store, FOREIGN_THREAD, owner=self._owner)
        return store

    @property
    def position(self) -> Position | None:
        """How far it has been read; None where messages have no places, and before the first.

        A program that keeps it goes on from there after a restart: ``subscribe(key, since=...)``.
        """
        return self._talks.protocol.position(self._feed.wire)

    @cached_property
    def members(self) -> Readable[tuple[Member, ...]]:
        """Who is in it, as a store. Between two connections it keeps what the last one told.

        Raises:
            RuntimeError: If the protocol does not know members.
        """
        self._talks.check_has("members", "has_members")
        return readonly(self._talks.subscriptions.members_of(self._feed))

    async def ready(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - CONTRACT SU3
        """Wait until the server has accepted it, and return its answer.

        Args:
            timeout: Seconds to wait at most; None waits through all attempts.

        Returns:
            What the server answered, decoded; None if this protocol has no answers.

        Raises:
            SubscriptionRefused: If the server refused or ended it.
            ConnectionEnded: If the connection is closed, or failed.
            TimeoutError: If no answer came in time.
            RuntimeError: If it was released, or inside ``on_open``, which would wait for itself.
        """
        feed = self._feed
        self._talks.refuse_in_opening(
            "subscription.ready()", "use opening.request() for what it needs"
        )

        def is_settled(state: SubscriptionState) -> bool:
            return state.phase in SETTLED or feed.over is not None

        try:
            if not is_settled(state := feed.state.value):
                state = await feed.state.wait_for(is_settled, timeout)
        except TimeoutError:
            because = feed.state.value.error
            words = f"; the last refusal: {because}" if because else ""
            raise TimeoutError(
                f"not subscribed to {self.key!r} within {timeout:g} s{words}"
            ) from None
        if state.phase != "subscribed" and (error := feed.ending()) is not None:
            raise error
        return feed.answer

    def stream(
        self,
        where: Callable[[Message], object] | None = None,
        *,
        limit: int | None = None,
        overflow: Overflow = "error",
        gaps: bool | None = None,
    ) -> MessageStream:
        """Return an asynchronous iterator over its messages from now on.

        Args:
            where: Which messages to take; None takes all.
            limit: Messages that may wait for the reader; None is the limit of the subscription.
            overflow: Above that, ``"error"`` raises `Lagged` in the reader, ``"drop_oldest"``
                counts in `MessageStream.dropped`.
            gaps: Whether to be told where messages are missing, by a `Message` of kind ``"gap"``.
                None: where the server numbers messages, as in a room of `Centrifuge`.

        Returns:
            The iterator. It ends with the subscription or the connection, and raises if the server
            ended it with an error, or the connection failed.

        Raises:
            InvalidOption: If `limit` or `overflow` cannot be used.
        """
        limit = self._feed.limit if limit is None else limit
        gaps = tells_gaps(self) if gaps is None else gaps
        return self._read(Buffer(where, limit, overflow, gaps=gaps, owner=self))

    def __aiter__(self) -> AsyncIterator[Message]:
        """Iterate over its messages, beginning with those that are kept."""
        buffer = Buffer(limit=self._feed.limit, gaps=tells_gaps(self), owner=self)
        buffer.begin_with(tuple(self.messages.value))
        return self._read(buffer)

    def _read(self, buffer: Buffer) -> MessageStream:
        self._feed.add_reader(buffer)
        buffer.check_wait = self._check_reading
        return MessageStream(buffer)

    def _check_reading(self) -> None:
        self._talks.refuse_in_opening("reading a subscription", "use opening.receive()")

    async def history(
        self,
        limit: int = 100,
        before: int | None = None,
        timeout: float | None = 10.0,  # noqa: ASYNC109 - as `WebSocketStore.request`
    ) -> list[Message]:
        """Return older messages, as the server keeps them; they do not stand in `messages`.

        Args:
            limit: How many at most; the server may return less.
            before: An offset: only messages below it. None for the newest.
            timeout: Seconds to wait at most; None sets no limit.

        Returns:
            The messages, the oldest first; their `number` is 0.

        Raises:
            RuntimeError: If the protocol has no history, or the subscription was released.
            RequestFailed: If the server refuses.
            TimeoutError: If no answer came in time.
            DeliveryError: If it could not be asked.
        """
        self._talks.check_has("history()", "has_history")
        require_count("limit", limit, least=1)
        require_count("before", before, optional=True)
        require_seconds("timeout", timeout, optional=True)
        feed = self._feed
        if not feed.holders:
            raise RuntimeError(f"history(): the subscription {self.key!r} was released")
        found = await self._talks.history(limit, before, feed.gate, feed.wire, timeout)
        return [feed.message_of(received) for received in found]

    # Saying something

    def send(  # noqa: PLR0917 - as `WebSocketStore.send`
        self,
        data: Any,
        ttl: float | None = None,
        key: Hashable = None,
        urgent: bool = False,  # noqa: FBT001, FBT002 - as `WebSocketStore.send`
        now: bool = False,  # noqa: FBT001, FBT002 - as `WebSocketStore.send`
        id: str | None = None,  # noqa: A002 - as `WebSocketStore.send`
    ) -> Receipt:
        """Send a message to what is subscribed to, a room for example.

        The arguments are those of `WebSocketStore.send`; a `key` is the subscription's own.

        Returns:
            A receipt, as that of `WebSocketStore.send`; it is refused after `unsubscribe`.

        Raises:
            RuntimeError: If the protocol's subscriptions cannot be sent to.
            TypeError: If the data cannot be encoded, or messages have no ids here.
            InvalidOption: If another argument cannot be used.
        """
        self._talks.check_addressed("send")
        options = None
        if ttl is not None or key is not None or id is not None or urgent or now:
            options = SendOptions(ttl, key, urgent, now, id)
        if not self._feed.holders:
            return self._refused()
        return self._talks.send(data, self._feed.gate, self._feed.wire, options)

    async def asend(
        self,
        data: Any,
        *,
        ttl: float | None = None,
        key: Hashable = None,
        urgent: bool = False,
        id: str | None = None,  # noqa: A002 - as `send`
    ) -> Receipt:
        """Send a message as `send` does, and wait while the outbox has no room for it.

        The arguments, the result and the errors are those of `WebSocketStore.asend`.

        Raises:
            RuntimeError: If the protocol's subscriptions cannot be sent to.
        """
        self._talks.check_addressed("asend")
        options = SendOptions(ttl, key, urgent, now=False, id=id)
        if not self._feed.holders:
            return self._refused()
        return await self._talks.asend(data, self._feed.gate, self._feed.wire, options)

    def _refused(self) -> Receipt:
        return Receipt(Delivery("refused", f"the subscription {self.key!r} was released"))

    async def request(
        self,
        data: Any,
        timeout: float | None = 10.0,  # noqa: ASYNC109 - as `WebSocketStore.request`
        *,
        idempotent: bool = False,
    ) -> Any:
        """Send a request to what is subscribed to, and return its answer.

        The arguments and errors are those of `WebSocketStore.request`.

        Raises:
            RuntimeError: If the protocol's subscriptions answer no requests, or it was released.
        """
        self._talks.check_addressed("request")
        require_seconds("timeout", timeout, optional=True)
        if not self._feed.holders:
            raise RuntimeError(f"request(): the subscription {self.key!r} was released")
        return await self._talks.request(
            data,
            self._feed.gate,
            self._feed.wire,
            seconds=timeout,
            is_idempotent=idempotent,
        )

    def handle(self, name: str, fn: Callable[..., object]) -> Callable[[], None]:
        """Answer what the server calls in this subscription.

        Args:
            name: The name of the method or event.
            fn: A sync or async callable; it is given what the server gave, and what it returns is
                the answer, if one is expected.

        Returns:
            A function that stops it.

        Raises:
            RuntimeError: If nothing is called in this protocol's subscriptions, if it was released,
                or from another thread.
            ValueError: If this handle answers that name already.
            TypeError: If it is no function.
        """
        self._talks.check_addressed("handle")
        self._talks.check_thread()
        if not self._feed.holders:
            raise RuntimeError(f"handle(): the subscription {self.key!r} was released")
        return add_handler(self._feed.handlers, name, fn)

    # Releasing

    def unsubscribe(self) -> None:
        """Release it: its streams end, and the last handle of a key unsubscribes.

        Calling it again does nothing.

        Raises:
            RuntimeError: If it is called from another thread.
        """
        self._talks.check_thread()
        if self._released.detach() is not None:
            self._talks.subscriptions.let_go(self._feed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.unsubscribe()

    def __repr__(self) -> str:
        return f"<Subscription {self.key!r} {self._feed.state.value.phase}>"


def subscriptions_in_use() -> dict[Subscription[Any], str]:
    """Return the handles of this process that are not released, with the places that made them."""
    found = {}
    for each in gc.get_objects():
        if type(each) is Subscription and (made := each._released.peek()) is not None:  # noqa: SLF001 - ours
            _, feed, where = made[2]
            if feed.holders and feed.over is None:
                found[each] = where
    return found


def feed_of(subscription: Subscription[Any]) -> Feed:
    """Return what a handle reads, for the rest of the package."""
    return subscription._feed  # noqa: SLF001 - users have no name for it


def tells_gaps(subscription: Subscription[Any]) -> bool:
    """Whether its readers are told of gaps unless they say otherwise, as positions are known."""
    return "since" in subscription._talks.protocol.subscribes_with  # noqa: SLF001 - as `feed_of`


def connection_of(subscription: Subscription[Any]) -> Any:
    """Return the `Connection` that a handle was made by, for the rest of the package."""
    return subscription._owner  # noqa: SLF001 - users have the connection


def talks_of(subscription: Subscription[Any]) -> Talks:
    """Return what speaks for a handle, for the rest of the package."""
    return subscription._talks  # noqa: SLF001 - users have no name for it


def _dropped(talks: Talks, feed: Feed, where: str) -> None:
    """The last reference to a handle is gone."""
    is_in_use = feed.holders > 0 and feed.over is None
    talks.subscriptions.drop(feed, talks.call_soon)
    if is_in_use and not feed.is_lent:
        warnings.warn(
            f"the subscription {feed.key!r} made at {where} was dropped while it was in use; "
            "unsubscribe() it, or use it in an `async with` block",
            ResourceWarning,
            stacklevel=2,
        )
