"""Define what a conversation says: what the server said, and what is to be done."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from sockstore.base.errors import RequestFailed
from sockstore.base.frozen import frozen
from sockstore.base.outcomes import Word
from sockstore.base.positions import GapReason, Publication

__all__ = [
    "Answered",
    "Ask",
    "CallFailure",
    "Called",
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
]

Frame: TypeAlias = str | bytes
"""A text message (`str`) or a binary one (`bytes`) of the WebSocket."""

CallFailure: TypeAlias = RequestFailed | Literal["unknown", "arguments", "raised", "busy"]
"""Why a call of the server gets no result: the program's own answer; no function handles it; its
parameters do not fit the function; the function raised; or too many calls are under way."""


class WireSubscription:
    """One subscription as its server sees it, however many handles of the program share it.

    Two are equal only if they are the same object.

    Args:
        key: What the program calls it.
        params: What else the server is asked with; part of what tells subscriptions apart.

    Attributes:
        memory: What the protocol has to remember of it over connections, a position for example;
            only conversations set it.
    """

    __slots__ = ("key", "memory", "params")

    def __init__(self, key: Hashable, params: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.key: Hashable = key
        self.params: Mapping[str, Any] = params
        self.memory: Any = None

    def __repr__(self) -> str:
        return f"<WireSubscription {self.key!r}>"


# Outputs: what is to be done


@frozen
class Write:
    """Write this frame on the transport of the conversation, before all that waits in the outbox.

    What was handed to the network already leaves before it.
    """

    frame: Frame


@frozen
class Ask:
    """Ask the program for a value that only it knows; `Conversation.told` is called with it.

    Args:
        what: The name of the parameter, one of `BaseProtocol.parameters`.
        subscription: The subscription that needs it; None for the connection.
        refresh: Whether the last value was refused, or is about to expire.
    """

    what: str
    subscription: WireSubscription | None = None
    refresh: bool = False


# Outputs: what the server said


@frozen
class Opened:
    """The server lets us in: ``on_open`` runs next, then subscriptions, then the outbox.

    It is said once; a second one does nothing.
    """


@frozen
class Received:
    """A message came.

    Args:
        data: Its data; bytes and text as they are, everything else as decoded JSON.
        subscription: Whose message it is; None if it belongs to no subscription.
        publication: Its place in a log, if the server has one.
        text: The JSON text of `data`, if it is at hand: a log keeps it, as it is smaller.
    """

    data: Any
    subscription: WireSubscription | None = None
    publication: Publication | None = None
    text: str | None = None


@frozen
class Subscribed:
    """The server accepted a subscription.

    Args:
        subscription: The subscription.
        answer: What the server answered; None if it said nothing.
        recovered: Whether everything since the last connection follows; None if that was not asked.
    """

    subscription: WireSubscription
    answer: Any = None
    recovered: bool | None = None


@frozen
class Refused:
    """The server refused a subscription that it has not accepted.

    Args:
        subscription: The subscription.
        why: The server's words.
        is_temporary: Whether to ask again after a while.
    """

    subscription: WireSubscription
    why: str
    is_temporary: bool = False


@frozen
class Missed:
    """Messages of a subscription are missing, before those that follow.

    Streams that ask for gaps get one here, and a snapshot is loaded again.

    Args:
        subscription: The subscription.
        reason: Why, for people.
    """

    subscription: WireSubscription
    reason: GapReason


@frozen
class Ended:
    """The server ended a subscription that it had accepted.

    Args:
        subscription: The subscription.
        error: The server's words if that was a failure; None if it is complete.
    """

    subscription: WireSubscription
    error: str | None = None


@frozen
class Answered:
    """The answer to a request came; `error` is raised in its caller if it is given."""

    request: object
    data: Any = None
    error: Exception | None = None


@frozen
class Called:
    """The server calls the program.

    Args:
        name: The name of the method or event.
        data: Its parameters.
        call: What `Conversation.reply` is given with the result; None if no reply is expected.
        subscription: Whose call it is; None if it is the connection's.
        message: The whole message, for programs that do not handle this name.
    """

    name: str
    data: Any
    call: object = None
    subscription: WireSubscription | None = None
    message: Any = None


@frozen
class Settled:
    """The server acknowledged or refused a message that was handed to `Conversation.send`.

    Its receipt shows that in `state` and `why`; ``await receipt`` has returned at ``"sent"``.
    """

    entry: object
    state: Literal["acknowledged", "refused"]
    why: str = ""


@frozen
class Raised:
    """A function that the user gave to the protocol raised; it is reported, and nothing is lost."""

    error: Exception
    name: str


@frozen
class Failed:
    """The conversation cannot go on; before `Opened` it is a failed attempt, then a loss.

    Args:
        why: The server's words, or what it did wrong.
        kind: What to do next, a word of `Classification`.
    """

    why: str
    kind: Word = "retry"


Output: TypeAlias = (
    Write
    | Ask
    | Opened
    | Received
    | Subscribed
    | Refused
    | Missed
    | Ended
    | Answered
    | Called
    | Settled
    | Raised
    | Failed
)
