"""Effects: orders to the driver, in the imperative. The machine gives them; it carries out none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from sockstore.centrifuge import Published
from sockstore.machine.outbox import Outgoing
from sockstore.machine.state import Attempt
from sockstore.outcomes import Outcome
from sockstore.positions import Gap

__all__ = [
    "AbortTransport",
    "AskPredicate",
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


@dataclass(frozen=True, slots=True)
class OpenTransport:
    """Ask the callables for url, headers and subprotocols, then do the opening handshake."""

    transport: int
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class RunOnOpen:
    """Call the user's ``on_open`` and report `OnOpenFinished`."""

    transport: int


@dataclass(frozen=True, slots=True)
class CloseTransport:
    """Begin the closing handshake; what still arrives on this transport is discarded."""

    transport: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class AbortTransport:
    """End the transport at once, without a closing handshake."""

    transport: int


@dataclass(frozen=True, slots=True)
class SendPing:
    """Send a ping with this payload."""

    transport: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    """Send the message that the server wants to hear now and then."""

    transport: int


@dataclass(frozen=True, slots=True)
class FlushOutbox:
    """Hand over what waits, in order, for as long as `Machine.next_to_send` gives something."""


@dataclass(frozen=True, slots=True)
class SendText:
    """Send what the session itself has to say."""

    transport: int
    text: str


@dataclass(frozen=True, slots=True)
class DeliverGap:
    """Tell the streams that messages are missing."""

    gap: Gap


@dataclass(frozen=True, slots=True)
class DeliverMissed:
    """Deliver what was said while there was no connection."""

    publications: tuple[Published, ...]


@dataclass(frozen=True, slots=True)
class SettleReceipts:
    """It is known what became of these messages."""

    entries: tuple[Outgoing, ...]
    state: Literal["acknowledged", "expired", "dropped", "refused", "unknown"]
    why: str


@dataclass(frozen=True, slots=True)
class AskPredicate:
    """Call the user's ``should_reconnect`` and report `PredicateAnswered`."""

    question: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Warn:
    """Log a warning."""

    text: str


Effect: TypeAlias = (
    OpenTransport
    | RunOnOpen
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
