"""Group the handles that share one subscription of the server."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Final

from sockstore.base.codecs import decode_json, encode
from sockstore.base.errors import InvalidOption
from sockstore.connection.feed import Feed
from sockstore.machine.subscriptions import WAITING, SubscriptionState
from sockstore.protocols.base import BaseProtocol, Member, WireSubscription

__all__ = ["Group", "Groups"]


class Group:
    """The feeds of one subscription of the server.

    Args:
        wire: The subscription.
        text: Its parameters as JSON.

    Attributes:
        wire: The same.
        text: The same.
        feeds: The feeds; replaced by `Subscriptions` whenever one joins or leaves.
        state: What the subscription does; set by `Subscriptions.show`.
        answer: What the server answered last; set by `Subscriptions.show`.
        members: Who is in it; set by `Subscriptions.show_members`.
    """

    __slots__ = ("answer", "feeds", "members", "state", "text", "wire")

    def __init__(self, wire: WireSubscription, text: str) -> None:
        self.wire: Final[WireSubscription] = wire
        self.text: Final[str] = text
        self.feeds: tuple[Feed, ...] = ()
        self.state: SubscriptionState = WAITING
        self.answer: object = None
        self.members: tuple[Member, ...] = ()

    @property
    def shown(self) -> SubscriptionState:
        """The state, with what is wrong with a snapshot of one of its feeds."""
        problem = next((feed.problem for feed in self.feeds if feed.problem), None)
        return self.state if problem is None else replace(self.state, error=problem)


class Groups:
    """The groups of one connection.

    Args:
        protocol: Says whether handles with the same key share a subscription.
        release: Called with one that lingers and cannot be shared by a new handle.

    Attributes:
        by_wire: All of them; changed by `of` and `forget`.
    """

    def __init__(
        self, protocol: BaseProtocol, release: Callable[[WireSubscription], object]
    ) -> None:
        self.by_wire: dict[WireSubscription, Group] = {}
        self._protocol = protocol
        self._release = release
        # Those that handles may share, by key: changed by `of` and `forget`.
        self._shared: dict[Hashable, Group] = {}

    def of(self, feed: Feed) -> Group:
        """Return the group that a feed joins; a new one if there is none.

        Raises:
            InvalidOption: If its key is in use with other parameters, token or position.
        """
        key, is_shared = feed.key, self._protocol.shares_subscriptions
        sent = encode(dict(feed.params))
        params = decode_json(sent if isinstance(sent, str) else sent.decode())
        text = json.dumps(params, sort_keys=True)
        group = self._shared.get(key) if is_shared else None
        other = None if group is None else _difference(group, feed, text)
        if group is not None and other is not None:
            if group.feeds:
                option, value = other
                why = f"this connection is subscribed to {key!r} with {_OTHER[option]}"
                raise InvalidOption(option, value, why)
            self._release(group.wire)  # it lingers no longer
            group = None
        if group is None:
            wire = WireSubscription(key, params, token=feed.token, since=feed.since)
            group = self.by_wire[wire] = Group(wire, text)
            if is_shared:
                self._shared[key] = group
        return group

    def forget(self, group: Group) -> None:
        """Let the next feed of the key begin another group."""
        self.by_wire.pop(group.wire, None)
        if self._shared.get(group.wire.key) is group:
            del self._shared[group.wire.key]


_OTHER: Final = {
    "params": "other parameters",
    "token": "another token",
    "since": "another position",
}
"""What another handle has, in words, by the name of the argument."""


def _difference(group: Group, feed: Feed, text: str) -> tuple[str, object] | None:
    """Return what a handle asks for that is not so, by its name; None if it can share a group."""
    if group.text != text:
        return "params", dict(feed.params)
    if feed.token is not None and feed.token != group.wire.token:
        return "token", "***"
    if feed.since is not None and feed.since != group.wire.since:
        return "since", feed.since
    return None
