"""Limits of a server: what one client may do, and how much one client may cost."""

from __future__ import annotations

from dataclasses import dataclass

from sockstore.base.checks import require_at_least, require_count, require_seconds
from sockstore.base.errors import InvalidOption
from sockstore.base.token_bucket import TokenBucket

__all__ = ["SECONDS_TO_COME_BACK", "Limits", "log_limit"]

SECONDS_TO_COME_BACK = 5
"""The Retry-After of an answer that refuses a connection."""

SECONDS_BETWEEN_LINES = 60.0
"""The least time between two lines of the log about the same shortage."""

KIBIBYTE = 1024
LEAST_BYTES = 64
LARGEST_BURST = 1_000_000
LARGEST_PAGE = 256 * KIBIBYTE
MOST_IN_A_PAGE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of a server; each of them is counted for each client separately.

    Args:
        max_message_bytes: The largest message a client may send, in UTF-8 bytes; a larger one
            closes its connection with 1009.
        rate: Messages a second that a client may send in the long run; more closes its
            connection with 4429.
        burst: Messages that a client which was quiet may send at once.
        buffer_bytes: Bytes that may wait for a client that reads slowly; more closes its
            connection with 1013. At least twice `max_message_bytes`.
        buffer_messages: Messages that may wait for a client that reads slowly.
        close_seconds: Seconds that a client has to read the buffered messages and the close frame;
            then its connection is aborted.
        clients: Clients of the whole server; the next one is answered 503 with Retry-After.
        connections_per_address: Connections that one address may have; the next one is answered
            429. An IPv6 /64 counts as one address; loopback addresses are not counted.
        handshakes_per_address: How many of them may be unfinished handshakes.
        history_messages: Messages that a client gets on entry; 0 sends none. Fewer if they are
            more than half of `buffer_bytes`.
        announced_members: Clients in a room up to which every join and leave is a frame by itself;
            in a fuller room `presence` is sent instead, at most once a second.
        subscriptions: Rooms that one session may be in at once.
        connect_seconds: Seconds that a session has to say ``connect``.
        ping_seconds: Seconds between two pings of a session, which are messages of its protocol.
        pong_seconds: Seconds that a session has to answer such a ping.

    Raises:
        InvalidOption: If a value cannot work.

    Example:
        ::

            create_app(limits=Limits(rate=5, burst=20, max_message_bytes=4096))
    """

    max_message_bytes: int = 64 * KIBIBYTE
    rate: float = 20.0
    burst: int = 100
    buffer_bytes: int = 1024 * KIBIBYTE
    buffer_messages: int = 1024
    close_seconds: float = 5.0
    clients: int = 10_000
    connections_per_address: int = 256
    handshakes_per_address: int = 64
    history_messages: int = 100
    announced_members: int = 100
    subscriptions: int = 100
    connect_seconds: float = 10.0
    ping_seconds: float = 25.0
    pong_seconds: float = 10.0

    def __post_init__(self) -> None:
        require_count("max_message_bytes", self.max_message_bytes, least=LEAST_BYTES)
        require_at_least("rate", self.rate, 0.001)
        require_count("burst", self.burst, least=1)
        require_count("buffer_bytes", self.buffer_bytes, least=2 * self.max_message_bytes)
        require_count("buffer_messages", self.buffer_messages, least=16)
        require_seconds("close_seconds", self.close_seconds)
        require_count("clients", self.clients, least=1)
        require_count("connections_per_address", self.connections_per_address, least=1)
        require_count("handshakes_per_address", self.handshakes_per_address, least=1)
        require_count("history_messages", self.history_messages)
        require_count("announced_members", self.announced_members)
        require_count("subscriptions", self.subscriptions, least=1)
        require_seconds("connect_seconds", self.connect_seconds)
        require_seconds("ping_seconds", self.ping_seconds)
        require_seconds("pong_seconds", self.pong_seconds)
        if self.burst > LARGEST_BURST:
            raise InvalidOption("burst", self.burst, f"give at most {LARGEST_BURST}")

    @property
    def history_bytes(self) -> int:
        """The size of the largest history frame, which must not overflow a client's buffer."""
        return self.buffer_bytes // 2

    @property
    def page_bytes(self) -> int:
        """The bytes that are read of a history at once: they fit a buffer that is half full."""
        return min(LARGEST_PAGE, self.buffer_bytes // 4)

    @property
    def page_messages(self) -> int:
        """The messages that are read of a history at once."""
        return min(MOST_IN_A_PAGE, self.buffer_messages // 4)


def log_limit(now: float) -> TokenBucket:
    """Return a bucket that allows one line of the log at the time `now`, and one a minute later."""
    return TokenBucket(1 / SECONDS_BETWEEN_LINES, 1, now)
