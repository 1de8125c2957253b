"""Check that a protocol, of this package or of a user, keeps the contract of protocols."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from sockstore.base.state import Attempt
from sockstore.protocols import (
    Answered,
    Ask,
    BaseProtocol,
    Conversation,
    Failed,
    Frame,
    Opened,
    Output,
    Received,
    Refused,
    Subscribed,
    WireSubscription,
    Write,
)
from sockstore.protocols.base import missing_method

__all__ = ["ProtocolHarness", "ServerModel", "check_protocol"]

MOST_ROUNDS = 1000
"""Frames in each direction and ticks until everything must be said."""

GARBAGE: Sequence[Frame] = (
    *(
        "",
        " ",
        "{",
        "[]",
        "{}",
        "null",
        "true",
        "5",
        '"text"',
        "[[]]",
        "[null, {}]",
        "no JSON \u2028",
    ),
    *('{"id": true}', '{"id": []}', '{"id": 1e3, "error": 0}', '{"type": {}}', '{"error": {}}'),
    *(b"", b"\x00\xff", b"{}"),
)
"""Frames that no server should send."""


class ServerModel(Protocol):
    """The server's side of one connection, without a network."""

    @property
    def subscribed(self) -> Iterable[Hashable]:
        """The keys that it has been asked for, and has accepted."""

    def greet(self) -> Iterable[Frame]:
        """Return what it says first, before it hears anything."""

    def hear(self, frame: Frame) -> Iterable[Frame]:
        """Return what it says to a frame of the client."""

    def publish(self, key: Hashable, data: Any) -> Iterable[Frame]:
        """Return a message of a subscription that it has accepted."""


class ProtocolHarness(Protocol):
    """A protocol and a model of its server, as `check_protocol` needs them."""

    @property
    def protocol(self) -> BaseProtocol:
        """The protocol."""

    @property
    def given(self) -> Mapping[str, Any]:
        """The values of its parameters, which the server accepts."""

    @property
    def keys(self) -> Sequence[Hashable]:
        """Three keys that the server accepts.

        None for a protocol without subscriptions, or whose server is never asked for one.
        """

    @property
    def refused_key(self) -> Hashable | None:
        """A key that the server refuses; None if it refuses none."""

    def server(self) -> ServerModel:
        """Return a server for a new connection."""


def check_protocol(harness: ProtocolHarness) -> None:
    """Assert that a protocol keeps the contract of protocols (PR1, PR2, SU2, SU4, SU6).

    Args:
        harness: The protocol, and a model of its server.

    Raises:
        AssertionError: If the contract is broken.
    """
    _opens_once(harness)
    _two_conversations_know_nothing_of_each_other(harness)
    _raises_nothing_for_what_a_server_says(harness)
    if harness.keys:
        _subscribes_and_releases(harness)
        _delivers_what_stands_right_behind_the_answer(harness)
        _delivers_nothing_of_what_was_released(harness)
        if harness.refused_key is not None:
            _a_refusal_concerns_its_subscription_only(harness)


class _Talk:
    """A conversation and its server, with the frames between them."""

    def __init__(self, harness: ProtocolHarness) -> None:
        protocol, self.server = harness.protocol, harness.server()
        self.given = harness.given
        self.conversation: Conversation = protocol.converse(protocol.make_memory(), Attempt())
        missing = missing_method(protocol, self.conversation)
        assert missing is None, missing
        self.now = 0.0
        self.up: deque[Frame] = deque()
        self.down: deque[Frame] = deque(self.server.greet())
        self.outputs: list[Output] = []
        self.take(self.conversation.open(self.given, self.now))

    def take(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            assert isinstance(output, Output), f"{output!r} is not an output of a conversation"
            if isinstance(output, Write):
                assert isinstance(output.frame, (str, bytes)), "a frame is text or bytes"
                self.up.append(output.frame)
            elif isinstance(output, Ask):
                value = self.given[output.what]
                self.take(self.conversation.told(output, value, self.now))
            else:
                self.outputs.append(output)

    def client_reads(self) -> None:
        self.take(self.conversation.hear(self.down.popleft(), self.now))

    def server_reads(self) -> None:
        self.down += self.server.hear(self.up.popleft())

    def settle(self) -> None:
        """Let both sides say everything that they have to say, at the pace of the protocol."""
        for _ in range(MOST_ROUNDS):
            while self.up:
                self.server_reads()
            if self.down:
                self.client_reads()
                continue
            deadline = self.conversation.deadline
            if self.up or deadline is None or deadline > self.now + 5:
                return  # a heartbeat may be due later, again and again
            self.now = max(self.now, deadline)
            self.take(self.conversation.tick(self.now))
            left = self.conversation.deadline
            assert left is None or left > self.now, "after `tick` the deadline lies in the future"
        raise AssertionError(f"the conversation did not come to rest in {MOST_ROUNDS} rounds")

    def subscribe(self, keys: Iterable[Hashable]) -> list[WireSubscription]:
        subscriptions = [WireSubscription(key) for key in keys]
        if subscriptions:
            self.take(self.conversation.subscribe(subscriptions, self.now))
        return subscriptions

    def of(self, kind: type[Any], subscription: WireSubscription) -> list[Any]:
        return [
            output
            for output in self.outputs
            if isinstance(output, kind) and getattr(output, "subscription", None) is subscription
        ]


def _opened(harness: ProtocolHarness) -> _Talk:
    talk = _Talk(harness)
    talk.settle()
    failures = [output for output in talk.outputs if isinstance(output, Failed)]
    assert not failures, f"the server was right, and the conversation says {failures}"
    return talk


def _opens_once(harness: ProtocolHarness) -> None:
    talk = _opened(harness)
    opened = [output for output in talk.outputs if isinstance(output, Opened)]
    assert len(opened) == 1, f"`Opened` is said once, not {len(opened)} times"


def _two_conversations_know_nothing_of_each_other(harness: ProtocolHarness) -> None:
    alone, first, second = _opened(harness), _Talk(harness), _Talk(harness)
    for talk in (first, second):
        talk.settle()
    for talk in (alone, first, second):
        talk.subscribe(harness.keys)
        talk.settle()
    kinds = [[type(output) for output in talk.outputs] for talk in (alone, first, second)]
    assert kinds[0] == kinds[1] == kinds[2], "the same inputs have the same outputs"
    assert harness.protocol.make_memory() is None or (
        harness.protocol.make_memory() is not harness.protocol.make_memory()
    ), "each connection has a memory of its own"


def _raises_nothing_for_what_a_server_says(harness: ProtocolHarness) -> None:
    for frame in GARBAGE:
        for talk in (_Talk(harness), _opened(harness)):
            subscriptions = talk.subscribe(harness.keys)
            said = [len(talk.of(Subscribed, each)) for each in subscriptions]
            try:
                talk.take(talk.conversation.hear(frame, talk.now))
            except Exception as error:
                raise AssertionError(f"{frame!r} raised {error!r}; say `Failed` instead") from error
            now_said = [len(talk.of(Subscribed, each)) for each in subscriptions]
            assert said == now_said, f"{frame!r} is not an answer"
            answers = [output for output in talk.outputs if isinstance(output, Answered)]
            assert not answers, f"{frame!r} answers a request that was not made"


def _subscribes_and_releases(harness: ProtocolHarness) -> None:
    talk = _opened(harness)
    subscriptions = talk.subscribe(harness.keys)
    talk.settle()
    assert set(talk.server.subscribed) == set(harness.keys), "the server was asked for each key"
    for subscription in subscriptions:
        assert len(talk.of(Subscribed, subscription)) == 1, "each answer is said once"
        talk.down += talk.server.publish(subscription.key, {"to": str(subscription.key)})
    talk.settle()
    for subscription in subscriptions:
        assert len(talk.of(Received, subscription)) == 1, "a message reaches its subscription"
    talk.take(talk.conversation.unsubscribe(subscriptions[:1], talk.now))
    talk.settle()
    left = set(harness.keys[1:])
    assert left <= set(talk.server.subscribed), "only what is released is taken back"
    again = talk.subscribe(harness.keys[:1])
    talk.settle()
    talk.down += talk.server.publish(again[0].key, {"to": "again"})
    talk.settle()
    assert talk.of(Subscribed, again[0]), "a key may come again on the same connection"
    assert talk.of(Received, again[0]), "and its messages too"


def _delivers_what_stands_right_behind_the_answer(harness: ProtocolHarness) -> None:
    talk = _opened(harness)
    (subscription,) = talk.subscribe(harness.keys[:1])
    while talk.up:
        talk.server_reads()
    if subscription.key in set(talk.server.subscribed):
        talk.down += talk.server.publish(subscription.key, {"to": "the first reader"})
        talk.settle()
        assert talk.of(Received, subscription), "the message behind the answer was lost (SU4)"


def _delivers_nothing_of_what_was_released(harness: ProtocolHarness) -> None:
    talk = _opened(harness)
    (subscription,) = talk.subscribe(harness.keys[:1])
    talk.settle()
    talk.down += talk.server.publish(subscription.key, {"to": "nobody"})
    talk.take(talk.conversation.unsubscribe([subscription], talk.now))
    talk.settle()
    assert not talk.of(Received, subscription), "it was released before the message was read"


def _a_refusal_concerns_its_subscription_only(harness: ProtocolHarness) -> None:
    talk = _opened(harness)
    subscriptions = talk.subscribe([harness.refused_key, *harness.keys])
    talk.settle()
    refused, *others = subscriptions
    assert len(talk.of(Refused, refused)) == 1, "the refusal is said, once"
    assert talk.of(Refused, refused)[0].why, "with the server's words"
    for subscription in others:
        assert talk.of(Subscribed, subscription), "the others are accepted (SU6)"
        assert not talk.of(Refused, subscription), "and not refused"
    assert set(talk.server.subscribed) == set(harness.keys), "the server has the others"
