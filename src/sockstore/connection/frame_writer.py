"""Write frames on the live transport, in the order that the machine says, and settle receipts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sockstore.base.options import Heartbeat
from sockstore.connection.inspection.observer import Observer
from sockstore.connection.link import Link
from sockstore.connection.receipts import Delivery
from sockstore.machine.delivery import Outgoing, size_of
from sockstore.machine.effects import SettleReceipts
from sockstore.machine.machine import Machine
from sockstore.machine.outbox import HandOver, Offer, Queued, Refused
from sockstore.machine.sending import REPLACED

__all__ = ["FrameWriter", "delivery_in"]

BYTES_IN_ONE_MESSAGE = 16 * 1024
"""Bytes that share one WebSocket message, where texts may; a server stores them together."""


class FrameWriter:
    """Write frames on the live transport, and settle the receipts of messages.

    Args:
        machine: Decides what is sent.
        links: The links by the numbers of their transports; the driver's own.
        observer: Counts messages, and records overflows.
        report: Receives the errors of users' callables.
    """

    __slots__ = ("_links", "_machine", "_observer", "_report")

    def __init__(
        self,
        machine: Machine,
        links: Mapping[int, Link],
        observer: Observer,
        report: Callable[[Exception, str], None],
    ) -> None:
        self._machine = machine
        self._links = links
        self._observer = observer
        self._report = report

    def take(self, offer: Offer) -> None:
        """Do what the machine decided about a message that was offered."""
        match offer:
            case HandOver():
                self._give(offer.data, (offer.entry,), *offer.rest)
            case Queued(dropped=dropped, replaced=replaced):
                if dropped:
                    self._observer.overflowed(len(dropped), "drop_oldest")
                    _settle(dropped, "newer messages took its place in the outbox")
                _settle(replaced, REPLACED)
            case Refused(entry=entry, why=why):
                delivery_in(entry).settle("refused", why)
                if offer.is_overflow:
                    self._observer.overflowed(1, "refuse")

    def flush(self, now: float) -> None:
        """Hand over waiting messages, until the machine returns None."""
        if (separator := self._machine.joins_with) is not None:
            self._flush_joined(separator, now)
            return
        while (offer := self._machine.next_to_send(now)) is not None:
            self.take(offer)

    def settle(self, effect: SettleReceipts) -> None:
        """Settle the receipts of these messages."""
        for entry in effect.entries:
            delivery = delivery_in(entry)
            delivery.offset = entry.offset
            delivery.settle(effect.state, effect.why)

    def send_heartbeat(self, number: int, heartbeat: Heartbeat) -> None:
        """Send the heartbeat that the server expects."""
        try:
            data = heartbeat.encode()
        except Exception as error:  # noqa: BLE001 - the user's callable may raise anything
            self._report(error, "the heartbeat's message")
        else:
            self._links[number].transport.send(data)

    def _flush_joined(self, separator: str, now: float) -> None:
        """Hand over waiting messages, many in one WebSocket message."""
        most = min(BYTES_IN_ONE_MESSAGE, self._machine.max_message_bytes or BYTES_IN_ONE_MESSAGE)
        frames: list[str] = []
        entries: list[Outgoing] = []
        size = 0
        while (offer := self._machine.next_to_send(now)) is not None:
            if isinstance(offer, Refused):
                self.take(offer)
                continue
            texts = [each for each in (offer.data, *offer.rest) if isinstance(each, str)]
            added = sum(map(size_of, texts)) + len(separator) * len(texts)
            if frames and size + added > most:
                self._give(separator.join(frames), entries)
                frames, entries, size = [], [], 0
            frames += texts
            entries.append(offer.entry)
            size += added
        if frames:
            self._give(separator.join(frames), entries)

    def _give(self, data: str | bytes, entries: Iterable[Outgoing], *rest: str | bytes) -> None:
        number, flight = self._machine.live_transport, self._machine.flight
        assert number is not None  # noqa: S101 - the machine gives nothing away otherwise
        for frame in (data, *rest):
            self._links[number].transport.send(frame)
        for entry in entries:
            delivery_in(entry).hand_over(flight)
            self._observer.messages_sent += 1


def delivery_in(entry: Outgoing) -> Delivery:
    """Return the fate that travels with a message."""
    delivery = entry.receipt
    assert isinstance(delivery, Delivery)  # noqa: S101 - the sender made it
    return delivery


def _settle(entries: tuple[Outgoing, ...], why: str) -> None:
    for entry in entries:
        delivery_in(entry).settle("dropped", why)
