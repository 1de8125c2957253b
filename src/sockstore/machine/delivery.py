"""Track messages under way, and transports that were closed or replaced and not yet released.

Messages between two pings share one flight: a pong proves all of them, because TCP keeps the order.
A retired transport cannot change the phase, so a new connection never waits for an old socket.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, TypeAlias

from sockstore.base.close import Close
from sockstore.base.frozen import frozen

if TYPE_CHECKING:
    from sockstore.protocols.base import Conversation, WireSubscription

__all__ = ["Flight", "Flights", "FullId", "Outgoing", "RetiredTransports", "Say", "size_of"]


class Outgoing:
    """One encoded message on its way out.

    Args:
        data: Text or binary, as it goes on the wire.
        size: UTF-8 bytes.
        receipt: The user's receipt; opaque here.

    Attributes:
        expires_at: When it is dropped if it still waits; infinite: never. Set by the sender for a
            message with a time to live of its own, otherwise when it is queued.
        key: A newer message with this key takes its place; None for none. Set by the sender.
        urgent: Whether it leaves before others that wait. Set by the sender; also when it takes the
            place of an urgent one.
        again: Whether it was handed over before, and waits before all that was not; set by the
            sender.
        holder: Whose message it is; opaque here, set by the sender.
        is_request: Whether its sender waits for an answer; set by the sender.
        waits: Whether it is in the outbox, or waits for room there; set by those.
        transport: The only transport that it may leave on, for an answer; None for any. Set by the
            sender.
        id: Its id, set by the sender, or when it is offered; empty where messages have none.
        first_sent_at: When it was handed over first, where that is remembered; or None.
        offset: Where it was stored, set by the server's reply; or None.
        say: How a protocol's conversation makes frames of it, set by the sender; None sends `data`.
        subscription: Where it is sent, set by the sender; None for the connection.
    """

    __slots__ = (
        "again",
        "data",
        "expires_at",
        "first_sent_at",
        "holder",
        "id",
        "is_request",
        "key",
        "offset",
        "receipt",
        "say",
        "size",
        "subscription",
        "transport",
        "urgent",
        "waits",
    )

    def __init__(self, data: str | bytes, size: int, receipt: object) -> None:
        self.data: str | bytes = data
        self.size: int = size
        self.receipt: object = receipt
        self.expires_at: float = math.inf
        self.key: Hashable = None
        self.urgent: bool = False
        self.again: bool = False
        self.holder: object = None
        self.is_request: bool = False
        self.waits: bool = False
        self.transport: int | None = None
        self.id: str = ""
        self.first_sent_at: float | None = None
        self.offset: int | None = None
        self.say: Say | None = None
        self.subscription: WireSubscription | None = None

    @property
    def full_id(self) -> FullId:
        """Its id, with the key of where it is sent: the ids of one room are not another's."""
        return None if self.subscription is None else self.subscription.key, self.id


FullId: TypeAlias = tuple[Hashable, str]

Say: TypeAlias = "Callable[[Conversation], Iterable[str | bytes]]"
"""``say(conversation)`` returns the frames of a message that is handed over."""


class Flight:
    """The messages handed over between two pings; their common fate is kept once.

    A pong proves that everything written before its ping arrived (TCP keeps the order), and so
    does the peer's answer to our close frame. Messages that nothing proved when the connection
    broke are unknown.

    Attributes:
        proven: Whether they arrived; set by a pong, or by the answer to our close frame.
        lost: Whether the connection ended before that; set at its end.
    """

    __slots__ = ("lost", "proven")

    def __init__(self) -> None:
        self.proven: bool = False
        self.lost: bool = False


MOST_UNPROVEN_FLIGHTS = 1000
"""Pings without a pong that are remembered: hours of a peer that talks but never answers."""


class Flights:
    """The flights of one transport.

    Attributes:
        current: The flight of messages handed over now; each ping begins another one.
    """

    __slots__ = ("_sealed", "current")

    def __init__(self) -> None:
        self.current: Flight = Flight()
        # Each ping without a pong, and the flight before it; oldest first. A deque takes 0.7 KiB,
        # and there is seldom more than one.
        self._sealed: list[tuple[bytes, Flight]] = []

    def seal(self, ping: bytes) -> None:
        """End the current flight at a ping, whose pong will prove it."""
        self._sealed.append((ping, self.current))
        del self._sealed[:-MOST_UNPROVEN_FLIGHTS]
        self.current = Flight()

    def prove(self, pong: bytes) -> None:
        """Prove messages before this ping; RFC 6455 section 5.5.3 lets a peer skip older pings."""
        if all(ping != pong for ping, _ in self._sealed):
            return
        while True:
            ping, flight = self._sealed.pop(0)
            flight.proven = True
            if ping == pong:
                return

    def lose(self) -> None:
        """End all flights of a connection that broke: unproven messages are unknown."""
        self.end(proven=False)

    def end(self, *, proven: bool) -> None:
        """End all flights; `proven` if the peer answered our close frame."""
        for flight in (*(flight for _, flight in self._sealed), self.current):
            flight.proven = flight.proven or (proven and not flight.lost)
            flight.lost = not flight.proven


@frozen
class _Retired:
    """A retired transport: when to abort it, its flights, the code of our close frame."""

    deadline: float
    flights: Flights
    code: int | None


_DEADLINE = attrgetter("deadline")


class RetiredTransports:
    """The transports that were closed, replaced or lost, and are not released yet."""

    __slots__ = ("_by_number",)

    def __init__(self) -> None:
        # Added when a transport is retired, removed when it is released.
        self._by_number: dict[int, _Retired] = {}

    def __bool__(self) -> bool:
        return bool(self._by_number)

    @property
    def deadline(self) -> float:
        """When the next one is overdue; infinite if none will be."""
        return min(map(_DEADLINE, self._by_number.values()), default=math.inf)

    def add(
        self, transport: int, deadline: float, flights: Flights, code: int | None = None
    ) -> None:
        """Retire a transport; `code` is that of our close frame, if one is sent."""
        self._by_number[transport] = _Retired(deadline, flights, code)

    def ended(self, transport: int, close: Close) -> None:
        """End its flights: an answer to our close frame proves that all before it arrived.

        A peer that closes in the same moment as we do has perhaps not read everything; an answer
        repeats our code (RFC 6455 section 5.5.1), so another code is not an answer.
        """
        retired = self._by_number.get(transport)
        if retired is not None:
            retired.flights.end(proven=close.clean and close.code == retired.code)

    def released(self, transport: int) -> None:
        """Forget a transport that was released."""
        retired = self._by_number.pop(transport, None)
        if retired is not None:
            retired.flights.lose()

    def take_overdue(self, now: float) -> list[int]:
        """Return the transports that must be aborted now, each once."""
        overdue = [number for number, it in self._by_number.items() if it.deadline <= now]
        for number in overdue:
            self._by_number[number] = replace(self._by_number[number], deadline=math.inf)
        return overdue


def size_of(data: str | bytes) -> int:
    """Return its UTF-8 bytes; plain ASCII, the usual case, need not be encoded to be counted."""
    return len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
