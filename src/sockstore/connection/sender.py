"""Hand messages to the transport, and settle their receipts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sockstore.connection.inspection.observer import Observer
from sockstore.connection.link import Link
from sockstore.connection.receipts import Delivery, Receipt
from sockstore.machine.delivery import Outgoing
from sockstore.machine.effects import SettleReceipts
from sockstore.machine.machine import Machine
from sockstore.machine.outbox import HandOver, Queued, Refused

__all__ = ["Sender"]

BYTES_IN_ONE_MESSAGE = 16 * 1024
"""Bytes that a session puts into one WebSocket message; its server stores them together."""


class Sender:
    """Hand messages to the live transport, in the order that the machine says.

    Args:
        machine: Decides what is sent.
        links: The links by the numbers of their transports; the driver's own.
        observer: Counts messages, and records overflows.
        report: Receives the errors of users' callables.
    """

    def __init__(
        self,
        machine: Machine,
        links: Mapping[int, Link],
        observer: Observer,
        report: Callable[[Exception, str], None],
    ) -> None:
        self._machine = machine
        self._observer = observer
        self._report = report
        self._links = links
        # The fate of the last message that was not refused; for `drain`.
        self._last: Delivery | None = None
        # The fate that the messages of the present flight share: set by `send_now`.
        self._at_once: Delivery | None = None

    def send_now(self, data: str | bytes) -> Receipt | None:
        """Hand a message over if it may go at once, as usual; otherwise return None."""
        phase = self._machine.open_phase
        if phase is None:
            return None
        self._links[phase.transport].transport.send(data)
        flight, delivery = phase.flights.current, self._at_once
        if delivery is None or delivery.flight is not flight:
            delivery = self._at_once = Delivery("sent", flight=flight)
        self._last = delivery
        self._observer.messages_sent += 1
        return Receipt(delivery)

    def send(self, data: str | bytes, now: float, *, from_on_open: bool) -> Delivery:
        """Hand a message over, queue it, or refuse it."""
        machine = self._machine
        delivery = Delivery(awaits_reply=machine.session is not None)
        entry = Outgoing(data, _size(data), delivery)
        offer = machine.offer(entry, now, from_on_open=from_on_open)
        match offer:
            case HandOver():
                self._give(offer.data, (entry,))
                self._last = delivery
            case Queued(dropped=dropped):
                self._last = delivery
                if dropped:
                    self._drop(dropped)
            case Refused():
                self._refuse(offer)
        return delivery

    def flush(self, now: float) -> None:
        """Hand over waiting messages, until the machine returns None."""
        if self._machine.session is not None:
            self._flush_session(now)
            return
        while (offer := self._machine.next_to_send(now)) is not None:
            if isinstance(offer, HandOver):
                self._give(offer.data, (offer.entry,))

    def send_heartbeat(self, number: int) -> None:
        """Send the heartbeat that the server expects."""
        heartbeat = self._machine.settings.heartbeat
        assert heartbeat is not None  # noqa: S101 - it is what the machine sends
        try:
            data = heartbeat.encode()
        except Exception as error:  # noqa: BLE001 - the user's callable may raise anything
            self._report(error, "the heartbeat's message")
        else:
            self._links[number].transport.send(data)

    def settle(self, effect: SettleReceipts) -> None:
        """Settle the receipts of these messages."""
        for entry in effect.entries:
            delivery = _delivery(entry)
            delivery.offset = entry.offset
            delivery.settle(effect.state, effect.why)

    async def drain(self) -> None:
        """Wait until the last message that was sent is handed over, or acknowledged."""
        if self._last is not None and self._last.is_pending:
            await Receipt(self._last)

    def _flush_session(self, now: float) -> None:
        """Hand over waiting messages, many in one WebSocket message."""
        frames: list[str] = []
        entries: list[Outgoing] = []
        size = 0
        while (offer := self._machine.next_to_send(now)) is not None:
            if isinstance(offer, Refused):
                self._refuse(offer)
                continue
            data = offer.data
            if frames and size + len(data) > BYTES_IN_ONE_MESSAGE:
                self._give("\n".join(frames), entries)
                frames, entries, size = [], [], 0
            frames.append(str(data))
            entries.append(offer.entry)
            size += len(data)
        if frames:
            self._give("\n".join(frames), entries)

    def _give(self, data: str | bytes, entries: Iterable[Outgoing]) -> None:
        number, flight = self._machine.live_transport, self._machine.flight
        assert number is not None  # noqa: S101 - the machine gives nothing away otherwise
        self._links[number].transport.send(data)
        for entry in entries:
            _delivery(entry).hand_over(flight)
            self._observer.messages_sent += 1

    def _refuse(self, offer: Refused) -> None:
        _delivery(offer.entry).settle("refused", offer.why)
        if offer.is_overflow:
            self._observer.overflowed(1, "refuse")

    def _drop(self, entries: tuple[Outgoing, ...]) -> None:
        self._observer.overflowed(len(entries), "drop_oldest")
        for entry in entries:
            _delivery(entry).settle("dropped", "newer messages took its place in the outbox")


def _delivery(entry: Outgoing) -> Delivery:
    """Return the fate that travels with a message."""
    delivery = entry.receipt
    assert isinstance(delivery, Delivery)  # noqa: S101 - the sender made it
    return delivery


def _size(data: str | bytes) -> int:
    """UTF-8 bytes; plain ASCII, the usual case, need not be encoded to be counted."""
    return len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
