"""A server of PROTOCOL.md's section 6 with several rooms, without I/O: every step is one call.

Its decision about recovery is the real one. It can be told to be wrong (`Mutant`), to see that the
laws of `test_rooms_stateful` notice.
"""

import json
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from sockstore.server.history.base import Page
from sockstore.server.rooms.recovery import LastSeen, decide_recovery

ROOMS = ["a", "b", "c"]

PAGE = 2
"""Publications in a reply, at most; the rest of what was missed is pushed behind it."""

LIMITS = {"rate": 20, "burst": 12, "max_message_bytes": 65536, "remembers": 3600}


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
    CLIENT_MAKES_A_NEW_ID = auto()
    CLIENT_TAKES_WHATEVER_COMES = auto()
    CLIENT_TRUSTS_THE_SERVER = auto()
    CLIENT_TAKES_THE_OFFSET_FOR_ITS_POSITION = auto()
    CLIENT_FORGETS_A_GAP = auto()
    CLIENT_TELLS_ANOTHER_ROOM_OF_A_GAP = auto()
    CLIENT_SHARES_A_POSITION = auto()
    CLIENT_IGNORES_THE_PACE = auto()
    CLIENT_FORGETS_EARLY_PUSHES = auto()
    CLIENT_TAKES_A_LATE_ANSWER = auto()
    CLIENT_TELLS_WHAT_WAS_RELEASED = auto()
    CLIENT_ASKS_FOR_ALL_ROOMS_AGAIN = auto()
    CLIENT_DOES_NOT_LEAVE_FIRST = auto()
    CLIENT_GIVES_UP_THE_CONNECTION = auto()
    CLIENT_LOSES_WHAT_IS_NOT_STORED_NOW = auto()
    CLIENT_SENDS_AGAIN_AT_ONCE = auto()


@dataclass(frozen=True)
class Stored:
    """One message; `before` is the id of the one that it was stored behind, `log` the true log."""

    room: str
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
    """One WebSocket: frames on their way in both directions, and what it is subscribed to."""

    tokens: float
    at: float
    up: deque = field(default_factory=deque)
    down: deque = field(default_factory=deque)
    subscribed: set = field(default_factory=set)
    waiting: deque = field(default_factory=deque)  # replies to `subscribe` that are late
    blocked: dict = field(default_factory=dict)  # by room, the id that has to come next
    asked: Counter = field(default_factory=Counter)  # commands that subscribe, by room
    excused: Counter = field(default_factory=Counter)  # how many more there may be than one
    refused: dict = field(default_factory=dict)  # by id, when a message could not be stored


class Server:
    """Each room has a log; what was received is committed in a step of its own."""

    def __init__(self, mutants=frozenset()):
        self.mutants = mutants
        self.now = 0.0
        self.stored = {}
        self.uncommitted = []
        self.connections = {}
        self.cannot_store = set()
        self.cannot_subscribe = set()
        self.is_late = False  # whether replies to `subscribe` wait
        self.logs = {room: self.new_log(room, 1) for room in ROOMS}

    def new_log(self, room, number):
        # All rooms have the same epoch: the position of another one looks right.
        del room
        return Log(number, "" if Mutant.NO_EPOCH in self.mutants else f"epoch {number}")

    # Connections

    def open(self, name):
        self.connections[name] = Connection(float(LIMITS["burst"]), self.now)

    def crash(self):
        """Lose all that is not on the disk."""
        self.uncommitted.clear()
        self.connections.clear()

    def lose(self, name):
        self.connections.pop(name, None)

    def say(self, name, frame):
        if name in self.connections:
            self.connections[name].down.append(json.dumps(frame))

    def take(self, name):
        """Handle one frame of a client: all its commands."""
        connection = self.connections[name]
        for line in connection.up.popleft().split("\n"):
            self.count(connection)
            command = json.loads(line)
            number = command.pop("id")
            ((what, fields),) = command.items()
            match what:
                case "connect":
                    reply = {"client": name, "data": {"sockstore": LIMITS}}
                    self.say(name, {"id": number, "connect": reply})
                case "subscribe":
                    self.subscribe(name, number, fields)
                case "unsubscribe":
                    self.answer_late(name)
                    connection.subscribed.discard(fields["channel"])
                    self.say(name, {"id": number, "unsubscribe": {}})
                case "rpc":
                    self.store(name, number, fields["data"])

    def count(self, connection):
        """A client that sends more than is announced is closed with 4429, which must not be."""
        since = self.now - connection.at
        connection.at = self.now
        connection.tokens = min(LIMITS["burst"], connection.tokens + since * LIMITS["rate"]) - 1
        assert connection.tokens >= -1e-6, "4429: too many messages"

    # Subscribing

    def subscribe(self, name, number, asked):
        room, connection = asked["channel"], self.connections[name]
        self.answer_late(name)
        connection.asked[room] += 1
        assert connection.asked[room] <= 1 + connection.excused[room], (
            f"{room} was asked for again, and nothing had happened to it"
        )
        if room in self.cannot_subscribe:
            connection.excused[room] += 1
            self.say(name, {"id": number, "error": {"code": 100, "message": "not now"}})
            return
        if room in connection.subscribed:
            connection.excused[room] += 1
            self.say(name, {"id": number, "error": {"code": 105, "message": "already"}})
            return
        # What is told before the answer is newer than all of it, so the answer has no pages then.
        late = (number, asked, self.logs[room], None if self.is_late else PAGE)
        if Mutant.SUBSCRIBES_AFTER_READING in self.mutants and self.uncommitted:
            connection.waiting.append((*late, True))
            return
        connection.subscribed.add(room)
        connection.waiting.append((*late, False))
        if not self.is_late:
            self.answer_late(name)

    def answer_late(self, name):
        """Answer what was asked; what came since stands before the answer, if it is late."""
        connection = self.connections[name]
        while connection.waiting:
            number, asked, log, page, is_new = connection.waiting.popleft()
            if is_new:
                connection.subscribed.add(asked["channel"])
            self.reply(name, number, asked, log, page)

    def reply(self, name, number, asked, log, page):
        """Answer as Centrifugo does: the offset of a recovered reply is the one asked from."""
        room = asked["channel"]
        answer, missed = self.answer(room, asked, log)
        page = len(missed) if page is None else page
        answer["publications"] = [publication(each) for each in missed[:page]]
        if not missed and (newest := log.at(answer["offset"])) is not None:
            answer["data"]["last"] = newest.id
        answer["data"] |= {"log": log.number, "top": log.top}
        self.say(name, {"id": number, "subscribe": answer})
        for each in missed[page:]:
            self.say(name, push(each))

    def answer(self, room, asked, log):
        answer = {"epoch": log.epoch, "offset": log.top, "recoverable": True, "data": {}}
        if not asked.get("recover"):
            return answer, []
        answer["was_recovering"] = True
        offset, last = asked["offset"], (asked.get("data") or {}).get("last")
        if Mutant.IGNORES_THE_LAST_MESSAGE_SEEN in self.mutants:
            last = None
        verdict = decide(log, offset, asked["epoch"], last)
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

    # Storing

    def store(self, name, number, asked):
        """Keep a message for the next commit, unless it has to come later (P31)."""
        room, connection = asked["channel"], self.connections[name]
        waits_for = connection.blocked.get(room, asked["id"])
        refused_at = connection.refused.get(asked["id"], float("-inf"))
        assert self.now >= refused_at + 0.5, "sent again without a pause"
        if room in self.cannot_store or waits_for != asked["id"]:
            connection.blocked.setdefault(room, asked["id"])
            connection.refused[asked["id"]] = self.now
            error = {"code": 100, "message": "not now", "temporary": True}
            self.say(name, {"id": number, "error": error})
            return
        connection.blocked.pop(room, None)
        waiting = (name, number, room, asked["id"], asked["data"])
        self.uncommitted.append(waiting)
        if Mutant.ACKNOWLEDGES_BEFORE_COMMIT in self.mutants:
            self.acknowledge(waiting, 0)
        if Mutant.TELLS_BEFORE_COMMIT in self.mutants:
            offset, data = self.logs[room].top + len(self.uncommitted), asked["data"]
            self.tell(Stored(room, offset, asked["id"], data["sender"], data["n"], None, 0))

    def acknowledge(self, waiting, offset):
        name, number, room, _, _ = waiting
        data = {"offset": offset, "epoch": self.logs[room].epoch, "duplicate": False}
        self.say(name, {"id": number, "rpc": {"data": data}})

    def commit(self):
        """Write what was received to the disk; then, and only then, say so."""
        waiting, self.uncommitted = self.uncommitted, []
        for each in waiting:
            _, _, room, message_id, data = each
            log = self.logs[room]
            known = log.find(data["sender"], message_id)
            if known is not None and Mutant.STORES_TWICE not in self.mutants:
                self.acknowledge(each, known.offset)
                continue
            before = log.messages[-1].id if log.messages else None
            stored = Stored(
                room, log.top + 1, message_id, data["sender"], data["n"], before, log.number
            )
            self.logs[room] = replace(log, messages=(*log.messages, stored))
            self.stored[room, stored.log, stored.offset, stored.id] = stored
            if Mutant.ACKNOWLEDGES_BEFORE_COMMIT not in self.mutants:
                self.acknowledge(each, stored.offset)
            if Mutant.TELLS_BEFORE_COMMIT not in self.mutants:
                self.tell(stored)
                if Mutant.DELIVERS_TWICE in self.mutants:
                    self.tell(stored)
        for name in self.connections:
            self.answer_late(name)

    def tell(self, stored):
        for name, connection in self.connections.items():
            if stored.room in connection.subscribed:
                self.say(name, push(stored))

    # What happens to one room

    def end(self, room):
        """The server cannot go on with a room, and says 2500 to all that are in it."""
        for name, connection in self.connections.items():
            self.answer_late(name)
            if room in connection.subscribed:
                connection.subscribed.discard(room)
                connection.excused[room] += 1
                ended = {"code": 2500, "reason": "insufficient state"}
                self.say(name, {"push": {"channel": room, "unsubscribe": ended}})

    def leave_out(self, name, room):
        """A message does not reach one client, which sees a hole when the next one comes."""
        connection = self.connections[name]
        pushes = [text for text in connection.down if is_message(text, room)]
        if len(pushes) > 1:
            connection.down.remove(pushes[0])
            connection.excused[room] += 1

    def trim(self, room, keep):
        log = self.logs[room]
        self.logs[room] = replace(log, first=max(log.first, log.top - keep + 1))

    def wipe(self, room):
        """A room gets another log; clients of the old one are sent away."""
        self.end(room)
        self.logs[room] = self.new_log(room, self.logs[room].number + 1)


def decide(log, offset, epoch, last):
    """Ask the real server's decision."""
    known = log.at(offset)
    id_before = None if known is None else known.id
    page = Page(log.epoch, log.top, log.first, log.after(offset), id_before)
    return decide_recovery(LastSeen(epoch, offset, last), page)


def is_message(text, room):
    said = json.loads(text).get("push", {})
    return said.get("channel") == room and "pub" in said


def publication(stored):
    data = {"room": stored.room, "sender": stored.sender, "n": stored.number, "log": stored.log}
    return {
        "offset": stored.offset,
        "data": data,
        "info": {"user": stored.sender},
        "tags": {"id": stored.id},
    }


def push(stored):
    return {"push": {"channel": stored.room, "pub": publication(stored)}}
