"""A server with subscriptions, in memory: it answers, refuses, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from typing import Any

from sockstore.protocols import TopicAnswer, Topics
from sockstore.testing import FakeServer

__all__ = ["Market", "Visit", "by_answers", "by_ids", "routed"]


class Visit:
    """One connection to a market.

    Attributes:
        said: Everything that the client said, decoded, in order.
        asked: Each key as often as it was asked for.
        has: The keys that it is subscribed to.
    """

    def __init__(self, market: Market, peer: Any) -> None:
        self.market = market
        self.peer = peer
        self.said: list[Any] = []
        self.asked: list[Any] = []
        self.has: set[Any] = set()
        peer.on_message = self.hear

    def hear(self, frame: str | bytes) -> None:
        said = json.loads(frame)
        self.said.append(said)
        match said:
            case {"op": "subscribe", "keys": keys}:
                self.subscribe(keys, said.get("id"))
            case {"op": "unsubscribe", "keys": keys}:
                for key in keys:
                    assert key in self.has, "taken back without having been accepted"
                    self.has.discard(key)
                if (number := said.get("id")) is not None:
                    self.tell({"id": number})
            case {"id": number}:
                self.tell({"id": number, "echo": said})

    def subscribe(self, keys: list[Any], number: int | None) -> None:
        refused = [key for key in keys if key in self.market.refusals]
        for key in keys:
            assert key not in self.has, "asked for twice"
            self.asked.append(key)
            if key not in refused:
                self.has.add(key)
        if number is None:
            for key in keys:
                self.tell({"event": "answer", "arg": key, "msg": self.market.refusals.get(key)})
        elif not refused:
            self.tell({"id": number, "result": list(keys)})
        else:
            self.has.difference_update(keys)
            self.tell({"id": number, "error": self.market.refusals[refused[0]]})

    def tell(self, *data: Any) -> None:
        if self.peer.is_open:
            self.peer.send(*map(json.dumps, data))


class _Connections(list[Any]):
    """Tells of each new connection."""

    def __init__(self, tell: Callable[[Any], object]) -> None:
        self._tell = tell

    def append(self, peer: Any) -> None:
        super().append(peer)
        self._tell(peer)


class Market(FakeServer):
    """A `FakeServer` with subscriptions; give it as ``transport=``.

    Attributes:
        visits: The connections so far.
        refusals: The words to refuse a key with; those that begin with "later" are temporary.
    """

    def __init__(self) -> None:
        super().__init__()
        self.visits: list[Visit] = []
        self.refusals: dict[Any, str] = {}
        self.connections = _Connections(lambda peer: self.visits.append(Visit(self, peer)))

    @property
    def visit(self) -> Visit:
        return self.visits[-1]

    def publish(self, key: Hashable, *values: Any) -> None:
        """Tell the newest visitor, if it has subscribed; all values in one read."""
        if key in self.visit.has:
            self.visit.tell(*({"arg": key, "n": value} for value in values))

    def end(self, key: Hashable, why: str) -> None:
        self.visit.has.discard(key)
        self.visit.tell({"event": "answer", "arg": key, "msg": why})

    def drop(self) -> None:
        if self.visits:
            self.visit.has.clear()
        super().drop()


def _subscribe(keys: list[Any]) -> Any:
    return {"op": "subscribe", "keys": keys}


def _unsubscribe(keys: list[Any]) -> Any:
    return {"op": "unsubscribe", "keys": keys}


def _answer_in(data: Any) -> TopicAnswer | None:
    if "event" not in data:
        return None
    words = data["msg"]
    return TopicAnswer(
        data["arg"], error=words, is_temporary=words is not None and words.startswith("later")
    )


by_ids = Topics(key=lambda data: data.get("arg"), subscribe=_subscribe, unsubscribe=_unsubscribe)
"""Answers carry the id of their question."""

by_answers = Topics(
    key=lambda data: data.get("arg"),
    subscribe=_subscribe,
    unsubscribe=_unsubscribe,
    answers=_answer_in,
    requests=None,
)
"""Answers name what was subscribed to."""

routed = Topics(key=lambda data: data.get("type"))
"""Nobody has to be asked."""
