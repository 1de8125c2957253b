"""Receipts: what became of one message."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Literal, Self, TypeAlias

from sockstore.errors import DeliveryError
from sockstore.machine.outbox import Flight

__all__ = ["Receipt", "ReceiptState"]

ReceiptState: TypeAlias = Literal[
    "queued", "sent", "acknowledged", "expired", "dropped", "refused", "unknown"
]


class Receipt:
    """What became of one message; true if it was handed to an open socket or queued.

    It is read (`state`), tested (``if connection.send(...)``) or awaited. Nobody has to: a
    receipt that nobody looks at logs nothing.

    Example:
        >>> from sockstore import WebSocketStore
        >>> connection = WebSocketStore("ws://localhost")
        >>> receipt = connection.send("waits for the connection to open")
        >>> bool(receipt), receipt.state
        (True, 'queued')
        >>> connection.close()
        >>> bool(receipt), receipt.state
        (False, 'dropped')
    """

    __slots__ = ("_flight", "_state", "_waiters", "why")

    def __init__(self) -> None:
        self._state: ReceiptState = "queued"
        self._flight: Flight | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self.why = ""
        """Why it was not delivered, in words; empty while all is well."""

    @property
    def state(self) -> ReceiptState:
        """The state now.

        ``queued`` waits in the outbox; ``sent`` was handed to an open socket; ``acknowledged``
        was confirmed by a session; ``expired``, ``dropped`` and ``refused`` were never handed
        over; ``unknown`` was handed over, then the connection broke before anything proved that
        it arrived.
        """
        if self._state == "sent" and self._flight is not None and self._flight.lost:
            return "unknown"
        return self._state

    def __bool__(self) -> bool:
        return self.state not in {"expired", "dropped", "refused"}

    def __repr__(self) -> str:
        return f"<Receipt {self.state}{': ' + self.why if self.why else ''}>"

    def __await__(self) -> Generator[object, None, Self]:
        """Wait until the message was handed over.

        Returns:
            The receipt itself.

        Raises:
            DeliveryError: If it was not, or nobody can tell whether it arrived.
        """
        if self._state == "queued":
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                yield from waiter
            finally:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
        state = self.state
        if state in {"sent", "acknowledged"}:
            return self
        raise DeliveryError(state, self.why or "the connection broke after it was handed over")

    def hand_over(self, flight: Flight | None) -> None:
        """It was given to an open socket, as part of `flight`."""
        self._flight = flight
        self.settle("sent")

    def settle(self, state: ReceiptState, why: str = "") -> None:
        """Its state is known; wake whoever waits for it."""
        self._state = state
        self.why = why
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
