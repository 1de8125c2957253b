"""Keep the subscriptions of one connection: give each handle its messages and its state."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sockstore.base.errors import SubscriptionRefused
from sockstore.base.positions import Gap
from sockstore.connection.feed import Feed
from sockstore.connection.groups import Group, Groups
from sockstore.connection.own_loop import FOREIGN_THREAD
from sockstore.connection.snapshots import SnapshotLoader
from sockstore.machine import events as fact
from sockstore.machine.events import Event
from sockstore.machine.snapshots import SNAPSHOT_FAILED
from sockstore.machine.subscriptions import FINAL, WAITING, SubscriptionState
from sockstore.messages.writer import LogWriter
from sockstore.protocols.base import BaseProtocol, News, Received, WireSubscription
from sockstore.stores import Readable, Writable, batch, writable
from sockstore.stores.binding import adopt, bind_with, node_of
from sockstore.stores.computed import Derived

if TYPE_CHECKING:
    from sockstore.machine.snapshots import OwedSnapshot
    from sockstore.messages.writer import Report
    from sockstore.protocols.outputs import Member
    from sockstore.stores.scheduling import Scheduler

__all__ = ["Latest", "Subscriptions"]


class Subscriptions:
    """All subscriptions of one connection.

    Args:
        protocol: Says whether handles with the same key share a subscription.
        dispatch: Tells the machine what is wanted.
        report: Receives the errors of users' callables.
        loader: Loads snapshots.
        log: The log of the connection.

    Attributes:
        stores: The stores of feeds that are held; they belong to the thread of the loop.
        received: The messages that belonged to a subscription; counted by `deliver`, and by slices.
        fresh: The logs of the feeds that got messages in this slice; each adds itself.
        sinks: The logs that take frames, by subscription: those of subscriptions with one feed,
            which keeps messages as they come. Changed with the feeds of groups.
    """

    def __init__(
        self,
        protocol: BaseProtocol,
        dispatch: Callable[[Event], None],
        report: Report,
        loader: SnapshotLoader,
        log: LogWriter,
    ) -> None:
        self._dispatch = dispatch
        self._report = report
        self._loader = loader
        self.stores: set[Readable[Any]] = set()
        self.received: int = 0
        self.fresh: Final[list[LogWriter]] = []
        self.sinks: Final[dict[WireSubscription, LogWriter]] = {}
        self._log = log
        # `hold` adds a group; `forget` and a state that is final remove it.
        self._all: Final = Groups(protocol, lambda wire: dispatch(fact.SubscriptionReleased(wire)))
        self._groups: Final = self._all.by_wire
        # The feeds whose subscription the server refused or ended: added by `show`, removed as soon
        # as they are released.
        self._over: dict[Feed, None] = {}
        self._dropped: deque[Feed] = deque()  # those of handles that are gone; by any thread
        # Whether a message of this slice is held back; set by `_hold_back`, reset by `end_slice`.
        self._has_held = False
        # Why the connection has ended; None while it may go on. Set by `end`, cleared by `begin`.
        self._end: Exception | None = None

    # Handles

    def hold(self, feed: Feed) -> None:
        """Somebody wants the messages of a feed; the first one of its subscription asks for it.

        Raises:
            InvalidOption: If the key is in use with other parameters.
        """
        if feed.is_closed or feed.gate.is_left:
            return
        if feed.holders == 0:
            self._join(feed)
        feed.holders += 1

    def let_go(self, feed: Feed) -> None:
        """Somebody does not want them any more; the last one of its subscription releases it."""
        if feed.holders == 0:
            return
        feed.holders -= 1
        if feed.holders == 0:
            self._leave(feed)

    def drop(self, feed: Feed, call_soon: Callable[[Callable[[], object]], object]) -> None:
        """The garbage collector found that a handle is gone, in any thread."""
        self._dropped.append(feed)
        call_soon(self.release_dropped)

    def release_dropped(self) -> None:
        """Release the handles that are gone."""
        while self._dropped:
            self.let_go(self._dropped.popleft())

    def release_all(self, owner: object) -> None:
        """Release what one holder of the connection has subscribed to, for good."""
        active = [feed for group in self._groups.values() for feed in group.feeds]
        for feed in (*active, *self._over):
            if feed.owner() is owner:
                feed.is_closed, feed.holders = True, 0
                self._leave(feed)

    def _join(self, feed: Feed) -> None:
        group = self._all.of(feed)
        feed.wire, is_first = group.wire, not group.feeds
        for store in (feed.state, feed.log.store):
            adopt(store, FOREIGN_THREAD)
            bind_with(store, self._log.store)
            self.stores.add(store)
        self._set_feeds(group, (*group.feeds, feed))
        feed.answer, feed.over = group.answer, self._end
        state = group.state if self._end is None else _CONNECTION_ENDED
        self._set(feed, state)
        if is_first:
            self._dispatch(fact.SubscriptionWanted(group.wire))
        if state.phase == "subscribed" and feed.owed is not None:
            feed.owed.subscribed()
            self._loader.follow(feed)

    def _leave(self, feed: Feed) -> None:
        self.stores.difference_update((feed.state, feed.log.store))
        self._over.pop(feed, None)
        group = self._groups.get(feed.wire)
        if group is None or feed not in group.feeds:
            return  # the server has refused or ended it
        self._set_feeds(group, tuple(other for other in group.feeds if other is not feed))
        feed.over = RuntimeError(f"the subscription {feed.key!r} was released")
        self._finish(feed, SubscriptionState("ended"))
        if not group.feeds:
            self._dispatch(fact.SubscriptionReleased(group.wire, feed.linger))

    def _set_feeds(self, group: Group, feeds: tuple[Feed, ...]) -> None:
        group.feeds = feeds
        self._close_sink(group)
        if len(feeds) == 1 and feeds[0].takes_frames:
            log = self.sinks[group.wire] = feeds[0].log
            log.is_sink = True

    def _close_sink(self, group: Group) -> None:
        if (log := self.sinks.pop(group.wire, None)) is not None:
            log.is_sink = False

    def _forget(self, group: Group) -> None:
        self._close_sink(group)
        self._all.forget(group)

    # What the server says

    def deliver(self, received: Received) -> bool:
        """Give a message to its feeds; return whether the slice should end now."""
        group = self._groups.get(received.subscription)  # type: ignore[arg-type]  # None is in none
        if group is None:
            return False
        self.received += 1
        is_over, now = False, self._log.received_at
        for feed in group.feeds:
            if not feed.holders:
                continue  # a reader of another feed has released it
            if feed.owed is not None and feed.owed.is_owed:
                self._hold_back(feed, feed.owed, received)
                continue
            log = feed.log
            # Each slice has a time of its own: a log that has another one is not in it yet. A
            # method for these lines would cost as much as all of them.
            if log.received_at is not now:
                log.received_at, log.slice_over = now, False
                self.fresh.append(log)
            if feed.take(received):
                is_over = True
        return is_over

    def deliver_news(self, news: News) -> bool:
        """Give a message that was read quickly to its feeds; return as `deliver` does."""
        return self.deliver(Received(news.data, news.subscription, news.place()))

    def tell_readers(self) -> bool:
        """Give streams what their logs took of frames; return whether the slice should end now."""
        wanted = [log.tell_readers() for log in self.fresh]  # all of them
        return any(wanted)

    def end_slice(self) -> bool:
        """Notify subscribers of all messages of a slice, those of the connection's log included.

        Returns:
            Whether a subscription had a message, also one that waits for a snapshot.
        """
        fresh = self.fresh.copy()
        self.fresh.clear()
        watched = [self._log, *[log for log in fresh if log.node.live]]
        has_news, self._has_held = bool(fresh) or self._has_held, False
        if len(watched) == 1:
            self._log.end_slice()
            return has_news
        try:
            with batch():
                for each in watched:
                    each.end_slice()
        except Exception as error:  # noqa: BLE001 - a user's bug never drops the link (ST9)
            self._report(error, "a subscriber of messages")
        return True

    def tell_gap(self, wire: WireSubscription, gap: Gap) -> None:
        """Tell the readers of a subscription that messages are missing here."""
        for feed in self._feeds_of(wire):
            feed.log.append_gap(gap)
            if feed.owed is not None:
                feed.owed.missed()
                self._loader.follow(feed)

    def show(
        self, wire: WireSubscription, state: SubscriptionState, answer: object, missed: int = 0
    ) -> None:
        """Show what a subscription does; one that has ended for good is forgotten."""
        group = self._groups.get(wire)
        if group is None:
            return
        group.state = state
        if state.phase == "subscribed":
            group.answer = answer
        is_final = state.phase in FINAL
        if is_final:
            self._forget(group)
        for feed in group.feeds:
            if missed:
                feed.log.expect(missed)
            feed.answer = group.answer
            if is_final:
                has_ended = state.phase == "ended"
                feed.over = SubscriptionRefused(feed.key, state.error or "", has_ended)
                self._over[feed] = None
                self._finish(feed, state, is_failure=state.error is not None)
                self.stores.difference_update((feed.state, feed.log.store))
                continue
            if feed.owed is not None:
                (feed.owed.subscribed if state.phase == "subscribed" else feed.owed.lost)()
                self._loader.follow(feed)
            self._set(feed, state)

    def show_members(self, wire: WireSubscription, members: tuple[Member, ...]) -> None:
        """Show who is in a subscription."""
        group = self._groups.get(wire)
        if group is None:
            return
        group.members = members
        for feed in group.feeds:
            if feed.members is None:
                continue
            try:
                feed.members.set(members)
            except Exception as error:  # noqa: BLE001 - a user's bug never drops the link (ST9)
                self._report(error, "a subscriber of a subscription's members")

    def members_of(self, feed: Feed) -> Writable[tuple[Member, ...]]:
        """Return the store of those who are in a feed's subscription; the first call makes it."""
        if feed.members is None:
            group = self._groups.get(feed.wire)
            feed.members = writable(() if group is None else group.members)
            adopt(feed.members, FOREIGN_THREAD)
            bind_with(feed.members, self._log.store)
        return feed.members

    def show_snapshot(self, feed: Feed, why: str | None) -> None:
        """Show why a feed's snapshot could not be loaded; None: it was."""
        problem = None if why is None else f"{SNAPSHOT_FAILED}{why}"
        if problem != feed.problem:
            feed.problem = problem
            self._set(feed, replace(feed.state.value, error=None))

    def forget(self, wire: WireSubscription) -> None:
        """A subscription was taken back: the next one of its key is another one."""
        if (group := self._groups.get(wire)) is not None:
            self._forget(group)

    def handler(self, wire: WireSubscription, name: str) -> Callable[..., object] | None:
        """Return the function that answers the calls of this name in a subscription."""
        for feed in self._feeds_of(wire):
            if (fn := feed.handlers.get(name)) is not None:
                return fn
        return None

    # The connection

    def states(self) -> list[tuple[Hashable, SubscriptionState]]:
        """Return the key and the state of each subscription of the server, from any thread.

        Those that it refused or ended are among them until the program releases them.
        """
        over = {feed.wire: feed.state.value for feed in list(self._over)}
        groups = [(group.wire.key, group.shown) for group in list(self._groups.values())]
        return groups + [(wire.key, state) for wire, state in over.items()]

    def end(self, end: Exception, error: Exception | None) -> None:
        """The connection has ended.

        Args:
            end: Raised in those who wait for an answer.
            error: Raised in readers; None just ends their streams.
        """
        self._end = end
        for group in list(self._groups.values()):
            group.state = WAITING
            for feed in group.feeds:
                feed.over = end
                self._finish(feed, _CONNECTION_ENDED, is_failure=error is not None)

    def begin(self) -> None:
        """The connection is asked for again, after it had ended."""
        self._end = None
        self.release_dropped()
        for group in list(self._groups.values()):
            for feed in group.feeds:
                feed.over = None
                self._set(feed, group.state)

    def _hold_back(self, feed: Feed, owed: OwedSnapshot[Received], received: Received) -> None:
        self._has_held = True
        if owed.hold(received):
            feed.log.append_gap(Gap(None, None, "overflow"))
        self._loader.follow(feed)

    def _finish(self, feed: Feed, state: SubscriptionState, *, is_failure: bool = False) -> None:
        if feed.owed is not None:
            feed.owed.ended()
            self._loader.follow(feed)
        self._set(feed, state)
        feed.log.end_streams(feed.ending() if is_failure else None)

    def _feeds_of(self, wire: WireSubscription) -> tuple[Feed, ...]:
        group = self._groups.get(wire)
        return () if group is None else group.feeds

    def _set(self, feed: Feed, state: SubscriptionState) -> None:
        if state.phase != "subscribed":
            feed.problem = None  # what is loaded next is another snapshot
        elif feed.problem is not None:
            state = replace(state, error=feed.problem)
        try:
            feed.state.set(state)
        except Exception as error:  # noqa: BLE001 - a user's bug never drops the link (ST9)
            self._report(error, "a subscriber of a subscription's state")


_CONNECTION_ENDED: Final = SubscriptionState(error="the connection has ended")


class Latest(Derived[Any]):
    """A node that holds a feed while it is live.

    Args:
        subscriptions: Where it is held.
        feed: The feed.
    """

    __slots__ = ("_feed", "_is_holding", "_subscriptions")

    def __init__(self, subscriptions: Subscriptions, feed: Feed) -> None:
        super().__init__((node_of(feed.log.store),), lambda _: feed.log.last, None)
        self._subscriptions = subscriptions
        self._feed = feed
        self._is_holding = False  # set by `begin`, reset by `end`

    def begin(self, scheduler: Scheduler, /) -> None:
        """Subscribe, if nobody else has."""
        self._subscriptions.hold(self._feed)
        self._is_holding = True
        super().begin(scheduler)

    def end(self) -> None:
        """Release it, if nobody else holds it."""
        super().end()
        if self._is_holding:
            self._is_holding = False
            self._subscriptions.let_go(self._feed)
