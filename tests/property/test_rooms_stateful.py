"""Nothing lost, nothing twice, and each room for itself: client and server under every fault."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from tests.property.rooms_client import Began, Client
from tests.property.rooms_mistakes import made_by
from tests.property.rooms_model import ROOMS, Mutant, Server

from sockstore import Position
from sockstore.protocols import Missed, Received, Subscribed

NAMES = ["Ann", "Bob"]
names = st.sampled_from(NAMES)
rooms = st.sampled_from(ROOMS)


class Faults(RuleBasedStateMachine):
    """Two clients with three rooms each, one server, and everything that can go wrong."""

    mutants = frozenset()

    @initialize(beginning=st.booleans())
    def start(self, beginning):
        self.server = Server(self.mutants)
        since = Position(0) if beginning else None
        self.clients = {name: Client(name, self.server, since, self.mutants) for name in NAMES}
        self.checked = {}  # by subscription: how much of what it has told was checked
        self.last = {}
        self.log_of = {}
        self.backup = None
        self.was_restored = False

    # What users and networks do

    @rule(name=names, room=rooms, count=st.integers(1, 3))
    def send(self, name, room, count):
        for _ in range(count):
            self.clients[name].send(room)

    @rule(name=names, frames=st.integers(0, 4))
    def connect(self, name, frames):
        client = self.clients[name]
        self.server.now = max(self.server.now, client.opens_at)
        client.connect()
        self.upstream(name, frames)
        self.downstream(name, frames)

    @rule(name=names, frames=st.integers(1, 4))
    def upstream(self, name, frames):
        for _ in range(frames):
            connection = self.server.connections.get(name)
            if connection is not None and connection.up:
                self.server.take(name)

    @rule(name=names, frames=st.integers(1, 6))
    def downstream(self, name, frames):
        for _ in range(frames):
            connection = self.server.connections.get(name)
            if connection is not None and connection.down:
                self.clients[name].take()

    @rule()
    def commit(self):
        self.server.commit()

    @rule(name=names)
    def cut(self, name):
        self.clients[name].lose()

    @rule(seconds=st.sampled_from([0.1, 1.0, 10.0]))
    def wait(self, seconds):
        self.server.now += seconds
        for client in self.clients.values():
            client.tick()

    @rule(name=names, room=rooms)
    def release(self, name, room):
        self.clients[name].release(room)

    @rule(name=names, room=rooms)
    def want(self, name, room):
        self.clients[name].want(room)

    @rule(name=names, room=rooms)
    def change_readers(self, name, room):
        self.clients[name].release(room)
        self.clients[name].want(room)

    @rule(name=names, room=rooms, sent=st.integers(1, 3), arrived=st.integers(0, 3))
    def cut_while_sending(self, name, room, sent, arrived):
        """The connection breaks when some of it has arrived, and some of the answers."""
        self.settle(only=name)
        for _ in range(sent):
            self.clients[name].send(room)
        self.upstream(name, arrived)
        self.server.commit()
        self.downstream(name, arrived)
        self.cut(name)

    # What happens to one room

    @rule(
        room=rooms, what=st.sampled_from(["end", "wipe", "trim", "twice"]), keep=st.integers(0, 3)
    )
    def trouble(self, room, what, keep):
        match what:
            case "trim":
                self.server.trim(room, keep)
            case "wipe":
                self.server.wipe(room)
            case "twice":
                self.server.end(room)
                self.settle(limit=keep)
                self.server.end(room)
            case _:
                self.server.end(room)

    @rule(name=names, room=rooms)
    def leave_out(self, name, room):
        if name in self.server.connections:
            self.server.leave_out(name, room)

    @rule(name=names, by=names, room=rooms, sent=st.integers(2, 4))
    def tell_with_a_hole(self, name, by, room, sent):
        """Everybody is there, and one message does not reach one of them."""
        self.settle()
        for _ in range(sent):
            self.clients[by].send(room)
        self.upstream(by, sent)
        self.server.commit()
        self.leave_out(name, room)

    @rule(room=rooms, is_full=st.booleans())
    def fill_the_disk(self, room, is_full):
        (self.server.cannot_store.add if is_full else self.server.cannot_store.discard)(room)

    @rule(room=rooms, is_busy=st.booleans())
    def refuse(self, room, is_busy):
        (self.server.cannot_subscribe.add if is_busy else self.server.cannot_subscribe.discard)(
            room
        )

    @rule(is_late=st.booleans())
    def answer_late(self, is_late):
        self.server.is_late = is_late
        if not is_late:
            for name in self.server.connections:
                self.server.answer_late(name)

    @rule(name=names, room=rooms, sent=st.integers(1, 3))
    def come_while_others_talk(self, name, room, sent):
        """What others say while a room is asked for stands before the answer."""
        (other,) = set(NAMES) - {name}
        self.settle()
        self.cut(name)
        self.answer_late(is_late=True)
        self.connect(name, 1)
        for _ in range(sent):
            self.clients[other].send(room)
        self.upstream(other, sent)
        self.upstream(name, 1)
        self.server.commit()
        self.answer_late(is_late=False)

    @rule(name=names, room=rooms, sent=st.integers(1, 3))
    def change_readers_before_the_answer(self, name, room, sent):
        """The answer to the reader of before comes when a new one has been asked for already."""
        self.settle()
        self.clients[name].release(room)
        self.settle(only=name)
        self.server.is_late = True
        for _ in range(2):
            self.clients[name].want(room)
            self.upstream(name, 1)
            self.clients[name].release(room)
        self.clients[name].want(room)
        for _ in range(sent):
            self.clients[name].send(room)
        self.settle(limit=sent)
        self.answer_late(is_late=False)

    @rule(name=names, room=rooms, sent=st.integers(1, 3))
    def send_to_a_full_disk(self, name, room, sent):
        self.settle()
        self.server.cannot_store.add(room)
        for _ in range(sent):
            self.clients[name].send(room)
        self.upstream(name, sent)
        self.downstream(name, sent)
        self.server.cannot_store.discard(room)

    # What happens to servers

    @rule(what=st.sampled_from(["crash", "restore"]))
    def disaster(self, what):
        if what == "restore" and self.backup is None:
            return
        self.server.crash()
        for client in self.clients.values():
            client.lose()
        if what == "restore":
            self.was_restored = True
            self.server.logs = dict(self.backup)

    @rule()
    def back_up(self):
        self.backup = dict(self.server.logs)

    @rule(
        name=names,
        room=rooms,
        before=st.integers(0, 3),
        what=st.sampled_from(["nothing", "crash", "restore", "trim", "wipe"]),
        sent=st.integers(0, 4),
        keep=st.integers(0, 3),
    )
    def while_away(self, name, room, before, what, sent, keep):
        """Somebody is away while something happens, and the other one goes on."""
        (other,) = set(NAMES) - {name}
        if what == "restore":
            self.back_up()
        for _ in range(before):
            self.clients[other].send(room)
        self.settle()
        self.cut(name)
        if what in {"trim", "wipe"}:
            self.trouble(room, what, keep)
        elif what != "nothing":
            self.disaster(what)
        for _ in range(sent):
            self.clients[other].send(room)
        self.settle(only=other)
        self.connect(name, 0)

    @rule(by=names, room=rooms, sent=st.integers(0, 3))
    def healthy_round(self, by, room, sent):
        """When the faults stop, all that was sent is stored and everybody has read everything."""
        for _ in range(sent):
            self.clients[by].send(room)
        self.server.cannot_store.clear()
        self.server.cannot_subscribe.clear()
        self.answer_late(is_late=False)
        self.settle()
        for client in self.clients.values():
            assert client.is_open
            everything = {(r, n) for r in ROOMS for n in range(1, client.sent[r] + 1)}
            assert set(client.fates) == everything, "a fate is unknown"
            for reader in client.wanted:
                assert reader.phase == "subscribed"
                self.check_end(client, reader)

    def check_end(self, client, reader):
        room = reader.subscription.key
        log = self.server.logs[room]
        position = client.protocol.position(reader.subscription)
        assert (position.epoch, position.offset) == (log.epoch, log.top), "not all was read"
        if self.has_one_log(room):
            stored = [m.number for m in log.messages if m.sender == client.name]
            assert stored == list(range(1, client.sent[room] + 1)), "not all is stored in order"

    def settle(self, only=None, limit=3000):
        """Let everything happen that can happen without a fault."""
        for _ in range(limit):
            steps = [self.step(name) for name in NAMES if only in {None, name}]
            if not any(steps) and not self.let_time_pass(only):
                return
            self.check_readers()
        assert limit < 3000, "it never comes to rest"

    def step(self, name):
        client = self.clients[name]
        if client.connection is None:
            return False
        if client.connection.up:
            self.server.take(name)
        elif client.connection.down:
            client.take()
        else:
            return False
        return True

    def let_time_pass(self, only):
        """Return whether there is anything to wait for."""
        if self.server.uncommitted or any(c.waiting for c in self.server.connections.values()):
            self.server.commit()
            return True
        busy = self.server.cannot_store or self.server.cannot_subscribe
        whose = [client for name, client in self.clients.items() if only in {None, name}]
        times = [client.deadline for client in whose]
        if min(times) == float("inf") or (busy and all(c.connection for c in whose)):
            return False
        self.server.now = max(self.server.now, min(times))
        for client in whose:
            client.tick()
        return True

    def has_one_log(self, room):
        return self.server.logs[room].number == 1 and not self.was_restored

    # The laws

    @invariant()
    def check_readers(self):
        for client in self.clients.values():
            for reader in (*client.readers.values(), *client.former):
                self.check_reader(reader)

    def check_reader(self, reader):
        begun = self.checked.get(reader, 0)
        for item in reader.seen[begun:]:
            self.check_item(reader, item)
        self.checked[reader] = len(reader.seen)

    def check_item(self, reader, item):
        last, room = self.last.get(reader, reader.since), reader.subscription.key
        match item:
            case Began(log=log, position=position):
                self.last[reader], self.log_of[reader] = position, log
            case Missed(until=until):
                self.check_gap(reader, last, item)
                self.last[reader], self.log_of[reader] = Position(until or 0), None
            case Received(data=data, publication=place):
                log = data["log"]
                stored = self.server.stored.get((room, log, place.offset, place.id))
                assert stored is not None, "it was told, and is not stored in this room"
                if last is not None:
                    assert place.offset == last.offset + 1, f"{place.offset} after {last.offset}"
                    assert last.id in {None, stored.before}, "it does not follow what was read"
                assert self.log_of.get(reader) in {None, log}, "another log, and no gap"
                self.last[reader] = Position(place.offset, "", place.id)
                self.log_of[reader] = log
            case Subscribed():
                pass

    def check_gap(self, reader, last, gap):
        """A gap is told only where one is."""
        log = self.server.logs[reader.subscription.key]
        if last is None or last.id is None or self.log_of.get(reader) != log.number:
            return
        known = log.at(last.offset)
        assert known is None or known.id != last.id, f"a gap where nothing is missing: {gap}"

    @invariant()
    def check_logs(self):
        for room, log in self.server.logs.items():
            assert [m.offset for m in log.messages] == list(range(1, log.top + 1))
            stored = [(m.sender, m.number) for m in log.messages]
            assert len(set(stored)) == len(stored), "stored twice"
            if not self.has_one_log(room):
                continue
            for client in self.clients.values():
                mine = [m.number for m in log.messages if m.sender == client.name]
                assert mine == sorted(mine), "out of order"
                done = {number for where, number in client.fates if where == room}
                assert done <= set(mine), "acknowledged, and not stored"


def run(mutants, examples):
    with made_by(frozenset(mutants)):
        run_state_machine_as_test(
            type("Story", (Faults,), {"mutants": frozenset(mutants)}),
            settings=settings(
                max_examples=examples,
                stateful_step_count=20,
                deadline=None,
                database=None,
                # A mistake is looked for in the same stories every time.
                derandomize=bool(mutants),
                phases=[Phase.generate] if mutants else [Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.mark.contract("SE0", "SE1", "SE2", "SE3", "OB3")
def test_nothing_is_lost_and_nothing_comes_twice_in_any_story():
    run([], 300)


MISTAKES = {
    "the server acknowledges before it commits": {Mutant.ACKNOWLEDGES_BEFORE_COMMIT},
    "the server tells others before it commits": {Mutant.TELLS_BEFORE_COMMIT},
    "the server stores again what is sent again": {Mutant.STORES_TWICE},
    "the server recovers from one message too late": {Mutant.RECOVERS_ONE_TOO_LATE},
    "the server recovers from one message too early, and the client trusts it": {
        Mutant.RECOVERS_ONE_TOO_EARLY,
        Mutant.CLIENT_TRUSTS_THE_SERVER,
    },
    "there is no epoch": {Mutant.NO_EPOCH},
    "the server does not look at the last message seen": {Mutant.IGNORES_THE_LAST_MESSAGE_SEEN},
    "the server hides that history was trimmed, and the client trusts it": {
        Mutant.HIDES_TRIMMING,
        Mutant.CLIENT_TRUSTS_THE_SERVER,
    },
    "the server reads history, and subscribes later": {Mutant.SUBSCRIBES_AFTER_READING},
    "the server tells twice, and the client takes whatever comes": {
        Mutant.DELIVERS_TWICE,
        Mutant.CLIENT_TAKES_WHATEVER_COMES,
    },
} | {
    name.lower().replace("_", " "): {mutant}
    for name, mutant in Mutant.__members__.items()
    if name.startswith("CLIENT") and mutant is not Mutant.CLIENT_TRUSTS_THE_SERVER
}


@pytest.mark.contract("SE0", "SE1", "SE2", "SE3")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_would_be_noticed(mistake):
    with pytest.raises((AssertionError, ExceptionGroup)):
        run(MISTAKES[mistake], 5000)
