"""Subscriptions as users hold them: many handles with logs of their own, one question each."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Callable, Hashable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeVar
from weakref import finalize

from sockstore.base.codecs import encode_json
from sockstore.base.errors import InvalidOption, SubscriptionRefused
from sockstore.connection.own_loop import FOREIGN_THREAD
from sockstore.machine import events as fact
from sockstore.machine.events import Event
from sockstore.machine.subscriptions import WAITING, SubscriptionState
from sockstore.messages.buffer import Buffer
from sockstore.messages.log import MessageLog
from sockstore.messages.stream import MessageStream
from sockstore.messages.writer import LogWriter
from sockstore.protocols.base import BaseProtocol, Received, WireSubscription
from sockstore.stores import Readable, Writable, derived, readonly, writable
from sockstore.stores.binding import adopt, bind_with

if TYPE_CHECKING:
    from sockstore.base.positions import Gap
    from sockstore.messages.buffer import Overflow
    from sockstore.messages.message import Message, MessageKind
    from sockstore.messages.writer import Report

__all__ = ["Subscription", "Subscriptions"]

T = TypeVar("T")

SETTLED: Final = frozenset({"subscribed", "refused", "ended"})
"""The phases that `Subscription.ready` waits for."""


class Feed:
    """What reaches one handle. It does not know the handle, so a forgotten one is noticed.

    Args:
        wire: The subscription as its server sees it; handles may share it.
        history: Messages that its log keeps; None keeps all.
        convert: Makes a message's data of what came; None leaves it.
        report: Receives the errors of users' callables.

    Attributes:
        log: The messages.
        state: What the subscription does; set by `Subscriptions`.
        answer: What the server answered last; set by `Subscriptions`.
        end: Why the connection has ended; None while it may come back. Set by `Subscriptions`.
    """

    __slots__ = ("_convert", "_report", "answer", "end", "log", "state", "wire")

    def __init__(
        self,
        wire: WireSubscription,
        history: int | None,
        convert: Callable[[Any], Any] | None,
        report: Report,
    ) -> None:
        self.wire: Final = wire
        self.log: Final = LogWriter(history, report)
        self.state: Final[Writable[SubscriptionState]] = writable(WAITING)
        self.answer: object = None
        self.end: Exception | None = None
        self._convert = convert
        self._report = report

    def take(self, received: Received) -> bool:
        """Add a message to the log; return whether the slice should end now."""
        data = received.data
        if self._convert is not None:
            try:
                data = self._convert(data)
            except Exception as error:  # noqa: BLE001 - a type or codec of the user
                self._report(error, f"the type of the subscription {self.wire.key!r}")
        kind: MessageKind = (
            "text" if isinstance(data, str) else "binary" if isinstance(data, bytes) else "json"
        )
        return self.log.append(data, kind, received.publication)


class Subscriptions:
    """All subscriptions of one connection.

    Args:
        protocol: Says whether handles with the same key share a subscription.
        dispatch: Tells the machine what is wanted.
        report: Receives the errors of users' callables.
        call_soon: Calls a function on the loop's thread, from any thread.
        stores: The stores that belong to that thread, those of feeds included.
        thread_of: One of them.
    """

    def __init__(
        self,
        protocol: BaseProtocol,
        dispatch: Callable[[Event], None],
        report: Report,
        *,
        call_soon: Callable[[Callable[[], None]], object],
        stores: set[Readable[Any]],
        thread_of: Readable[Any],
    ) -> None:
        self._protocol = protocol
        self._dispatch = dispatch
        self._report = report
        self._call_soon = call_soon
        self._stores = stores
        self._thread_of = thread_of
        # The subscriptions that handles share, by key; and the parameters they were asked with.
        self._shared: dict[Hashable, tuple[str, WireSubscription]] = {}
        # The feeds of each subscription; an entry goes with its last handle.
        self._feeds: dict[WireSubscription, list[Feed]] = {}
        self._fresh: dict[Feed, None] = {}  # the feeds that got messages in this slice

    def open(
        self,
        key: Hashable,
        params: Mapping[str, Any],
        history: int | None,
        convert: Callable[[Any], Any] | None,
    ) -> Feed:
        """Return a feed of a subscription, and ask for it if it is the first one."""
        wire = self._wire(key, params)
        feed = Feed(wire, history, convert, self._report)
        for store in (feed.state, feed.log.store):
            adopt(store, FOREIGN_THREAD)
            bind_with(store, self._thread_of)
            self._stores.add(store)
        feeds = self._feeds.setdefault(wire, [])
        if feeds:
            feed.state.set(feeds[0].state.value)
            feed.answer = feeds[0].answer
        feeds.append(feed)
        if len(feeds) == 1:
            self._dispatch(fact.SubscriptionWanted(wire))
        return feed

    def release(self, feed: Feed) -> None:
        """A handle does not want its messages any more."""
        feeds = self._feeds.get(feed.wire, [])
        if feed not in feeds:
            return
        feeds.remove(feed)
        self._stores.difference_update((feed.state, feed.log.store))
        self._fresh.pop(feed, None)
        feed.log.end_streams(None)
        if not feeds:
            self._forget(feed.wire)
            self._dispatch(fact.SubscriptionReleased(feed.wire))

    def release_soon(self, feed: Feed) -> None:
        """The same, from any thread in which the garbage collector runs."""
        self._call_soon(lambda: self.release(feed))

    # What the server says

    def deliver(self, received: Received) -> bool:
        """Give a message to its handles; return whether the slice should end now."""
        assert received.subscription is not None  # noqa: S101 - the receiver takes the others
        is_over = False
        for feed in self._feeds.get(received.subscription, ()):
            if feed not in self._fresh:
                self._fresh[feed] = None
                feed.log.begin_slice()
            is_over = feed.take(received) or is_over
        return is_over

    def end_slice(self) -> bool:
        """Notify subscribers of the messages; return whether there were any."""
        fresh, self._fresh = self._fresh, {}
        for feed in fresh:
            feed.log.end_slice()
        return bool(fresh)

    def tell_gap(self, wire: WireSubscription, gap: Gap) -> None:
        """Tell the readers of a subscription that messages are missing here."""
        for feed in self._feeds.get(wire, ()):
            feed.log.append_gap(gap)

    def show(self, wire: WireSubscription, state: SubscriptionState, answer: object) -> None:
        """Show what a subscription does; one that has ended for good is forgotten."""
        feeds = list(self._feeds.get(wire, ()))
        is_over = state.phase in {"refused", "ended"}
        if is_over:
            self._forget(wire)
        for feed in feeds:
            feed.end = None
            if state.phase == "subscribed":
                feed.answer = answer
            self._set(feed, state)
            if is_over:
                feed.log.end_streams(_refused(feed) if state.error is not None else None)

    def end(self, end: Exception, error: Exception | None) -> None:
        """The connection has ended.

        Args:
            end: Raised in those who wait for an answer.
            error: Raised in readers; None just ends their streams.
        """
        for feeds in self._feeds.values():
            for feed in feeds:
                feed.end = end
                self._set(feed, SubscriptionState(error="the connection has ended"))
                feed.log.end_streams(error)

    def _set(self, feed: Feed, state: SubscriptionState) -> None:
        try:
            feed.state.set(state)
        except Exception as error:  # noqa: BLE001 - a user's bug never drops the link (ST9)
            self._report(error, "a subscriber of a subscription's state")

    def _wire(self, key: Hashable, params: Mapping[str, Any]) -> WireSubscription:
        if not self._protocol.shares_subscriptions:
            return WireSubscription(key, params)
        text = encode_json(dict(params))
        if (entry := self._shared.get(key)) is not None:
            if entry[0] != text:
                why = f"this connection is subscribed to {key!r} with other parameters"
                raise InvalidOption("params", params, why)
            return entry[1]
        wire = WireSubscription(key, params)
        self._shared[key] = text, wire
        return wire

    def _forget(self, wire: WireSubscription) -> None:
        self._feeds.pop(wire, None)
        if (entry := self._shared.get(wire.key)) is not None and entry[1] is wire:
            del self._shared[wire.key]


class Subscription(Generic[T]):
    """What a connection has asked its server to keep telling it: one of many on one connection.

    Release it by `unsubscribe`, or use it in an ``async with`` block. It is made by
    `WebSocketStore.subscribe`.

    Attributes:
        key: What was subscribed to.
        messages: Its messages, a store and a log; they do not stand in those of the connection.
    """

    __slots__ = ("__weakref__", "_feed", "_owner", "_released", "_subscriptions", "key", "messages")

    def __init__(self, subscriptions: Subscriptions, feed: Feed, owner: Any, where: str) -> None:
        self.key: Hashable = feed.wire.key
        self.messages: MessageLog = MessageLog(feed.log)
        self._subscriptions = subscriptions
        self._feed = feed
        self._owner = owner  # it keeps the connection alive
        self._released = finalize(self, _dropped, subscriptions, feed, where)
        self._released.atexit = False

    @property
    def state(self) -> Readable[SubscriptionState]:
        """What it does: waiting, subscribing, subscribed, refused or ended."""
        return readonly(self._feed.state)

    @property
    def latest(self) -> Readable[T | None]:
        """The data of its last message; None before the first. The store keeps it subscribed."""

        def last(messages: Any, _handle: Subscription[T] = self) -> Any:
            return messages[-1].data if messages else None

        return derived(self.messages, last)

    async def ready(self, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - CONTRACT SU3
        """Wait until the server has accepted it, and return its answer.

        Args:
            timeout: Seconds to wait at most; None waits through all attempts.

        Raises:
            SubscriptionRefused: If the server refused or ended it.
            ConnectionEnded: If the connection is closed, or failed.
            TimeoutError: If no answer came in time.
        """
        feed = self._feed
        try:
            state = await feed.state.wait_for(
                lambda state: state.phase in SETTLED or feed.end is not None, timeout
            )
        except TimeoutError:
            because = feed.state.value.error
            words = f"; the last refusal: {because}" if because else ""
            raise TimeoutError(
                f"not subscribed to {self.key!r} within {timeout:g} s{words}"
            ) from None
        if state.phase == "subscribed":
            return feed.answer
        raise _refused(feed) if feed.end is None else feed.end

    def stream(
        self,
        where: Callable[[Message], object] | None = None,
        *,
        limit: int = 256,
        overflow: Overflow = "error",
        gaps: bool = False,
    ) -> MessageStream:
        """Return an asynchronous iterator over its messages from now on.

        The arguments are those of `WebSocketStore.stream`.
        """
        buffer = Buffer(where, limit, overflow, gaps=gaps, owner=self)
        self._add(buffer)
        return MessageStream(buffer)

    def __aiter__(self) -> AsyncIterator[Message]:
        """Iterate over its messages, beginning with those that are kept."""
        buffer = Buffer(owner=self)
        buffer.begin_with(tuple(self.messages.value))
        self._add(buffer)
        return MessageStream(buffer)

    def _add(self, buffer: Buffer) -> None:
        feed = self._feed
        if not self._released.alive or feed.state.value.phase in {"refused", "ended"}:
            buffer.end(None)
        else:
            feed.log.add_stream(buffer)

    def unsubscribe(self) -> None:
        """Release it: its streams end, and the last handle of a key takes the question back."""
        if self._released.detach() is not None:
            self._subscriptions.release(self._feed)

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


def _refused(feed: Feed) -> SubscriptionRefused:
    return SubscriptionRefused(feed.wire.key, feed.state.value.error or "no reason given")


def _dropped(subscriptions: Subscriptions, feed: Feed, where: str) -> None:
    """The last reference to a handle is gone."""
    subscriptions.release_soon(feed)
    warnings.warn(
        f"the subscription {feed.wire.key!r} made at {where} was dropped while it was in use; "
        "unsubscribe() it, or use it in an `async with` block",
        ResourceWarning,
        stacklevel=2,
    )
