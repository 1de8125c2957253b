"""Effects: orders to the driver, in the imperative. The machine gives them; it carries out none."""

from __future__ import annotations

from typing import Literal, TypeAlias

from sockstore.base.frozen import frozen
from sockstore.base.outcomes import Outcome
from sockstore.base.positions import Gap
from sockstore.base.state import Attempt
from sockstore.machine.delivery import Outgoing
from sockstore.machine.session_frames import Published

__all__ = [
    "AbortTransport",
    "AskPredicate",
    "AwaitMessage",
    "CloseTransport",
    "DeliverGap",
    "DeliverMissed",
    "Effect",
    "FlushOutbox",
    "OpenTransport",
    "RunOnOpen",
    "SendHeartbeat",
    "SendPing",
    "SendText",
    "SettleReceipts",
    "Warn",
]


@frozen
class OpenTransport:
    """Ask the callables for url, headers and subprotocols, then do the opening handshake."""

    transport: int
    attempt: Attempt


@frozen
class RunOnOpen:
    """Load the snapshot if it is owed and report `SnapshotLoaded`; call the user's ``on_open``.

    `OnOpenFinished` is reported behind both, or as soon as one of them fails.
    """

    transport: int
    needs_state: bool = False


@frozen
class AwaitMessage:
    """Report `MessageComing` before the next message is delivered."""

    transport: int


@frozen
class CloseTransport:
    """Begin the closing handshake; what still arrives on this transport is discarded."""

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
    """Send the message that the server wants to hear now and then."""

    transport: int


@frozen
class FlushOutbox:
    """Hand over what waits, in order, for as long as `Machine.next_to_send` gives something."""


@frozen
class SendText:
    """Send what the session itself has to say."""

    transport: int
    text: str


@frozen
class DeliverGap:
    """Tell the streams that messages are missing."""

    gap: Gap


@frozen
class DeliverMissed:
    """Deliver what was said while there was no connection, for as long as this transport counts."""

    transport: int
    publications: tuple[Published, ...]


@frozen
class SettleReceipts:
    """It is known what became of these messages."""

    entries: tuple[Outgoing, ...]
    state: Literal["acknowledged", "expired", "dropped", "refused", "unknown"]
    why: str


@frozen
class AskPredicate:
    """Call the user's ``should_reconnect`` and report `PredicateAnswered`."""

    question: int
    outcome: Outcome


@frozen
class Warn:
    """Log a warning."""

    text: str


Effect: TypeAlias = (
    OpenTransport
    | RunOnOpen
    | AwaitMessage
    | CloseTransport
    | AbortTransport
    | SendPing
    | SendHeartbeat
    | SendText
    | DeliverGap
    | DeliverMissed
    | FlushOutbox
    | SettleReceipts
    | AskPredicate
    | Warn
)
