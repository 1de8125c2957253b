"""Receipts with a `wait` that blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from sockstore.base.checks import require_flag
from sockstore.base.errors import InvalidOption
from sockstore.blocking.waiting import require_timeout
from sockstore.connection import receipts
from sockstore.connection.receipts import ReceiptState

__all__ = ["Receipt", "check_wait"]


class Receipt:
    """The fate of one message; true if it was handed to an open socket or queued.

    Args:
        receipt: The receipt of the connection.
        wait: Waits for a receipt, at most so many seconds; None sets no limit.
        call: Calls a function where the connection lives.
        websocket: The WebSocket; the receipt keeps it alive.
    """

    __slots__ = ("_call", "_receipt", "_wait", "_websocket")

    def __init__(
        self,
        receipt: receipts.Receipt,
        wait: Callable[[receipts.Receipt, float | None], object],
        call: Callable[[Callable[[], bool]], bool],
        websocket: object,
    ) -> None:
        self._receipt = receipt
        self._wait = wait
        self._call = call
        self._websocket = websocket

    @property
    def state(self) -> ReceiptState:
        """The state now, as `sockstore.Receipt.state`."""
        return self._receipt.state

    @property
    def why(self) -> str:
        """Why the message was not delivered; empty if nothing went wrong."""
        return self._receipt.why

    @property
    def id(self) -> str | None:
        """The message's id; None where messages have none."""
        return self._receipt.id

    @property
    def offset(self) -> int | None:
        """Where in its room the message is stored, once it is acknowledged."""
        return self._receipt.offset

    def __bool__(self) -> bool:
        return bool(self._receipt)

    def __repr__(self) -> str:
        return repr(self._receipt)

    def cancel(self) -> bool:
        """Take the message back if it still waits; return whether it was."""
        return self._call(self._receipt.cancel)

    def wait(self, timeout: float | None = None) -> Self:
        """Wait until the message was handed over; in a room of `Centrifuge`, until it is stored.

        Args:
            timeout: Seconds to wait at most; None sets no limit.

        Returns:
            The receipt itself.

        Raises:
            DeliveryError: If it was not, or it is unknown whether it arrived.
            TimeoutError: If it took longer; the message may still be delivered.
            RuntimeError: If it would never return: before `connect`, or on the loop's thread.
        """
        require_timeout(timeout)
        self._wait(self._receipt, timeout)
        return self


def check_wait(*, wait: bool, now: bool) -> None:
    """Refuse a `wait` of `send` that is not a flag, or that is given with `now`."""
    require_flag("wait", wait)
    if wait and now:
        raise InvalidOption("wait", wait, "give either now or wait")
