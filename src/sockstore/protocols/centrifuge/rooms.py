"""Keep the rooms of one connection, each for itself: no trouble of one concerns another.

What breaks a promise of the server for a room is mended there: the room is left and asked for again
from its position. If that happens again soon, the program's schedule decides when to go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from sockstore.base.positions import RECONNECTED
from sockstore.protocols.centrifuge.commands import CommandQueue, named_body, subscribe_body
from sockstore.protocols.centrifuge.errors import (
    ALREADY_SUBSCRIBED,
    COME_BACK,
    EXPIRED,
    NO_PERMISSION,
    ErrorReply,
)
from sockstore.protocols.centrifuge.frames import (
    FrameError,
    JoinedOrLeft,
    Published,
    Reply,
    Unsubscribed,
)
from sockstore.protocols.centrifuge.pushes import Grant, push_reader
from sockstore.protocols.centrifuge.recovery import joined_at
from sockstore.protocols.centrifuge.renewals import SOON, Renewals
from sockstore.protocols.centrifuge.replies import Granted, granted_by, members_in, ttl_in
from sockstore.protocols.centrifuge.room import (
    Early,
    Joining,
    Leaving,
    Listing,
    Presence,
    Renewing,
    Room,
    readable,
    received_of,
)
from sockstore.protocols.outputs import (
    Ask,
    Ended,
    Members,
    Missed,
    Output,
    Received,
    Refused,
    Subscribed,
    WireSubscription,
)

__all__ = ["Rooms"]

MOST_EARLY: Final = 1000
"""Pushes that may come before the answer to the subscription, at most."""

TROUBLE_AGAIN: Final = 5.0
"""Seconds; a room that is in trouble twice within them waits for the program's schedule."""

NO_NAME: Final = "the key of a subscription is the name of a room, a text that is not empty"
NO_TOKEN: Final = "the token of a subscription is a text"  # noqa: S105 - a sentence
TOO_LARGE: Final = "what asks for this room is larger than the server takes"


class Rooms:
    """The rooms of one connection.

    Args:
        commands: The commands of the connection.

    Attributes:
        renewals: When which token is to be renewed.
        grants: The rooms that the server has let us into, by name; changed with `Room.grant`.
    """

    def __init__(self, commands: CommandQueue) -> None:
        self._commands = commands
        # By name: `_begin` adds, `_drop` removes.
        self._by_channel: dict[str, Room] = {}
        # How many commands that leave a room have no reply, by its name: what comes of it until
        # then is of the subscription that is left. `_leave` adds, `left` removes.
        self._leaving: dict[str, int] = {}
        self.renewals: Final = Renewals[Room]()
        self.grants: Final[dict[str, Grant]] = {}

    def get(self, channel: object) -> Room | None:
        """Return a room that is wanted."""
        return self._by_channel.get(channel) if isinstance(channel, str) else None

    @property
    def tokens(self) -> Iterator[str | None]:
        """The tokens of the rooms that are wanted; None for those without one."""
        return (room.token for room in self._by_channel.values())

    # The program

    def subscribe(self, subscription: WireSubscription) -> Iterable[Output]:
        """Ask for a room; its token is asked for first, if it has one."""
        channel = subscription.key
        if not isinstance(channel, str) or not channel:
            return [Refused(subscription, NO_NAME)]
        if channel in self._by_channel:
            why = f"this connection is subscribed to {channel!r} already, with other parameters"
            return [Refused(subscription, why)]
        room = self._by_channel[channel] = Room(subscription, channel)
        if subscription.token is not None:
            return [Ask("token", subscription)]
        return self._join(room)

    def unsubscribe(self, subscription: WireSubscription) -> None:
        """Take a room back; nothing of it is told any more."""
        room = self.get(subscription.key)
        if room is not None and room.subscription is subscription:
            self._leave(room)
            self._drop(room)

    def told(self, subscription: WireSubscription, token: object) -> Iterable[Output]:
        """The program gives a token."""
        room = self.get(subscription.key)
        if room is None or room.subscription is not subscription:
            return []  # it was released meanwhile
        if token is not None and not isinstance(token, str):
            if room.phase != "asking":
                self._leave(room)
            self._drop(room)
            return [Refused(subscription, NO_TOKEN)]
        room.token = token or None
        if room.phase == "asking":
            return self._join(room)
        if room.phase == "joined" and room.is_renewing:
            room.is_renewing = False
            body = named_body("sub_refresh", {"channel": room.channel, "token": token or ""})
            self._commands.put(Renewing(room), body)
        return []

    def not_told(self, subscription: WireSubscription, why: str, now: float) -> Iterable[Output]:
        """The program cannot give a token; `why` is what its callable raised."""
        room = self.get(subscription.key)
        if room is None or room.subscription is not subscription:
            return []  # it was released meanwhile
        if room.phase == "asking":
            self._drop(room)
            return [Refused(subscription, why, is_temporary=True)]
        if room.is_renewing:
            room.is_renewing = False  # the old token is good for a while, and so is the room
            self.renewals.put_off(room, SOON, now)
        return []

    def renew(self, now: float) -> Iterable[Output]:
        """Ask the program for the tokens that are about to expire."""
        for room in self.renewals.take_due(now):
            room.is_renewing = True
            yield Ask("token", room.subscription, refresh=True)

    # Pushes

    def hear(self, push: Early, now: float) -> Iterable[Output]:
        """Return what a push says."""
        room = self._by_channel.get(push.channel)
        if room is None or push.channel in self._leaving:
            return []
        if room.phase == "joined":
            return self._take(room, push, now)
        if room.phase == "joining":
            room.early.append(push)
            if len(room.early) > MOST_EARLY:
                why = f"the server said over {MOST_EARLY} things before it answered"
                self._leave(room)
                return self._mend(room, why, now)
        return []

    def _take(self, room: Room, push: Early, now: float) -> Iterable[Output]:
        match push:
            case Published():
                return self._published(room, push, now)
            case JoinedOrLeft():
                members = None if room.presence is None else room.presence.hear(push)
                return [] if members is None else [Members(room.subscription, members)]
            case Unsubscribed(code=code, reason=reason) if code >= COME_BACK:
                return self._mend(
                    room, f"the server ended the subscription: {reason} ({code})", now
                )
            case Unsubscribed(code=code, reason=reason):
                self._drop(room)
                words = reason or f"the server ended the subscription ({code})"
                return [Ended(room.subscription, words)]

    def _published(self, room: Room, said: Published, now: float) -> Iterable[Output]:
        memory = room.memory
        is_new = memory.accept(said)
        if is_new:
            if said.epoch:
                self._grant(room)  # the one before does not know the epoch
            return [received_of(room.subscription, said, memory.epoch)]
        if is_new is None:
            self._leave(room)
            return self._mend(room, memory.what_is_wrong_with(said), now)
        return []

    def _grant(self, room: Room) -> None:
        room.grant = Grant(room.subscription, room.memory, push_reader())
        self.grants[room.channel] = room.grant

    def _revoke(self, room: Room) -> None:
        if room.grant is not None and self.grants.get(room.channel) is room.grant:
            del self.grants[room.channel]
        room.grant = None

    # Replies

    def replied(
        self, what: Joining | Leaving | Listing | Renewing, reply: Reply, now: float
    ) -> Iterable[Output]:
        """Return what follows from the reply to a command of a room."""
        match what:
            case Leaving(channel=channel):
                self._left(channel)
                return []
            case Joining(room=room):
                return self._answered(what, room, reply, now)
            case Listing(room=room, presence=presence):
                return self._listed(room, presence, reply)
            case Renewing(room=room, grant=grant):
                return self._renewed(room, reply, now) if room.grant is grant else []

    def _answered(self, what: Joining, room: Room, reply: Reply, now: float) -> Iterable[Output]:
        if room.joining is not what:
            return []  # the room was left meanwhile
        if reply.error is not None:
            return self._refused(room, reply.error)
        try:
            answer = granted_by(room.channel, reply.result)
        except FrameError as error:
            self._leave(room)
            return self._mend(room, f"the server said {error}", now)
        return self._granted(room, answer, now)

    def _granted(self, room: Room, answer: Granted, now: float) -> list[Output]:
        memory, subscription = room.memory, room.subscription
        seen = memory.position
        joined = joined_at(seen, answer)
        gap = RECONNECTED if seen is None and memory.has_begun else joined.gap
        recovered = gap is None if memory.has_begun else None
        if gap is not None:
            memory.before_gap = seen
        memory.move_to(joined.start)
        memory.has_begun = True
        early, room.early = room.early, []
        room.phase, room.joining = "joined", None
        self._grant(room)
        room.is_second_token = room.has_left = room.is_renewing = False
        if subscription.token is not None:
            self.renewals.plan(room, answer.ttl, now)
        if subscription.params.get("join_leave") is True:
            room.presence = Presence()
            body = named_body("presence", {"channel": room.channel})
            self._commands.put(Listing(room, room.presence), body)
        follow: list[Output] = []
        for each in (*joined.publications, *early):
            if room.phase != "joined":
                break  # one of them ended it, or did not follow the one before
            follow += self._take(room, each, now)
        missed = sum(isinstance(each, Received) for each in follow)
        subscribed = Subscribed(subscription, readable(answer.data), recovered, missed)
        if gap is None:
            return [subscribed, *follow]
        return [Missed(subscription, gap.reason, gap.since, gap.until), subscribed, *follow]

    def _refused(self, room: Room, error: ErrorReply) -> Iterable[Output]:
        subscription, code = room.subscription, error.code
        may_renew = code == EXPIRED or (code == NO_PERMISSION and callable(subscription.token))
        if may_renew and subscription.token is not None and not room.is_second_token:
            room.phase, room.joining, room.is_second_token = "asking", None, True
            return [Ask("token", subscription, refresh=True)]
        if code == ALREADY_SUBSCRIBED and not room.has_left:
            room.has_left = True
            self._leave(room)
            return self._join(room)
        self._drop(room)
        is_temporary = error.is_temporary or code == ALREADY_SUBSCRIBED
        return [Refused(subscription, error.words, is_temporary)]

    def _listed(self, room: Room, presence: Presence, reply: Reply) -> Iterable[Output]:
        if room.presence is not presence or room.phase != "joined":
            return []
        try:
            members = None if reply.error is not None else members_in(reply.result)
        except FrameError:
            members = None
        if members is None:
            room.presence = None  # the server does not tell who is there
            return []
        return [Members(room.subscription, presence.begin(members))]

    def _renewed(self, room: Room, reply: Reply, now: float) -> Iterable[Output]:
        if reply.error is None:
            self.renewals.plan(room, ttl_in(reply.result), now)
            return []
        if reply.error.is_temporary:
            self.renewals.put_off(room, SOON, now)
            return []
        self._leave(room)
        self._begin_again(room)
        room.phase, room.is_second_token = "asking", True
        return [Ask("token", room.subscription, refresh=True)]

    # Joining and leaving

    def _join(self, room: Room) -> list[Output]:
        """Ask the server for a room."""
        subscription = room.subscription
        try:
            position = room.memory.position
            body = subscribe_body(room.channel, subscription.params, room.token, position)
        except (TypeError, ValueError) as error:
            self._drop(room)
            return [Refused(subscription, f"its parameters cannot be sent: {error}")]
        if self._commands.is_too_large(body):
            self._drop(room)
            return [Refused(subscription, TOO_LARGE)]
        self._begin_again(room)
        room.phase, room.joining = "joining", Joining(room)
        self._commands.put(room.joining, body)
        return []

    def _begin_again(self, room: Room) -> None:
        """Forget what belongs to one subscription of the server's."""
        self.renewals.drop(room)
        self._revoke(room)
        room.joining, room.presence, room.early = None, None, []

    def _leave(self, room: Room) -> None:
        """Leave a room on the server; one that it was not asked for yet is not asked for."""
        if room.phase == "asking":
            return
        if room.joining is not None and self._commands.withdraw(room.joining):
            return
        self._leaving[room.channel] = self._leaving.get(room.channel, 0) + 1
        body = named_body("unsubscribe", {"channel": room.channel})
        self._commands.put(Leaving(room.channel), body)

    def _left(self, channel: str) -> None:
        self._leaving[channel] -= 1
        if not self._leaving[channel]:
            del self._leaving[channel]

    def _drop(self, room: Room) -> None:
        """Forget a room; it is not wanted any more, or waits for the program's schedule."""
        self.renewals.drop(room)
        self._revoke(room)
        room.phase, room.joining = "asking", None
        if self._by_channel.get(room.channel) is room:
            del self._by_channel[room.channel]

    def _mend(self, room: Room, why: str, now: float) -> Iterable[Output]:
        """The server broke its promise for a room that is left now: ask for it again."""
        memory = room.memory
        was_well = memory.troubled_at is None or now - memory.troubled_at >= TROUBLE_AGAIN
        memory.troubled_at = now
        if was_well:
            return self._join(room)
        self._drop(room)
        return [Refused(room.subscription, why, is_temporary=True)]
