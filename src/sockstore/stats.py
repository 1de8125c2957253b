"""The figures of a connection."""

from __future__ import annotations

from sockstore.frozen import frozen
from sockstore.machine.state import Phase

__all__ = ["Stats"]


@frozen(kw_only=True)
class Stats:
    """What a connection has done so far.

    Args:
        phase: What it is at now.
        attempts: Attempts to connect that began.
        connections: Attempts that opened a connection.
        losses: Connections that ended without this program's doing.
        open_seconds: For how long it has been open in all.
        messages_received: Messages that came, answers to requests and heartbeats not counted.
        messages_sent: Messages that were handed over to the network.
        messages_waiting: Messages in the outbox.
        messages_unanswered: Messages of a session that are not acknowledged yet.
        bytes_waiting: Bytes that were sent and not yet given to the network.
        latency: Seconds that the last ping took; None before the first.
    """

    phase: Phase
    attempts: int
    connections: int
    losses: int
    open_seconds: float
    messages_received: int
    messages_sent: int
    messages_waiting: int
    messages_unanswered: int
    bytes_waiting: int
    latency: float | None
