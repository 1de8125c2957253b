"""Pass on what one transport reports: messages to the receiver, the rest to the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol
from weakref import ReferenceType, ref

from sockstore.base.close import Close
from sockstore.base.options import Heartbeat
from sockstore.base.state import Attempt, SocketInfo
from sockstore.connection.receiver import Receiver
from sockstore.machine import Machine
from sockstore.machine import events as fact
from sockstore.machine.events import Event
from sockstore.transports.base import (
    Deliver,
    Target,
    Transport,
)

if TYPE_CHECKING:
    from sockstore.connection.inbox import Inbox
    from sockstore.protocols.base import Received

__all__ = ["Link", "LinkKeeper"]


class LinkKeeper(Protocol):
    """The methods of the driver that its links call."""

    shows_buffered: bool
    """Whether anybody has asked for the amount that waits to be sent."""

    def dispatch(self, event: Event) -> None:
        """Tell the machine a fact."""

    def link_opened(self, link: Link, event: fact.TransportOpened) -> None:
        """The transport's handshake succeeded."""

    def link_released(self, link: Link) -> None:
        """The transport is released."""

    def buffered_changed(self) -> None:
        """The amount that waits to be sent may have changed."""

    def call_soon(self, fn: Callable[[], object]) -> None:
        """Call a function in the next turn of the loop."""

    def arm(self) -> None:
        """Set the timer for the machine's deadline."""


_FORGOTTEN: Final = Attempt()


class Link:
    """Reports of one transport, stamped with the transport's number.

    The event loop refers to links, so a link refers to the receiver weakly: a connection that the
    user forgets can be noticed.

    Args:
        number: The transport's number.
        keeper: Receives the events.
        clock: Returns the machine's time.
    """

    __slots__ = (
        "_clock",
        "_end",
        "_in_slice",
        "_keeper",
        "_machine",
        "_receiver",
        "_slice_began_at",
        "_told_at",
        "_total_before",
        "_turns_aside",
        "attempt",
        "first_number",
        "has_opened",
        "heartbeat",
        "inbox",
        "last_data_at",
        "last_message_at",
        "number",
        "target",
        "tell",
        "transport",
    )

    transport: Transport

    def __init__(self, number: int, keeper: LinkKeeper, clock: Callable[[], float]) -> None:
        self.number: int = number
        self._keeper = keeper
        self.tell: Final = keeper.dispatch
        self._clock = clock
        # `open_link` sets these, and the transport; they are forgotten once nothing is held.
        self.target: Target | None = None
        self.attempt: Attempt = _FORGOTTEN
        self.has_opened: bool = False  # set by `opened`
        # The receiver of the messages: set by `attend`, cleared by `retire`.
        self._receiver: ReferenceType[Receiver] | None = None
        # The number of its first message in the log: set by `attend`.
        self.first_number: int = 0
        # The machine, which knows what frames mean: set by `attend`; None on a plain connection.
        self._machine: Machine | None = None
        # The slice under way: set by `begin_slice`, cleared by `end_slice`.
        self._in_slice: Receiver | None = None
        # When it began, and how many messages had arrived before: set by `begin_slice`.
        self._slice_began_at = 0.0
        self._total_before = 0
        # When a message was last added to the log, and when any data message last came (None
        # without a heartbeat): set by `end_slice`.
        self.last_message_at: float | None = None
        self.last_data_at: float | None = None
        # The machine's time at its last deadline: set by `at_deadline`. A timer may come early by
        # the resolution of the clock, which is behind that time then.
        self._told_at = 0.0
        # What came before the connection was open, or behind an answer, and is not delivered yet:
        # set by `attend` and `begin_slice`, cleared by `retire` and once all is delivered.
        self.inbox: Inbox | None = None
        # For how many turns of the loop what comes is held: set by `_step_aside`, counted by
        # `_turn_over`.
        self._turns_aside = 0
        # The end of the WebSocket, until it is told: set by `closed`, cleared by `tell_end`.
        self._end: _End | None = None
        # With a protocol, the heartbeat whose replies are not messages; set by `expect`.
        self.heartbeat: Heartbeat | None = None

    # Called by the driver

    def attend(self, receiver: Receiver, machine: Machine) -> None:
        """Give the messages of this transport to a receiver from now on.

        Args:
            receiver: The receiver.
            machine: Knows what frames mean, with a protocol.
        """
        self._receiver = ref(receiver)
        self.first_number = receiver.log.kept.total + 1
        self._machine = None if machine.is_plain else machine
        if machine.settings.has_on_open or not machine.is_plain:
            self._hold()
        self.expect(machine.settings.heartbeat)

    def expect(self, heartbeat: Heartbeat | None) -> None:
        """Take the replies to this heartbeat, if it has any, out of the messages."""
        if heartbeat is not None and heartbeat.reply is None:
            heartbeat = None
        if self._machine is not None:
            self.heartbeat = heartbeat
        elif (receiver := self._attended) is not None:
            receiver.expect(heartbeat)

    def retire(self) -> None:
        """Discard messages from now on, and end the slice under way."""
        receiver = self._attended
        self._receiver = None
        if receiver is not None:
            receiver.log.stop_slice()
        if self.inbox is not None:
            self.inbox.close()
            self.inbox = None
        if self._end is not None:
            self._keeper.call_soon(self.tell_end)

    def deliver_left(self) -> None:
        """Deliver what nobody took of the inbox, from the loop's next turn but one on.

        So tasks woken by the open connection take a step before the first message.
        """
        if self.inbox is not None:
            self.inbox.leave()
        self._keeper.call_soon(lambda: self._keeper.call_soon(self._deliver_left))

    def at_deadline(self, now: float) -> fact.DeadlineReached:
        """Return the event of a deadline that is reached while this transport is live."""
        self._told_at = now
        return fact.DeadlineReached(
            self.transport.heard,
            self.transport.reading_paused,
            self.last_message_at,
            self.last_data_at,
            "" if self.inbox is None else self.inbox.awaits,
        )

    @contextmanager
    def awaiting(self, what: str) -> Iterator[None]:
        """Note what ``on_open`` waits for."""
        if self.inbox is None:
            yield
        else:
            with self.inbox.waiting_for(what):
                yield

    def tell_end(self) -> None:
        """Tell the end of the WebSocket, if it has ended and that is not told."""
        if (end := self._end) is None:
            return
        self._end = None
        words = "" if self.inbox is None else self._last_words(self.inbox.last_frame)
        self.tell(fact.TransportClosed(self.number, *end.closed, words))
        if end.is_released:
            self._keeper.link_released(self)

    def take(self, received: Received) -> None:
        """Deliver one message of a protocol, until this link is retired; also between slices."""
        if (receiver := self._attended) is None:
            self.not_delivered((received,))
            return
        if self.inbox is not None:
            self.inbox.put_beside(received)
            return
        is_between = self._in_slice is None
        if is_between:
            self.begin_slice()
        receiver.receive(received)
        if is_between:
            self.end_slice()

    def not_delivered(self, items: Iterable[object]) -> None:
        """Let the protocol forget the messages among these, which come too late."""
        if self._machine is not None:
            self._machine.not_delivered(items)

    @property
    def is_retired(self) -> bool:
        """Whether the messages of this transport do not count."""
        return self._receiver is None

    @property
    def _attended(self) -> Receiver | None:
        return None if self._receiver is None else self._receiver()

    # Called by the transport

    def opened(self, socket: SocketInfo) -> None:
        """Tell that the handshake succeeded."""
        self.has_opened = True
        target = self.target
        assert target is not None  # noqa: S101 - `open_link` has set it
        event = fact.TransportOpened(self.number, socket, target.given, self.attempt)
        self._keeper.link_opened(self, event)
        if self.inbox is None:
            self.target, self.attempt = None, _FORGOTTEN

    def begin_slice(self) -> Deliver | None:
        """Return the receiver of this slice; None if its messages do not count."""
        if self._receiver is None or (receiver := self._receiver()) is None:
            return None
        self._slice_began_at = self._clock()
        self._in_slice = receiver
        self._total_before = receiver.log.begin_slice()
        if self._turns_aside and self.inbox is None:
            self._hold()
            self.deliver_left()
        if self._machine is None and self.inbox is None and self.heartbeat is None:
            return receiver
        from sockstore.connection.slices import slice_of  # noqa: PLC0415 - few programs need it

        return slice_of(self, self._machine, receiver, self._slice_began_at)

    def end_slice(self) -> None:
        """Notify subscribers of the slice, and note when the last message came.

        Only messages that were added to the log count for `last_message_at`; pings, pongs,
        fragments, replies to heartbeats, answers to requests and repeated messages do not.
        """
        receiver, self._in_slice = self._in_slice, None
        if receiver is None:
            return
        if receiver.has_data:
            receiver.has_data = False
            self.last_data_at = max(self._slice_began_at, self._told_at)
        if receiver.log.kept.total != self._total_before:
            self.last_message_at = self._slice_began_at
        if receiver.subscriptions is None:
            receiver.log.end_slice()
        else:
            if receiver.subscriptions.end_slice():
                self.last_message_at = self._slice_began_at
            self._keeper.arm()  # what came may have given the conversation another deadline
        if receiver.gave_answer:
            receiver.gave_answer = False
            self._step_aside()
        if self._keeper.shows_buffered:
            self._keeper.buffered_changed()

    def pong_received(self, payload: bytes) -> None:
        """Tell that the peer answered a ping."""
        self.tell(fact.PongReceived(self.number, payload))

    def writing_paused(self) -> None:
        """Tell that the send buffer is full."""
        self.tell(fact.WritingPaused(self.number))

    def writing_resumed(self) -> None:
        """Tell that the send buffer has room again."""
        self.tell(fact.WritingResumed(self.number))

    def closed(self, close: Close, why: str, cause: Exception | None = None) -> None:
        """Tell that the WebSocket has ended; not before what it brought was read."""
        if self.inbox is None:
            self.tell(fact.TransportClosed(self.number, close, why, cause))
            return
        self._end = _End((close, why, cause))
        # ``on_open`` may have been woken by an answer: it takes a step first.
        self._keeper.call_soon(lambda: self._keeper.call_soon(self._look_at_end))

    def released(self) -> None:
        """Tell that the transport is released."""
        if self._end is None:
            self._keeper.link_released(self)
        else:
            self._end.is_released = True

    def _look_at_end(self) -> None:
        """Tell the end, unless ``on_open`` or readers are to get what came before it."""
        inbox = self.inbox
        if inbox is None or not inbox.waiting or inbox.stage == "held" or inbox.is_asking:
            self.tell_end()

    # What came before the connection was open, or behind an answer

    def _hold(self) -> None:
        from sockstore.connection.inbox import Inbox  # noqa: PLC0415 - few programs need it

        self.inbox = Inbox(self)

    def _step_aside(self) -> None:
        """Hold what stands behind an answer, so that its caller may make a reader for it (SU4).

        An inbox for each answer would make a request half as dear again: mostly nothing follows.
        """
        if not self._turns_aside:
            self._keeper.call_soon(self._turn_over)
        self._turns_aside = 2

    def _turn_over(self) -> None:
        self._turns_aside -= 1
        if self._turns_aside:
            self._keeper.call_soon(self._turn_over)

    def _deliver_left(self) -> None:
        receiver, inbox = self._attended, self.inbox
        if receiver is None or inbox is None:
            return
        self.begin_slice()
        try:
            inbox.deliver(receiver)
        finally:
            self.end_slice()
        if self.is_retired:
            return
        if inbox.waiting:
            self._keeper.call_soon(self._deliver_left)
        else:
            self.inbox = self.target = None
            self.attempt = _FORGOTTEN
            self.tell_end()

    def _last_words(self, frame: str | bytes) -> str:
        from sockstore.transports.words import words_in  # noqa: PLC0415 - only for a failure

        return words_in(frame, self.target)


class _End:
    """The end of a WebSocket that is not told yet.

    Attributes:
        closed: How, why, and the exception below it.
        is_released: Whether the transport is released, too; set by `Link.released`.
    """

    __slots__ = ("closed", "is_released")

    def __init__(self, closed: tuple[Close, str, Exception | None]) -> None:
        self.closed = closed
        self.is_released = False
