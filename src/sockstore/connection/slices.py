"""Take the frames of one slice: for a protocol, or for an opening."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, cast

from sockstore.base.options import Heartbeat
from sockstore.connection.inbox import Inbox, size_of
from sockstore.connection.receiver import Receiver
from sockstore.machine import Machine
from sockstore.machine import events as fact
from sockstore.machine.events import Event
from sockstore.transports.base import Deliver, deliver_one

if TYPE_CHECKING:
    from sockstore.protocols.base import Conversation, Output, Received

__all__ = ["ConversationSlice", "HeartbeatSlice", "InboxSlice", "slice_of"]


class Source(Protocol):
    """The link that a slice comes from."""

    number: int
    """The number of its transport."""

    inbox: Inbox | None
    """Where messages go before the connection is open."""

    heartbeat: Heartbeat | None
    """The heartbeat whose replies are not messages."""

    @property
    def is_retired(self) -> bool:
        """Whether the messages of this transport do not count."""

    def tell(self, event: Event, /) -> None:
        """Tell the machine a fact."""

    def not_delivered(self, items: Iterable[object], /) -> None:
        """Let the protocol forget the messages among these, which come too late."""


class ConversationSlice:
    """Takes the frames of a protocol for one slice.

    Args:
        link: Where they come from.
        talk: Makes outputs of a frame and the time.
        receiver: Takes the messages.
        now: When the slice began.
    """

    __slots__ = (
        "_answer",
        "_follows",
        "_has_news",
        "_hear",
        "_link",
        "_message",
        "_now",
        "_receiver",
        "_subscriptions",
        "_talk",
        "_turns",
    )

    def __init__(
        self,
        link: Source,
        talk: Conversation,
        receiver: Receiver,
        now: float,
    ) -> None:
        from sockstore.protocols.base import (  # noqa: PLC0415 - see CN1
            Answered,
            Conversation,
            Ended,
            Failed,
            Missed,
            Opened,
            Received,
            Refused,
            Subscribed,
        )

        self._answer = Answered
        # What keeps its place among the messages that wait, and what changes everything.
        self._follows = (Received, Subscribed, Refused, Ended, Missed)
        self._turns = (Opened, Failed)
        self._message = Received
        self._link = link
        self._hear = talk.hear
        # Asked only where a conversation has one: most have not.
        self._has_news = type(talk).news is not Conversation.news
        self._talk = talk
        assert receiver.subscriptions is not None  # noqa: S101 - a protocol has them
        self._subscriptions = receiver.subscriptions
        self._receiver = receiver
        self._now = now

    def texts(self, messages: Iterator[str], /) -> bool:
        """Take text frames; return whether the slice should end now."""
        if self._has_news and self._link.inbox is None:
            return self._take_news(messages)
        return self._hear_all(messages)

    def _hear_all(self, messages: Iterator[str | bytes]) -> bool:
        link = self._link
        if link.inbox is not None:
            return any(map(self._hear_early, messages))
        hear, now, deliver, message = (
            self._hear,
            self._now,
            self._subscriptions.deliver,
            self._message,
        )
        for frame in messages:
            try:
                outputs = hear(frame, now)
                if type(outputs) is not tuple:
                    outputs = tuple(outputs)
            except Exception as error:  # noqa: BLE001 - a protocol may be the user's
                return self._broken(error)
            # The hot path: one message of a subscription, and nothing else.
            if len(outputs) == 1:
                output = outputs[0]
                if type(output) is message and output.subscription is not None:
                    if deliver(output) or link.is_retired:
                        return True
                    continue
            if self._take(outputs):
                return True
        return False

    def binaries(self, messages: Iterator[bytes], /) -> bool:
        """Take binary frames; return whether the slice should end now."""
        return self._hear_all(messages)

    def _take_news(self, messages: Iterator[str]) -> bool:
        """Take frames of a conversation that knows most messages at first sight: a hot path."""
        subscriptions, now, hear = self._subscriptions, self._now, self._hear
        sinks, log = subscriptions.sinks, self._receiver.log
        received_at, count, is_over = log.received_at, 0, False
        items = self._talk.news(messages, now)
        try:
            item = next(items, None)
            while item is not None:
                # What was taken from `items` has moved a position, so it is always delivered.
                if isinstance(item, str):
                    if self._take(tuple(hear(item, now))) or is_over:
                        return True
                elif (sink := sinks.get(item.subscription)) is not None:
                    before = sink.kept.total
                    item = sink.extend_news(item, items, received_at, log)
                    count += sink.kept.total - before
                    is_over = sink.slice_over or is_over
                    continue
                else:
                    is_over = subscriptions.deliver_news(item) or is_over
                    # A slice ends between frames only, or at once if the link is retired.
                    if (is_over and not item.more) or log.slice_over:
                        return True
                item = next(items, None)
        except Exception as error:  # noqa: BLE001 - a protocol may be the user's
            return self._broken(error)
        finally:
            subscriptions.received += count
            is_over = subscriptions.tell_readers() or is_over or log.slice_over
        return is_over

    def _take(self, outputs: tuple[Output, ...]) -> bool:
        if self._say(outputs):
            if any(type(output) is self._answer for output in outputs):
                self._receiver.gave_answer = True
                return True  # what stands behind it waits: see `Link.end_slice`
            return self._link.is_retired
        is_over = False
        for number, output in enumerate(outputs):
            if self._link.is_retired:
                self._link.not_delivered(outputs[number:])
                return True
            is_over = self._receiver.receive(cast("Received", output)) or is_over
        return is_over or self._link.is_retired

    def _hear_early(self, frame: str | bytes) -> bool:
        """Hear a frame while messages wait: before the connection is open, and a little later."""
        link = self._link
        if (inbox := link.inbox) is None:
            return True
        inbox.last_frame = frame
        try:
            outputs = tuple(self._hear(frame, self._now))
        except Exception as error:  # noqa: BLE001 - a protocol may be the user's
            return self._broken(error)
        size = size_of(frame)
        if inbox.waiting and not any(isinstance(each, self._turns) for each in outputs):
            # What is said of a subscription stays behind the messages that wait.
            others = tuple(each for each in outputs if not isinstance(each, self._follows))
            news = [each for each in outputs if isinstance(each, self._follows)]
            if self._say(others) and link.inbox is None:
                link.not_delivered(news)
                return True
            ends = [inbox.put(each, size) for each in news]
            return any(ends)
        if self._say(outputs):
            return link.inbox is None
        ends = [inbox.put(cast("Received", output), size) for output in outputs]
        return any(ends)

    def _broken(self, error: Exception) -> bool:
        self._link.tell(fact.ConversationRaised(self._link.number, error))
        return True

    def _say(self, outputs: tuple[Output, ...]) -> bool:
        """Report outputs that are more than messages; return whether they are."""
        if all(type(output) is self._message for output in outputs):
            return False
        self._link.tell(fact.ConversationSaid(self._link.number, outputs))
        return True


class HeartbeatSlice:
    """Takes the replies to a heartbeat out of one slice.

    Args:
        deliver: Takes the other frames.
        receiver: Is told that there was data.
        heartbeat: Recognises its replies.
    """

    __slots__ = ("_deliver", "_heartbeat", "_receiver")

    def __init__(self, deliver: Deliver, receiver: Receiver, heartbeat: Heartbeat) -> None:
        self._deliver = deliver
        self._receiver = receiver
        self._heartbeat = heartbeat

    def texts(self, messages: Iterator[str], /) -> bool:
        """Take text frames; return whether the slice should end now."""
        return any(map(self._hear, messages))

    def binaries(self, messages: Iterator[bytes], /) -> bool:
        """Take binary frames; return whether the slice should end now."""
        return any(map(self._hear, messages))

    def _hear(self, frame: str | bytes) -> bool:
        self._receiver.has_data = True
        if self._receiver.is_reply(self._heartbeat, frame):
            return False
        return deliver_one(self._deliver, frame)


class InboxSlice:
    """Puts the frames of a server without a protocol into an inbox, for one slice.

    Args:
        inbox: Where they go.
        receiver: Takes the answers to requests of ``on_open``.
    """

    __slots__ = ("_inbox", "_receiver")

    def __init__(self, inbox: Inbox, receiver: Receiver) -> None:
        self._inbox = inbox
        self._receiver = receiver

    def texts(self, messages: Iterator[str], /) -> bool:
        """Take text frames; return whether the slice should end now."""
        return any(map(self._hear, messages))

    def binaries(self, messages: Iterator[bytes], /) -> bool:
        """Take binary frames; return whether the slice should end now."""
        return any(map(self._hear, messages))

    def _hear(self, frame: str | bytes) -> bool:
        self._inbox.last_frame = frame
        if self._receiver.answers(frame):
            return False
        return self._inbox.put(frame, size_of(frame))


def slice_of(link: Source, machine: Machine | None, receiver: Receiver, now: float) -> Deliver:
    """Return what takes the frames of one slice.

    Args:
        link: Where they come from.
        machine: What knows what frames mean; None on a plain connection.
        receiver: Takes the messages.
        now: When the slice began.
    """
    deliver: Deliver = receiver
    if machine is None:
        if link.inbox is not None:
            deliver = InboxSlice(link.inbox, receiver)
    elif (talk := machine.ear(link.number)) is not None:
        deliver = ConversationSlice(link, talk, receiver, now)
    heartbeat = link.heartbeat
    return deliver if heartbeat is None else HeartbeatSlice(deliver, receiver, heartbeat)
