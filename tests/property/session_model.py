"""A server of PROTOCOL.md's session and its clients, without I/O: every step is one call.

The clients are the real `Machine`; the server is a model, whose decision about recovery is the real
one. Both can be told to be wrong (`Mutant`), to see that the laws notice.
"""

import json
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from sockstore import Close, Gap, HandshakeFailed, Position, Reconnect, SocketInfo
from sockstore.machine import (
    delivery,
    effects,
    events,
    machine,
    memory,
    outbox,
    session,
    session_frames,
)

ROOM = "room"

PAGE = 2
"""Publications in a reply, at most; the rest of what was missed is pushed behind it."""


class Mutant(Enum):
    """One way in which a server or a client may be wrong."""

    ACKNOWLEDGES_BEFORE_COMMIT = auto()
    STORES_TWICE = auto()
    RECOVERS_ONE_TOO_LATE = auto()
    RECOVERS_ONE_TOO_EARLY = auto()
    NO_EPOCH = auto()
    IGNORES_THE_LAST_MESSAGE_SEEN = auto()
    HIDES_TRIMMING = auto()
    DELIVERS_TWICE = auto()
    TELLS_BEFORE_COMMIT = auto()
    SUBSCRIBES_AFTER_READING = auto()
    CLIENT_FORGETS_WHAT_IS_UNDER_WAY = auto()
    CLIENT_SENDS_NEW_BEFORE_OLD = auto()
    CLIENT_TAKES_WHATEVER_COMES = auto()
    CLIENT_TRUSTS_THE_SERVER = auto()
    CLIENT_MAKES_A_NEW_ID = auto()
    CLIENT_TAKES_THE_OFFSET_FOR_ITS_POSITION = auto()
    CLIENT_FORGETS_WHAT_IS_OWED = auto()
    CLIENT_FORGETS_A_GAP = auto()


@dataclass(frozen=True)
class Stored:
    """One message; `before` is the id of the one that it was stored behind, `log` the true log."""

    offset: int
    id: str
    sender: str
    number: int
    before: str | None
    log: int


@dataclass(frozen=True)
class Log:
    """What is on the disk; `number` tells one log from another even if the epoch does not."""

    number: int
    epoch: str
    messages: tuple[Stored, ...] = ()
    first: int = 1

    @property
    def top(self):
        return self.messages[-1].offset if self.messages else 0

    def at(self, offset):
        kept = self.first <= offset <= self.top
        return self.messages[offset - 1] if kept else None

    def find(self, sender, message_id):
        return next((m for m in self.messages if (m.sender, m.id) == (sender, message_id)), None)

    def after(self, offset):
        return [m for m in self.messages if m.offset > max(offset, self.first - 1)]


@dataclass
class Connection:
    """One WebSocket: frames on their way in both directions."""

    up: deque = field(default_factory=deque)
    down: deque = field(default_factory=deque)
    is_subscribed: bool = False
    reading: object = None


class Server:
    """Rooms have one log here; what was received is committed in a step of its own."""

    def __init__(self, decide_recovery, mutants=frozenset()):
        self.mutants = mutants
        self.decide_recovery = decide_recovery
        self.stored = {}
        self.uncommitted = []
        self.connections = {}
        self.log = self.new_log(1)

    def new_log(self, number):
        return Log(number, "" if Mutant.NO_EPOCH in self.mutants else f"epoch {number}")

    def crash(self):
        """Lose all that is not on the disk."""
        self.uncommitted.clear()
        self.connections.clear()

    def take(self, name):
        """Handle one frame of a client."""
        connection = self.connections[name]
        for line in connection.up.popleft().split("\n"):
            command = json.loads(line)
            if "connect" in command:
                limits = {
                    "rate": 1000,
                    "burst": 1000,
                    "max_message_bytes": 65536,
                    "remembers": 3600,
                }
                reply = {"client": name, "data": {"sockstore": limits}}
                self.say(name, {"id": command["id"], "connect": reply})
            elif "subscribe" in command:
                self.subscribe(name, command["id"], command["subscribe"])
            elif "rpc" in command:
                self.store(name, command["id"], command["rpc"]["data"])

    def say(self, name, frame):
        if name in self.connections:
            self.connections[name].down.append(json.dumps(frame))

    def subscribe(self, name, number, asked):
        connection = self.connections[name]
        if Mutant.SUBSCRIBES_AFTER_READING in self.mutants and self.uncommitted:
            connection.reading = (number, asked, self.log)  # what is committed now falls between
            return
        self.reply(name, number, asked, self.log)

    def reply(self, name, number, asked, log):
        """Answer as Centrifugo does: the offset of a recovered reply is the one asked from."""
        answer, missed = self.answer(asked, log)
        answer["publications"] = [publication(each) for each in missed[:PAGE]]
        if not missed and (newest := log.at(answer["offset"])) is not None:
            answer["data"] = {**answer.get("data", {}), "last": newest.id}
        self.say(name, {"id": number, "subscribe": answer})
        for each in missed[PAGE:]:
            self.say(name, {"push": {"channel": ROOM, "pub": publication(each)}})
        self.connections[name].is_subscribed = True

    def answer(self, asked, log):
        answer = {"epoch": log.epoch, "offset": log.top, "recoverable": True}
        if not asked.get("recover"):
            return answer, []
        answer["was_recovering"] = True
        offset, epoch = asked["offset"], asked["epoch"]
        last = (asked.get("data") or {}).get("last")
        if Mutant.IGNORES_THE_LAST_MESSAGE_SEEN in self.mutants:
            last = None
        verdict = self.decide_recovery(log, offset, epoch, last)
        if Mutant.HIDES_TRIMMING in self.mutants and verdict == "trimmed":
            verdict = "recovered"
        since = offset if verdict in {"recovered", "trimmed"} else 0
        if verdict == "recovered":
            since += Mutant.RECOVERS_ONE_TOO_LATE in self.mutants
            since -= Mutant.RECOVERS_ONE_TOO_EARLY in self.mutants
            answer |= {"recovered": True, "offset": offset}
        else:
            answer["data"] = {"reason": verdict}
        return answer, [] if verdict == "forked" else log.after(since)

    def store(self, name, number, asked):
        waiting = (name, number, asked["id"], asked["data"])
        self.uncommitted.append(waiting)
        if Mutant.ACKNOWLEDGES_BEFORE_COMMIT in self.mutants:
            self.acknowledge(waiting, 0)
        if Mutant.TELLS_BEFORE_COMMIT in self.mutants:
            offset, data = self.log.top + len(self.uncommitted), asked["data"]
            self.tell(Stored(offset, asked["id"], data["sender"], data["n"], None, 0))

    def acknowledge(self, waiting, offset):
        name, number, _, _ = waiting
        data = {"offset": offset, "epoch": self.log.epoch, "duplicate": False}
        self.say(name, {"id": number, "rpc": {"data": data}})

    def commit(self):
        """Write what was received to the disk; then, and only then, say so."""
        waiting, self.uncommitted = self.uncommitted, []
        for each in waiting:
            _, _, message_id, data = each
            known = self.log.find(data["sender"], message_id)
            if known is not None and Mutant.STORES_TWICE not in self.mutants:
                self.acknowledge(each, known.offset)
                continue
            before = self.log.messages[-1].id if self.log.messages else None
            stored = Stored(
                self.log.top + 1, message_id, data["sender"], data["n"], before, self.log.number
            )
            self.log = replace(self.log, messages=(*self.log.messages, stored))
            self.stored[stored.log, stored.offset, stored.id] = stored
            if Mutant.ACKNOWLEDGES_BEFORE_COMMIT not in self.mutants:
                self.acknowledge(each, stored.offset)
            if Mutant.TELLS_BEFORE_COMMIT not in self.mutants:
                self.tell(stored)
                if Mutant.DELIVERS_TWICE in self.mutants:
                    self.tell(stored)
        for name, connection in self.connections.items():
            if connection.reading is not None:
                reading, connection.reading = connection.reading, None
                self.reply(name, *reading)

    def tell(self, stored):
        for name, connection in self.connections.items():
            if connection.is_subscribed:
                self.say(name, {"push": {"channel": ROOM, "pub": publication(stored)}})


def id_of(text):
    """The id of the message in a command that sends one."""
    return json.loads(text)["rpc"]["data"]["id"]


def publication(stored):
    return {
        "offset": stored.offset,
        "data": {"sender": stored.sender, "n": stored.number, "log": stored.log},
        "info": {"user": stored.sender},
        "tags": {"id": stored.id},
    }


class Client:
    """The real machine, with what a driver would do, step by step."""

    def __init__(self, name, server, since, mutants=frozenset()):
        self.name = name
        self.server = server
        self.mutants = mutants
        self.now = 0.0
        self.sent = 0
        self.fates = {}
        self.seen = []
        self.preparing = None  # the transport that `fetch_state` and `on_open` run for, and why
        self.loaded = None  # how much had been seen when the last snapshot was loaded
        self.opened = None  # how much had been seen when the connection was open last
        self.had_seen = False  # whether a message had been seen when this connection began
        self.awaited = None  # the transport whose first message is to be told
        self.since = since
        self.machine = machine.Machine(
            memory.Settings(
                reconnect=Reconnect.exponential(jitter=0.0, min_uptime=0.0),
                channel=ROOM,
                since=since,
                ping_interval=None,
                has_on_open=True,
                has_fetch_state=True,
            ),
            "ws://server.test/",
        )
        self.ids = {}  # of the messages that it wrote, and how often
        self.opening = None
        self.tell(events.ConnectRequested("ws://server.test/"))

    @property
    def connection(self):
        return self.server.connections.get(self.name)

    def tell(self, event):
        before = self.machine.state.phase
        for each in self.machine.handle(event, self.now):
            self.carry_out(each)
        if self.machine.state.phase == "open" != before:
            self.check_what_was_owed()

    def check_what_was_owed(self):
        """Once it is open, nothing that any opening found out was forgotten."""
        gaps = [index for index, each in enumerate(self.seen) if isinstance(each, Gap)]
        assert self.loaded is not None, "open without a snapshot"
        assert not gaps or gaps[-1] < self.loaded, "open without a snapshot after a gap"
        is_first = self.opened is None
        new = [index for index in gaps if is_first or index >= self.opened]
        nothing_to_recover = is_first and self.since is None and not self.had_seen
        expected = False if new else None if nothing_to_recover else True
        assert self.machine.state.recovered is expected, "a gap is forgotten"
        self.opened = len(self.seen)

    def finish_opening(self, *, loads=True, opens=True):
        """Let ``fetch_state`` and ``on_open`` end: well, or with an error."""
        (number, needs_state), self.preparing = self.preparing, None
        if needs_state and loads:
            self.tell(events.SnapshotLoaded(number))
            self.loaded = len(self.seen)
        failed = HandshakeFailed("ws://server.test/", "not now", kind="on_open")
        is_well = opens and (loads or not needs_state)
        self.tell(events.OnOpenFinished(number, None if is_well else failed))

    def wait_too_long(self):
        """Let the time pass in which ``fetch_state`` and ``on_open`` must end."""
        while self.preparing is not None:
            self.now = self.machine.deadline
            self.tell(events.DeadlineReached())

    def carry_out(self, each):
        match each:
            case effects.OpenTransport(transport=number):
                self.opening = number
            case effects.CloseTransport() | effects.AbortTransport():
                self.gone()
            case effects.AwaitMessage(transport=number):
                self.awaited = number
            case effects.RunOnOpen(transport=number, needs_state=needs_state):
                self.preparing = number, needs_state
            case effects.SendFrame(frame=text):
                self.write(text)
            case effects.FlushOutbox():
                self.flush()
            case effects.DeliverMissed(publications=publications):
                for each in publications:
                    self.receive(each)
            case effects.DeliverGap(gap=gap):
                self.seen.append(gap)
            case effects.SettleReceipts(entries=entries, state=state):
                for entry in entries:
                    assert entry.receipt not in self.fates
                    self.fates[entry.receipt] = state

    def write(self, text):
        if self.connection is not None:
            self.connection.up.append(text)

    def flush(self):
        offered = iter(lambda: self.machine.next_to_send(self.now), None)
        messages = [offer.data for offer in offered]
        again = deque(text for text in messages if id_of(text) in self.ids)
        new = [text for text in messages if id_of(text) not in self.ids]
        if Mutant.CLIENT_SENDS_NEW_BEFORE_OLD in self.mutants:
            again.rotate(1)
        if Mutant.CLIENT_FORGETS_WHAT_IS_UNDER_WAY in self.mutants:
            again.clear()
        for text in (*again, *new):
            self.write_message(text)

    def write_message(self, text):
        message_id = id_of(text)
        self.ids[message_id] = self.ids.get(message_id, 0) + 1
        if Mutant.CLIENT_MAKES_A_NEW_ID in self.mutants:
            text = text.replace(message_id, f"{message_id}-{self.ids[message_id]}")
        self.write(text)

    def send(self):
        self.sent += 1
        number = self.sent
        data = json.dumps({"sender": self.name, "n": number})
        entry = delivery.Outgoing(data, len(data), number)
        offer = self.machine.offer(entry, self.now)
        if isinstance(offer, outbox.HandOver):
            self.write_message(offer.data)

    def connect(self):
        """Let the time come for the next attempt, and let it succeed."""
        if self.connection is not None:
            return
        if self.machine.live_transport is not None:
            self.lose()
        if self.opening is None and self.machine.deadline < float("inf"):
            self.now = max(self.now, self.machine.deadline)
            self.tell(events.DeadlineReached())
        if self.opening is not None:
            number, self.opening = self.opening, None
            self.server.connections[self.name] = Connection()
            self.had_seen = any(isinstance(each, session_frames.Published) for each in self.seen)
            self.tell(events.TransportOpened(number, SocketInfo("ws://server.test/")))

    def gone(self):
        self.server.connections.pop(self.name, None)
        self.preparing = None
        if Mutant.CLIENT_FORGETS_WHAT_IS_OWED in self.mutants:
            self.machine.session.owed = session.NOTHING_OWED
        if Mutant.CLIENT_FORGETS_A_GAP in self.mutants:
            self.machine.session.owed = replace(self.machine.session.owed, recovered=None)

    def lose(self):
        """The connection breaks; what was on its way is lost."""
        number = self.machine.live_transport
        self.gone()
        if number is not None:
            self.tell(events.TransportClosed(number, Close(1006), "the connection broke"))
            self.tell(events.TransportReleased(number))

    def take(self):
        """Read one frame of the server."""
        number = self.machine.live_transport
        for said in session_frames.read(self.connection.down.popleft()):
            if number is None or self.machine.live_transport != number:
                return
            if isinstance(said, session_frames.Published):
                self.receive(said)
                continue
            was_nowhere = self.machine.session.position is None
            with trusting(Mutant.CLIENT_TRUSTS_THE_SERVER in self.mutants):
                self.tell(events.SessionHeard(number, said))
            if isinstance(said, session_frames.Reply) and "epoch" in said.result:
                self.joined(said.result)
            if was_nowhere and self.machine.session.position is not None:
                self.seen.append(Began(self.server.log.number, self.machine.session.position))

    def receive(self, said):
        """Take a publication, or find out that it cannot follow."""
        is_news = self.machine.accept(self.machine.live_transport, said)
        if Mutant.CLIENT_TAKES_WHATEVER_COMES in self.mutants:
            is_news = True
        if is_news is None:
            self.tell(events.SessionHeard(self.machine.live_transport, said))
        elif is_news:
            if self.awaited == self.machine.live_transport:
                self.awaited = None
                self.tell(events.MessageComing(self.machine.live_transport))
            self.seen.append(said)

    def joined(self, told):
        if Mutant.CLIENT_TAKES_THE_OFFSET_FOR_ITS_POSITION in self.mutants:
            self.machine.session.position = Position(told["offset"], told["epoch"])


@dataclass(frozen=True)
class Began:
    """A reader without a position got one."""

    log: int
    position: object


@contextmanager
def trusting(is_so):
    """Let the client believe what the server says about recovery."""
    careful = session.joined_at

    def trusts(seen, told):
        return careful(None if told.recovered else seen, told)

    if is_so:
        session.joined_at = trusts
    try:
        yield
    finally:
        session.joined_at = careful
