"""Hold a machine's settings and everything that it remembers, and the shared changes.

`transitions.py`, `opening.py`, `endings.py` and `idling.py` change the memory; `Machine` reads it.
"""

from __future__ import annotations

import math
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from sockstore.base.checks import require_seconds
from sockstore.base.close import Close
from sockstore.base.frozen import frozen
from sockstore.base.options import Heartbeat, Reconnect
from sockstore.base.outcomes import Outcome
from sockstore.base.positions import Gap
from sockstore.base.sending import Outbox
from sockstore.base.state import Attempt, ConnectionState
from sockstore.machine import effects as order
from sockstore.machine.delivery import Flights, RetiredTransports
from sockstore.machine.effects import Effect
from sockstore.machine.phases import (
    LIVE,
    AnyPhase,
    Closed,
    Closing,
    Connecting,
    Failed,
    Idle,
    Joining,
    Live,
    Open,
    Preparing,
    Waiting,
)
from sockstore.machine.reconnect import Decision, Streak
from sockstore.machine.sending import Sending
from sockstore.machine.subscriptions import WAITING, SubscriptionBook

if TYPE_CHECKING:
    from sockstore.protocols.base import BaseProtocol, SentMessages

__all__ = ["LazyUse", "Memory", "Settings"]


@frozen(kw_only=True)
class Settings:
    """The user's options, as far as the machine's decisions need them.

    Args:
        reconnect: The policy; None if reconnecting is off.
        outbox: The limits of the outbox; None if nothing may wait.
        connect_timeout: Seconds for one attempt, from DNS to the end of the handshake; and
            again for the opening: that of a protocol, and ``on_open``.
        close_timeout: Seconds for the closing handshake.
        can_ping: Whether the transport can send pings.
        ping_interval: Seconds between pings; None for no pings.
        ping_timeout: Seconds an inbound byte may take after a ping.
        idle_timeout: Seconds without a data message that end a connection; None for never.
        heartbeat: The application's own ping; None without one.
        protocol: What frames mean on the server; None is as `Plain`.
        linger: Seconds that a lazy connection stays open after its last use; None if it is not.
        has_on_open: Whether an ``on_open`` runs before the connection is open for everyone.
        has_predicate: Whether a ``should_reconnect`` is asked before each retry.
        can_refresh: Whether a callable could give other credentials.

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
    protocol: BaseProtocol | None = None
    linger: float | None = None
    has_on_open: bool = False
    has_predicate: bool = False
    can_refresh: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether frames are the program's messages, which no conversation is asked about."""
        return self.protocol is None or self.protocol.is_plain

    def __post_init__(self) -> None:
        require_seconds("connect_timeout", self.connect_timeout)
        require_seconds("close_timeout", self.close_timeout)
        require_seconds("ping_interval", self.ping_interval, optional=True)
        require_seconds("ping_timeout", self.ping_timeout)
        require_seconds("idle_timeout", self.idle_timeout, optional=True)


class LazyUse:
    """Who uses a lazy connection.

    Args:
        linger: Seconds that it stays open after its last use.

    Attributes:
        linger: The same.
        has_users: Whether anybody reads its messages, or waits for an answer; set by
            `UsersChanged`.
        was_used: Whether anybody has used it since it began; set by `end_if_unused` and `sent`.
        until: When it closes; infinite while it is used. Set by `end_if_unused` and `sent`.
    """

    __slots__ = ("has_users", "linger", "until", "was_used")

    def __init__(self, linger: float) -> None:
        self.linger: float = linger
        self.has_users: bool = False
        self.was_used: bool = False
        self.until: float = math.inf

    def began(self) -> None:
        """It was asked to connect, by the program or by its use."""
        self.was_used, self.until = False, math.inf

    def sent(self, now: float) -> None:
        """A message was handed over at once."""
        self.was_used = True
        self.until = math.inf if self.has_users else now + self.linger


class Memory:
    """Everything that one machine remembers."""

    def __init__(self, settings: Settings, destination: object) -> None:
        protocol = settings.protocol
        self.settings: Final = settings
        # What the protocol remembers over connections; only its conversations change it.
        self.protocol_memory: Final[Any] = protocol and protocol.make_memory()
        # The messages that the server acknowledges, and whether a connection repeats those of the
        # one before it. Set once.
        sent = None if protocol is None else protocol.sent_messages(self.protocol_memory)
        self.repeats: Final[bool] = sent is not None
        if sent is None and protocol is not None and protocol.acknowledges_messages:
            sent = _sent_messages()
        self.sending: Final[Sending] = Sending(settings.outbox, sent)
        # Who uses it, if it is lazy; changed by its own methods, and by events.
        self.lazy: Final = None if settings.linger is None else LazyUse(settings.linger)
        # What the program wants to be told by the server; None if it cannot be asked.
        self.book: Final = (
            SubscriptionBook(self._wait_after_refusals)
            if protocol is not None and protocol.has_subscriptions
            else None
        )
        # The destination; set by each event that asks for a connection.
        self.destination = destination
        # The present phase; set by the transitions, and by `begin_attempt` and `wait`.
        self.phase: AnyPhase = Idle()
        # The phase as users see it; set by `Machine.handle`.
        self.state: ConnectionState = ConnectionState()
        # Transports that were closed, replaced or lost; they leave it when they are released.
        self.retired: Final = RetiredTransports()
        # The number of the newest transport; set by `begin_attempt`.
        self.transports: int = 0
        # The number of the last question to `should_reconnect`; set when it is asked.
        self.questions = 0
        # Whether a handshake ever succeeded; set by the first one.
        self.opened_before = False
        # Whether messages can be missed; set by the first message or the first open connection.
        self.has_begun = False
        # A gap of unknown size that streams must be told before the next message, or once a
        # connection is open; set when a connection begins, cleared when it is told.
        self.gap: Gap | None = None
        # The decision about the last end; set by `record`.
        self.decision: Decision | None = None
        # Decisions for the next list of effects: `record` adds them, `Machine.handle` returns and
        # clears them. The user's code may dispatch another event while a decision is being made.
        self.unreported: list[Effect] = []
        # Until when retries wait for the platform to be online; set by hints. It may be over.
        self.offline_until: float = -math.inf

    def record(self, decision: Decision) -> None:
        """Keep a decision about the last end."""
        self.decision = decision
        self.unreported.append(order.RecordDecision(decision))

    def begin_attempt(self, streak: Streak, now: float) -> list[Effect]:
        """Begin an opening handshake, on a new transport."""
        self.transports += 1
        deadline = now + self.settings.connect_timeout
        self.phase = Connecting(self.transports, deadline, streak)
        attempt = Attempt(streak.failures, streak.refreshing, streak.previous)
        return [order.OpenTransport(self.transports, attempt)]

    def wait(self, until: float, streak: Streak, close: Close | None) -> None:
        """Wait for the next attempt; longer if the platform is offline."""
        self.phase = Waiting(max(until, self.offline_until), streak, close)

    def retire(
        self, now: float, code: int = 1000, reason: str = "", *, abort: bool = False
    ) -> list[Effect]:
        """Retire the live transport: its messages count no more, and it is closed or aborted."""
        match self.phase:
            case Connecting(transport=transport):
                self.retired.add(transport, self.last_moment(now), Flights())
                return [order.AbortTransport(transport)]
            case Joining() | Preparing() | Open() as phase:
                retiring, transport = self.lose(phase, now, code), phase.transport
                if not abort:
                    return [*retiring, order.CloseTransport(transport, code, reason)]
                phase.flights.lose()
                return [*retiring, order.AbortTransport(transport)]
            case _:
                return []

    def live(self, transport: int) -> Live | None:
        """Return the phase if the messages of this transport count."""
        phase = self.phase
        return phase if isinstance(phase, LIVE) and phase.transport == transport else None

    def lose(self, phase: Live, now: float, code: int | None = None) -> list[Effect]:
        """Retire the transport of a phase; `code` is that of our close frame, if one is sent."""
        self.retired.add(phase.transport, self.last_moment(now), phase.flights, code)
        waiting = () if self.book is None else self.book.lost()
        lost = [order.ShowSubscription(each, WAITING) for each in waiting]
        given_up = self.sending.lost(repeats=self.repeats)
        return [order.RetireTransport(phase.transport), *lost, *given_up]

    def _wait_after_refusals(self, failures: int) -> float | None:
        """Return how long to wait after so many refusals in a row; None to give up."""
        policy = self.settings.reconnect
        if policy is None or (policy.attempts is not None and failures > policy.attempts):
            return None
        try:
            return policy.wait(failures, Outcome(failures - 1))
        except Exception as error:  # noqa: BLE001 - the schedule is user code
            self.unreported.append(order.ReportError(error, "the reconnect schedule"))
            return None

    @property
    def book_deadline(self) -> float:
        """When to look at the book of subscriptions; never while no connection is asked for."""
        if self.book is None or isinstance(self.phase, Idle | Closing | Closed | Failed):
            return math.inf
        return self.book.deadline(is_open=isinstance(self.phase, Open))

    def last_moment(self, now: float) -> float:
        """Return when a transport that is retired now is aborted."""
        return now + self.settings.close_timeout

    def flush(self, now: float) -> list[Effect]:
        """Return the effects that hand over waiting messages."""
        if not self.sending.has_something:
            return []
        return [*self.sending.expire(now), order.FlushOutbox()]


def _sent_messages() -> SentMessages:
    from sockstore.protocols.sent_messages import SentMessages  # noqa: PLC0415 - not with the package

    return SentMessages()
