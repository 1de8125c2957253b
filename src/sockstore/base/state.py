"""Describe the state of a connection in frozen values."""

from __future__ import annotations

from typing import Literal, TypeAlias

from sockstore.base.close import Close, FailureReason
from sockstore.base.errors import SockstoreError
from sockstore.base.frozen import frozen
from sockstore.base.outcomes import Outcome
from sockstore.base.urls import redact_url

__all__ = ["Attempt", "ConnectionState", "Failure", "Hint", "Phase", "SocketInfo"]

Phase: TypeAlias = Literal["idle", "connecting", "open", "waiting", "closing", "closed", "failed"]
"""The fine state of a connection; ``waiting`` is the time before the next attempt."""

Hint: TypeAlias = Literal["online", "offline", "resume"]
"""A platform's hint: the network is back, it is gone, or the machine is awake again."""

_SECRET_HEADERS = {"authorization", "cookie", "proxy-authorization", "set-cookie"}


@frozen
class SocketInfo:
    """The socket that is open now.

    Args:
        url: Its url, after redirects; `repr` hides its secrets.
        subprotocol: The subprotocol the server chose, or None.
        headers: The server's handshake headers, as (name, value) pairs in the order received.
    """

    url: str
    subprotocol: str | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        headers = tuple(
            (name, "***" if name.lower() in _SECRET_HEADERS else value)
            for name, value in self.headers
        )
        url, subprotocol = redact_url(self.url), self.subprotocol
        return f"SocketInfo(url={url!r}, subprotocol={subprotocol!r}, headers={headers!r})"


@frozen
class Failure:
    """Why a connection will not come back by itself.

    Args:
        reason: The reason; compares equal to its text.
        exception: The error that caused it, if there was one.
    """

    reason: FailureReason
    exception: Exception | None = None


@frozen
class Attempt:
    """The argument of `url`, `headers` and `subprotocols` callables, before each attempt.

    Args:
        number: 0 for the first attempt, n for the nth retry in a row.
        refresh: Whether the server refused the last credentials, so that new ones are needed.
        previous: How the attempt or connection before this one ended, if there was one.
    """

    number: int = 0
    refresh: bool = False
    previous: Outcome | None = None


@frozen
class ConnectionState:
    """A consistent snapshot of a connection, with everything that a user interface needs.

    Args:
        phase: idle, connecting, open, waiting, closing, closed or failed.
        attempt: The retry in a row that is waited for or under way; 0 for the first and while open.
        retry_at: When the next attempt starts, in the clock of ``loop.time()``; only in waiting.
        socket: The open socket, or None.
        exception: The error as an exception, or None; `error` is its text.
        close: How the last socket was closed, or None.
        failure: Why there will be no further attempt; only in failed.
        since: When this phase began, in the clock of ``loop.time()``.
    """

    phase: Phase = "idle"
    attempt: int = 0
    retry_at: float | None = None
    socket: SocketInfo | None = None
    exception: SockstoreError | None = None
    close: Close | None = None
    failure: Failure | None = None
    since: float = 0.0

    @property
    def connected(self) -> bool:
        """Whether the socket is open: the guide's ``connected``."""
        return self.phase == "open"

    @property
    def error(self) -> str | None:
        """The sentence to show: the guide's ``connectionError``."""
        return None if self.exception is None else str(self.exception)

    @property
    def status(self) -> Literal["connected", "disconnected", "error"]:
        """The guide's ``status``: an error wins, else connected or disconnected."""
        if self.exception is not None:
            return "error"
        return "connected" if self.connected else "disconnected"
