"""What is said over one transport with a Centrifugo server."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sockstore.base.errors import RequestFailed
from sockstore.base.outcomes import Word
from sockstore.base.token_bucket import TokenBucket
from sockstore.protocols.base import Conversation
from sockstore.protocols.centrifuge.commands import (
    PONG,
    CommandQueue,
    Requested,
    connect_body,
    history_body,
    named_body,
    rpc_body,
)
from sockstore.protocols.centrifuge.errors import meaning_of_error
from sockstore.protocols.centrifuge.frames import (
    FrameError,
    JoinedOrLeft,
    NotUnderstood,
    Other,
    Ping,
    Published,
    Reply,
    Said,
    Unsubscribed,
    lines_of,
    quoted,
    read,
    text_in,
)
from sockstore.protocols.centrifuge.memory import RoomMemory
from sockstore.protocols.centrifuge.pushes import push_reader
from sockstore.protocols.centrifuge.renewals import SOON, Renewals
from sockstore.protocols.centrifuge.replies import Announced, announced_by, page_in, ttl_in
from sockstore.protocols.centrifuge.room import (
    Joining,
    Leaving,
    Listing,
    Renewing,
    readable,
    received_of,
)
from sockstore.protocols.centrifuge.rooms import Rooms
from sockstore.protocols.centrifuge.sending import Message, Sending
from sockstore.protocols.outputs import (
    Answered,
    Ask,
    Failed,
    Frame,
    News,
    Opened,
    Output,
    WireSubscription,
    Write,
)
from sockstore.protocols.sent_messages import SentMessages

__all__ = ["CentrifugeConversation"]

LATEST_PING: Final = 10.0
"""Seconds that a ping may come late before the connection counts as dead."""

SHORTEST_WAIT: Final = 0.001
"""Seconds; a deadline lies in the future, also where a float cannot tell it from now."""

CONNECT: Final = object()
"""What the reply to ``connect`` is for."""

REFRESH: Final = object()
"""What the reply to ``refresh`` is for."""


class CentrifugeConversation(Conversation):
    """Be let in, keep the rooms, send, ask and answer pings.

    Args:
        name: What the server's own pages call this client.
        sent: The messages that are sent again after a loss.
    """

    def __init__(self, name: str, sent: SentMessages) -> None:
        super().__init__()
        self._name = name
        self._commands = CommandQueue(self.next_id)
        self._rooms = Rooms(self._commands)
        self._grants = self._rooms.grants  # at hand, as each message is one's
        self._sending = Sending(sent, self._commands)
        # When the token of the connection is to be renewed; set by its replies.
        self._renewals = Renewals[None]()
        # The facts of the server; None until it lets us in: set by `_connected`.
        self._announced: Announced | None = None
        # Reads the pushes of messages; None if nothing does so in one step.
        self._read_push = push_reader()
        # The token of this connection, which no sentence shows; set by `open` and `told`.
        self._token: str | None = None
        # Whether `Failed` was said: then there is nothing more to say.
        self._has_failed = False
        # When anything came last; set by `open` and `hear`.
        self._heard_at = -math.inf
        # When the machine asked last whether a message may leave; what leaves does so then.
        self._asked_at = -math.inf
        # Whether a message waits for the pace; set by `may_send`, cleared by `tick`.
        self._waits_for_pace = False

    # What the machine calls

    def open(self, given: Mapping[str, Any], now: float) -> Iterable[Output]:
        """Ask to be let in."""
        self._heard_at = now
        token = given.get("token")
        if token is not None and not isinstance(token, str):
            return self._fail("the token is not a text", "fatal")
        self._token = token
        return [Write(self._commands.say(CONNECT, connect_body(self._name, token)))]

    def hear(self, frame: Frame, now: float) -> Iterable[Output]:
        """Return what a message of the server says; several things, it may be."""
        self._heard_at = now
        outputs: list[Output] = []
        try:
            for line in lines_of(frame):
                if self._has_failed:
                    break
                outputs += self._hear(read(line), now)
        except NotUnderstood as error:
            outputs += self._not_understood_line(str(error))
        except FrameError as error:
            outputs += self._not_understood(str(error))
        return self._and_what_is_due(outputs, now)

    def news(self, frames: Iterable[str], now: float) -> Iterator[News | str]:
        """Take the messages of rooms: each is checked and noted here, in one frame of Python."""
        read, grants = self._read_push, self._grants
        if read is None:
            yield from frames
            return
        self._heard_at = now
        for frame in frames:
            if "\n" in frame:
                yield from self._news_of_lines(frame, now)
                continue
            try:
                push = read(frame).push
                grant = grants[push.channel]
            except (ValueError, KeyError, RecursionError):
                yield frame
                continue
            pub, memory = push.pub, grant.memory
            expected = memory.offset
            if expected is not None:
                expected += 1
                if pub.offset != expected or pub.epoch:
                    yield frame
                    continue
                memory.offset = expected
                memory.last = pub
            elif pub.offset or pub.epoch:
                yield frame
                continue
            grant.frame, grant.pub, grant.data = frame, pub, pub.data
            yield grant

    def _news_of_lines(self, frame: str, now: float) -> Iterator[News | str]:
        """Take the lines of one frame, up to the first one that is more than news."""
        lines = frame.split("\n")
        last = len(lines) - 1
        for number, item in enumerate(self.news(lines, now)):
            if isinstance(item, str):
                yield "\n".join(lines[number:])
                return
            item.more = number < last
            try:
                yield item
            finally:  # whoever takes it may stop here
                item.more = False

    def subscribe(self, subscriptions: Sequence[WireSubscription], now: float) -> Iterable[Output]:
        """Ask for these rooms, with few frames."""
        outputs = [output for each in subscriptions for output in self._rooms.subscribe(each)]
        return self._and_what_is_due(outputs, now)

    def unsubscribe(
        self, subscriptions: Sequence[WireSubscription], now: float
    ) -> Iterable[Output]:
        """Leave these rooms, with few frames."""
        for subscription in subscriptions:
            self._rooms.unsubscribe(subscription)
        return self._and_what_is_due([], now)

    def may_send(self, subscription: WireSubscription | None, now: float) -> bool:
        """Whether the server takes a message now, in this room if one is given."""
        self._asked_at = now
        if self._announced is None or self._has_failed:
            return False
        if subscription is not None:
            room = self._rooms.get(subscription.key)
            is_here = room is None or room.phase == "joined"
            return is_here and self._sending.may_follow(subscription.key, now)
        if len(self._commands) or not self._commands.pace.has_token(now):
            self._waits_for_pace = True
            self._set_deadline(now)
            return False
        return self._sending.has_room()

    def send(
        self, data: Frame, subscription: WireSubscription | None, entry: Any
    ) -> Iterable[Frame]:
        """Return the frame of a message to a room."""
        assert subscription is not None  # noqa: S101 - a connection itself takes no messages
        assert isinstance(data, str)  # noqa: S101 - all data is JSON
        self._commands.pace.take(self._asked_at)
        return [self._sending.send(entry, str(subscription.key), data)]

    def request(
        self, data: Any, subscription: WireSubscription | None, request: object
    ) -> Iterable[Frame]:
        """Return the frame of a request, which is a call of a method of the server's."""
        del subscription
        self._commands.pace.take(self._asked_at)
        return [self._commands.say(Requested(request), rpc_body(data))]

    def history(
        self, subscription: WireSubscription, limit: int, before: int | None, request: object
    ) -> Iterable[Frame]:
        """Return the frame that asks for the newest messages below an offset."""
        self._commands.pace.take(self._asked_at)
        memory = subscription.memory
        epoch = memory.epoch if isinstance(memory, RoomMemory) else ""
        body = history_body(str(subscription.key), limit, before, epoch)
        return [self._commands.say(Requested(request, subscription), body)]

    def forget(self, request: object) -> None:
        """The program waits for this answer no longer; it goes nowhere."""
        self._commands.forget(lambda what: isinstance(what, Requested) and what.request == request)

    def told(self, question: Ask, value: Any, now: float) -> Iterable[Output]:
        """The program gives a token: for a room, or to renew that of the connection."""
        if self._has_failed or question.what != "token":
            return []
        outputs: Iterable[Output] = []
        if question.subscription is not None:
            outputs = self._rooms.told(question.subscription, value)
        elif isinstance(value, str) and value:
            self._token = value
            self._commands.put(REFRESH, named_body("refresh", {"token": value}))
        else:
            outputs = self._fail("there is no token to renew the connection with", "unauthorised")
        return self._and_what_is_due(outputs, now)

    def not_told(self, question: Ask, why: str, now: float) -> Iterable[Output]:
        """The program has no token; that of a room is asked for again, by the schedule."""
        if self._has_failed:
            return []
        if question.subscription is None:
            self._renewals.put_off(None, SOON, now)  # the old token is good for a while
            return self._and_what_is_due([], now)
        return self._and_what_is_due(self._rooms.not_told(question.subscription, why, now), now)

    def tick(self, now: float) -> Iterable[Output]:
        """Renew tokens, write what the pace allows now, and miss pings."""
        self._waits_for_pace = False
        if self._has_failed:
            return []
        if now >= self._dead_at:
            return self._fail(f"the server said nothing for {now - self._heard_at:.0f} s")
        outputs: list[Output] = [Ask("token", refresh=True) for _ in self._renewals.take_due(now)]
        outputs += self._rooms.renew(now)
        return self._and_what_is_due(outputs, now)

    # What the server says

    def _hear(self, said: Said, now: float) -> Iterable[Output]:
        match said:
            case Published() | JoinedOrLeft():
                return self._rooms.hear(said, now)
            case Unsubscribed(reason=reason):
                return self._rooms.hear(replace(said, reason=self._without_tokens(reason)), now)
            case Reply():
                return self._replied(said, now)
            case Ping():
                wants_pong = self._announced is not None and self._announced.wants_pong
                return [Write(PONG)] if wants_pong else []
            case Other(is_push=is_push, text=text):
                # Newer servers may say more than we know; one that never let us in may be any.
                is_known = is_push or self._announced is not None
                return [] if is_known else self._not_understood_line(text)

    def _replied(self, reply: Reply, now: float) -> Iterable[Output]:
        what = self._commands.answered(reply.id)
        if (error := reply.error) is not None:
            words = self._without_tokens(error.message)
            reply = replace(reply, error=replace(error, message=words))
        match what:
            case Message():
                return self._sending.replied(what, reply, now)
            case Joining() | Leaving() | Listing() | Renewing():
                return self._rooms.replied(what, reply, now)
            case Requested():
                return self._answered(what, reply)
            case _ if what is CONNECT:
                return self._connected(reply, now)
            case _ if what is REFRESH:
                return self._refreshed(reply, now)
            case _:
                return []  # it is too late, or was never asked for

    def _connected(self, reply: Reply, now: float) -> Iterable[Output]:
        if reply.error is not None:
            return self._fail(reply.error.words, meaning_of_error(reply.error))
        announced = announced_by(reply.result)
        self._announced = announced
        self.max_message_bytes = self._commands.most_bytes = announced.max_message_bytes
        self._commands.pace = TokenBucket.below(announced.rate, announced.burst, now)
        self._sending.begin(announced)
        if self._token is not None:
            self._renewals.plan(None, announced.ttl, now)
        return [Opened()]

    def _refreshed(self, reply: Reply, now: float) -> Iterable[Output]:
        error = reply.error
        if error is None:
            self._renewals.plan(None, ttl_in(reply.result), now)
        elif error.is_temporary:
            self._renewals.put_off(None, SOON, now)
        else:
            return self._fail(f"the token was not renewed: {error.words}", "unauthorised")
        return []

    def _answered(self, what: Requested, reply: Reply) -> Iterable[Output]:
        error, subscription = reply.error, what.page_of
        if error is not None:
            failure = RequestFailed(error.code, error.message)
            return [Answered(what.request, error=failure)]
        if subscription is None:
            return [Answered(what.request, readable(reply.result.get("data")))]
        try:
            page = page_in(str(subscription.key), reply.result)
        except FrameError as problem:
            failure = RequestFailed(None, f"the server said {problem}")
            return [Answered(what.request, error=failure)]
        epoch = text_in(reply.result, "epoch") or ""
        messages = [received_of(subscription, said, epoch) for said in page]
        return [Answered(what.request, messages)]

    # Endings and deadlines

    def _not_understood_line(self, line: str) -> list[Output]:
        # A piece of a token is a secret, too: so it is shortened afterwards.
        return self._not_understood(quoted(self._without_tokens(line)))

    def _not_understood(self, what: str) -> list[Output]:
        why = f"the server does not speak Centrifugo's protocol: it said {what}"
        return self._fail(why, "fatal" if self._announced is None else "retry")

    def _fail(self, why: str, kind: Word = "retry") -> list[Output]:
        self._has_failed = True
        self._grants.clear()  # nothing is news any more
        self.deadline = None
        return [Failed(why, kind)]

    def _without_tokens(self, words: str) -> str:
        """Return words of the server's without the tokens that it may repeat in them."""
        for token in (self._token, *self._rooms.tokens):
            if token:
                words = words.replace(token, "***")
        return words

    def _and_what_is_due(self, outputs: Iterable[Output], now: float) -> list[Output]:
        outputs = list(outputs)  # at once: it may add to what is due
        if self._has_failed:
            return outputs
        # Before an `Ask`: what its answer lets leave comes behind them.
        due = self._commands.flush(now)
        self._set_deadline(now)
        return [*due, *outputs]

    @property
    def _dead_at(self) -> float:
        ping = None if self._announced is None else self._announced.ping
        return math.inf if ping is None else self._heard_at + ping + LATEST_PING

    def _set_deadline(self, now: float) -> None:
        waits = bool(len(self._commands)) or self._waits_for_pace
        token = self._commands.pace.next_token if waits else None
        next_one = min(
            math.inf if token is None else token,
            self._dead_at,
            self._renewals.next,
            self._rooms.renewals.next,
            self._sending.next_end_of_pause(now),
        )
        self.deadline = None if next_one == math.inf else max(next_one, now + SHORTEST_WAIT)
