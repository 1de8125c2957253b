"""Send what users send: at once if it may go, otherwise as the machine decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from threading import get_ident
from typing import TYPE_CHECKING, Final, Protocol

from sockstore.base.codecs import decode_json
from sockstore.base.errors import DeliveryError
from sockstore.base.sending import SendOptions
from sockstore.connection.frame_writer import FrameWriter, delivery_in
from sockstore.connection.inspection.observer import Observer
from sockstore.connection.link import Link
from sockstore.connection.own_loop import OwnLoop
from sockstore.connection.receipts import Delivery, Receipt, delivery_of
from sockstore.machine import events as fact
from sockstore.machine.delivery import Outgoing, Say, size_of
from sockstore.machine.events import Event
from sockstore.machine.machine import Machine
from sockstore.machine.outbox import Offer, Queued
from sockstore.machine.sending import ASKER_GONE, REPLACED, TAKEN_BACK

if TYPE_CHECKING:
    from sockstore.protocols.base import Conversation, WireSubscription

__all__ = ["Sender", "SenderKeeper"]

NO_IDS = (
    "id=: messages have no ids on this connection; they have with Centrifuge(), where the server "
    "stores a message once for each id"
)

NO_MESSAGES = (
    "a connection with {} sends nothing by itself: use connection.subscribe(key).send(data)"
)

UNNUMBERED = "on_open received this message: answer it there, by opening.send()"

USUAL: Final = SendOptions()


class SenderKeeper(Protocol):
    """What the sender needs of the driver."""

    shows_buffered: bool
    """Whether anybody has asked for the amount that waits to be sent."""

    @property
    def opening(self) -> int | None:
        """The transport whose ``on_open`` runs the calling code; None outside of it."""

    def dispatch(self, event: Event) -> None:
        """Tell the machine a fact."""

    def queued(self) -> None:
        """A message waits, or was handed over: the machine's deadline may be another one."""

    def buffered_changed(self) -> None:
        """The amount that waits to be sent may have changed."""


class Sender:
    """Send the messages and requests of users, and take back those that wait.

    Args:
        machine: Decides what becomes of each message.
        own: The event loop and the thread that the connection belongs to.
        links: The links by the numbers of their transports; the driver's own.
        writer: Writes what is handed over, and settles receipts.
        observer: Counts messages.
        keeper: The driver.
    """

    def __init__(
        self,
        machine: Machine,
        own: OwnLoop,
        links: Mapping[int, Link],
        writer: FrameWriter,
        *,
        observer: Observer,
        keeper: SenderKeeper,
    ) -> None:
        self._machine = machine
        self._own = own
        self._links = links
        self._writer = writer
        self._observer = observer
        self._keeper = keeper
        # The fate that the messages of the present flight share: set by `send`.
        self._at_once: Delivery | None = None
        # The callers of `asend` that wait in line: `_offer` makes it and adds, `_wait_in_line`
        # removes.
        self.in_line: dict[Outgoing, asyncio.Future[None]] | None = None

    def send(
        self,
        data: str | bytes,
        holder: object = None,
        options: SendOptions | None = None,
        subscription: WireSubscription | None = None,
    ) -> Receipt:
        """Hand a message over, queue it, or refuse it.

        Args:
            data: The encoded message.
            holder: Whose it is, for `clear`.
            options: How it is sent; None is as usual.
            subscription: Whose message it is; None if it is the connection's.

        Raises:
            TypeError: If it has an id, and the connection has none.
            RuntimeError: If it is called from another thread.
        """
        own = self._own
        if own.thread != get_ident() or own.is_closed():
            own.check_thread()
        if options is not None:
            self._check(options)
        phase = self._machine.open_phase
        if phase is None:
            entry = self._entry(data, holder, options or USUAL, subscription)
            return Receipt(self._offer(entry, only_now=options is not None and options.now))
        # The hot path: an open connection, on which nothing waits.
        self._links[phase.transport].transport.send(data)
        flight, delivery = phase.flights.current, self._at_once
        if delivery is None or delivery.flight is not flight:
            delivery = self._at_once = Delivery("sent", flight=flight)
        self._observer.messages_sent += 1
        if self._keeper.shows_buffered:
            self._keeper.buffered_changed()
        return Receipt(delivery)

    def reply(self, data: str | bytes, number: int, holder: object = None) -> Receipt:
        """Answer the message with this number, on the connection that it came on, or drop it.

        Args:
            data: The encoded answer.
            number: The number of a message in the connection's log.
            holder: Whose it is, for `clear`.
        """
        self._own.check_thread()
        if number == 0:
            return Receipt(Delivery("refused", UNNUMBERED))
        live = self._machine.live_transport
        if live is None or number < self._links[live].first_number:
            return Receipt(Delivery("dropped", ASKER_GONE))
        entry = self._entry(data, holder, USUAL)
        entry.transport = live
        return Receipt(self._offer(entry))

    async def asend(
        self,
        data: str | bytes,
        holder: object = None,
        options: SendOptions | None = None,
        subscription: WireSubscription | None = None,
    ) -> Receipt:
        """Send a message; wait while there is no room for it.

        If the caller is cancelled, the message is not sent. The arguments are those of `send`.
        """
        if self._machine.open_phase is not None:
            return self.send(data, holder, options, subscription)
        self._own.check_thread()
        options = options or USUAL
        self._check(options)
        entry = self._entry(data, holder, options, subscription)
        delivery = self._offer(entry, may_wait=True)
        if self.in_line and entry in self.in_line:
            await self._wait_in_line(entry, self.in_line)
        return Receipt(delivery)

    def send_request(
        self,
        draft: Callable[[], str | bytes],
        say: Say,
        holder: object = None,
        subscription: WireSubscription | None = None,
        *,
        again: bool = False,
    ) -> Receipt:
        """Send a request, whose frames `say` makes when it is handed over.

        Args:
            draft: Makes about what `say` will make, for the limits of the outbox.
            say: Makes the frames, and numbers it.
            holder: Whose it is, for `clear`.
            subscription: Whose request it is; None if it is the connection's.
            again: Whether it was sent before the connection was lost: then it leaves before what
                was not, and the outbox has room for it.

        Raises:
            TypeError: If it cannot be encoded.
        """
        self._own.check_thread()  # before it gets a number
        phase = self._machine.open_phase
        if phase is not None and phase.conversation is not None:
            (frame,) = say(phase.conversation)
            return self.send(frame, holder)
        entry = self._entry(draft(), holder, USUAL, subscription, say)
        entry.is_request, entry.again = True, again
        return Receipt(self._offer(entry))

    def withdraw(self, receipt: Receipt) -> None:
        """Take a message back if it still waits."""
        delivery = delivery_of(receipt)
        if delivery.take_back is not None:
            delivery.take_back(delivery)

    def clear(self, holder: object = None) -> list[object]:
        """Take back all that waits, and return the data of messages, those of requests excepted.

        Args:
            holder: Whose messages; None takes back everybody's.
        """
        self._own.check_thread()
        taken = [
            entry
            for entry in (*self._machine.outbox.entries, *self._machine.line)
            if holder is None or entry.holder is holder
        ]
        if taken:
            self._keeper.dispatch(fact.MessagesWithdrawn(tuple(each.receipt for each in taken)))
        is_json = self._machine.carries_json
        return [
            decode_json(each.data) if is_json and isinstance(each.data, str) else each.data
            for each in taken
            if not each.is_request
        ]

    def leave_line(self, holder: object) -> None:
        """Take back what a holder waits in line with; its `asend` returns."""
        line = self.in_line or ()
        receipts = [entry.receipt for entry in line if entry.holder is holder]
        if receipts:
            self._keeper.dispatch(fact.MessagesWithdrawn(tuple(receipts)))
            self.admit()

    async def drain(self) -> None:
        """Wait until all that was sent so far is handed over, or acknowledged.

        Raises:
            DeliveryError: If the last message of them was not, and was not taken back.
        """
        machine = self._machine
        under_way = machine.sent or ()
        failure: DeliveryError | None = None
        for entry in (*under_way, *machine.outbox.entries, *machine.line):
            try:
                await Receipt(delivery_in(entry))
                failure = None
            except DeliveryError as error:
                if delivery_in(entry).why not in {TAKEN_BACK, REPLACED}:
                    failure = error
        if failure is not None:
            raise failure

    def admit(self) -> None:
        """There may be room now: let those in that wait in line, and wake their senders."""
        now = self._own.now()
        while self._machine.line:
            first = self._machine.line[0]
            offer = self._machine.admit(now)
            if offer is None:
                break
            self._take(first, offer)
        still_there = set(self._machine.line)
        for entry, waiter in (self.in_line or {}).items():
            if entry not in still_there and not (waiter.done() or waiter.get_loop().is_closed()):
                waiter.set_result(None)

    def _check(self, options: SendOptions) -> None:
        if options.id is not None and not self._machine.repeats:
            raise TypeError(NO_IDS)

    def _entry(
        self,
        data: str | bytes,
        holder: object,
        options: SendOptions,
        subscription: WireSubscription | None = None,
        say: Say | None = None,
    ) -> Outgoing:
        machine, protocol = self._machine, self._machine.settings.protocol
        if not (say or subscription or protocol is None or protocol.has_messages):
            raise RuntimeError(NO_MESSAGES.format(type(protocol).__name__))
        is_answered = machine.sent is not None and say is None
        entry = Outgoing(data, size_of(data), Delivery(awaits_reply=is_answered))
        entry.holder = holder
        entry.subscription = subscription
        entry.say = say
        if say is None and not machine.settings.is_plain:
            entry.say = _message(data, subscription, entry)
        if options is not USUAL:
            entry.key, entry.urgent, entry.id = options.key, options.urgent, options.id or ""
            if entry.key is not None and subscription is not None:
                entry.key = (subscription, entry.key)  # one room's keys are not another's
            if options.ttl is not None:
                entry.expires_at = self._own.now() + options.ttl
        return entry

    def _offer(
        self, entry: Outgoing, *, only_now: bool = False, may_wait: bool = False
    ) -> Delivery:
        keeper = self._keeper
        offer = self._machine.offer(
            entry,
            self._own.now(),
            from_on_open=keeper.opening is not None,
            only_now=only_now,
            may_wait=may_wait,
        )
        if isinstance(offer, Queued) and offer.is_in_line:
            self.in_line = self.in_line or {}
            self.in_line[entry] = asyncio.get_running_loop().create_future()
        self._take(entry, offer)
        # A deadline is only changed by what waits, by what is not acknowledged, and by use.
        settings, sent = self._machine.settings, self._machine.sent
        if entry.waits or sent is not None or settings.linger is not None:
            keeper.queued()
        if entry.waits and not settings.is_plain:
            # What waits may be another room's: the conversation says which messages may leave.
            self._writer.flush(self._own.now())
        if keeper.shows_buffered:
            keeper.buffered_changed()
        return delivery_in(entry)

    def _take(self, entry: Outgoing, offer: Offer) -> None:
        delivery = delivery_in(entry)
        delivery.id = entry.id or None
        if isinstance(offer, Queued):
            delivery.take_back = self._take_back
        self._writer.take(offer)

    def _take_back(self, delivery: Delivery) -> None:
        self._own.check_thread()
        self._keeper.dispatch(fact.MessagesWithdrawn((delivery,)))

    async def _wait_in_line(
        self, entry: Outgoing, line: dict[Outgoing, asyncio.Future[None]]
    ) -> None:
        try:
            await line[entry]
        except asyncio.CancelledError:
            self.withdraw(Receipt(delivery_in(entry)))
            raise
        finally:
            del line[entry]


def _message(data: str | bytes, subscription: WireSubscription | None, entry: Outgoing) -> Say:
    """Return how the conversation of a protocol makes frames of a message."""

    def say(talk: Conversation) -> Iterable[str | bytes]:
        return talk.send(data, subscription, entry)

    return say
