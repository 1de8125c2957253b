"""Send the messages of the program, and follow what becomes of them.

What the server cannot take now is sent again by the machine, in its order. So a room whose message
was refused for a while takes nothing until all that was sent to it is answered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from sockstore.base.frozen import frozen
from sockstore.protocols.centrifuge.commands import CommandQueue, publish_body, send_body
from sockstore.protocols.centrifuge.frames import Reply
from sockstore.protocols.centrifuge.replies import Announced, offset_of
from sockstore.protocols.outputs import Output, Settled
from sockstore.protocols.sent_messages import SentMessages

__all__ = ["Message", "Sending"]

MOST_UNDER_WAY: Final = 128
"""Messages without a reply, at most."""

MOST_BYTES_UNDER_WAY: Final = 256 * 1024
"""Bytes of messages without a reply, above which no other follows."""

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 16.0
"""Seconds; each pause in a row is twice as long as the one before."""

AT_LEAST_ONCE: Final = "stored at least once: the server knows no ids"


@frozen
class Message:
    """A message without a reply."""

    entry: Any
    channel: str
    size: int


class _Lane:
    """What was sent to one room, and when more may follow. `Sending` sets all of it."""

    __slots__ = ("is_paused", "pauses", "resumes_at", "unanswered")

    def __init__(self) -> None:
        self.unanswered = 0
        self.is_paused = False
        self.resumes_at = -math.inf
        self.pauses = 0  # in a row

    @property
    def is_idle(self) -> bool:
        return not (self.unanswered or self.is_paused or self.pauses)


class Sending:
    """The messages of one connection that are under way.

    Args:
        sent: The messages that are sent again after a loss.
        commands: The commands of the connection.
    """

    def __init__(self, sent: SentMessages, commands: CommandQueue) -> None:
        self._sent = sent
        self._commands = commands
        # How the server takes messages; set by `begin`.
        self._stores_once = False
        self._most = MOST_UNDER_WAY
        # What is under way: `send` adds, `replied` takes away.
        self._unanswered = self._bytes = 0
        # By the name of the room: `send` adds, `replied` removes.
        self._lanes: dict[str, _Lane] = {}

    def begin(self, announced: Announced) -> None:
        """The server lets us in, and says what it takes."""
        burst = announced.burst
        self._stores_once = announced.stores_once
        self._most = MOST_UNDER_WAY if burst is None else max(1, min(MOST_UNDER_WAY, burst // 2))
        self._sent.remembers = announced.remembers

    def has_room(self) -> bool:
        """Whether one more message may be under way."""
        return self._unanswered < self._most and self._bytes < MOST_BYTES_UNDER_WAY

    def may_follow(self, channel: object, now: float) -> bool:
        """Whether a message may be sent to a room now."""
        lane = self._lanes.get(channel) if isinstance(channel, str) else None
        if lane is None or not lane.is_paused:
            return True
        if lane.unanswered or now < lane.resumes_at:
            return False
        lane.is_paused = False
        return True

    def next_end_of_pause(self, now: float) -> float:
        """Return when the next room takes messages again; infinite for never."""
        ends = (each.resumes_at for each in self._lanes.values() if each.is_paused)
        return min((at for at in ends if at > now), default=math.inf)

    def send(self, entry: Any, channel: str, data: str) -> str:
        """Return the frame of a message; `data` is JSON text."""
        if not entry.id:
            entry.id = self._sent.new_id()
        if self._stores_once:
            body = send_body(channel, entry.id, data)
        else:
            body = publish_body(channel, data)
        message = Message(entry, channel, len(body))
        self._unanswered += 1
        self._bytes += message.size
        self._lanes.setdefault(channel, _Lane()).unanswered += 1
        return self._commands.say(message, body)

    def replied(self, message: Message, reply: Reply, now: float) -> Iterable[Output]:
        """Return what becomes of a message."""
        self._unanswered -= 1
        self._bytes -= message.size
        lane = self._lanes[message.channel]
        lane.unanswered -= 1
        error, entry = reply.error, message.entry
        if error is not None and error.is_temporary:
            self._pause(lane, now)
            self._sent.send_again(entry)
            return []
        lane.pauses = 0
        if lane.is_idle:
            del self._lanes[message.channel]
        if error is not None:
            return [Settled(entry, "refused", f"the server said: {error.words}")]
        why = "" if self._stores_once else AT_LEAST_ONCE
        return [Settled(entry, "acknowledged", why, offset_of(reply.result))]

    def _pause(self, lane: _Lane, now: float) -> None:
        if not lane.is_paused:
            lane.is_paused = True
            lane.resumes_at = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2**lane.pauses)
            lane.pauses = min(lane.pauses + 1, 10)
