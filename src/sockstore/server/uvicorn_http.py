"""uvicorn's HTTP protocols, with bounds for what a peer may send before there is a WebSocket.

uvicorn has no deadline for the end of a request, keeps headers without an end in memory (with
httptools), and lets one peer have as many connections as it likes. Here a request has a deadline
and a size, and connections are counted. All of it holds for both of uvicorn's parsers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sized
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from sockstore.server.addresses import Network, is_trusted, read_address
from sockstore.server.bounded_transport import COST_OF_A_TURN, BoundedTransport
from sockstore.server.connections import Connections, Crowded, Visit
from sockstore.server.limits import SECONDS_TO_COME_BACK, Limits

__all__ = ["BoundedHTTPProtocol", "Doors", "bounded_http"]

SECONDS_FOR_HEAD = 10.0
SECONDS_FOR_BODY = 10.0
SECONDS_TO_TAKE = 20.0
"""How long a peer may read nothing of an answer that is larger than the buffers."""

MOST_HEAD_BYTES = 16 * 1024
MOST_HEAD_LINES = 128
"""With the empty one at its end. Each header costs the application more than its bytes do."""

MOST_BODY_BYTES = 1024 * 1024

MOST_LINGERING = 4
"""Connections that were turned away and wait for the peer's end, so that it gets the answer."""

COST_OF_A_SLICE = COST_OF_A_TURN
HEAD, BODY, OVER = "head", "body", "over"

ANSWERS = {
    408: ("Request Timeout", "The request took too long."),
    413: ("Content Too Large", f"A request body has at most {MOST_BODY_BYTES} bytes."),
    429: ("Too Many Requests", "There are too many connections from your address."),
    431: (
        "Request Header Fields Too Large",
        f"A request's head has at most {MOST_HEAD_BYTES} bytes and {MOST_HEAD_LINES} lines.",
    ),
    503: ("Service Unavailable", "The server takes no more connections now; come back later."),
}
SECONDS_BETWEEN_LINES = 60.0

logger = logging.getLogger("sockstore.server")

# uvicorn writes a warning for each request that is not valid, so a peer could fill the disk.
uvicorns_logger = logging.getLogger("uvicorn.error.http")
uvicorns_logger.setLevel(logging.ERROR)


class Doors:
    """What all connections of a server share: how many there may be, and who is believed.

    Args:
        connections: Counts them.
        trusted: Our own proxies, whose connections are not counted: they bring many clients.
    """

    def __init__(
        self, connections: Connections | None = None, trusted: tuple[Network, ...] = ()
    ) -> None:
        limits = Limits()
        self._connections = connections or Connections(
            limits.connections_per_address, limits.handshakes_per_address
        )
        self._trusted = trusted
        self._quiet_until = 0.0  # set by enter, when it has told the log
        # Connections that were turned away and have not ended; changed by the protocols.
        self.lingering = 0

    def enter(self, host: str | None) -> Visit | int:
        """Count one more connection; return the status that it gets if that is too many.

        Args:
            host: The peer's address, as the socket has it.
        """
        address = read_address(host)
        if is_trusted(address, self._trusted):
            address = None
        entered = self._connections.enter(address)
        if isinstance(entered, Visit):
            return entered
        if entered is not Crowded.DESCRIPTORS:
            return 429
        now = monotonic()
        if self._connections.is_news and now >= self._quiet_until:
            self._quiet_until = now + SECONDS_BETWEEN_LINES
            logger.warning(
                "%d connections are open, and the limit of file descriptors allows no more; "
                "new ones are answered 503 (raise the limit: ulimit -n)",
                self._connections.total,
            )
        return 503


if TYPE_CHECKING:
    _Base = H11Protocol
else:
    _Base = object


class _Bounded(_Base):
    """Goes before one of uvicorn's HTTP protocols.

    Attributes:
        doors: What all connections of the server share.
    """

    doors = Doors()
    cycle: Any  # uvicorn's; None until the first request

    def connection_made(self, transport: Any) -> None:
        """Begin, if there is room for one more."""
        self.logger = uvicorns_logger
        self._bounded = BoundedTransport(transport, self.loop, self._parse)
        self._stage = HEAD  # of the request that is being received
        self._received = 0  # bytes of this stage
        self._lines = 0  # of this stage
        self._requests = 0  # those received to their end
        self._late: asyncio.TimerHandle | None = None  # runs in HEAD and BODY
        self._watched: tuple[str, int] | None = None  # the stage and request that it runs for
        self._stuck: asyncio.TimerHandle | None = None  # runs while the peer takes nothing
        self._was_upgraded = False
        self._visit: Visit | None = None  # None for a connection that was turned away
        self._is_lingering = False
        peer = transport.get_extra_info("peername")
        entered = self.doors.enter(peer[0] if isinstance(peer, tuple) else None)
        if isinstance(entered, int):
            self._turn_away(entered)
            return
        self._visit = self._bounded.visit = entered
        super().connection_made(cast("asyncio.Transport", self._bounded))
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._bounded.feed(data)

    def eof_received(self) -> None:
        """Nothing more will come; what was asked is still answered."""
        if self._visit is not None:
            super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave nothing behind."""
        self._stop_timers()
        self._bounded.lost()
        if self._visit is not None:
            self._visit.leave()
            super().connection_lost(exc)
        elif self._is_lingering:
            self.doors.lingering -= 1

    def shutdown(self) -> None:
        """End, at the latest after some seconds."""
        if self._bounded.is_ending:
            self._bounded.abort()
            return
        super().shutdown()
        self._bounded.abort_soon()

    def pause_writing(self) -> None:
        """The peer does not take what it asked for: give it some time."""
        super().pause_writing()
        if self._stuck is None:
            self._stuck = self.loop.call_later(SECONDS_TO_TAKE, self._bounded.abort)

    def resume_writing(self) -> None:
        """The peer reads again."""
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def handle_websocket_upgrade(self, *event: Any) -> None:
        """Hand the connection over to the WebSocket protocol."""
        self._stop_timers()
        self._was_upgraded = True
        super().handle_websocket_upgrade(*event)
        if self._bounded.visit is not None:
            self._bounded.visit.leave()  # the protocol is not ours, and does not count

    def on_response_complete(self) -> None:
        """Go on with the next request; a body that was not read ends the connection."""
        if self._visit is not None:
            self._visit.arrive()
        super().on_response_complete()
        if not self._queue():
            self._bounded.release()
        self._look()
        if self._stage == BODY:
            self._bounded.end(most_discarded=MOST_BODY_BYTES)
        else:
            self._watch()

    def _turn_away(self, status: int) -> None:
        """Answer without reading; few of those that are turned away may wait for the peer's end."""
        if self.doors.lingering < MOST_LINGERING:
            self.doors.lingering += 1
            self._is_lingering = True
            self._bounded.end(_answer(status), MOST_HEAD_BYTES)
        else:
            self._bounded.write(_answer(status))
            self._bounded.close()

    def _parse(self, data: bytes) -> int:
        """Parse a slice, but not more than a request may have."""
        while data and not self._is_over():
            if self._stage == OVER:
                self._stage, self._received, self._lines = HEAD, 0, 0
            most = MOST_HEAD_BYTES if self._stage == HEAD else MOST_BODY_BYTES
            part = data[: most - self._received]
            if not part or self._has_too_many_lines(part):
                self._refuse(431 if self._stage == HEAD else 413)
                break
            data = data[len(part) :]
            self._received += len(part)
            super().data_received(part)
            if not self._is_over():
                if self._queue():
                    # uvicorn reads on after each answer, however many requests wait for theirs.
                    self._bounded.hold()
                self._look()
                self._watch()
        return COST_OF_A_SLICE

    def _has_too_many_lines(self, part: bytes) -> bool:
        """Count the lines of the head that is being received."""
        if self._stage != HEAD:
            return False
        end = part.find(b"\r\n\r\n")
        self._lines += part.count(b"\n", 0, len(part) if end < 0 else end + 4)
        return self._lines > MOST_HEAD_LINES

    def _queue(self) -> Sized:
        """Return the requests that wait for the answers before them; h11 keeps none."""
        waiting: Sized = getattr(self, "pipeline", ())
        return waiting

    def _is_over(self) -> bool:
        """Whether nothing more is parsed here."""
        return self._was_upgraded or self._bounded.is_ending

    def _look(self) -> None:
        """See what is being received now, where the parser does not tell."""

    def _enter(self, stage: str) -> None:
        if stage != self._stage:
            self._stage, self._received, self._lines = stage, 0, 0
            self._requests += stage == OVER

    def _watch(self) -> None:
        """Let the deadline be that of what is being received now."""
        watched = None if self._stage == OVER else (self._stage, self._requests)
        if watched == self._watched:
            return
        self._watched = watched
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if watched is not None:
            seconds = SECONDS_FOR_HEAD if self._stage == HEAD else SECONDS_FOR_BODY
            self._late = self.loop.call_later(seconds, self._be_late, seconds)

    def _be_late(self, seconds: float) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if self._bounded.holds_back or (self._stage == HEAD and is_answering):
            # The peer is not late: reading was paused here.
            self._late = self.loop.call_later(seconds, self._be_late, seconds)
        elif self._stage == HEAD and not (self._received or self._requests):
            self._bounded.end()  # nothing at all has come
        else:
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        """End the connection, with an answer if the peer can tell what it answers."""
        cycle = self.cycle
        answer = _answer(status)
        if cycle is not None and not cycle.response_complete:
            if cycle.response_started or self._stage == HEAD:
                answer = b""
            cycle.disconnected = True
            cycle.message_event.set()
        self._stop_timers()
        self._bounded.end(answer, MOST_BODY_BYTES)

    def _stop_timers(self) -> None:
        for timer in (self._late, self._stuck):
            if timer is not None:
                timer.cancel()
        self._late = self._stuck = None
        if (keep_alive := getattr(self, "timeout_keep_alive_task", None)) is not None:
            keep_alive.cancel()


class BoundedH11Protocol(_Bounded, H11Protocol):
    """uvicorn's protocol that parses with h11, with bounds."""

    def _look(self) -> None:
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._enter(BODY)
        elif state is not h11.IDLE:
            self._enter(OVER)
        elif self.conn.trailing_data[0]:
            self._enter(HEAD)


BoundedHTTPProtocol: type[H11Protocol] = BoundedH11Protocol
"""Give it to uvicorn as ``http=``; it parses with httptools where that is installed."""

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:
    pass
else:

    class BoundedHttpToolsProtocol(_Bounded, HttpToolsProtocol):
        """uvicorn's protocol that parses with httptools, with bounds."""

        def on_message_begin(self) -> None:
            """A head begins."""
            super().on_message_begin()
            self._enter(HEAD)

        def on_headers_complete(self) -> None:
            """The head is complete."""
            super().on_headers_complete()
            self._enter(BODY)

        def on_message_complete(self) -> None:
            """The request is complete."""
            super().on_message_complete()
            self._enter(OVER)

    BoundedHTTPProtocol = cast("type[H11Protocol]", BoundedHttpToolsProtocol)


def bounded_http(doors: Doors | None = None) -> type[asyncio.Protocol]:
    """Return the HTTP protocol for a server of its own.

    Args:
        doors: What its connections share; None for the limits' defaults.
    """
    return type("BoundedHTTPProtocol", (BoundedHTTPProtocol,), {"doors": doors or Doors()})


def _answer(status: int) -> bytes:
    phrase, body = ANSWERS[status]
    come_back = f"Retry-After: {SECONDS_TO_COME_BACK}\r\n" if status in {429, 503} else ""
    return (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body) + 1}\r\n{come_back}Connection: close\r\n\r\n{body}\n"
    ).encode()
