"""Define what a protocol is asked, and what its conversations answer.

Three lifetimes, each with a type of its own:

- a *protocol* (`BaseProtocol`) is a frozen value, the user's options; connections may share it;
- its *memory* lives as long as one connection: what a transport learned and the next one needs;
- a *conversation* (`Conversation`) lives as long as one transport. It holds everything else.

All of them are pure. Frames and times go in; outputs come out: what the server said (in the past
tense), and what is to be done (`Write`, `Ask`). A conversation reads no clock, waits for nothing
and raises nothing for what a server said: a server that breaks the protocol is a `Failed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from sockstore.base.codecs import decode_json, encode
from sockstore.base.frozen import frozen
from sockstore.base.options import Heartbeat
from sockstore.base.outcomes import Word
from sockstore.base.state import Attempt
from sockstore.protocols.outputs import (
    Answered,
    Ask,
    Called,
    CallFailure,
    Ended,
    Failed,
    Frame,
    Missed,
    Opened,
    Output,
    Raised,
    Received,
    Refused,
    Settled,
    Subscribed,
    WireSubscription,
    Write,
)

__all__ = [
    "Address",
    "Answered",
    "Ask",
    "BaseProtocol",
    "CallFailure",
    "Called",
    "Conversation",
    "Ended",
    "Failed",
    "Frame",
    "Missed",
    "Opened",
    "Output",
    "Raised",
    "Received",
    "Refused",
    "Settled",
    "Subscribed",
    "WireSubscription",
    "Write",
    "json_copy",
]


@frozen
class Address:
    """Where an attempt goes.

    Args:
        url: The url, with all that the protocol adds to its path and query.
        subprotocols: What is offered to the server, in order.
    """

    url: str
    subprotocols: tuple[str, ...] = ()


class Conversation:
    """What is said over one transport. The defaults fit a server without subscriptions.

    `hear` is called for every message; the machine calls the other methods as their names say. Each
    returns outputs, to be carried out in order. `now` is in seconds, on a clock that only goes
    forward.

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
        """The WebSocket is open; `given` has the values of `BaseProtocol.parameters`."""
        del given, now
        return [Opened()]

    def hear(self, frame: Frame, now: float) -> Iterable[Output]:
        """A message came."""
        del now
        return [Received(frame)]

    def subscribe(self, subscriptions: Sequence[WireSubscription], now: float) -> Iterable[Output]:
        """Ask the server for these, all that became wanted in one turn of the loop."""
        del now
        return [Refused(each, "this protocol has no subscriptions") for each in subscriptions]

    def unsubscribe(
        self, subscriptions: Sequence[WireSubscription], now: float
    ) -> Iterable[Output]:
        """Take these back; none of their messages is an output any more."""
        del subscriptions, now
        return []

    def send(
        self, data: Frame, subscription: WireSubscription | None, entry: object
    ) -> Iterable[Frame]:
        """A message leaves: return its frames; `entry` is what `Settled` names it by."""
        del subscription, entry
        return [data]

    def request(
        self, data: Any, subscription: WireSubscription | None, request: object
    ) -> Iterable[Frame]:
        """A request leaves: return its frames.

        Args:
            data: What `BaseProtocol.encode_request` made of it.
            subscription: Whose request it is; None if it is the connection's.
            request: What `Answered` names it by.
        """
        raise NotImplementedError

    def reply(self, call: object, result: Any, failure: CallFailure | None) -> Iterable[Frame]:
        """The program answers what the server called: return the frames that tell the server.

        Args:
            call: That of `Called`.
            result: What the program's function returned.
            failure: Why there is no result; None if there is one.

        Raises:
            TypeError: If the result cannot be encoded; reply with a failure instead.
        """
        raise NotImplementedError

    def told(self, question: Ask, value: Any, now: float) -> Iterable[Output]:
        """The program answers an `Ask`."""
        del question, value, now
        return []

    def forget(self, request: object) -> None:
        """The program waits for the answer to this request no longer; it goes nowhere."""
        del request

    def tick(self, now: float) -> Iterable[Output]:
        """The deadline has passed; afterwards it is later than `now`, or None."""
        del now
        return []


def json_copy(data: Any) -> Any:
    """Return what arrives if this is sent as JSON.

    Raises:
        TypeError: If it cannot be sent.
    """
    frame = encode(data)
    return frame if isinstance(frame, bytes) or isinstance(data, str) else decode_json(frame)


class BaseProtocol:
    """The base of every protocol: the user's options, and how a conversation begins.

    Make a subclass a frozen dataclass, give it fields for its options, and override what differs.

    Example:
        >>> from dataclasses import dataclass
        >>> class Shout(Conversation):
        ...     def hear(self, frame, now):
        ...         return [Received(frame.upper())]
        >>> @dataclass(frozen=True)
        ... class Shouting(BaseProtocol):
        ...     def converse(self, memory, attempt):
        ...         return Shout()
    """

    __slots__ = ()

    has_subscriptions: ClassVar[bool] = False
    has_requests: ClassVar[bool] = False
    has_calls: ClassVar[bool] = False
    """Whether its servers can be subscribed to, answer requests, and call the program."""

    shares_subscriptions: ClassVar[bool] = True
    """Whether handles with the same key and parameters share one subscription of the server."""

    addresses_subscriptions: ClassVar[bool] = False
    """Whether the program can send to a subscription, ask and be called in it, as in a room."""

    is_plain: ClassVar[bool] = False
    """Whether every message that answers no request is the program's, as it came. Only `Plain` is:
    no conversation is asked about the messages of such a connection."""

    heartbeat: Heartbeat | None = None
    """The application's own ping; None without one."""

    def parameters(self) -> Mapping[str, object]:
        """Return what the program has to give before each attempt, values or callables, by name."""
        return {}

    def address(self, url: str, given: Mapping[str, Any]) -> Address:
        """Return where an attempt goes; `given` has the values of `parameters`."""
        del given
        return Address(url)

    def encode_request(self, data: Any) -> Any:
        """Return what `Conversation.request` is given: a copy, as the program may change `data`.

        Raises:
            TypeError: If `data` cannot be a request.
        """
        return json_copy(data)

    def make_memory(self) -> Any:
        """Return what conversations of one connection remember together."""
        return None

    def converse(self, memory: Any, attempt: Attempt) -> Conversation:
        """Begin a conversation, on a new transport."""
        del memory, attempt
        return Conversation()

    def classify(self, code: int) -> Word | None:
        """Return what a close code of the server means; None leaves it to the usual table."""
        del code
        return None
