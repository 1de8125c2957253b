"""Find the subscription that a message belongs to, by what the message carries."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable
from typing import Any

from sockstore.protocols.base import WireSubscription

__all__ = ["Routes", "Topic"]

MOST_HELD = 1000
"""Messages that are kept for subscriptions whose route is not known yet; and routes of released
subscriptions that are remembered."""


class Topic:
    """One subscription on one connection.

    Args:
        subscription: The subscription.
        route: What its messages carry; None if only the server's answer says it.
    """

    __slots__ = ("is_active", "is_asked", "is_released", "route", "subscription")

    def __init__(self, subscription: WireSubscription, route: Hashable = None) -> None:
        self.subscription: WireSubscription = subscription  # set anew by `Routes.take_over`
        self.route: Hashable = route  # set anew by an answer that has one
        self.is_asked: bool = False  # set when the message that asks for it is written
        self.is_active: bool = False  # set by the answer
        self.is_released: bool = False  # set by `unsubscribe`, cleared if it is wanted again


class Routes:
    """The topics of one connection, and the messages that may be theirs.

    Attributes:
        unanswered: The topics that were asked for and not answered.
    """

    def __init__(self) -> None:
        self.unanswered: set[Topic] = set()
        # The topics until they are released, refused or ended: by their keys, and by their routes.
        self._topics: dict[Hashable, Topic] = {}
        self._routes: dict[Hashable, Topic] = {}
        # Messages of unknown routes, which an answer under way may name; at most `MOST_HELD`.
        self._held: deque[tuple[Hashable, Any]] = deque()
        # Routes of topics that were released: their late messages are nobody's.
        self._left: OrderedDict[Hashable, None] = OrderedDict()

    def of(self, route: Hashable) -> Topic | None:
        """Return the topic whose messages carry this."""
        return self._routes.get(route)

    def named(self, key: Hashable) -> Topic | None:
        """Return the topic with the key that the program gave."""
        return self._topics.get(key)

    def find(self, subscription: WireSubscription) -> Topic | None:
        """Return the topic of a subscription."""
        topic = self._topics.get(subscription.key)
        return topic if topic is not None and topic.subscription is subscription else None

    def has(self, topic: Topic) -> bool:
        """Whether this topic was not released, refused or ended meanwhile."""
        return self._topics.get(topic.subscription.key) is topic

    def take_over(self, subscription: WireSubscription) -> bool:
        """Let a subscription have the answer that its released predecessor waits for.

        Returns:
            Whether there is one; if not, the server has to be asked.
        """
        topic = self._topics.get(subscription.key)
        if topic is None:
            return False
        topic.subscription = subscription
        topic.is_released = False
        return True

    def add(self, topic: Topic) -> None:
        """Take a topic that became wanted."""
        self._topics[topic.subscription.key] = topic

    def route(self, topic: Topic, route: Hashable) -> None:
        """Give the messages that carry this to the topic, from now on."""
        self._unroute(topic)
        topic.route = route
        self._routes[route] = topic
        self._left.pop(route, None)

    def remove(self, topic: Topic, *, is_late: bool = False) -> None:
        """Forget a topic; `is_late` if messages of it may still be under way."""
        del self._topics[topic.subscription.key]
        self.unanswered.discard(topic)
        self._unroute(topic)
        if is_late and topic.route is not None:
            self._left[topic.route] = None
            if len(self._left) > MOST_HELD:
                self._left.popitem(last=False)

    # Messages without a topic

    def was_left(self, route: Hashable) -> bool:
        """Whether a message comes too late, after its topic was released."""
        return route in self._left

    def hold(self, route: Hashable, data: Any) -> bool:
        """Keep a message that may belong to an unanswered topic; return False if it cannot."""
        if not self.unanswered or len(self._held) >= MOST_HELD:
            return False
        self._held.append((route, data))
        return True

    def held_for(self, topic: Topic) -> Iterable[Any]:
        """Remove and return the messages that were kept for this topic."""
        if not self._held:
            return []
        mine = [data for route, data in self._held if route == topic.route]
        self._held = deque(each for each in self._held if each[0] != topic.route)
        return mine

    def unclaimed(self) -> Iterable[Any]:
        """Remove and return the messages that no answer can claim any more."""
        if self.unanswered or not self._held:
            return []
        held, self._held = self._held, deque()
        return [data for _, data in held]

    def _unroute(self, topic: Topic) -> None:
        if self._routes.get(topic.route) is topic:
            del self._routes[topic.route]
