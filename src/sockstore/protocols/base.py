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
from sockstore.base.positions import Position
from sockstore.base.state import Attempt
from sockstore.protocols.outputs import (
    Answered,
    Ask,
    Called,
    CallFailure,
    Ended,
    Failed,
    Frame,
    Member,
    Members,
    Missed,
    News,
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
from sockstore.protocols.sent_messages import SentMessages

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
    "Member",
    "Members",
    "Missed",
    "News",
    "Opened",
    "Output",
    "Raised",
    "Received",
    "Refused",
    "SentMessages",
    "Settled",
    "Subscribed",
    "WireSubscription",
    "Write",
    "how_to_say",
    "json_copy",
    "missing_method",
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

    def news(self, frame: str, now: float) -> News | None:
        """Return the message that a frame is, where that is all that it says; None otherwise.

        It is asked before `hear`, which is told of all that this leaves: a conversation that can
        tell such frames quickly takes them here, and notes that they came. The default takes none.
        """
        del frame, now
        return None

    def subscribe(self, subscriptions: Sequence[WireSubscription], now: float) -> Iterable[Output]:
        """Ask the server for these, all that became wanted in one turn of the loop.

        Say `Subscribed` at once for those that the server need not be asked for. A protocol that
        ``has_subscriptions`` has this method.
        """
        raise NotImplementedError(_lacks(self, "subscribe"))

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
            raise NotImplementedError(_lacks(self, "send"))
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
        raise NotImplementedError(_lacks(self, "request"))

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
        raise NotImplementedError(_lacks(self, "history"))

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
        raise NotImplementedError(_lacks(self, "reply"))

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


def _lacks(conversation: Conversation, method: str) -> str:
    return f"the conversation {type(conversation).__name__} has no method {method}()"


def missing_method(protocol: BaseProtocol, conversation: Conversation) -> str | None:
    """Say which method a protocol promises, and its conversation does not have; None for none.

    Example:
        >>> class Asking(BaseProtocol):
        ...     has_requests = True
        >>> missing_method(Asking(), Conversation())
        'Asking says has_requests = True, and the conversation Conversation has no method request()'
    """
    for flag, method in (("has_subscriptions", "subscribe"), ("has_requests", "request")):
        inherited = getattr(Conversation, method)
        if getattr(protocol, flag) and getattr(type(conversation), method) is inherited:
            name = type(protocol).__name__
            return f"{name} says {flag} = True, and {_lacks(conversation, method)}"
    return None


def how_to_say(protocol: BaseProtocol, *flags: str) -> str:
    """Return how a protocol of the user's says that it has something; empty for one of ours.

    Example:
        >>> how_to_say(BaseProtocol(), "has_requests")
        ''
    """
    cls = type(protocol)
    if cls.__module__.partition(".")[0] == __name__.partition(".")[0]:
        return ""
    return f" (a protocol of your own says so: {' = '.join(flags)} = True in {cls.__name__})"


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
    """Whether the program can subscribe; its conversations then have `Conversation.subscribe`."""

    has_requests: ClassVar[bool] = False
    """Whether servers answer requests; its conversations then have `Conversation.request`."""

    has_calls: ClassVar[bool] = False
    """Whether servers call the program; a call that expects a reply needs `Conversation.reply`."""

    shares_subscriptions: ClassVar[bool] = True
    """Whether handles with the same key and parameters share one subscription of the server."""

    addresses_subscriptions: ClassVar[bool] = False
    """Whether the program can send to a subscription, ask and be called in it, as in a room."""

    has_messages: ClassVar[bool] = True
    """Whether the program can send to the connection itself, and not only to a subscription."""

    has_history: ClassVar[bool] = False
    """Whether it can ask for older messages; its conversations then have `Conversation.history`."""

    has_members: ClassVar[bool] = False
    """Whether it can see who is in a subscription; its conversations then say `Members`."""

    carries_json: ClassVar[bool] = False
    """Whether all data is JSON, so that text is sent as a JSON string."""

    joins_with: ClassVar[str | None] = None
    """What stands between texts that share one WebSocket message; None if none can share one."""

    acknowledges_messages: ClassVar[bool] = False
    """Whether servers answer each message, so that conversations say `Settled` of each."""

    subscribes_with: ClassVar[frozenset[str]] = frozenset()
    """What else `subscribe` takes: ``"token"``, ``"since"``, or both."""

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

    def sent_messages(self, memory: Any) -> SentMessages | None:
        """Return the part of the memory that knows which messages are sent again after a loss.

        The machine adds to it what it hands over, and removes what is `Settled`. None, the default,
        if nothing is sent again: what was handed over and not answered is ``"unknown"`` then.
        """
        del memory
        return None

    def position(self, subscription: WireSubscription) -> Position | None:
        """Return how far a subscription has been read; None where messages have no places."""
        del subscription
        return None

    def not_delivered(self, output: Received | Missed) -> None:
        """A message or a gap reaches nobody: its connection has ended before it could.

        A protocol that knows how far a subscription was read goes back before it.
        """
        del output

    def converse(self, memory: Any, attempt: Attempt) -> Conversation:
        """Begin a conversation, on a new transport."""
        del memory, attempt
        return Conversation()

    def classify(self, code: int) -> Word | None:
        """Return what a close code of the server means; None leaves it to the usual table."""
        del code
        return None
