"""Messages under way, and the transports that were closed or replaced and are not released yet.

Messages between two pings share one flight: a pong proves all of them, because TCP keeps the order.
A retired transport cannot change the phase, so a new connection never waits for an old socket.
"""

from __future__ import annotations

import math
from dataclasses import replace

from sockstore.base.close import Close
from sockstore.base.frozen import frozen

__all__ = ["Flight", "Flights", "Outgoing", "RetiredTransports"]


class Outgoing:
    """One encoded message on its way out.

    Args:
        data: Text or binary, as it goes on the wire.
        size: UTF-8 bytes.
        receipt: What the user holds; opaque here.

    Attributes:
        expires_at: When it is no longer worth sending, or None.
        id: What a session tells it by; empty until it was handed over.
        first_sent_at: When a session handed it over for the first time, or None.
        offset: Where in the room it was stored, or None.
    """

    __slots__ = ("data", "expires_at", "first_sent_at", "id", "offset", "receipt", "size")

    def __init__(self, data: str | bytes, size: int, receipt: object) -> None:
        self.data = data
        self.size = size
        self.receipt = receipt
        self.expires_at: float | None = None
        self.id = ""
        self.first_sent_at: float | None = None
        self.offset: int | None = None


class Flight:
    """The messages handed over between two pings; they share one fate, so it is kept once.

    A pong proves that everything written before its ping arrived (TCP keeps the order), and so
    does the peer's answer to our close frame. What nothing proved when the connection broke is
    unknown.
    """

    __slots__ = ("lost", "proven")

    def __init__(self) -> None:
        self.proven = False
        self.lost = False


MOST_UNPROVEN_FLIGHTS = 1000
"""Pings without a pong to remember, from a peer that talks but never answers them: hours."""


class Flights:
    """The flights of one transport: the current one, and those that a ping has sealed."""

    __slots__ = ("_sealed", "current")

    def __init__(self) -> None:
        self.current = Flight()
        # No deque, which takes 0.7 KiB: there are seldom more than one.
        self._sealed: list[tuple[bytes, Flight]] = []

    def seal(self, ping: bytes) -> None:
        """A ping was written: what went before it is proven by its pong."""
        self._sealed.append((ping, self.current))
        del self._sealed[:-MOST_UNPROVEN_FLIGHTS]
        self.current = Flight()

    def prove(self, pong: bytes) -> None:
        """The peer answered a ping; RFC 6455 section 5.5.3 lets it skip older ones."""
        if all(ping != pong for ping, _ in self._sealed):
            return
        while True:
            ping, flight = self._sealed.pop(0)
            flight.proven = True
            if ping == pong:
                return

    def lose(self) -> None:
        """The connection broke: what is not proven is unknown."""
        self.end(proven=False)

    def end(self, *, proven: bool) -> None:
        """The transport ended; `proven` if the peer answered our close frame."""
        for flight in (*(flight for _, flight in self._sealed), self.current):
            flight.proven = flight.proven or (proven and not flight.lost)
            flight.lost = not flight.proven


NEVER = math.inf


@frozen
class _Retired:
    deadline: float
    flights: Flights
    code: int | None


class RetiredTransports:
    """The transports that were closed, replaced or lost, and are not released yet."""

    __slots__ = ("_by_number",)

    def __init__(self) -> None:
        self._by_number: dict[int, _Retired] = {}

    def __bool__(self) -> bool:
        return bool(self._by_number)

    @property
    def deadline(self) -> float | None:
        """When the next one is overdue."""
        return min((it.deadline for it in self._by_number.values()), default=None)

    def add(
        self, transport: int, deadline: float, flights: Flights, code: int | None = None
    ) -> None:
        """Retire a transport; `code` is what our close frame says, if it sends one."""
        self._by_number[transport] = _Retired(deadline, flights, code)

    def ended(self, transport: int, close: Close) -> None:
        """Its WebSocket has ended: an answer to our close frame proves that all before arrived.

        A peer that closes in the same moment as we do has perhaps not read everything; an answer
        repeats our code (RFC 6455 section 5.5.1), so another code is no answer.
        """
        retired = self._by_number.get(transport)
        if retired is not None:
            retired.flights.end(proven=close.clean and close.code == retired.code)

    def released(self, transport: int) -> None:
        """Nothing is left of it."""
        retired = self._by_number.pop(transport, None)
        if retired is not None:
            retired.flights.lose()

    def take_overdue(self, now: float) -> list[int]:
        """Return those that are to be aborted now; each is returned once."""
        overdue = [number for number, it in self._by_number.items() if it.deadline <= now]
        for number in overdue:
            self._by_number[number] = replace(self._by_number[number], deadline=NEVER)
        return overdue
