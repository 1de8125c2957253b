"""Define what a conversation says: what the server said, and what is to be done."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from sockstore.base.errors import RequestFailed
from sockstore.base.frozen import frozen
from sockstore.base.outcomes import Word
from sockstore.base.positions import GapReason, Position

if TYPE_CHECKING:
    from sockstore.base.records import Publication

__all__ = [
    "Answered",
    "Ask",
    "CallFailure",
    "Called",
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


@frozen
class Member:
    """One connection of somebody who is in a room.

    Args:
        client: The name of the connection, unique on its server.
        user: The name of its user; None without one.

    Example:
        >>> Member("9b42e55c", "Ann").user
        'Ann'
    """

    client: str
    user: str | None = None


class News(Protocol):
    """A message that was read quickly, by `Conversation.news`; it is good until the next one."""

    subscription: WireSubscription
    """Whose message it is."""

    data: Any
    """Its data; no bytes."""

    frame: str
    """Its frame."""

    more: bool
    """Whether others follow in the same frame of the WebSocket."""

    def place(self) -> Publication | None:
        """Return its place in a log."""

    def again(self, frame: str) -> tuple[Any, Publication | None]:
        """Return the data and the place of a frame that was such a message, at any time later."""


class WireSubscription:
    """One subscription as its server sees it, however many handles of the program share it.

    Two are equal only if they are the same object.

    Args:
        key: What the program calls it.
        params: What else the server is asked with; part of what tells subscriptions apart.
        token: The program's token for it, or a callable that makes one; conversations `Ask` for it.
        since: What the program has read already; None for nothing.

    Attributes:
        memory: What the protocol has to remember of it over connections, a position for example;
            only conversations set it.
    """

    __slots__ = ("key", "memory", "params", "since", "token")

    def __init__(
        self,
        key: Hashable,
        params: Mapping[str, Any] = MappingProxyType({}),
        *,
        token: object = None,
        since: Position | None = None,
    ) -> None:
        self.key: Hashable = key
        self.params: Mapping[str, Any] = params
        self.token: object = token
        self.since: Position | None = since
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
        what: The name of the parameter, one of `BaseProtocol.parameters`; ``"token"`` for a
            subscription is its own.
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
        data: Its data; bytes and text as they are, everything else as decoded JSON. JSON that
            cannot be decoded comes as its text and the error: a codec may read it.
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
        missed: How many messages follow at once, because they were missed. They may wait beyond the
            limit of a stream.
    """

    subscription: WireSubscription
    answer: Any = None
    recovered: bool | None = None
    missed: int = 0


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
        since: The offset of the last message before them; None if unknown.
        until: The offset of the last one that is missing; None if unknown.
    """

    subscription: WireSubscription
    reason: GapReason
    since: int | None = None
    until: int | None = None


@frozen
class Members:
    """Who is in a subscription now: all of them, as `Subscription.members` shows them."""

    subscription: WireSubscription
    members: tuple[Member, ...]


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

    Its receipt shows that in `state` and `why`. A protocol that ``acknowledges_messages`` says it
    of each message, and ``await receipt`` waits for it.

    Args:
        entry: The message.
        state: What the server said.
        why: Its words.
        offset: Where it is stored, if the server says it.
    """

    entry: object
    state: Literal["acknowledged", "refused"]
    why: str = ""
    offset: int | None = None


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
    | Members
    | Ended
    | Answered
    | Called
    | Settled
    | Raised
    | Failed
)
