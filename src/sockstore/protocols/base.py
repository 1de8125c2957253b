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

from collections.abc import Mapping
from typing import Any, ClassVar

from sockstore.base.codecs import decode_json, encode
from sockstore.base.frozen import frozen
from sockstore.base.options import Heartbeat
from sockstore.base.outcomes import Word
from sockstore.base.positions import Position
from sockstore.base.state import Attempt
from sockstore.protocols.conversation import Conversation, lacks
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
            return f"{name} says {flag} = True, and {lacks(conversation, method)}"
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
