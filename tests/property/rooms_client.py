"""A client of `rooms_model`: the real conversation, with what the machine does, step by step."""

import json
from collections import deque
from dataclasses import dataclass

from tests.property.rooms_mistakes import Wrong
from tests.property.rooms_model import ROOMS, Mutant

from sockstore import Attempt, Position
from sockstore.protocols import (
    Ask,
    Centrifuge,
    Failed,
    Missed,
    Opened,
    Received,
    Refused,
    Settled,
    Subscribed,
    WireSubscription,
    Write,
)

BACKOFF = 0.5
"""Seconds until a connection, or a room that was refused for a while, is asked for again."""


class Entry:
    """A message on its way out, as the machine has it."""

    def __init__(self, subscription, sender, number):
        self.subscription = subscription
        self.room = subscription.key
        self.data = json.dumps({"sender": sender, "n": number})
        self.number = number
        self.id = ""
        self.expires_at = float("inf")
        self.first_sent_at = None


@dataclass(frozen=True)
class Began:
    """A reader without a position got one."""

    log: int
    position: Position


class Reader:
    """What one subscription has told; `asked_at` is when it is asked for, None if it was."""

    def __init__(self, room, since):
        self.subscription = WireSubscription(room, since=since)
        self.since = since
        self.seen = []
        self.phase = "waiting"
        self.asked_at = 0.0
        self.is_wanted = True


class Client:
    """One connection with several rooms, and what the program sends to them."""

    def __init__(self, name, server, since, mutants=frozenset()):
        self.name = name
        self.server = server
        self.wrong = Wrong(mutants)
        self.protocol = Centrifuge()
        self.memory = self.protocol.make_memory()
        self.talk = None
        self.is_open = False
        self.opens_at = 0.0
        self.outbox = deque()
        self.sent = dict.fromkeys(ROOMS, 0)
        self.fates = {}  # by room and number
        self.ids = {}  # of the messages that it wrote, and how often
        self.readers = {room: Reader(room, since) for room in ROOMS}
        self.former = []  # readers that were released

    @property
    def connection(self):
        return self.server.connections.get(self.name)

    @property
    def now(self):
        return self.server.now

    # What the program does

    def send(self, room):
        self.sent[room] += 1
        subscription = self.readers[room].subscription
        self.outbox.append(Entry(subscription, self.name, self.sent[room]))
        self.flush()

    def release(self, room):
        """Take a room back; a new reader begins in the next turn, or at once."""
        reader = self.readers[room]
        if not reader.is_wanted:
            return
        reader.is_wanted = False
        if self.is_open and reader.phase != "waiting":
            self.tell(self.talk.unsubscribe([reader.subscription], self.now))
        self.former.append(reader)
        self.flush()

    def want(self, room):
        if self.readers[room].is_wanted:
            return
        self.readers[room] = Reader(room, None)
        if self.connection is not None:
            self.connection.excused[room] += 1
        self.subscribe()

    # The connection

    def connect(self):
        if self.connection is None and self.now >= self.opens_at:
            self.server.open(self.name)
            memory = self.wrong.memory(self.memory, self.protocol)
            self.talk = self.protocol.converse(memory, Attempt())
            self.tell(self.talk.open({}, self.now))

    def lose(self):
        """The connection breaks; what was on its way is lost."""
        self.server.lose(self.name)
        self.talk, self.is_open = None, False
        self.opens_at = self.now + BACKOFF
        if Mutant.CLIENT_FORGETS_WHAT_IS_UNDER_WAY not in self.wrong.mutants:
            self.memory.lost()
        for reader in self.readers.values():
            reader.phase, reader.asked_at = "waiting", 0.0

    def take(self):
        """Read one frame of the server."""
        frame = self.connection.down.popleft()
        self.tell(self.talk.hear(frame, self.now))
        self.flush()

    @property
    def deadline(self):
        """When there is something to do, if nothing comes."""
        if self.talk is None:
            return self.opens_at
        retries = [r.asked_at for r in self.wanted if r.phase == "waiting" and self.is_open]
        return min([self.talk.deadline or float("inf"), *retries])

    def tick(self):
        if self.talk is None:
            self.connect()
            return
        if self.talk.deadline is not None and self.talk.deadline <= self.now:
            self.tell(self.talk.tick(self.now))
            assert self.talk.deadline is None or self.talk.deadline > self.now
        self.subscribe()
        self.flush()

    # What the machine does

    @property
    def wanted(self):
        return [reader for reader in self.readers.values() if reader.is_wanted]

    def subscribe(self):
        """Ask for the rooms that are wanted and not asked for."""
        if not self.is_open:
            return
        due = [r for r in self.wanted if r.phase == "waiting" and r.asked_at <= self.now]
        for reader in due:
            reader.phase = "asked"
        if due:
            self.tell(self.talk.subscribe([r.subscription for r in due], self.now))

    def flush(self):
        """Let messages leave, as many as may; what is sent again before what is new."""
        for _ in range(1000):
            if not self.is_open or not self.talk.may_send(None, self.now):
                return
            entry = self.next_to_send()
            if entry is None:
                return
            if entry in self.outbox:
                self.outbox.remove(entry)
            (frame,) = self.talk.send(entry.data, entry.subscription, entry)
            self.memory.add(entry, self.now)
            self.connection.up.append(self.wrong.written(frame, entry, self.ids))
        raise AssertionError("it sends without end")

    def next_to_send(self):
        """Return the first message whose room takes one, and in which none is before it."""
        held = set()
        for entry in self.wrong.order(self.memory.to_repeat, self.outbox):
            if entry.room in held:
                continue
            if not self.is_held(entry) and self.talk.may_send(entry.subscription, self.now):
                return entry
            held.add(entry.room)
        return None

    def is_held(self, entry):
        """Whether its room waits to be asked for again: then it is not the server that decides."""
        reader = self.readers[entry.room]
        return reader.is_wanted and reader.phase == "waiting"

    def tell(self, outputs):
        for output in self.wrong.outputs(outputs, self.readers):
            self.follow(output)

    def follow(self, output):
        match output:
            case Write(frame=frame):
                if self.connection is not None:
                    self.connection.up.append(frame)
            case Opened():
                self.is_open = True
                self.subscribe()
            case Settled(entry=entry, state=state, offset=offset):
                assert state == "acknowledged"
                assert (entry.room, entry.number) not in self.fates, "settled twice"
                self.fates[entry.room, entry.number] = offset
                self.memory.remove(entry)
            case Failed(why=why):
                raise AssertionError(f"the connection was right, and it says {why}")
            case Ask():
                raise AssertionError("there are no tokens here")
            case Subscribed() | Refused() | Missed() | Received():
                self.follow_reader(output)

    def follow_reader(self, output):
        reader = self.readers[output.subscription.key]
        is_wanted = reader.is_wanted and reader.subscription is output.subscription
        assert is_wanted, f"{output} of a room that was released"
        match output:
            case Subscribed(answer=answer, recovered=recovered):
                reader.phase = "subscribed"
                has_begun = reader.since is not None or any(
                    isinstance(each, (Began, Received)) for each in reader.seen
                )
                gap = bool(reader.seen) and isinstance(reader.seen[-1], Missed)
                expected = None if not has_begun else not gap
                assert recovered is expected, f"recovered is {recovered}, not {expected}"
                if not has_begun:
                    position = Position(answer["top"], "", answer.get("last"))
                    reader.seen.append(Began(answer["log"], position))
                else:
                    reader.seen.append(output)
            case Refused(is_temporary=is_temporary):
                assert is_temporary, "nothing was refused for good"
                reader.phase = "waiting"
                reader.asked_at = self.now + BACKOFF
                if self.connection is not None:
                    self.connection.excused[output.subscription.key] += 1
            case _:
                reader.seen.append(output)
