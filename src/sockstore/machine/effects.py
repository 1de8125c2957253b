"""Define the effects: orders of the machine to the driver, in the imperative.

Other modules import this one `as order`, so an effect reads `order.OpenTransport`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from sockstore.base.frozen import frozen
from sockstore.base.options import Heartbeat
from sockstore.base.outcomes import Outcome
from sockstore.base.positions import Gap
from sockstore.base.state import Attempt, ConnectionState
from sockstore.machine.delivery import Outgoing
from sockstore.machine.reconnect import Decision
from sockstore.machine.subscriptions import SubscriptionState

if TYPE_CHECKING:
    from sockstore.protocols.base import Ask, Called, Member, Received, WireSubscription


@frozen
class OpenTransport:
    """Ask the callables for url, headers and subprotocols, then do the opening handshake."""

    transport: int
    attempt: Attempt


@frozen
class RunOnOpen:
    """Call the user's ``on_open``, and report `OnOpenFinished` after it.

    Args:
        transport: The transport that is being opened.
        is_reconnection: Whether a connection was open before.
    """

    transport: int
    is_reconnection: bool = False


@frozen
class DeliverLeft:
    """Deliver what this transport brought before the connection was open, and nobody took."""

    transport: int


@frozen
class ExpectReplies:
    """Recognise the replies to a heartbeat on this transport: they are not messages."""

    transport: int
    heartbeat: Heartbeat


@frozen
class RetireTransport:
    """Deliver nothing more of this transport: it was closed, replaced or lost."""

    transport: int


@frozen
class CloseTransport:
    """Begin the closing handshake."""

    transport: int
    code: int
    reason: str


@frozen
class AbortTransport:
    """End the transport at once, without a closing handshake."""

    transport: int


@frozen
class SendPing:
    """Send a ping with this payload."""

    transport: int
    payload: bytes


@frozen
class SendHeartbeat:
    """Send the application's heartbeat."""

    transport: int
    heartbeat: Heartbeat


@frozen
class FlushOutbox:
    """Hand over waiting messages, in order, until `Machine.next_to_send` returns None."""


@frozen
class SendFrame:
    """Send a frame of the protocol itself."""

    transport: int
    frame: str | bytes


@frozen
class Deliver:
    """Deliver a message, until this transport is retired."""

    transport: int
    received: Received


@frozen
class DeliverGapTo:
    """Tell the readers of a subscription that messages are missing.

    Args:
        subscription: The subscription.
        gap: What is missing.
        transport: What the server says on this transport counts until that is retired. None: this
            gap is the machine's own, and counts in any case.
    """

    subscription: WireSubscription
    gap: Gap
    transport: int | None = None


@frozen
class ShowSubscription:
    """Show users what a subscription does.

    Args:
        subscription: The subscription.
        state: What it does.
        answer: The server's, if it just came.
        missed: How many messages follow at once.
    """

    subscription: WireSubscription
    state: SubscriptionState
    answer: object = None
    missed: int = 0


@frozen
class ShowMembers:
    """Show users who is in a subscription."""

    subscription: WireSubscription
    members: tuple[Member, ...]


@frozen
class ForgetSubscription:
    """A subscription that was released is taken back: the next one of its key is another one."""

    subscription: WireSubscription


@frozen
class AwaitTurn:
    """Report `TurnEnded` at the end of this turn of the loop."""


@frozen
class AnswerRequest:
    """Give the caller of a request its answer, or raise `error` there."""

    request: object
    data: object
    error: Exception | None


@frozen
class TakeCall:
    """Call the program's function for this, and report `CallAnswered`."""

    transport: int
    called: Called


@frozen
class AskProgram:
    """Ask the program for a parameter, and report `ProgramAnswered`."""

    transport: int
    question: Ask


@frozen
class ReportError:
    """Report that a function of the user raised."""

    error: Exception
    name: str


@frozen
class DeliverGap:
    """Tell the streams that messages are missing."""

    gap: Gap


@frozen
class SettleReceipts:
    """Set the state of these messages' receipts."""

    entries: tuple[Outgoing, ...]
    state: Literal["acknowledged", "expired", "dropped", "refused", "unknown"]
    why: str


@frozen
class AskPredicate:
    """Call the user's ``should_reconnect`` and report `PredicateAnswered`."""

    question: int
    outcome: Outcome


@frozen
class RecordDecision:
    """Tell the observer the decision about an end; the last decision counts."""

    decision: Decision


@frozen
class RecordState:
    """Tell the observer that another public phase began."""

    left: ConnectionState
    state: ConnectionState


@frozen
class Warn:
    """Log a warning."""

    text: str


Effect: TypeAlias = (
    OpenTransport
    | RunOnOpen
    | DeliverLeft
    | ExpectReplies
    | RetireTransport
    | CloseTransport
    | AbortTransport
    | SendPing
    | SendHeartbeat
    | SendFrame
    | Deliver
    | DeliverGapTo
    | ShowSubscription
    | ForgetSubscription
    | AwaitTurn
    | AnswerRequest
    | TakeCall
    | ShowMembers
    | AskProgram
    | ReportError
    | DeliverGap
    | FlushOutbox
    | SettleReceipts
    | AskPredicate
    | RecordDecision
    | RecordState
    | Warn
)
