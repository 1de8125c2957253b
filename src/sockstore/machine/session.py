"""Keep the session with one room over all connections: positions, and what is sent again.

With the position nothing is lost (P34), and with the ids nothing is stored twice (P29 and P35).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from os import urandom
from typing import Any, Literal, TypeAlias, assert_never

from sockstore.base.frozen import frozen
from sockstore.base.positions import Gap, Position
from sockstore.base.token_bucket import TokenBucket
from sockstore.machine import effects as order
from sockstore.machine import session_frames as frames
from sockstore.machine.delivery import Outgoing
from sockstore.machine.effects import Effect
from sockstore.machine.session_frames import (
    RECONNECTED,
    Announced,
    ErrorReply,
    Ping,
    Published,
    Reply,
    Said,
    Subscribed,
    Unsubscribed,
    joined_at,
)

__all__ = ["Heard", "Owed", "SessionMachine", "effects_of"]

MOST_UNDER_WAY = 128
"""Messages without a reply, at most."""

MOST_EARLY = 1000
"""Publications that may come before the answer to the subscription, at most."""

COME_BACK = 2500
"""From this code on, a client may subscribe again after the server ended its subscription."""

_Asked: TypeAlias = Literal["connect", "subscribe"] | Outgoing


@frozen
class Owed:
    """What must still be done, or be shown, when the connection opens next.

    Args:
        snapshot: Whether a snapshot must be loaded before the connection is open.
        recovered: Whether everything that was missed came, for the state; None if there was
            nothing to recover.
    """

    snapshot: bool = True
    recovered: bool | None = None


AFTER_GAP = Owed(snapshot=True, recovered=False)
NOTHING_OWED = Owed(snapshot=False)


@frozen
class Heard:
    """The consequences of what the server said.

    Args:
        say: The frame to answer with, or None.
        joined: Whether the room has let us in just now.
        gap: The messages missing before `publications`, if any are.
        publications: The missed messages, in order.
        acknowledged: The messages that are stored now.
        refused: A message that the server will never store, and why.
        error: The error by which the server refused or ended the subscription, or None.
        lost: Why the connection must be replaced by a new one, or None.
    """

    say: str | None = None
    joined: bool = False
    gap: Gap | None = None
    publications: tuple[Published, ...] = ()
    acknowledged: tuple[Outgoing, ...] = ()
    refused: tuple[Outgoing, str] | None = None
    error: ErrorReply | None = None
    lost: str | None = None


NOTHING = Heard()


def effects_of(transport: int, heard: Heard) -> list[Effect]:
    """Return the effects that follow from a `Heard`, except for a gap."""
    effects: list[Effect] = []
    if heard.say is not None:
        effects.append(order.SendFrame(transport, heard.say))
    if heard.publications:
        effects.append(order.DeliverMissed(transport, heard.publications))
    if heard.acknowledged:
        effects.append(order.SettleReceipts(heard.acknowledged, "acknowledged", ""))
    if heard.refused is not None:
        entry, why = heard.refused
        effects.append(order.SettleReceipts((entry,), "refused", f"the server said: {why}"))
    return effects


class SessionMachine:
    """Decide which frames a session sends, and what follows from received ones; do none of it.

    Args:
        channel: The room.
        since: The last position, or None for now.
        new_id: Makes the id of a message.

    Attributes:
        new_id: Makes the id of a message.
        position: The last one; None before the first subscription. Set by each publication
            and by the answer to a subscription.
        owed: The work left by openings; set by the answer to a subscription and by `opened`.
    """

    def __init__(
        self,
        channel: str,
        since: Position | None = None,
        new_id: Callable[[], str] = lambda: urandom(16).hex(),
    ) -> None:
        self.channel = channel
        self.position = since
        self.owed = Owed()
        self.new_id = new_id
        # The number of the last command; `_ask` counts.
        self._numbers = 0
        # Commands of this connection without a reply: `_ask` adds, `_replied` and `lose` remove.
        self._asked: dict[int, _Asked] = {}
        # Messages without a reply, by id, over all connections: `write` adds, `_forget` removes.
        self._unproven: dict[str, Outgoing] = {}
        # Those to be sent again on this connection; set by `lose`, taken by `next_resend`.
        self._to_resend: deque[Outgoing] = deque()
        # The server's limits, and the bucket that obeys its rate; set by the reply to ``connect``.
        self._announced = Announced()
        self._pace = TokenBucket.unlimited()
        # Whether the room let us in on this connection; set by `_replied`, reset by `lose`.
        self._is_joined = False
        self._token: str | None = None  # the token of this connection; set by `begin`
        # Set by `begun`: from then on a reader may miss something.
        self._has_begun = since is not None
        # Publications before the answer to the subscription: `accept` adds, `_joined` takes.
        self._early: list[Published] = []

    @property
    def epoch(self) -> str:
        """The log that the position belongs to."""
        return "" if self.position is None else self.position.epoch

    # Called for the connection

    def begin(self, token: str | None) -> str:
        """Begin on a new connection, and return the first frame to send."""
        self.lose()
        self._pace = TokenBucket.unlimited()
        self._token = token
        connect = frames.connect_command(self._ask("connect"), token)
        subscribe = frames.subscribe_command(self._ask("subscribe"), self.channel, self.position)
        return f"{connect}\n{subscribe}"

    def lose(self) -> None:
        """Forget the connection: its unanswered commands will not be answered."""
        self._asked.clear()
        self._early.clear()
        self._to_resend = deque(self._unproven.values())
        self._is_joined = False

    def begun(self) -> None:
        """Note that the first message came or a connection opened: messages can be missed now."""
        self._has_begun = True

    def opened(self) -> bool | None:
        """Note that the connection is open; return whether all that was missed came."""
        self._has_begun = True
        recovered, self.owed = self.owed.recovered, NOTHING_OWED
        return recovered

    def hear(self, said: Said, now: float) -> Heard:
        """Handle what the server says, except for publications (`accept`).

        Raises:
            FrameError: If it is not part of the protocol here.
        """
        match said:
            case Ping():
                return Heard(say=frames.PONG)
            case Reply():
                return self._replied(said, now)
            case Unsubscribed(channel=channel) if channel != self.channel:
                return NOTHING
            case Unsubscribed(code=code, reason=reason) if code >= COME_BACK:
                return Heard(lost=f"the server ended the subscription: {reason} ({code})")
            case Unsubscribed(reason=reason):
                return Heard(error=ErrorReply(103, reason or "unsubscribed"))
            case Published():
                return Heard(lost=self._what_is_wrong_with(said))
            case _:
                assert_never(said)

    def accept(self, said: Published) -> bool | None:
        """Return whether a publication is new; None if it cannot follow the last one.

        After None, pass it to `hear`. Publications before the answer to the subscription
        are kept, and are news with it.
        """
        if said.channel != self.channel:
            return False
        if not self._is_joined:
            if len(self._early) >= MOST_EARLY:
                return None
            self._early.append(said)
            return False
        position = self.position
        if said.offset is None or position is None:
            return True
        epoch = position.epoch
        if said.epoch and said.epoch != epoch:
            if epoch:
                return None
            epoch = said.epoch  # the room had no log before its first message
        expected = position.offset + 1
        if said.offset == expected:
            self.position = Position(said.offset, epoch, said.id)
            return True
        return False if said.offset < expected else None

    # Sending

    @property
    def has_resends(self) -> bool:
        """Whether something must be sent again before anything new."""
        return bool(self._to_resend)

    @property
    def unanswered(self) -> int:
        """How many messages were handed over once and are not acknowledged."""
        return len(self._unproven)

    @property
    def under_way(self) -> Iterable[Outgoing]:
        """Those messages, in the order in which they were handed over first."""
        return self._unproven.values()

    def has_under_way(self, message_id: str) -> bool:
        """Whether the message with this id is one of them."""
        return message_id in self._unproven

    def may_send(self, now: float) -> bool:
        """Whether the server takes one more message now (P37)."""
        return (
            self._is_joined
            and len(self._unproven) - len(self._to_resend) < self._most_under_way
            and self._pace.has_token(now)
        )

    def next_resend(self) -> Outgoing:
        """Remove and return the next message that must be sent again."""
        return self._to_resend.popleft()

    def write(self, entry: Outgoing, now: float) -> str | None:
        """Return the frame for a message, which is under way now; None if it is too large."""
        assert isinstance(entry.data, str)  # noqa: S101 - a session carries JSON
        limit = self._announced.max_message_bytes
        number = self._numbers + 1
        message_id = entry.id or self.new_id()
        if self._announced.stores_once:
            frame = frames.send_command(number, self.channel, message_id, entry.data)
        else:
            frame = frames.publish_command(number, self.channel, entry.data)
        if limit is not None and entry.size + len(frame) - len(entry.data) > limit:
            return None
        entry.id = message_id
        entry.first_sent_at = now if entry.first_sent_at is None else entry.first_sent_at
        self._unproven[message_id] = entry
        self._ask(entry)
        self._pace.take(now)
        return frame

    def deadline(self, *, is_waited_for: bool) -> float:
        """When the next message expires or may be sent; infinite if none waits for a time.

        Args:
            is_waited_for: Whether new messages wait to be sent.
        """
        expiry = min(map(self._expiry, self._to_resend), default=math.inf)
        token = self._pace.next_token
        if token is None or not self._is_joined or not (is_waited_for or self._to_resend):
            return expiry
        return min(expiry, token)

    def take_expired(self, now: float) -> tuple[Outgoing, ...]:
        """Remove and return messages that must not be sent again (P36); they may be stored."""
        self._pace.has_token(now)  # clears the deadline that has passed
        expired = [entry for entry in self._to_resend if self._expiry(entry) <= now]
        for entry in expired:
            self._forget(entry)
        return tuple(expired)

    def take_all(self) -> tuple[Outgoing, ...]:
        """Remove and return all messages that were sent and not replied to."""
        entries = tuple(self._unproven.values())
        self._unproven.clear()
        self._to_resend.clear()
        return entries

    # Rules

    @property
    def _most_under_way(self) -> int:
        burst = self._announced.burst
        return MOST_UNDER_WAY if burst is None else max(1, min(MOST_UNDER_WAY, burst // 2))

    def _expiry(self, entry: Outgoing) -> float:
        remembers = self._announced.remembers
        sent_at = entry.first_sent_at
        if remembers is None or sent_at is None:
            return entry.expires_at
        return min(sent_at + remembers - min(600.0, remembers / 6), entry.expires_at)

    def _forget(self, entry: Outgoing) -> None:
        self._unproven.pop(entry.id, None)
        if entry in self._to_resend:
            self._to_resend.remove(entry)

    def _ask(self, what: _Asked) -> int:
        self._numbers += 1
        self._asked[self._numbers] = what
        return self._numbers

    def _replied(self, reply: Reply, now: float) -> Heard:
        asked = self._asked.pop(reply.id, None)
        match asked:
            case None:
                return NOTHING
            case Outgoing():
                return self._message_replied(asked, reply)
            case _ if reply.error is not None:
                return Heard(error=self._without_token(reply.error))
            case "connect":
                self._announced = frames.announced_by(reply.result)
                self._pace = TokenBucket.below(self._announced.rate, self._announced.burst, now)
                return NOTHING
            case "subscribe":
                self._is_joined = True
                return self._joined(frames.subscribed_by(self.channel, reply.result))
            case _:
                assert_never(asked)

    def _without_token(self, error: ErrorReply) -> ErrorReply:
        token = self._token
        return error if not token else replace(error, message=error.message.replace(token, "***"))

    def _message_replied(self, entry: Outgoing, reply: Reply) -> Heard:
        if reply.error is not None and reply.error.temporary:
            # Later messages are under way already, so only a new connection can keep the order.
            return Heard(lost=f"the server cannot store messages now: {reply.error.message}")
        self._forget(entry)
        if reply.error is not None:
            return Heard(refused=(entry, reply.error.message or f"error {reply.error.code}"))
        entry.offset = _offset_of(reply.result)
        return Heard(acknowledged=(entry,))

    def _joined(self, answer: Subscribed) -> Heard:
        last_seen, joined = self.position, joined_at(self.position, answer)
        self.position = joined.start
        gap = joined.gap
        if last_seen is None and self._has_begun:
            gap = RECONNECTED
        if gap is not None:
            self.owed = AFTER_GAP
        elif self._has_begun:
            self.owed = replace(self.owed, recovered=self.owed.recovered is not False)
        publications = (*joined.publications, *self._early)
        self._early.clear()
        return Heard(joined=True, gap=gap, publications=publications)

    def _what_is_wrong_with(self, said: Published) -> str:
        if not self._is_joined:
            return f"the server told over {MOST_EARLY} messages before it answered the subscription"
        if said.epoch and said.epoch != self.epoch:
            return "the room's log is another one now"
        return f"the server left out messages before offset {said.offset}"


def _offset_of(result: Mapping[str, Any]) -> int | None:
    data = result.get("data")
    offset = data.get("offset") if isinstance(data, dict) else None
    return offset if type(offset) is int else None
