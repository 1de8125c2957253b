"""Define the receipt, which says what became of one message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Literal, Self, TypeAlias

from sockstore.base.errors import DeliveryError
from sockstore.base.plain_calls import PLAIN, refuse_async
from sockstore.machine.delivery import Flight

__all__ = ["Receipt", "ReceiptState"]

ReceiptState: TypeAlias = Literal[
    "queued", "sent", "acknowledged", "expired", "dropped", "refused", "unknown"
]


class Receipt:
    """The fate of one message; true if it was handed to an open socket or queued.

    Read its `state`, test it (``if connection.send(...)``), await it, or ignore it: an unused
    receipt logs nothing.

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

    __slots__ = ("_awaits_reply", "_flight", "_state", "_waiters", "_watcher", "offset", "why")

    def __init__(self, *, awaits_reply: bool = False) -> None:
        self._awaits_reply = awaits_reply
        self._state: ReceiptState = "queued"
        self._flight: Flight | None = None
        self._waiters: tuple[asyncio.Future[None], ...] = ()
        self._watcher: Callable[[], object] | None = None
        self.why = ""
        """Why it was not delivered, in words; empty while all is well."""
        self.offset: int | None = None
        """Where in the room of a session it is stored, once it is acknowledged."""

    @property
    def state(self) -> ReceiptState:
        """The state now.

        ``queued`` waits in the outbox; ``sent`` was handed to an open socket; ``acknowledged``
        is stored, says the server of a session; ``expired`` and ``dropped`` were never handed
        over, ``refused`` neither, or the server of a session did not want it; ``unknown`` was
        handed over, and nothing proves that it arrived.
        """
        if self._state == "sent" and self._flight is not None and self._flight.lost:
            return "unknown"
        return self._state

    def __bool__(self) -> bool:
        return self.state not in {"expired", "dropped", "refused"}

    def __repr__(self) -> str:
        return f"<Receipt {self.state}{': ' + self.why if self.why else ''}>"

    def __await__(self) -> Generator[object, None, Self]:
        """Wait until the message was handed over; with a session, until it is stored.

        Returns:
            The receipt itself.

        Raises:
            DeliveryError: If it was not, or it is unknown whether it arrived.
        """
        if self.is_pending:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters = (*self._waiters, waiter)
            try:
                yield from waiter
            finally:
                self._waiters = tuple(other for other in self._waiters if other is not waiter)
        state = self.state
        if state in {"sent", "acknowledged"}:
            return self
        raise DeliveryError(state, self.why or "the connection broke after it was handed over")

    @property
    def is_pending(self) -> bool:
        """Whether it is on its way to what `await` waits for."""
        return self._state == "queued" or (self._state == "sent" and self._awaits_reply)

    def hand_over(self, flight: Flight | None) -> None:
        """Note that it was written to an open socket, as part of `flight`."""
        if self._awaits_reply:
            # After a lost connection it is sent again.
            self._state = "sent"
            if self._watcher is not None:
                self._watcher()
            return
        self._flight = flight
        if self._waiters or self._watcher is not None:
            self.settle("sent")
        else:
            self._state = "sent"

    def settle(self, state: ReceiptState, why: str = "") -> None:
        """Set the final state, and wake the tasks that await the receipt."""
        self._state = state
        self.why = why
        waiters, self._waiters = self._waiters, ()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        if self._watcher is not None:
            self._watcher()

    def watch(self, run: Callable[[], object]) -> None:
        """Call a function after each change; one at a time, which must not raise.

        The loss of a flight does not call it: subscribe to the state of the connection for that.
        """
        refuse_async(run, "watch()", PLAIN)
        self._watcher = run
