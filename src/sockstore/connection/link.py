"""Pass on what one transport reports: messages to the receiver, the rest to the driver."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast
from weakref import ReferenceType, ref

from sockstore.base.close import Close
from sockstore.base.state import Attempt, SocketInfo
from sockstore.connection.endpoint import Endpoint
from sockstore.connection.receiver import Receiver
from sockstore.machine import Machine
from sockstore.machine import events as fact
from sockstore.machine.events import Event
from sockstore.machine.session_frames import FrameError, Published, Said, read
from sockstore.transports.base import Deliver, Transport, TransportFactory, TransportOptions

if TYPE_CHECKING:
    from sockstore.protocols.base import Output, Received

__all__ = ["Link", "LinkKeeper", "open_link"]


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
        "_in_slice",
        "_keeper",
        "_machine",
        "_receiver",
        "_slice_began_at",
        "_total_before",
        "attempt",
        "first_number",
        "given",
        "has_opened",
        "last_data_at",
        "last_message_at",
        "number",
        "tell",
        "token",
        "transport",
    )

    transport: Transport

    def __init__(self, number: int, keeper: LinkKeeper, clock: Callable[[], float]) -> None:
        self.number: int = number
        self._keeper = keeper
        self.tell: Final = keeper.dispatch
        self._clock = clock
        # `open_link` sets these, and the transport.
        self.token: str | None = None
        self.given: Mapping[str, object] = {}  # the values of the protocol's parameters
        self.attempt: Attempt = Attempt()
        self.has_opened: bool = False  # set by `opened`
        # The receiver of the messages: set by `attend`, cleared by `retire`.
        self._receiver: ReferenceType[Receiver] | None = None
        # The number of its first message in the log: set by `attend`.
        self.first_number: int = 0
        # The machine, which knows a room's messages: set by `attend`; None without a session.
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

    # Called by the driver

    def attend(self, receiver: Receiver, machine: Machine, *, keeps_beginning: bool) -> None:
        """Give the messages of this transport to a receiver from now on.

        Args:
            receiver: The receiver.
            machine: Knows which messages of a session's room are new.
            keeps_beginning: Whether streams that ``on_open`` makes begin with the first message.
        """
        self._receiver = ref(receiver)
        self.first_number = receiver.log.kept.total + 1
        self._machine = None if machine.is_plain else machine
        if keeps_beginning:
            receiver.log.keep_beginning(self.number)

    def retire(self) -> None:
        """Discard messages from now on, and end the slice under way."""
        receiver = self._attended
        self._receiver = None
        if receiver is not None:
            receiver.log.stop_slice()
            receiver.log.drop_beginning(self.number)

    def opening_over(self) -> None:
        """Stop keeping the first messages for ``on_open``, which has ended."""
        if (receiver := self._attended) is not None:
            receiver.log.drop_beginning(self.number)

    def take(self, received: Received) -> None:
        """Deliver one message of a protocol, until this link is retired; also between slices."""
        if (receiver := self._attended) is None:
            return
        is_between = self._in_slice is None
        if is_between:
            self.begin_slice()
        receiver.receive(received)
        if is_between:
            self.end_slice()

    def deliver(self, publications: Sequence[Published]) -> None:
        """Deliver messages that were missed without a connection, until this link is retired."""
        if (receiver := self._attended) is None or self._machine is None:
            return
        receiver.log.expect(len(publications))
        slice_ = SessionSlice(self, self._machine, receiver)
        for publication in publications:
            if slice_.take(publication) and self.is_retired:
                return  # the position is that of the last one that was delivered

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
        event = fact.TransportOpened(self.number, socket, self.token, self.given, self.attempt)
        self._keeper.link_opened(self, event)

    def begin_slice(self) -> Deliver | None:
        """Return the receiver of this slice; None if its messages do not count."""
        if self._receiver is None or (receiver := self._receiver()) is None:
            return None
        self._slice_began_at = self._clock()
        self._in_slice = receiver
        self._total_before = receiver.log.begin_slice()
        if self._machine is None:
            return receiver
        if self._machine.session is None:
            hear = self._machine.ear(self.number)
            if hear is None:
                return receiver
            return ConversationSlice(self, hear, receiver, self._slice_began_at)
        return SessionSlice(self, self._machine, receiver)

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
            self.last_data_at = self._slice_began_at
        if receiver.log.kept.total != self._total_before:
            self.last_message_at = self._slice_began_at
        if receiver.subscriptions is None:
            receiver.log.end_slice()
        elif receiver.subscriptions.end_slice():
            self.last_message_at = self._slice_began_at
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
        """Tell that the WebSocket has ended."""
        self.tell(fact.TransportClosed(self.number, close, why, cause))

    def released(self) -> None:
        """Tell that the transport is released."""
        self._keeper.link_released(self)


class SessionSlice:
    """Takes the frames of a room for one slice.

    Args:
        link: Where they come from.
        machine: Knows which publications are new.
        receiver: Takes those.
    """

    __slots__ = ("_link", "_machine", "_receiver", "_session")

    def __init__(self, link: Link, machine: Machine, receiver: Receiver) -> None:
        assert machine.session is not None  # noqa: S101 - else the receiver takes the frames itself
        self._link = link
        self._machine = machine
        self._session = machine.session
        self._receiver = receiver

    def texts(self, messages: Iterator[str], /) -> bool:
        """Take text frames; return whether the slice should end now."""
        return any(map(self._hear, messages))

    def binaries(self, messages: Iterator[bytes], /) -> bool:
        """Take binary frames; return whether the slice should end now."""
        return any(map(self._hear, messages))

    def take(self, said: Said) -> bool:
        """Take one push or reply of the server; return whether the slice should end now."""
        link = self._link
        if link.is_retired:
            return True
        if isinstance(said, Published):
            is_news = self._machine.accept(link.number, said)
            if is_news is not None:
                return is_news and self._receiver.publish(said, self._session.epoch)
        link.tell(fact.SessionHeard(link.number, said))
        return link.is_retired

    def _hear(self, frame: str | bytes) -> bool:
        is_over = False
        try:
            for said in read(frame):
                is_over = self.take(said) or is_over
        except FrameError as error:
            self._link.tell(fact.SessionBroken(self._link.number, str(error)))
            return True
        return is_over


class ConversationSlice:
    """Takes the frames of a protocol for one slice.

    Args:
        link: Where they come from.
        hear: Makes outputs of a frame and the time.
        receiver: Takes the messages.
        now: When the slice began.
    """

    __slots__ = ("_deliver", "_hear", "_is_reply", "_link", "_message", "_now", "_receive")

    def __init__(
        self,
        link: Link,
        hear: Callable[[str | bytes, float], Iterable[Output]],
        receiver: Receiver,
        now: float,
    ) -> None:
        from sockstore.protocols.base import Received  # noqa: PLC0415 - few programs need it

        self._message = Received
        self._is_reply = receiver.is_reply
        self._link = link
        self._hear = hear
        assert receiver.subscriptions is not None  # noqa: S101 - a protocol has them
        self._deliver = receiver.subscriptions.deliver
        self._receive = receiver.receive
        self._now = now

    def texts(self, messages: Iterator[str | bytes], /) -> bool:
        """Take frames; return whether the slice should end now."""
        link, hear, now, deliver = self._link, self._hear, self._now, self._deliver
        message = self._message
        for frame in messages:
            if self._is_reply(frame):
                continue
            outputs = hear(frame, now)
            # The hot path: one message of a subscription, and nothing else.
            if type(outputs) is tuple and len(outputs) == 1:
                output = outputs[0]
                if type(output) is message and output.subscription is not None:
                    if deliver(output) or link.is_retired:
                        return True
                    continue
            if self._take(tuple(outputs)):
                return True
        return False

    binaries = texts

    def _take(self, outputs: tuple[Output, ...]) -> bool:
        if any(type(output) is not self._message for output in outputs):
            self._link.tell(fact.ConversationSaid(self._link.number, outputs))
            return self._link.is_retired
        ends = [self._receive(cast("Received", output)) for output in outputs]
        return any(ends) or self._link.is_retired


async def open_link(
    attempt: Attempt,
    endpoint: Endpoint,
    transport: TransportFactory,
    options: TransportOptions,
    link: Link,
) -> None:
    """Make the transport, ask for the target, then do the opening handshake."""
    link.transport = transport(link, options)
    asking = endpoint.target(attempt)
    del endpoint, transport  # an attempt under way does not keep the connection alive
    target = await asking
    link.token, link.given, link.attempt = target.token, target.given, attempt
    await link.transport.open(target)
