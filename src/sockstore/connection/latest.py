"""Show the newest message of a subscription, and hold the subscription while that is watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sockstore.connection.feed import Feed
from sockstore.connection.subscriptions import Subscriptions
from sockstore.stores.binding import node_of
from sockstore.stores.computed import Derived

if TYPE_CHECKING:
    from sockstore.stores.scheduling import Scheduler

__all__ = ["Latest"]


class Latest(Derived[Any]):
    """A node that holds a feed while it is live.

    Args:
        subscriptions: Where it is held.
        feed: The feed.
    """

    __slots__ = ("_feed", "_is_holding", "_subscriptions")

    def __init__(self, subscriptions: Subscriptions, feed: Feed) -> None:
        super().__init__((node_of(feed.log.store),), lambda _: feed.last, None)
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
