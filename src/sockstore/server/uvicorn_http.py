"""uvicorn's HTTP protocols, with limits on what a peer may send before the WebSocket opens.

uvicorn sets no deadline for a request, buffers endless headers (with httptools), and accepts any
number of connections from one peer. These subclasses give a request a deadline and a size, and
count connections, with both of uvicorn's parsers.

They override and read parts of uvicorn that are not its public API, so pyproject.toml has an upper
bound on uvicorn; tests/unit/server/test_uvicorn_parts.py says which part is missing or different.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sized
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from sockstore.server.addresses import Network, is_trusted, read_address
from sockstore.server.bounded_transport import COST_OF_A_TURN, BoundedTransport
from sockstore.server.connections import Connections, Crowded, Visit
from sockstore.server.limits import SECONDS_TO_COME_BACK, Limits, log_limit

__all__ = ["BoundedHTTPProtocol", "Doors", "bounded_http"]

SECONDS_FOR_HEAD = 10.0
SECONDS_FOR_BODY = 10.0
SECONDS_TO_TAKE = 20.0
"""How long a peer may leave an answer unread that is larger than the buffers."""

MOST_HEAD_BYTES = 16 * 1024
MOST_HEAD_LINES = 128
"""Including the empty line at the end. A header costs the application more than its bytes do."""

MOST_BODY_BYTES = 1024 * 1024

MOST_LINGERING = 4
"""Refused connections that stay open until the peer ends them, so that it can read the answer."""

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

logger: Final = logging.getLogger("sockstore.server")

# uvicorn logs a warning for each invalid request, so a peer could fill the disk.
uvicorns_logger: Final = logging.getLogger("uvicorn.error.http")
uvicorns_logger.setLevel(logging.ERROR)


class Doors:
    """State that the connections of one server share: their count, and the trusted proxies.

    Args:
        connections: Counts them.
        trusted: The operator's proxies. Their connections count for no address, because each proxy
            brings many clients.
    """

    def __init__(
        self, connections: Connections | None = None, trusted: tuple[Network, ...] = ()
    ) -> None:
        limits = Limits()
        self._connections = connections or Connections(
            limits.connections_per_address, limits.handshakes_per_address
        )
        self._trusted = trusted
        self._log_limit = log_limit(monotonic())
        # Refused connections that have not ended; the protocols change it.
        self.lingering = 0

    def enter(self, host: str | None) -> Visit | int:
        """Count one more connection, or return the HTTP status that refuses it.

        Args:
            host: The peer's address, from the socket.
        """
        address = read_address(host)
        if is_trusted(address, self._trusted):
            address = None
        entered = self._connections.enter(address)
        if isinstance(entered, Visit):
            return entered
        if entered is not Crowded.DESCRIPTORS:
            return 429
        if self._log_limit.take(monotonic()):
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
    """Adds the limits to one of uvicorn's HTTP protocols, which follows it in the class's bases.

    Attributes:
        doors: The state that the connections of the server share.
    """

    doors = Doors()
    cycle: Any  # uvicorn's request and its answer; None before the first request

    def connection_made(self, transport: Any) -> None:
        """Take the connection, or refuse it if there are too many."""
        self.logger = uvicorns_logger
        self._bounded = BoundedTransport(transport, self.loop, self._parse)
        # The part of a request that is being received, its bytes and its lines so far;
        # `_begin_stage` and `_parse` set them.
        self._stage = HEAD
        self._received = 0
        self._lines = 0
        # Requests that were received completely; `_begin_stage` counts them.
        self._requests = 0
        # The deadline of the head or body, and the stage and request it is for; `_set_deadline`
        # sets both.
        self._deadline: asyncio.TimerHandle | None = None
        self._watched: tuple[str, int] | None = None
        # The deadline of a peer that does not read; set from `pause_writing` to `resume_writing`.
        self._write_deadline: asyncio.TimerHandle | None = None
        # Set when the WebSocket protocol takes the connection over.
        self._was_upgraded = False
        # How the connection is counted; None if it was refused.
        self._visit: Visit | None = None
        # Whether it was refused and waits for the peer's end; `_refuse_connection` sets it.
        self._is_lingering = False
        peer = transport.get_extra_info("peername")
        entered = self.doors.enter(peer[0] if isinstance(peer, tuple) else None)
        if isinstance(entered, int):
            self._refuse_connection(entered)
            return
        self._visit = self._bounded.visit = entered
        super().connection_made(cast("asyncio.Transport", self._bounded))
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        """Take input from the transport."""
        self._bounded.feed(data)

    def eof_received(self) -> None:
        """Note the end of the input; open requests are still answered."""
        if self._visit is not None:
            super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers and count the connection no more."""
        self._stop_timers()
        self._bounded.lost()
        if self._visit is not None:
            self._visit.leave()
            super().connection_lost(exc)
        elif self._is_lingering:
            self.doors.lingering -= 1

    def shutdown(self) -> None:
        """End the connection, at the latest after some seconds."""
        if self._bounded.is_ending:
            self._bounded.abort()
            return
        super().shutdown()
        self._bounded.abort_soon()

    def pause_writing(self) -> None:
        """Give a peer that does not read its answer some time."""
        super().pause_writing()
        if self._write_deadline is None:
            self._write_deadline = self.loop.call_later(SECONDS_TO_TAKE, self._bounded.abort)

    def resume_writing(self) -> None:
        """Stop the deadline: the peer reads again."""
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def handle_websocket_upgrade(self, *event: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - one parser gives an event
        """Hand the connection over to the WebSocket protocol."""
        self._stop_timers()
        self._was_upgraded = True
        super().handle_websocket_upgrade(*event)
        if self._bounded.visit is not None:
            self._bounded.visit.leave()  # another WebSocket protocol does not do it

    def on_response_complete(self) -> None:
        """Go on with the next request; end the connection if the body was not read."""
        if self._visit is not None:
            self._visit.arrive()
        super().on_response_complete()
        if not self._queue():
            self._bounded.release()
        self._find_stage()
        if self._stage == BODY:
            self._bounded.end(most_discarded=MOST_BODY_BYTES)
        else:
            self._set_deadline()

    def _refuse_connection(self, status: int) -> None:
        """Answer without reading; a few refused connections wait for the peer's end."""
        if self.doors.lingering < MOST_LINGERING:
            self.doors.lingering += 1
            self._is_lingering = True
            self._bounded.end(_answer(status), MOST_HEAD_BYTES)
        else:
            self._bounded.write(_answer(status))
            self._bounded.close()

    def _parse(self, data: bytes) -> int:
        """Parse a slice of the input, up to the size limits of a request."""
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
                    # uvicorn resumes reading after each answer, also while requests are queued.
                    self._bounded.hold()
                self._find_stage()
                self._set_deadline()
        return COST_OF_A_TURN

    def _has_too_many_lines(self, part: bytes) -> bool:
        """Count the lines of the head that is being received."""
        if self._stage != HEAD:
            return False
        end = part.find(b"\r\n\r\n")
        self._lines += part.count(b"\n", 0, len(part) if end < 0 else end + 4)
        return self._lines > MOST_HEAD_LINES

    def _queue(self) -> Sized:
        """Return the requests that wait for an earlier answer; h11 keeps none."""
        return ()

    def _is_over(self) -> bool:
        """Whether this protocol has stopped parsing."""
        return self._was_upgraded or self._bounded.is_ending

    def _find_stage(self) -> None:
        """Find out the stage, with a parser that has no callbacks for it."""

    def _begin_stage(self, stage: str) -> None:
        if stage != self._stage:
            self._stage, self._received, self._lines = stage, 0, 0
            self._requests += stage == OVER

    def _set_deadline(self) -> None:
        """Set the deadline of the present stage."""
        watched = None if self._stage == OVER else (self._stage, self._requests)
        if watched == self._watched:
            return
        self._watched = watched
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if watched is not None:
            seconds = SECONDS_FOR_HEAD if self._stage == HEAD else SECONDS_FOR_BODY
            self._deadline = self.loop.call_later(seconds, self._time_out, seconds)

    def _time_out(self, seconds: float) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if self._bounded.holds_back or (self._stage == HEAD and is_answering):
            # Reading was paused by us, so the peer is not late.
            self._deadline = self.loop.call_later(seconds, self._time_out, seconds)
        elif self._stage == HEAD and not (self._received or self._requests):
            self._bounded.end()  # the peer has sent nothing at all
        else:
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        """End the connection, with an answer unless another answer is unfinished."""
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
        for timer in (self._deadline, self._write_deadline):
            if timer is not None:
                timer.cancel()
        self._deadline = self._write_deadline = None
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()


class BoundedH11Protocol(_Bounded, H11Protocol):  # pyright: ignore[reportIncompatibleMethodOverride] - as above
    """uvicorn's protocol with the parser h11, with limits."""

    def _find_stage(self) -> None:
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            self._begin_stage(BODY)
        elif state is not h11.IDLE:
            self._begin_stage(OVER)
        elif self.conn.trailing_data[0]:
            self._begin_stage(HEAD)


BoundedHTTPProtocol: type[H11Protocol] = BoundedH11Protocol
"""The protocol for uvicorn's option ``http=``; it uses httptools if that is installed."""

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:
    pass
else:

    class BoundedHttpToolsProtocol(_Bounded, HttpToolsProtocol):
        """uvicorn's protocol with the parser httptools, with limits."""

        def _queue(self) -> Sized:
            return self.pipeline

        def on_message_begin(self) -> None:
            """Note that a head begins."""
            super().on_message_begin()
            self._begin_stage(HEAD)

        def on_headers_complete(self) -> None:
            """Note that the head is complete."""
            super().on_headers_complete()
            self._begin_stage(BODY)

        def on_message_complete(self) -> None:
            """Note that the request is complete."""
            super().on_message_complete()
            self._begin_stage(OVER)

    BoundedHTTPProtocol = cast("type[H11Protocol]", BoundedHttpToolsProtocol)


def bounded_http(doors: Doors | None = None) -> type[asyncio.Protocol]:
    """Return an HTTP protocol class for one server.

    Args:
        doors: The state that the connections share; None for the defaults of `Limits`.
    """
    return type("BoundedHTTPProtocol", (BoundedHTTPProtocol,), {"doors": doors or Doors()})


def _answer(status: int) -> bytes:
    phrase, body = ANSWERS[status]
    come_back = f"Retry-After: {SECONDS_TO_COME_BACK}\r\n" if status in {429, 503} else ""
    return (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body) + 1}\r\n{come_back}Connection: close\r\n\r\n{body}\n"
    ).encode()
