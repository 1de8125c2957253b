"""The machine against a model, driven mostly at the live transport and sometimes at a stale one."""

import math
import random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sockstore import (
    Close,
    FailureReason,
    Gap,
    HandshakeFailed,
    InvalidURI,
    Outbox,
    Reconnect,
    SocketInfo,
    StopReconnecting,
)
from sockstore.machine import delivery, effects, events, machine, memory, outbox
from sockstore.protocols import Heartbeat

URLS = ["ws://one.test/", "ws://two.test/"]


def nonsense(attempt, outcome):
    return -1


OWN_WORDS = {4401: "retry", 1012: "fatal", 1013: "goodbye", 404: "retry", 503: "unauthorised"}


def only_what_may_be_asked_again(outcome):
    return {1001: "goodbye", 1006: "throttle", 1011: "nonsense"}.get(
        outcome.close and outcome.close.code
    )


def policies():
    common = {
        "min_uptime": st.sampled_from([0, 5]),
        "after_goodbye": st.sampled_from([None, True, False]),
        "classify": st.sampled_from([None, None, OWN_WORDS, only_what_may_be_asked_again]),
    }
    attempts = st.sampled_from([0, 1, 3, None])
    rng = st.builds(random.Random, st.integers(0, 9))
    linear = st.builds(Reconnect.linear, st.just(3.0), attempts, rng=rng, **common)
    exponential = st.builds(Reconnect.exponential, attempts=attempts, rng=rng, **common)
    broken = st.just(Reconnect(schedule=nonsense))
    return st.one_of(linear, exponential, linear, exponential, broken, st.none())


def outboxes():
    bounded = st.builds(
        Outbox,
        limit=st.sampled_from([2, 1000]),
        max_bytes=st.sampled_from([5, 1000]),
        ttl=st.sampled_from([None, 4.0]),
        overflow=st.sampled_from(["refuse", "drop_oldest"]),
    )
    return st.one_of(bounded, st.just(Outbox()), st.none())


machine_settings = st.builds(
    memory.Settings,
    reconnect=policies(),
    outbox=outboxes(),
    idle_timeout=st.sampled_from([None, 70.0]),
    ping_interval=st.sampled_from([20.0, 20.0, None]),
    heartbeat=st.sampled_from([None, None, Heartbeat("ping", "pong", interval=15, timeout=5)]),
    has_on_open=st.sampled_from([True, False]),
    has_predicate=st.sampled_from([True, False]),
    can_refresh=st.booleans(),
)

# How a message is sent; most have no option.
send_options = st.fixed_dictionaries(
    {},
    optional={
        "ttl": st.sampled_from([2.0, 30.0]),
        "key": st.sampled_from(["a", "b"]),
        "urgent": st.booleans(),
        "how": st.sampled_from(["now", "wait"]),
    },
)

# Four times of five an event is true: it comes from a transport in a state to send it.
aimed = st.sampled_from([True, True, False, True, True])

attempt_errors = st.one_of(
    st.sampled_from(
        [
            HandshakeFailed(URLS[0], "refused"),
            HandshakeFailed(URLS[0], "busy", kind="http", status=503, retry_after=2),
            HandshakeFailed(URLS[0], "slow down", kind="http", status=429),
            HandshakeFailed(URLS[0], "who are you", kind="http", status=401),
        ]
    ),
    st.sampled_from(
        [
            HandshakeFailed(URLS[0], "gone", kind="http", status=404),
            HandshakeFailed(URLS[0], "expired", kind="certificate"),
            InvalidURI("x", "bad"),
            StopReconnecting("enough"),
        ]
    ),
)

closes = st.builds(
    Close,
    st.sampled_from([1000, 1001, 1002, 1005, 1006, 1006, 1006, 1008, 1012, 1013, 4401]),
    clean=st.booleans(),
)


class ModelledMachine(RuleBasedStateMachine):
    """Knows what became of each transport and of each message, and compares."""

    @initialize(
        settings=machine_settings,
        url=st.sampled_from([*URLS, None]),
        queued=st.integers(0, 3),
        connects=aimed,
    )
    def start(self, settings, url, queued, connects):
        self.settings = settings
        self.machine = machine.Machine(settings, url)
        self.now = 1000.0
        self.heard = 0
        self.opening = set()  # transports that were ordered and have not opened
        self.standing = set()  # transports that are open
        self.ended = set()  # transports whose WebSocket ended, and which linger
        self.told_to_end = set()  # transports that were ordered to close or to abort
        self.aborted = {}  # transports that were ordered to abort, and how often
        self.newest = 0
        self.paused = set()  # transports whose send buffer is full
        self.stale = False  # whether the next event comes from a transport that is gone
        self.questions = 0
        self.pings = []
        self.retired_at = {}
        self.sent = 0
        self.fate = {}  # message number -> what became of it
        self.waiting = []  # message numbers in the outbox, in order
        self.line = []  # and of those that wait for room there
        self.entries = {}  # message number -> what was offered
        self.stream = []  # the transport of each message and of each opening; "gap" between
        self.given = None  # the heartbeat that the last on_open gave
        for _ in range(queued):
            self.send_one(1, from_on_open=False)
        if connects:
            self.connect(url or URLS[0])

    # Telling

    def tell(self, event, *, user=False):
        match event:
            case events.WritingPaused(transport=number) if number == self.machine.live_transport:
                self.paused.add(number)
            case events.WritingResumed(transport=number):
                self.paused.discard(number)
        machine, before, inside = self.machine, self.machine.state, self.machine.phase
        orders = machine.handle(event, self.now)
        if self.stale:
            self.stale = False
            late_open = isinstance(event, events.TransportOpened)
            assert orders == ([effects.AbortTransport(event.transport)] if late_open else [])
            assert machine.state is before
            assert machine.phase is inside
        for each in orders:
            self.carry_out(each)
        self.admit()
        if machine.state.phase == "open" and inside is not machine.phase:
            self.something_comes(machine.live_transport)
        if before.phase == "closing" and not user:
            assert machine.state.phase in {"closing", "closed"}
        if before.phase in {"closed", "failed", "idle"} and not user:
            assert machine.state is before
            harmless = (effects.AbortTransport, effects.SettleReceipts)
            assert all(isinstance(each, harmless) for each in orders)
        if machine.state == before:
            assert machine.state is before
        return orders

    def carry_out(self, each):
        match each:
            case effects.OpenTransport(transport=number):
                assert number > self.newest
                self.newest = number
                self.opening.add(number)
            case effects.CloseTransport(transport=number):
                assert number in self.standing
                assert number not in self.told_to_end
                self.retire(number)
            case effects.AbortTransport(transport=number):
                self.aborted[number] = self.aborted.get(number, 0) + 1
                self.retire(number)
            case effects.DeliverGap(gap=gap):
                assert gap == Gap(None, None, "reconnected")
                self.stream.append("gap")
            case effects.DeliverLeft(transport=number):
                assert number == self.machine.live_transport
                assert self.settings.has_on_open
            case effects.ExpectReplies(transport=number, heartbeat=heartbeat):
                assert number == self.machine.live_transport
                self.given = heartbeat
            case effects.RunOnOpen(transport=number):
                assert self.settings.has_on_open
                assert number in self.standing
            case effects.SendPing(transport=number, payload=payload):
                assert number == self.machine.live_transport
                self.pings.append(payload)
            case effects.SendHeartbeat(transport=number, heartbeat=heartbeat):
                assert heartbeat in (self.settings.heartbeat, self.given)
                assert number == self.machine.live_transport
            case effects.FlushOutbox():
                self.flush()
            case effects.SettleReceipts(entries=entries, state=state):
                assert entries
                self.leave_outbox(entries, state)
            case effects.AskPredicate(question=question):
                assert self.settings.has_predicate
                assert question > self.questions
                self.questions = question
            case effects.Warn(text=text):
                assert "blocked" in text

    def something_comes(self, number):
        """A message comes, or the connection is open: one gap is before it if it is a new one."""
        gaps = 0
        while self.stream and self.stream[-1] == "gap":
            self.stream.pop()
            gaps += 1
        assert gaps == bool(self.stream and self.stream[-1] != number), "a gap too many or too few"
        self.stream.append(number)

    def retire(self, number):
        self.told_to_end.add(number)
        self.retired_at.setdefault(number, self.now)

    def leave_outbox(self, entries, fate):
        for entry in entries:
            number = entry.receipt
            (self.waiting if number in self.waiting else self.line).remove(number)
            assert number not in self.fate
            assert not entry.waits
            self.fate[number] = fate

    def flush(self):
        while (offer := self.machine.next_to_send(self.now)) is not None:
            assert self.machine.live_transport not in self.paused
            assert offer.entry.receipt == self.waiting[0]
            assert offer.entry.expires_at > self.now
            self.leave_outbox([offer.entry], "handed over")
            assert self.machine.flight is not None

    def admit(self):
        """Let those in that wait in line, as the driver does after each event."""
        while self.line and (offer := self.machine.admit(self.now)) is not None:
            number = self.line[0]
            if isinstance(offer, outbox.HandOver):
                assert offer.entry.receipt == number
                assert not self.waiting, "it overtook what waits"
                assert offer.entry.expires_at > self.now
                self.leave_outbox([offer.entry], "handed over")
            elif isinstance(offer, outbox.Refused):
                self.leave_outbox([offer.entry], "refused")
            else:
                self.line.pop(0)
                self.queue(number, offer)

    def queue(self, number, offer):
        """A message was queued, or is in line: put it where it belongs."""
        entry = self.entries[number]
        for older in offer.replaced:
            assert older.key == entry.key
            assert older.receipt < number or offer.is_in_line is False
        for dropped in offer.dropped:
            usual = [n for n in self.waiting if not self.entries[n].urgent]
            usual = [n for n in usual if self.entries[n] not in offer.replaced]
            assert not usual or dropped.receipt == usual[0], "an urgent one was dropped first"
            self.leave_outbox([dropped], "dropped")
        queue = self.line if offer.is_in_line else self.waiting
        place = len(queue)
        for older in offer.replaced:
            if older.receipt in queue:
                place = queue.index(older.receipt)
            self.leave_outbox([older], "replaced")
        if entry.urgent:
            place = min(place, sum(self.entries[n].urgent for n in queue))
        queue.insert(place, number)

    def pick(self, data, numbers, *, true):
        """A transport of which this event is true, or any number of which it is not."""
        if true and numbers:
            return data.draw(st.sampled_from(sorted(numbers)))
        self.stale = True
        gone = set(range(self.newest + 1)) - self.opening - self.standing - self.ended
        stale = {*gone, 10**9}
        return data.draw(st.sampled_from(sorted(stale)))

    def prefer_live(self, numbers):
        """The live transport if it is among them, because that is where things happen."""
        live = {self.newest} & set(numbers)
        return live or set(numbers)

    # Rules: what the user does

    @rule(url=st.sampled_from([URLS[0], URLS[0], *URLS]))
    def connect(self, url):
        self.tell(events.ConnectRequested(url), user=True)
        assert self.machine.state.phase not in {"idle", "closing", "closed", "failed"}

    @precondition(lambda self: self.machine.destination is not None)
    @rule(url=st.sampled_from([None, None, *URLS]))
    def reconnect(self, url):
        self.tell(events.ReconnectRequested(url or self.machine.destination), user=True)
        assert self.machine.state.phase == "connecting"
        assert self.machine.state.attempt == 0

    @rule(code=st.sampled_from([1000, 4001]))
    def close(self, code):
        had_transport = self.machine.state.phase in {"connecting", "open", "closing"}
        self.tell(events.CloseRequested(code, "bye"), user=True)
        state = self.machine.state
        assert state.phase == ("closing" if had_transport else "closed")
        assert (state.connected, state.error, state.socket) == (False, None, None)
        assert not self.machine.outbox
        assert not self.waiting
        assert not self.line

    @rule(
        size=st.integers(0, 6),
        from_on_open=st.booleans(),
        count=st.integers(1, 4),
        options=send_options,
    )
    def send(self, size, from_on_open, count, options):
        for _ in range(count):
            self.send_one(size, from_on_open=from_on_open, **options)

    @precondition(lambda self: self.waiting or self.line)
    @rule(data=st.data(), count=st.integers(1, 3))
    def take_back(self, data, count):
        waiting = [*self.waiting, *self.line]
        taken = {data.draw(st.sampled_from(waiting)) for _ in range(count)}
        receipts = tuple(self.entries[number].receipt for number in taken)
        self.tell(events.MessagesWithdrawn(receipts), user=True)
        assert {self.fate.get(number) for number in taken} == {"dropped"}

    def send_one(self, size, *, from_on_open, ttl=None, key=None, urgent=False, how=""):
        self.sent += 1
        entry = self.entries[self.sent] = delivery.Outgoing("x" * size, size, self.sent)
        entry.key, entry.urgent = key, urgent
        if ttl is not None:
            entry.expires_at = self.now + ttl
        offer = self.machine.offer(
            entry,
            self.now,
            from_on_open=from_on_open,
            only_now=how == "now",
            may_wait=how == "wait",
        )
        match offer:
            case outbox.HandOver(data=data):
                assert data == entry.data
                on_open = from_on_open and self.machine.state.phase == "connecting"
                assert on_open or not self.waiting + self.line, "it overtook what waits"
                assert self.machine.live_transport in self.standing
                assert on_open or self.machine.live_transport not in self.paused
                self.fate[self.sent] = "handed over"
            case outbox.Queued():
                assert how != "now"
                assert how == "wait" or not offer.is_in_line
                self.queue(self.sent, offer)
            case outbox.Refused():
                assert offer.why
                assert how != "wait" or not offer.may_wait
                self.fate[self.sent] = "refused"

    # Rules: what transports tell

    @precondition(lambda self: self.newest > 0)
    @rule(data=st.data(), true=aimed)
    def transport_opens(self, data, true):
        number = self.pick(data, self.prefer_live(self.opening), true=true)
        live = self.machine.live_transport
        if number in self.opening:
            self.opening.discard(number)
            self.standing.add(number)
            if number == self.newest and number not in self.told_to_end:
                live = number
        orders = self.tell(events.TransportOpened(number, SocketInfo(f"ws://{number}/")))
        assert self.machine.live_transport == live
        assert (effects.AbortTransport(number) in orders) == (number != live)

    @precondition(lambda self: self.machine.state.phase == "open")
    @rule()
    def message_comes(self):
        self.something_comes(self.machine.live_transport)

    @precondition(lambda self: self.settings.has_on_open and self.machine.live_transport)
    @rule(data=st.data(), true=aimed)
    def on_open_gives_a_heartbeat(self, data, true):
        number = self.pick(data, self.live_ones(), true=true)
        orders = self.tell(events.HeartbeatGiven(number, Heartbeat("own", "reply", interval=9)))
        assert bool(orders) == self.machine.prepares(number)

    @precondition(lambda self: self.newest > 0)
    @rule(data=st.data(), true=aimed, error=attempt_errors)
    def attempt_fails(self, data, true, error):
        number = self.pick(data, self.prefer_live(self.opening), true=true)
        self.opening.discard(number)
        self.tell(events.AttemptFailed(number, error))

    @precondition(lambda self: self.settings.has_on_open and self.machine.live_transport)
    @rule(data=st.data(), true=aimed, error=st.one_of(st.none(), st.none(), attempt_errors))
    def on_open_finishes(self, data, true, error):
        self.tell(events.OnOpenFinished(self.pick(data, self.live_ones(), true=true), error))

    @precondition(lambda self: self.newest > 0)
    @rule(data=st.data(), true=aimed, close=closes)
    def transport_closes(self, data, true, close):
        number = self.pick(data, self.prefer_live(self.standing), true=true)
        if number in self.standing:
            self.standing.discard(number)
            self.ended.add(number)
        was_live = number == self.machine.live_transport
        was_open = self.machine.state.phase == "open"
        self.tell(events.TransportClosed(number, close, "it broke", last_words="no"))
        if was_live and not was_open:
            state = self.machine.state
            assert state.phase in {"waiting", "failed", "connecting"}
            decision = self.machine.decision
            assert decision is not None
            words = "before the connection was open; it said last: no"
            assert words in str(decision.outcome.exception)
            # What ends all retries has a sentence of its own.
            if state.failure is None or state.failure.reason not in {
                FailureReason.ATTEMPTS_EXHAUSTED,
                FailureReason.POLICY_ERROR,
            }:
                assert words in state.error
        elif was_live and close.code in {1000, 1005}:
            self.a_goodbye_is_the_end_or_a_loss()

    def a_goodbye_is_the_end_or_a_loss(self):
        policy, state = self.settings.reconnect, self.machine.state
        off = policy is None or policy.attempts == 0
        returns = (
            not off if policy is None or policy.after_goodbye is None else policy.after_goodbye
        )
        if returns:
            assert state.phase in {"waiting", "failed"}
            assert state.error
        else:
            assert (state.phase, state.error) == ("closed", None)

    @precondition(lambda self: self.newest > 0)
    @rule(data=st.data(), true=aimed)
    def transport_is_released(self, data, true):
        number = self.pick(data, self.ended, true=true)
        self.ended.discard(number)
        self.tell(events.TransportReleased(number))

    @precondition(lambda self: self.pings)
    @rule(data=st.data(), true=aimed, known=aimed)
    def pong_comes(self, data, true, known):
        payload = self.pings[-1] if known and self.pings else b"nonsense"
        flight = self.machine.flight
        self.tell(events.PongReceived(self.pick(data, self.live_ones(), true=true), payload))
        assert flight is None or not flight.proven, "what no ping followed was proven"

    @precondition(lambda self: self.newest > 0)
    @rule(data=st.data(), true=aimed, paused=st.booleans())
    def writing_changes(self, data, true, paused):
        number = self.pick(data, self.live_ones(), true=true)
        kind = events.WritingPaused if paused else events.WritingResumed
        self.tell(kind(number))

    @precondition(lambda self: self.questions)
    @rule(
        true=aimed,
        allowed=aimed,
        exception=st.sampled_from([None, None, None, LookupError("oops")]),
    )
    def predicate_answers(self, true, allowed, exception):
        question = self.questions if true else self.questions + 1
        before, was_asked = self.machine.state, self.machine.asks(question)
        self.tell(events.PredicateAnswered(question, allowed, exception))
        assert was_asked or self.machine.state is before
        assert not self.machine.asks(question)

    # Rules: what the platform says

    @rule(hint=st.sampled_from(["online", "offline", "resume", "slept"]))
    def platform_tells(self, hint):
        before, pings = self.machine.state, len(self.pings)
        event = events.Slept(60, self.heard) if hint == "slept" else events.Hinted(hint, self.heard)
        self.tell(event)
        after = self.machine.state
        if before.phase == "open":
            assert after is before
            assert len(self.pings) == pings + (hint != "offline")
        elif before.phase == "waiting" and before.retry_at is not None:
            assert after.phase == ("waiting" if hint == "offline" else "connecting")
            assert hint != "offline" or after.retry_at >= self.now + 30
        else:
            assert after is before

    def live_ones(self):
        live = self.machine.live_transport
        return set() if live is None else {live}

    # Rules: time

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 4.9, 5.1, 12.0]), hears=st.booleans())
    def time_passes(self, seconds, hears):
        """As on a loop that is never blocked: no deadline is passed over."""
        until = self.now + seconds
        for _ in range(50):
            deadline = self.machine.deadline
            if deadline > until:
                break
            self.reach(deadline, hears=hears)
        else:
            pytest.fail("the machine does not come to rest")
        self.now = until

    @precondition(lambda self: self.machine.deadline != math.inf)
    @rule(late=st.sampled_from([0.0, 0.0, 0.0, 0.3, 60.0]), hears=st.booleans())
    def deadline_is_reached(self, late, hears):
        self.reach(self.machine.deadline + late, hears=hears)

    def reach(self, deadline, *, hears):
        self.now = max(self.now, deadline)
        self.heard += hears
        live, before = self.machine.live_transport, self.machine.state
        pings, aborted = len(self.pings), dict(self.aborted)
        replied = self.now if hears else None
        told = events.DeadlineReached(self.heard if live else 0, last_data_at=replied)
        orders = self.tell(told)
        after = self.machine.deadline
        progress = bool(orders) or self.machine.state is not before
        assert after > self.now or progress or hears
        for number, since in self.retired_at.items():
            still_there = number in self.standing | self.opening | self.ended
            if still_there and since + self.settings.close_timeout <= self.now:
                assert self.aborted.get(number), "a retired transport lingers for ever"
        assert len(self.pings) <= pings + 1
        assert sum(self.aborted.values()) <= sum(aborted.values()) + len(self.retired_at)

    # A round without mishaps, so that what comes after it is reached

    @rule(count=st.integers(0, 3), ending=st.sampled_from(["close", "loss", "stay", "stay"]))
    def healthy_round(self, count, ending):
        self.tell(events.ConnectRequested(self.machine.destination or URLS[0]), user=True)
        if self.newest not in self.opening or self.newest in self.told_to_end:
            self.tell(events.ReconnectRequested(self.machine.destination or URLS[0]), user=True)
        number = self.newest
        self.opening.discard(number)
        self.standing.add(number)
        self.tell(events.TransportOpened(number, SocketInfo(f"ws://{number}/")))
        if self.settings.has_on_open:
            self.send_one(1, from_on_open=True)
            assert self.fate[self.sent] == "handed over"
            self.tell(events.OnOpenFinished(number))
        assert self.machine.state.connected
        assert not self.waiting
        for _ in range(count):
            self.send_one(1, from_on_open=False)
            assert self.fate[self.sent] == "handed over"
        flight = self.machine.flight
        if self.settings.ping_interval is not None:
            self.now = self.machine.phase.liveness.next_ping_at
            self.heard += 1
            self.tell(events.DeadlineReached(self.heard))
            self.tell(events.PongReceived(number, self.pings[-1]))
            assert flight.proven
        if ending == "stay":
            return
        if ending == "close":
            self.tell(events.CloseRequested(), user=True)
            assert self.machine.state.phase == "closing"
        self.standing.discard(number)
        self.tell(events.TransportClosed(number, Close(1006), "broke"))
        self.tell(events.TransportReleased(number))
        if ending == "close":
            assert self.machine.state.phase == "closed"
        else:
            assert self.machine.state.error or self.machine.state.phase == "failed"

    # An on_open that is under way, while other things happen

    @precondition(lambda self: self.settings.has_on_open)
    @rule(data=st.data(), pauses=st.booleans(), finishes=aimed, then_sends=st.integers(0, 2))
    def on_open_round(self, data, pauses, finishes, then_sends):
        self.tell(events.ReconnectRequested(self.machine.destination or URLS[0]), user=True)
        number = self.newest
        self.opening.discard(number)
        self.standing.add(number)
        orders = self.tell(events.TransportOpened(number, SocketInfo(f"ws://{number}/")))
        (run,) = orders
        assert run == effects.RunOnOpen(number, is_reconnection=run.is_reconnection)
        if pauses:
            self.tell(events.WritingPaused(number))
        self.tell(events.OnOpenFinished(self.pick(data, {number}, true=finishes)))
        assert self.machine.state.connected == finishes
        for _ in range(then_sends):
            self.send_one(1, from_on_open=False)

    # A link that is congested: what is sent waits in the outbox until it is resumed or ends

    @precondition(lambda self: self.machine.state.connected)
    @rule(
        sizes=st.lists(st.integers(0, 6), min_size=1, max_size=4),
        ending=st.sampled_from(["resume", "loss", "reconnect", "elsewhere", "other url", "close"]),
    )
    def congested_round(self, sizes, ending):
        number = self.machine.live_transport
        self.tell(events.WritingPaused(number))
        for size in sizes:
            self.send_one(size, from_on_open=False)
            assert self.fate.get(self.sent) != "handed over"
        waited = list(self.waiting)
        match ending:
            case "resume":
                self.tell(events.WritingResumed(number))
                assert all(self.fate[each] == "handed over" for each in waited)
            case "loss":
                self.standing.discard(number)
                self.ended.add(number)
                self.tell(events.TransportClosed(number, Close(1006), "broke"))
                assert self.waiting == (waited if self.machine.state.phase != "failed" else [])
            case "reconnect":
                self.reconnect(self.machine.destination)
                assert self.waiting == waited
            case "elsewhere":
                self.reconnect(URLS[self.machine.destination == URLS[0]])
                assert all(self.fate[each] == "dropped" for each in waited)
            case "other url":
                self.connect(URLS[self.machine.destination == URLS[0]])
                assert all(self.fate[each] == "dropped" for each in waited)
            case "close":
                self.close(1000)

    # Invariants

    @invariant()
    def connected_open_and_socket_are_one_thing(self):
        state = self.machine.state
        assert state.connected == (state.phase == "open") == (state.socket is not None)

    @invariant()
    def there_is_no_error_where_none_belongs(self):
        state = self.machine.state
        if state.phase in {"idle", "open", "closing", "closed"}:
            assert state.error is None
        if state.phase == "failed":
            assert state.error is not None

    @invariant()
    def each_fact_is_shown_in_its_phase_only(self):
        state = self.machine.state
        assert state.retry_at is None or state.phase == "waiting"
        assert (state.failure is not None) == (state.phase == "failed")
        assert state.attempt == 0 or state.phase in {"connecting", "waiting"}
        assert state.since <= self.now

    @invariant()
    def every_message_is_in_exactly_one_place_and_in_order(self):
        queue = [entry.receipt for entry in self.machine.outbox.entries]
        assert queue == self.waiting
        assert [entry.receipt for entry in self.machine.line] == self.line
        usual = [entry for entry in self.machine.outbox.entries if not entry.urgent]
        assert [*self.machine.outbox.entries][len(queue) - len(usual) :] == usual
        in_order = [entry.receipt for entry in usual if entry.key is None]
        assert in_order == sorted(in_order)
        queue += self.line
        assert len(set(queue)) == len(queue)
        assert set(queue) | set(self.fate) == set(range(1, self.sent + 1))
        assert not set(queue) & set(self.fate)
        assert self.machine.outbox.bytes == sum(e.size for e in self.machine.outbox.entries)

    @invariant()
    def nothing_waits_where_nothing_can_leave(self):
        if self.machine.state.phase in {"closing", "closed", "failed"}:
            assert not self.machine.outbox
            assert not self.line

    @invariant()
    def one_transport_at_most_decides_and_it_was_not_told_to_end(self):
        live = self.machine.live_transport
        if live is not None:
            assert live == self.newest
            assert live in self.standing
            assert live not in self.told_to_end
        elif self.machine.state.phase == "open":
            pytest.fail("open without a live transport")

    @invariant()
    def every_transport_that_is_not_live_was_told_to_end_or_has_ended(self):
        current = {self.machine.live_transport}
        if self.machine.state.phase == "connecting":
            current.add(self.newest)
        for number in (self.opening | self.standing) - current:
            assert number in self.told_to_end

    @invariant()
    def at_rest_means_that_nothing_is_left(self):
        if self.machine.at_rest:
            assert self.machine.deadline == self.machine.outbox.next_expiry
            assert not self.opening
            assert not self.standing
            assert not self.ended
        if not self.opening | self.standing | self.ended:
            assert self.machine._memory.retired.deadline == math.inf


@pytest.mark.contract(
    "CN2", "CN5", "CN6", "CN7", "CN9", "RC10", "OB2", "OB3", "OB6", "OB8", "OB9", "LV1"
)
def test_the_machine_keeps_its_laws_in_every_story():
    run_state_machine_as_test(
        ModelledMachine,
        settings=settings(
            max_examples=350,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
