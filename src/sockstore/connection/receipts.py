"""Show users what became of one message, and let the sender note it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Literal, Self, TypeAlias

from sockstore.base.errors import DeliveryError
from sockstore.machine.delivery import Flight

__all__ = ["Delivery", "Receipt", "ReceiptState", "delivery_of"]

ReceiptState: TypeAlias = Literal[
    "queued", "sent", "acknowledged", "expired", "dropped", "refused", "unknown"
]


class Delivery:
    """The fate of one message, as the sender notes it; messages of one flight may share it.

    Args:
        state: The state to begin with.
        why: Why it was not delivered; `settle` sets another.
        flight: The flight that it was handed over with; `hand_over` sets it.
        awaits_reply: Whether it is on its way until the server acknowledges it.

    Attributes:
        id: Its id, where messages have one; set by the sender.
        offset: Where it is stored; set by the sender.
        take_back: Takes the message back; set by the sender while it waits.
        waiters: The futures of the callers of `wait`.
    """

    __slots__ = (
        "_awaits_reply",
        "_state",
        "_watcher",
        "flight",
        "id",
        "offset",
        "take_back",
        "waiters",
        "why",
    )

    def __init__(
        self,
        state: ReceiptState = "queued",
        why: str = "",
        *,
        flight: Flight | None = None,
        awaits_reply: bool = False,
    ) -> None:
        self._awaits_reply = awaits_reply
        self._state = state  # set by `hand_over` and `settle`
        self.waiters: tuple[asyncio.Future[None], ...] = ()
        self._watcher: Callable[[], object] | None = None  # set by `watch`
        self.flight = flight
        self.id: str | None = None
        self.offset: int | None = None
        self.take_back: Callable[[Delivery], None] | None = None
        self.why: str = why

    @property
    def state(self) -> ReceiptState:
        """The state now, as `Receipt.state`."""
        if self._state == "sent" and self.flight is not None and self.flight.lost:
            return "unknown"
        return self._state

    @property
    def is_pending(self) -> bool:
        """Whether it is on its way to what `await` waits for."""
        return self._state == "queued" or (self._state == "sent" and self._awaits_reply)

    def hand_over(self, flight: Flight | None) -> None:
        """Note that it was written to an open socket, as part of `flight`."""
        if self._awaits_reply:
            self.take_back = None
            # After a lost connection it is sent again.
            self._state = "sent"
            if self._watcher is not None:
                self._watcher()
            return
        self.flight = flight
        self.settle("sent")

    def settle(self, state: ReceiptState, why: str = "") -> None:
        """Set the final state, and wake the tasks that await the receipt."""
        self._state = state
        self.why = why
        self.take_back = None
        waiters, self.waiters = self.waiters, ()
        for waiter in waiters:
            if not (waiter.done() or waiter.get_loop().is_closed()):
                waiter.set_result(None)
        if self._watcher is not None:
            self._watcher()

    def watch(self, run: Callable[[], object]) -> None:
        """Call a function after each change; one at a time, which must not raise.

        The loss of a flight does not call it: subscribe to the state of the connection for that.
        """
        if self.is_pending:
            self._watcher = run

    def wait(self) -> Generator[object, None, None]:
        """Wait until it is not on its way any more."""
        if self.is_pending:
            waiter = asyncio.get_running_loop().create_future()
            self.waiters = (*self.waiters, waiter)
            try:
                yield from waiter
            finally:
                self.waiters = tuple(other for other in self.waiters if other is not waiter)


class Receipt:
    """The fate of one message; true if it was handed to an open socket or queued.

    Read its `state`, test it (``if connection.send(...)``), await it, or ignore it: an unused
    receipt logs nothing.

    Args:
        delivery: The fate, as the sender notes it.

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

    __slots__ = ("_delivery",)

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery

    @property
    def state(self) -> ReceiptState:
        """The state now.

        ``queued`` waits in the outbox; ``sent`` was handed to an open socket; ``acknowledged``
        is stored, says the server; ``expired`` and ``dropped`` were never handed over, ``refused``
        neither, or the server did not want it; ``unknown`` was handed over, and nothing proves that
        it arrived.
        """
        return self._delivery.state

    @property
    def why(self) -> str:
        """Why it was not delivered, in words; empty if nothing went wrong."""
        return self._delivery.why

    @property
    def id(self) -> str | None:
        """The message's id, from the beginning; None where messages have none."""
        return self._delivery.id

    @property
    def offset(self) -> int | None:
        """Where in its room it is stored, once it is acknowledged."""
        return self._delivery.offset

    def cancel(self) -> bool:
        """Take the message back if it still waits: it is never handed over then.

        Returns:
            Whether it was taken back; the state is ``dropped`` then.

        Raises:
            RuntimeError: If it is called from another thread.

        Example:
            >>> from sockstore import WebSocketStore
            >>> receipt = WebSocketStore("ws://localhost").send("never mind")
            >>> receipt.cancel(), receipt.cancel()
            (True, False)
        """
        delivery = self._delivery
        if delivery.take_back is None:
            return False
        delivery.take_back(delivery)
        return True

    def __bool__(self) -> bool:
        return self.state not in {"expired", "dropped", "refused"}

    def __repr__(self) -> str:
        return f"<Receipt {self.state}{': ' + self.why if self.why else ''}>"

    def __await__(self) -> Generator[object, None, Self]:
        """Wait until the message was handed over; in a room of `Centrifuge`, until it is stored.

        Returns:
            The receipt itself.

        Raises:
            DeliveryError: If it was not, or it is unknown whether it arrived.
        """
        yield from self._delivery.wait()
        state = self.state
        if state in {"sent", "acknowledged"}:
            return self
        raise DeliveryError(state, self.why or "the connection broke after it was handed over")


def delivery_of(receipt: Receipt) -> Delivery:
    """Return the fate behind a receipt, for the rest of the package."""
    return receipt._delivery  # noqa: SLF001 - no name for users
