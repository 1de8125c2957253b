"""Define the events: what happened, in the past tense.

Every event of a transport carries the number of that transport, so that an event of an older one
is recognised and changes nothing. Other modules import this one `as fact`: `fact.Slept`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from sockstore.base.close import Close
from sockstore.base.errors import HandshakeFailed, InvalidOption, InvalidURI, StopReconnecting
from sockstore.base.frozen import frozen
from sockstore.base.options import Heartbeat
from sockstore.base.outcomes import Word
from sockstore.base.state import Attempt, Hint, SocketInfo

AttemptError: TypeAlias = HandshakeFailed | InvalidOption | InvalidURI | StopReconnecting
"""The errors that may end an attempt."""

if TYPE_CHECKING:
    from sockstore.protocols.base import Ask, CallFailure, Output, WireSubscription


@frozen
class ConnectRequested:
    """The user called ``connect()``; `destination` is a url or the callable that makes one."""

    destination: object


@frozen
class UsersChanged:
    """Somebody uses a lazy connection from now on, or nobody does; or a message waits for it.

    It is told on the loop that the connection may connect on.

    Args:
        has_users: Whether anybody does.
        destination: As in `ConnectRequested`; None if it is not known.
        arms: Whether it is idle from now on if it had ended: then it connects when it is used.
    """

    has_users: bool
    destination: object
    arms: bool = False


@frozen
class CloseRequested:
    """The user called ``close()``; code and reason are already validated."""

    code: int = 1000
    reason: str = ""


@frozen
class ReconnectRequested:
    """The user called ``reconnect()``; `destination` is as in `ConnectRequested`."""

    destination: object


@frozen
class MessagesWithdrawn:
    """The messages with these receipts were taken back, those of them that still wait."""

    receipts: tuple[object, ...]


@frozen
class TransportOpened:
    """The opening handshake succeeded.

    Args:
        transport: Its number.
        socket: The open socket.
        given: The values of the protocol's parameters.
        attempt: The attempt that succeeded.
    """

    transport: int
    socket: SocketInfo
    given: Mapping[str, object] = MappingProxyType({})
    attempt: Attempt = Attempt()


@frozen
class AttemptFailed:
    """The opening handshake, or a callable that prepares it, failed; the transport is released."""

    transport: int
    exception: AttemptError


@frozen
class OnOpenFinished:
    """The user's ``on_open`` returned, or it raised.

    Args:
        transport: The transport that was being opened.
        exception: What was raised; None if it returned.
        meaning: What the program says that it means; None leaves it to the table.
    """

    transport: int
    exception: AttemptError | None = None
    meaning: Word | None = None


@frozen
class HeartbeatGiven:
    """The user's ``on_open`` gave this connection a heartbeat."""

    transport: int
    heartbeat: Heartbeat


@frozen
class TransportClosed:
    """The WebSocket ended: close frames were exchanged, or the bytes stopped.

    Args:
        transport: Its number.
        close: Code, reason and cleanness, normalised.
        why: The reason, as the end of a sentence.
        cause: The exception below it, if there was one.
        last_words: What the server said last, in words to show, if it ended before it was open.
    """

    transport: int
    close: Close
    why: str
    cause: Exception | None = None
    last_words: str = ""


@frozen
class TransportReleased:
    """The transport is released: its socket is closed and its tasks have ended."""

    transport: int


@frozen
class PongReceived:
    """The peer answered the ping with this payload."""

    transport: int
    payload: bytes


@frozen
class ConversationRaised:
    """A conversation raised when it was given a frame: it is the user's, and has a bug."""

    transport: int
    error: Exception


@frozen
class ConversationSaid:
    """A conversation made of a frame what `Machine.hear` could not leave to its caller."""

    transport: int
    outputs: tuple[Output, ...]


@frozen
class SubscriptionWanted:
    """The program wants a subscription from now on."""

    subscription: WireSubscription


@frozen
class SubscriptionReleased:
    """The program does not want a subscription; it is taken back after `linger` seconds."""

    subscription: WireSubscription
    linger: float = 0.0


@frozen
class TurnEnded:
    """The turn of the loop in which subscriptions became wanted, or were released, is over."""


@frozen
class RequestGivenUp:
    """The program waits for the answer to this request no longer."""

    request: object


@frozen
class CallAnswered:
    """The program answered a call of the server, with a result or a failure."""

    transport: int
    call: object
    result: object = None
    failure: CallFailure | None = None


@frozen
class ProgramAnswered:
    """The program gave the value that a conversation asked it for; or `failure` says why not."""

    transport: int
    question: Ask
    value: object = None
    failure: str | None = None


@frozen
class LossDeclared:
    """The user's program says that the connection is lost."""

    why: str


@frozen
class WritingPaused:
    """The transport's buffer is above its high-water mark."""

    transport: int


@frozen
class WritingResumed:
    """The transport's buffer is below its low-water mark again."""

    transport: int


@frozen
class PredicateAnswered:
    """``should_reconnect`` returned `allowed`, or raised `exception`."""

    question: int
    allowed: bool
    exception: Exception | None = None


@frozen
class DeadlineReached:
    """The machine's deadline has passed.

    Args:
        heard: Reads that brought bytes from the live transport so far.
        reading_paused: Whether this side stopped reading, because too much waits to be delivered.
        last_message_at: When a message was last added to the log, in the clock of `now`.
        last_data_at: When any data message last came, replies to heartbeats and answers to
            requests included, in the same clock; None without a heartbeat.
        awaits: What ``on_open`` waits for, in words; empty if that is not known.
    """

    heard: int = 0
    reading_paused: bool = False
    last_message_at: float | None = None
    last_data_at: float | None = None
    awaits: str = ""


@frozen
class Hinted:
    """The platform said something about the network; `heard` is as in `DeadlineReached`."""

    hint: Hint
    heard: int = 0


@frozen
class Slept:
    """The computer slept for `seconds`, or its clock jumped; `heard` is as in `DeadlineReached`."""

    seconds: float
    heard: int = 0


Event: TypeAlias = (
    ConnectRequested
    | UsersChanged
    | CloseRequested
    | ReconnectRequested
    | MessagesWithdrawn
    | TransportOpened
    | AttemptFailed
    | ConversationRaised
    | ConversationSaid
    | SubscriptionWanted
    | SubscriptionReleased
    | TurnEnded
    | RequestGivenUp
    | CallAnswered
    | ProgramAnswered
    | LossDeclared
    | OnOpenFinished
    | HeartbeatGiven
    | TransportClosed
    | TransportReleased
    | PongReceived
    | WritingPaused
    | WritingResumed
    | PredicateAnswered
    | DeadlineReached
    | Hinted
    | Slept
)
