"""Define what is said over one transport, as a machine asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sockstore.protocols.outputs import (
    Ask,
    CallFailure,
    Failed,
    Frame,
    News,
    Opened,
    Output,
    Received,
    Refused,
    WireSubscription,
)

__all__ = ["Conversation", "lacks"]


class Conversation:
    """What is said over one transport. The defaults fit a server that only sends messages.

    `hear` is called for every message; the machine calls the other methods as their names say. Each
    returns outputs, to be carried out in order. `now` is in seconds, on a clock that only goes
    forward.

    Whoever overrides `__init__` calls that of this class first: it makes what `next_id` counts.

    Attributes:
        deadline: When `tick` has to be called; None if nothing is waited for.
        max_message_bytes: UTF-8 bytes that the server takes in one frame, once it has said so.
    """

    __slots__ = ("_last_id",)

    deadline: float | None = None
    max_message_bytes: int | None = None

    def __init__(self) -> None:
        # One counter for requests and subscriptions, so that ids never go backwards (OB11).
        self._last_id = 0

    def next_id(self) -> int:
        """Return the next id on this connection, from 1."""
        self._last_id += 1
        return self._last_id

    def open(self, given: Mapping[str, Any], now: float) -> Iterable[Output]:
        """The WebSocket is open: by default that is enough, and `Opened` is said at once.

        Return nothing if the server speaks first, and let `hear` say `Opened` when it lets us in.

        Args:
            given: The values of `BaseProtocol.parameters`.
            now: The time.
        """
        del given, now
        return [Opened()]

    def hear(self, frame: Frame, now: float) -> Iterable[Output]:
        """A message came."""
        del now
        return [Received(frame)]

    def news(self, frames: Iterable[str], now: float) -> Iterator[News | str]:
        """Take the frames that are one message of a subscription each; yield the others.

        A conversation that can tell such frames quickly takes them here, and notes that they came;
        `hear` is told of all that is yielded as it was. The default takes none. One `News` may be
        yielded again and again: it is good until the next one.
        """
        del now
        yield from frames

    def subscribe(self, subscriptions: Sequence[WireSubscription], now: float) -> Iterable[Output]:
        """Ask the server for these, all that became wanted in one turn of the loop.

        Say `Subscribed` at once for those that the server need not be asked for. A protocol that
        ``has_subscriptions`` has this method.
        """
        raise NotImplementedError(lacks(self, "subscribe"))

    def unsubscribe(
        self, subscriptions: Sequence[WireSubscription], now: float
    ) -> Iterable[Output]:
        """Take these back; none of their messages is an output any more."""
        del subscriptions, now
        return []

    def may_send(self, subscription: WireSubscription | None, now: float) -> bool:
        """Whether a message to this subscription may leave now; by default it may.

        If it may not, set the `deadline` at which it may, or wait for what `hear` will be told:
        the machine asks again after both. It asks for None first, which stands for every message:
        false holds all of them back. `send`, `request` and `history` follow at the same time.
        """
        del subscription, now
        return True

    def send(
        self, data: Frame, subscription: WireSubscription | None, entry: Any
    ) -> Iterable[Frame]:
        """A message leaves: return its frames; by default the message itself.

        Args:
            data: What the program sent, encoded.
            subscription: Where `Subscription.send` sent it, in a protocol that
                ``addresses_subscriptions``: such a protocol has this method. Else None.
            entry: What `Settled` names it by; a `SentMessage`, with its id if the program gave one.
        """
        if subscription is not None:
            raise NotImplementedError(lacks(self, "send"))
        del entry
        return [data]

    def request(
        self, data: Any, subscription: WireSubscription | None, request: object
    ) -> Iterable[Frame]:
        """A request leaves: return its frames. A protocol that ``has_requests`` has this method.

        Args:
            data: What `BaseProtocol.encode_request` made of it.
            subscription: Whose request it is; None if it is the connection's.
            request: What `Answered` names it by.
        """
        raise NotImplementedError(lacks(self, "request"))

    def history(
        self, subscription: WireSubscription, limit: int, before: int | None, request: object
    ) -> Iterable[Frame]:
        """The program asks for older messages: return the frames that ask the server.

        A protocol that ``has_history`` has this method. The data of `Answered` is a list of
        `Received`, the oldest first.

        Args:
            subscription: Whose messages.
            limit: How many at most.
            before: The offset that all of them are below; None for the newest.
            request: What `Answered` names it by.
        """
        raise NotImplementedError(lacks(self, "history"))

    def reply(self, call: object, result: Any, failure: CallFailure | None) -> Iterable[Frame]:
        """The program answers what the server called: return the frames that tell the server.

        A protocol that ``has_calls`` has this method, unless no call of its server expects a reply.

        Args:
            call: That of `Called`.
            result: What the program's function returned.
            failure: Why there is no result; None if there is one.

        Raises:
            TypeError: If the result cannot be encoded; reply with a failure instead.
        """
        raise NotImplementedError(lacks(self, "reply"))

    def told(self, question: Ask, value: Any, now: float) -> Iterable[Output]:
        """The program answers an `Ask`."""
        del question, value, now
        return []

    def not_told(self, question: Ask, why: str, now: float) -> Iterable[Output]:
        """The program cannot answer an `Ask`; `why` says what its callable raised."""
        del now
        if question.subscription is None:
            return [Failed(why)]
        return [Refused(question.subscription, why, is_temporary=True)]

    def forget(self, request: object) -> None:
        """The program waits for the answer to this request no longer; it goes nowhere.

        Drop what is remembered of it: it was given up, timed out, or answered already.
        """
        del request

    def tick(self, now: float) -> Iterable[Output]:
        """The deadline has passed; afterwards it is later than `now`, or None."""
        del now
        return []


def lacks(conversation: Conversation, method: str) -> str:
    """Say that a conversation lacks a method that its protocol promises."""
    return f"the conversation {type(conversation).__name__} has no method {method}()"
