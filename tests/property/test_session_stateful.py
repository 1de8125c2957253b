"""Nothing lost, nothing twice: client and server against the laws, under every fault."""

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
from tests.property.session_model import Began, Client, Log, Mutant, Server

from sockstore import Gap, Position
from sockstore.server.history.base import Page
from sockstore.server.rooms.recovery import LastSeen, decide_recovery

NAMES = ["Ann", "Bob"]
names = st.sampled_from(NAMES)
disasters = st.sampled_from(["nothing", "crash", "trim", "restore", "wipe"])


def decide(log, offset, epoch, last):
    """Ask the real server's decision."""
    known = log.at(offset)
    id_before = None if known is None else known.id
    page = Page(log.epoch, log.top, log.first, log.after(offset), id_before)
    return decide_recovery(LastSeen(epoch, offset, last), page)


class Faults(RuleBasedStateMachine):
    """Two clients that send and read, one server, and everything that can go wrong."""

    mutants = frozenset()

    @initialize(beginning=st.booleans())
    def start(self, beginning):
        self.server = Server(decide, self.mutants)
        since = Position(0) if beginning else None
        self.clients = {name: Client(name, self.server, since, self.mutants) for name in NAMES}
        self.checked = dict.fromkeys(NAMES, 0)
        self.last = dict.fromkeys(NAMES, since)
        self.log_of = dict.fromkeys(NAMES)
        self.backup = None
        self.is_restored = False

    # What users and networks do

    @rule(name=names, count=st.integers(1, 3))
    def send(self, name, count):
        for _ in range(count):
            self.clients[name].send()

    @rule(name=names, frames=st.integers(0, 4))
    def connect(self, name, frames):
        self.clients[name].connect()
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

    @rule(
        name=names,
        sent=st.integers(1, 3),
        arrived=st.integers(0, 3),
        committed=st.booleans(),
        read=st.integers(0, 3),
    )
    def cut_while_sending(self, name, sent, arrived, committed, read):
        """The connection breaks when some of it has arrived, and some of the answers."""
        self.clients[name].connect()
        self.settle(only=name)
        for _ in range(sent):
            self.clients[name].send()
        self.upstream(name, arrived)
        if committed:
            self.server.commit()
        self.downstream(name, read)
        self.cut(name)

    # Openings that fail half-way

    @rule(
        name=names,
        how=st.sampled_from(["load fails", "on_open fails", "cut", "too slow"]),
        times=st.integers(1, 2),
    )
    def open_half_way(self, name, how, times):
        """The room lets the client in; then something ends the attempt before it is open."""
        client = self.clients[name]
        for _ in range(times):
            client.lose()
            self.settle(only=name, until=lambda: client.preparing is not None)
            match how:
                case "load fails":
                    client.finish_opening(loads=False)
                case "on_open fails":
                    client.finish_opening(opens=False)
                case "too slow":
                    client.wait_too_long()
                case _:
                    client.lose()

    # What happens to servers

    @rule(what=disasters, keep=st.integers(0, 3))
    def disaster(self, what, keep):
        log, server = self.server.log, self.server
        match what:
            case "trim":
                server.log = Log(
                    log.number, log.epoch, log.messages, max(log.first, log.top - keep + 1)
                )
            case "wipe":
                self.crash()
                self.backup = None
                server.log = server.new_log(log.number + 1)
            case "restore" if self.backup is not None:
                self.crash()
                self.is_restored = True
                server.log = self.backup
            case "crash":
                self.crash()

    def crash(self):
        self.server.crash()
        for client in self.clients.values():
            client.lose()

    @rule()
    def back_up(self):
        self.backup = self.server.log

    @rule(
        name=names,
        before=st.integers(0, 3),
        what=disasters,
        sent=st.integers(0, 4),
        keep=st.integers(0, 3),
    )
    def while_away(self, name, before, what, sent, keep):
        """Somebody is away while something happens to the server, and the other one goes on."""
        (other,) = set(NAMES) - {name}
        for _ in range(before):
            self.clients[other].send()
        self.settle()
        self.cut(name)
        self.disaster(what, keep)
        for _ in range(sent):
            self.clients[other].send()
        self.settle(only=other)
        self.clients[name].connect()

    @rule(by=names, sent=st.integers(0, 3))
    def healthy_round(self, by, sent):
        """When the faults stop, all that was sent is stored and everybody has read everything."""
        for _ in range(sent):
            self.clients[by].send()
        self.settle()
        log = self.server.log
        for client in self.clients.values():
            assert client.machine.state.phase == "open"
            assert sorted(client.fates) == list(range(1, client.sent + 1)), "a fate is unknown"
            assert set(client.fates.values()) <= {"acknowledged"}
            position = client.machine.session.position
            assert (position.epoch, position.offset) == (log.epoch, log.top), "not all was read"
            if self.has_one_log:
                stored = [m.number for m in log.messages if m.sender == client.name]
                assert stored == list(range(1, client.sent + 1)), "not all is stored in order"

    def settle(self, only=None, until=lambda: False):
        """Let everything happen that can happen without a fault."""
        for _ in range(300):
            if until():
                return
            steps = [self.step(name) for name in NAMES if only in {None, name}]
            if not any(steps):
                if not self.server.uncommitted:
                    return
                self.server.commit()
            self.check_readers()
        raise AssertionError("it never comes to rest")

    def step(self, name):
        client = self.clients[name]
        if client.connection is None:
            client.connect()
        elif client.connection.up:
            self.server.take(name)
        elif client.connection.down:
            client.take()
        elif client.preparing is not None:
            client.finish_opening()
        elif client.connection.reading:
            self.server.commit()
        else:
            return False
        return True

    @property
    def has_one_log(self):
        return self.server.log.number == 1 and not self.is_restored

    # The laws

    @invariant()
    def check_readers(self):
        for name, client in self.clients.items():
            for item in client.seen[self.checked[name] :]:
                self.check_item(name, item)
            self.checked[name] = len(client.seen)

    def check_item(self, name, item):
        last = self.last[name]
        match item:
            case Began():
                self.last[name], self.log_of[name] = item.position, item.log
            case Gap():
                self.check_gap(last, item, self.log_of[name])
                self.last[name], self.log_of[name] = Position(item.until or 0), None
            case _:
                log = item.data["log"]
                stored = self.server.stored.get((log, item.offset, item.id))
                assert stored is not None, "it was told, and is not stored"
                if last is not None:
                    assert item.offset == last.offset + 1, f"{item.offset} after {last.offset}"
                    assert last.id in {None, stored.before}, "it does not follow what was read"
                assert self.log_of[name] in {None, log}, "another log, and no gap"
                self.last[name], self.log_of[name] = Position(item.offset, "", item.id), log

    def check_gap(self, last, gap, log_of_reader):
        """A gap is told only where one is."""
        log = self.server.log
        if last is None or last.id is None or log_of_reader != log.number:
            return
        known = log.at(last.offset)
        assert known is None or known.id != last.id, f"a gap where nothing is missing: {gap}"

    @invariant()
    def check_log(self):
        log = self.server.log
        assert [m.offset for m in log.messages] == list(range(1, log.top + 1))
        stored = [(m.sender, m.number) for m in log.messages]
        assert len(set(stored)) == len(stored), "stored twice"
        if self.has_one_log:
            for client in self.clients.values():
                mine = [m.number for m in log.messages if m.sender == client.name]
                assert mine == sorted(mine), "out of order"
                done = {number for number, fate in client.fates.items() if fate == "acknowledged"}
                assert done <= set(mine), "acknowledged, and not stored"


def run(mutants, examples):
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


@pytest.mark.contract("SE1", "SE2", "SE3", "OB3")
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
    "the client forgets what was under way": {Mutant.CLIENT_FORGETS_WHAT_IS_UNDER_WAY},
    "the client sends again in another order": {Mutant.CLIENT_SENDS_NEW_BEFORE_OLD},
    "the client sends again under another id": {Mutant.CLIENT_MAKES_A_NEW_ID},
    "the client takes the offset of a recovered reply for its position": {
        Mutant.CLIENT_TAKES_THE_OFFSET_FOR_ITS_POSITION
    },
    "the client forgets what an opening that failed found out": {
        Mutant.CLIENT_FORGETS_WHAT_IS_OWED
    },
    "the client forgets a gap when it is lost before it is open": {Mutant.CLIENT_FORGETS_A_GAP},
}


@pytest.mark.contract("SE1", "SE2", "SE3")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_would_be_noticed(mistake):
    with pytest.raises((AssertionError, ExceptionGroup)):
        run(MISTAKES[mistake], 5000)
