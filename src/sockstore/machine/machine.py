"""Decide what a managed connection does next, and do none of it.

Its laws:

1. Every decision about the connection is made here; no other package changes a phase.
2. Its state changes through three entry points, and each has a duty for its caller:

   - `handle`, for all that happens: carry out the effects in order, then look at `state` and at
     `deadline`. An event costs microseconds, so two hot paths have methods of their own.
   - `ear`, for the frames of a protocol: deliver the messages of one if it says nothing else, and
     otherwise report all of it by `ConversationSaid`. Listening may change
     `deadline`, and never `state`.
     `match`, for a message of a plain connection while requests wait. Neither changes here.
   - `offer`, `admit` and `next_to_send`, for messages on their way out: give the data of a
     `HandOver` to the live transport, and settle the receipts of refused, dropped or replaced ones.
     `deadline` may have changed. Call `admit` until it returns None whenever there may be room.

3. No clock is read and no timer is set: `now` comes in, `deadline` goes out. Asynchronous
   callables are effects, their results come back as events.
4. A phase holds only what is valid in it; there are no flags.
5. An event of another transport is stale and changes nothing.
6. An offered message is handed over, refused with a reason, or queued: exactly one of these.
7. The effects say what the machine knew when it decided (`RetireTransport`, `RecordDecision`,
   `RecordState`); no caller compares before and after.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

from sockstore.base.state import ConnectionState
from sockstore.machine import effects as order
from sockstore.machine.asking import frames_of, may_send, not_delivered
from sockstore.machine.delivery import Flight, Outgoing, size_of
from sockstore.machine.effects import Effect
from sockstore.machine.events import Event
from sockstore.machine.idling import LASTING, end_if_unused, should_begin
from sockstore.machine.memory import Memory, Settings
from sockstore.machine.outbox import HandOver, Offer, Refused
from sockstore.machine.phases import (
    LIVE,
    AnyPhase,
    Closed,
    Closing,
    Deciding,
    Failed,
    Idle,
    Open,
    Preparing,
    deadline_of,
    project,
)
from sockstore.machine.reconnect import Decision
from sockstore.machine.sending import TOO_LARGE, MaySend, allows
from sockstore.machine.subscriptions import FINAL
from sockstore.machine.transitions import react

if TYPE_CHECKING:
    from sockstore.protocols.base import Answered, Conversation, SentMessages, WireSubscription
    from sockstore.protocols.plain import PlainConversation

__all__ = ["Machine"]

OfferT = TypeVar("OfferT", HandOver | Refused, Offer)


class OutboxView(Protocol):
    """The part of the outbox that other packages may read."""

    def __len__(self) -> int:
        """Return how many messages wait."""

    @property
    def entries(self) -> Iterable[Outgoing]:
        """The messages, the next to leave first."""

    @property
    def bytes(self) -> int:
        """The size of all messages."""


class Machine:
    """Decides what a managed connection does next; the driver does it.

    Attributes:
        settings: The user's options.
        outbox: The messages that wait to be sent, to be read only.
        is_plain: Whether frames are the program's messages, so that no protocol has to be asked.
        carries_json: Whether all data is JSON.
        repeats: Whether messages have ids, so that what is not acknowledged is sent again.
        joins_with: What stands between texts that share one WebSocket message, or None.
        sent: The messages that were handed over and not acknowledged, to be read only; None where
            servers acknowledge none.
    """

    __slots__ = (
        "_memory",
        "_sends_as_it_is",
        "carries_json",
        "is_plain",
        "joins_with",
        "outbox",
        "repeats",
        "sent",
        "settings",
    )

    def __init__(self, settings: Settings, destination: object = None) -> None:
        self._memory: Final = Memory(settings, destination)
        self.settings: Final = settings
        self.outbox: Final[OutboxView] = self._memory.sending.outbox
        self.is_plain: Final[bool] = settings.is_plain
        protocol = settings.protocol
        self.joins_with: Final[str | None] = None if protocol is None else protocol.joins_with
        self.sent: Final[SentMessages | None] = self._memory.sending.sent
        self.repeats: Final[bool] = self._memory.repeats
        self.carries_json: Final[bool] = protocol is not None and protocol.carries_json
        # Whether a message goes on the wire as it is, and whatever its size.
        self._sends_as_it_is: Final = (
            self.is_plain and settings.linger is None and self._memory.sending.limit is None
        )

    # Entry points

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take note of an event, and return the effects that follow from it, in order.

        `now` is seconds, in any clock that only goes forward; always the same one.
        """
        memory = self._memory
        phase = memory.phase
        effects = react(memory, event, now)
        if memory.lazy is not None:
            effects += end_if_unused(memory, now)
        if memory.unreported:
            effects = [*memory.unreported, *effects]
            memory.unreported.clear()
        if memory.phase is not phase:
            effects += self._show(now)
        return effects

    def ear(self, transport: int) -> Conversation | None:
        """Return the conversation that hears this transport; None if its frames do not count.

        It is good until the transport is retired.
        """
        live = self._memory.live(transport)
        return None if live is None else live.conversation

    def not_delivered(self, outputs: Iterable[object]) -> None:
        """Let the protocol forget that it heard these: their transport was retired before."""
        not_delivered(self._memory, outputs)

    def match(self, data: object) -> Answered | None:
        """Return the answer to a request that a plain message is; None if it is the program's."""
        phase = self._memory.phase
        talk = phase.conversation if isinstance(phase, LIVE) else None
        if talk is None or not self.is_plain:
            return None
        return cast("PlainConversation", talk).match(data)

    def offer(
        self,
        entry: Outgoing,
        now: float,
        *,
        from_on_open: bool = False,
        only_now: bool = False,
        may_wait: bool = False,
    ) -> Offer:
        """Queue, hand over or refuse a message that the user sends.

        Args:
            entry: The message.
            now: The present time.
            from_on_open: Whether the user's ``on_open`` sends it: then it goes before all others.
            only_now: Whether it is refused if it cannot be handed over now.
            may_wait: Whether it waits in line if there is no room for it, instead of a refusal.
        """
        memory = self._memory
        sending = memory.sending
        if (why := sending.why_never(entry)) is not None:
            return Refused(entry, why)
        if memory.repeats and not entry.id and not entry.is_request:
            assert sending.sent is not None  # noqa: S101 - it is what repeats
            entry.id = sending.sent.new_id()
        match memory.phase:
            case Open(writable=True) as phase if (
                not sending.line
                and not sending.has_something
                and allows(self._may_send(phase, now), entry)
            ):
                self._use(now)
                return self._framed(sending.hand_over(entry, now), phase)
            case Preparing() as phase if from_on_open:
                return self._framed(sending.hand_over(entry, now), phase)
            case Closing() | Closed() | Failed():
                return Refused(entry, f"the connection is {memory.state.phase}")
            case _ if only_now:
                return Refused(entry, "it cannot be sent now, and now=True does not let it wait")
            case _:
                return sending.offer(entry, now, may_wait=may_wait)

    def admit(self, now: float) -> Offer | None:
        """Take the first message out of the line if there is room, and return its outcome."""
        match self._memory.phase:
            case Open(writable=True) as phase:
                self._use(now)
                may = self._may_send(phase, now)
                offer = self._memory.sending.admit(now, is_open=True, may=may)
                return None if offer is None else self._framed(offer, phase)
            case _:
                return self._memory.sending.admit(now, is_open=False)

    def next_to_send(self, now: float) -> HandOver | Refused | None:
        """Remove the next message that may be handed over, and return its outcome."""
        match self._memory.phase:
            case Open(writable=True) as phase:
                offer = self._memory.sending.next_to_send(now, may=self._may_send(phase, now))
                self._use(now)
                return None if offer is None else self._framed(offer, phase)
            case _:
                return None

    # Reading

    def still_holds(self, shown: order.ShowSubscription) -> bool:
        """Whether a subscription is still so: an effect before this one may have changed it."""
        book = self._memory.book
        entry = None if book is None else book.state_of(shown.subscription)
        return shown.state.phase in FINAL or entry == shown.state

    @property
    def state(self) -> ConnectionState:
        """The public snapshot of the phase."""
        return self._memory.state

    @property
    def phase(self) -> AnyPhase:
        """The phase, with all that is valid in it."""
        return self._memory.phase

    @property
    def destination(self) -> object:
        """The url, or the callable that makes one; None if it is not known yet."""
        return self._memory.destination

    @property
    def decision(self) -> Decision | None:
        """The decision about the last end of an attempt or connection; None before."""
        return self._memory.decision

    @property
    def offline_until(self) -> float:
        """Until when retries wait for the platform to be online; it may be in the past."""
        return self._memory.offline_until

    @property
    def deadline(self) -> float:
        """When to tell the machine `DeadlineReached`; infinite if nothing is waited for."""
        memory = self._memory
        due = min(
            deadline_of(memory.phase),
            memory.sending.deadline,
            memory.retired.deadline,
            memory.book_deadline,
        )
        if memory.lazy is not None and isinstance(memory.phase, LASTING):
            due = min(due, memory.lazy.until)
        return due

    @property
    def live_transport(self) -> int | None:
        """The transport whose messages count; None while there is none."""
        phase = self._memory.phase
        return phase.transport if isinstance(phase, LIVE) else None

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way and every transport is released."""
        memory = self._memory
        return isinstance(memory.phase, Idle | Closed | Failed) and not memory.retired

    def should_begin(self, *, has_users: bool) -> bool:
        """Whether a lazy connection waits to be told `UsersChanged`, because it is wanted."""
        return should_begin(self._memory, has_users=has_users)

    @property
    def max_message_bytes(self) -> int | None:
        """UTF-8 bytes that the server takes in one frame; None if it has not said so."""
        phase = self._memory.phase
        talk = phase.conversation if isinstance(phase, LIVE) else None
        return None if talk is None else talk.max_message_bytes

    @property
    def flight(self) -> Flight | None:
        """The flight of a message that is handed over now."""
        phase = self._memory.phase
        return phase.flights.current if isinstance(phase, LIVE) else None

    @property
    def open_phase(self) -> Open | None:
        """The phase if a message may be sent at once, as it is: open, and nothing waits."""
        phase = self._memory.phase
        if not isinstance(phase, Open) or not phase.writable or not self._sends_as_it_is:
            return None
        return None if self.outbox.entries else phase

    def prepares(self, transport: int) -> bool:
        """Whether the end of this transport's ``on_open`` is still waited for."""
        phase = self._memory.phase
        return isinstance(phase, Preparing) and phase.transport == transport

    @property
    def line(self) -> Sequence[Outgoing]:
        """The messages that wait for room in the outbox, the next one first."""
        return self._memory.sending.line

    def will_ask_for(self, subscription: WireSubscription) -> bool:
        """Whether the server is asked for this subscription at the end of the turn."""
        book = self._memory.book
        is_open = isinstance(self._memory.phase, Open)
        return is_open and book is not None and book.is_due(subscription)

    def asks(self, question: int) -> bool:
        """Whether the answer to this question is still waited for."""
        phase = self._memory.phase
        return isinstance(phase, Deciding) and phase.question == question

    def _may_send(self, phase: Open, now: float) -> MaySend | None:
        """Return what asks the conversation whether a message may leave; None if all may."""
        talk, memory = phase.conversation, self._memory
        if talk is None or memory.settings.is_plain:
            return None

        def may(to: WireSubscription | None) -> bool:
            # One that the server refused for a while is not known to the conversation.
            state = None if to is None or memory.book is None else memory.book.state_of(to)
            is_refused = state is not None and state.phase == "waiting"
            return not is_refused and may_send(memory, talk, to, now)

        return may

    def _framed(self, offer: OfferT, phase: Open | Preparing) -> OfferT | Refused:
        """Let the conversation say how a message looks on the wire."""
        if not isinstance(offer, HandOver) or offer.entry.say is None:
            return offer
        talk = phase.conversation
        assert talk is not None  # noqa: S101 - a protocol made the entry's `say`
        say, method = offer.entry.say, "request" if offer.entry.is_request else "send"
        frames = frames_of(self._memory, method, lambda: say(talk)) or "it gave no frame"
        why = frames if isinstance(frames, str) else None
        if not isinstance(frames, str):
            offer.data, *offer.rest = frames
            largest = max(map(size_of, frames))
            limits = (self._memory.sending.limit, talk.max_message_bytes)
            if any(limit is not None and largest > limit for limit in limits):
                why = TOO_LARGE
        if why is None:
            return offer
        if self._memory.sending.sent is not None:
            self._memory.sending.sent.remove(offer.entry)
        return Refused(offer.entry, why)

    def _use(self, now: float) -> None:
        """Note that a message is handed over, for a lazy connection."""
        if self._memory.lazy is not None:
            self._memory.lazy.sent(now)

    def _show(self, now: float) -> list[Effect]:
        """Show the phase to users; return the effects if they see another one."""
        memory = self._memory
        left, state = memory.state, project(memory.phase, now)
        if state.phase != left.phase:
            memory.state = state
            return [order.RecordState(left, state)]
        state = replace(state, since=left.since)
        if state != left:
            memory.state = state
        return []
