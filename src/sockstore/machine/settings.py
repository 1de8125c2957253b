"""What the machine must know of a connection's options."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from sockstore.base.checks import require_seconds
from sockstore.base.frozen import frozen
from sockstore.base.options import Heartbeat, Outbox, Reconnect

if TYPE_CHECKING:
    from sockstore.connection.recovery import Session

__all__ = ["Settings"]


@frozen(kw_only=True)
class Settings:
    """The decisions that the user's options made in advance.

    Args:
        reconnect: The policy; None if reconnecting is off.
        outbox: The limits of the outbox; None if nothing may wait.
        connect_timeout: Seconds for one attempt, from DNS to the end of the handshake; and
            again for ``fetch_state`` and ``on_open`` together.
        close_timeout: Seconds for the closing handshake.
        can_ping: Whether the transport can send pings.
        ping_interval: Seconds between pings; None for no pings.
        ping_timeout: Seconds an inbound byte may take after a ping.
        idle_timeout: Seconds without a data message that end a connection; None for never.
        heartbeat: The application's own ping; None without one.
        session: What a session was asked for; None without one.
        has_on_open: Whether an ``on_open`` runs before the connection is open for everyone.
        has_fetch_state: Whether a snapshot is loaded before that, where one is needed.
        has_predicate: Whether a ``should_reconnect`` is asked before each retry.
        can_refresh: Whether a callable makes the headers.

    Raises:
        InvalidOption: If a value cannot work.
    """

    reconnect: Reconnect | None = field(default_factory=Reconnect.exponential)
    outbox: Outbox | None = field(default_factory=Outbox)
    connect_timeout: float = 10.0
    close_timeout: float = 5.0
    can_ping: bool = True
    ping_interval: float | None = 20.0
    ping_timeout: float = 20.0
    idle_timeout: float | None = None
    heartbeat: Heartbeat | None = None
    session: Session | None = None
    has_on_open: bool = False
    has_fetch_state: bool = False
    has_predicate: bool = False
    can_refresh: bool = False

    def __post_init__(self) -> None:
        require_seconds("connect_timeout", self.connect_timeout)
        require_seconds("close_timeout", self.close_timeout)
        require_seconds("ping_interval", self.ping_interval, optional=True)
        require_seconds("ping_timeout", self.ping_timeout)
        require_seconds("idle_timeout", self.idle_timeout, optional=True)
