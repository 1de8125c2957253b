"""The machine with a protocol: each connection is asked for exactly what is wanted (SU2)."""

import json
from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from sockstore import Close, Reconnect, SocketInfo
from sockstore.machine import Machine, Settings, effects, events
from sockstore.protocols import Received, Subscribed, TopicAnswer, Topics, WireSubscription

KEYS = ["a", "b", "c", "bad", "busy"]
URL = "ws://server/"


class Server:
    """One connection's server; it refuses "bad" for good, and "busy" for a while."""

    def __init__(self):
        self.has = set()
        self.asked = []  # each key as often as it was asked for
        self.down = deque()

    def hear(self, frame):
        said = json.loads(frame)
        for key in said["keys"]:
            if said["op"] == "unsubscribe":
                assert key in self.has, "taken back without having been accepted"
                self.has.discard(key)
                continue
            assert key not in self.has, "asked for twice"
            self.asked.append(key)
            refusal = {"bad": "never", "busy": "later"}.get(key)
            if refusal is None:
                self.has.add(key)
            self.down.append({"event": "answer", "arg": key, "msg": refusal})


def answer_in(data):
    if "event" not in data:
        return None
    return TopicAnswer(data["arg"], error=data["msg"], is_temporary=data["msg"] == "later")


PROTOCOL = Topics(
    key=lambda data: data["arg"],
    subscribe=lambda keys: {"op": "subscribe", "keys": keys},
    unsubscribe=lambda routes: {"op": "unsubscribe", "keys": routes},
    answers=answer_in,
    requests=None,
)


class Conversing(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        policy = Reconnect.linear(1.0, attempts=None, jitter=0.0)
        self.machine = Machine(Settings(protocol=PROTOCOL, reconnect=policy), URL)
        self.now = 0.0
        self.number = None  # the transport that is being opened, or is open
        self.is_open = False
        self.server = Server()
        self.up = deque()
        self.wanted = {}
        self.leaving = set()  # released in this turn; the server is told at its end
        self.shown = {}
        self.gaps = {}
        self.accepted = set()  # subscriptions that were subscribed once
        self.got = {}
        self.turns = 0
        self.published = 0
        self.handle(events.ConnectRequested(URL))

    def handle(self, event):
        for effect in self.machine.handle(event, self.now):
            match effect:
                case effects.OpenTransport(transport=number):
                    self.number, self.is_open = number, False
                case effects.RetireTransport(transport=number) if number == self.number:
                    self.is_open = False
                case effects.SendFrame(transport=number, frame=frame):
                    assert self.is_open
                    assert number == self.number
                    self.up.append(frame)
                case effects.Deliver(received=received):
                    self.deliver(received)
                case effects.ShowSubscription(subscription=subscription, state=state):
                    self.shown[subscription] = state
                    if state.phase in {"refused", "ended"}:
                        assert subscription.key == "bad"
                        self.wanted.pop("bad", None)
                case effects.DeliverGapTo(subscription=subscription):
                    assert subscription in self.accepted
                    self.gaps[subscription] = self.gaps.get(subscription, 0) + 1
                case effects.AwaitTurn():
                    self.turns += 1

    def deliver(self, received):
        if received.subscription in self.leaving:
            return  # it was released in this turn, so that nobody has it
        assert self.wanted.get(received.subscription.key) is received.subscription
        self.got.setdefault(received.subscription, []).append(received.data["n"])

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, unique=True))
    def subscribe(self, keys):
        for key in keys:
            if key not in self.wanted:
                self.wanted[key] = WireSubscription(key)
                self.handle(events.SubscriptionWanted(self.wanted[key]))

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, unique=True))
    def release(self, keys):
        for key in keys:
            if key in self.wanted:
                self.leaving.add(self.wanted[key])
                self.handle(events.SubscriptionReleased(self.wanted.pop(key)))

    @rule()
    def turn_ends(self):
        if self.turns:
            self.turns = 0
            self.handle(events.TurnEnded())
            self.leaving.clear()

    @rule()
    def handshake_ends(self):
        if not self.is_open and self.machine.state.phase == "connecting":
            self.server, self.is_open = Server(), True
            self.up.clear()
            before = {each for each in self.wanted.values() if each in self.accepted}
            self.handle(events.TransportOpened(self.number, SocketInfo(URL)))
            assert before <= set(self.wanted.values())

    @rule()
    def connection_is_lost(self):
        if self.is_open:
            self.is_open = False
            self.up.clear()
            self.handle(events.TransportClosed(self.number, Close(1006), "lost"))
            self.handle(events.TransportReleased(self.number))

    @rule()
    def program_says_that_it_is_lost(self):
        if self.is_open:
            number = self.number
            self.handle(events.LossDeclared("the program says so"))
            assert self.machine.state.phase == "waiting"
            self.up.clear()
            self.handle(events.TransportReleased(number))

    @rule(seconds=st.sampled_from([0.5, 1.0, 40.0]))
    def time_passes(self, seconds):
        self.now += seconds
        if self.machine.deadline <= self.now:
            if self.is_open and self.machine.state.phase == "open":
                # The peer is alive: its last byte came just now.
                self.handle(events.DeadlineReached(heard=int(self.now * 10)))
            else:
                self.handle(events.DeadlineReached())

    @rule()
    def server_reads(self):
        if self.is_open and self.up:
            self.server.hear(self.up.popleft())

    @rule()
    def client_reads(self):
        if self.is_open and self.server.down:
            said = json.dumps(self.server.down.popleft())
            outputs = tuple(self.machine.ear(self.number).hear(said, self.now))
            for output in outputs:
                if isinstance(output, Subscribed):
                    self.accepted.add(output.subscription)
            if all(isinstance(output, Received) for output in outputs):
                for output in outputs:
                    self.deliver(output)
            else:
                self.handle(events.ConversationSaid(self.number, outputs))

    @rule(key=st.sampled_from(KEYS))
    def publish(self, key):
        if self.is_open and key in self.server.has:
            self.published += 1
            self.server.down.append({"arg": key, "n": self.published})

    @rule()
    def all_is_said(self):
        self.time_passes(40.0)
        self.handshake_ends()
        self.turn_ends()
        for _ in range(100):
            self.server_reads()
            self.client_reads()
            if not (self.is_open and (self.up or self.server.down)):
                break
        if self.machine.state.phase == "open":
            assert self.server.has == self.wanted.keys() - {"busy", "bad"}
            for key in self.server.has:
                assert self.shown[self.wanted[key]].phase == "subscribed"
            if "busy" in self.wanted:
                assert self.shown[self.wanted["busy"]].error in {"later", None}

    @invariant()
    def what_is_shown_is_so(self):
        if getattr(self, "machine", None) is not None and not self.is_open:
            for key, subscription in self.wanted.items():
                state = self.shown.get(subscription)
                assert state is None or state.phase == "waiting", key


@pytest.mark.contract("SU2")
def test_each_connection_is_asked_for_exactly_what_is_wanted():
    run_state_machine_as_test(Conversing, settings=settings(deadline=None, stateful_step_count=60))
