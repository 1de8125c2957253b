"""`Topics` against model servers: by number, by key in the answer, and by a route of the server."""

import json
from collections import deque
from typing import ClassVar

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

from sockstore.protocols import (
    Ended,
    Received,
    Refused,
    Subscribed,
    TopicAnswer,
    Topics,
    WireSubscription,
    Write,
)

KEYS = ["a", "b", "c", "d", "bad"]


def subscribe(keys):
    return {"op": "subscribe", "keys": keys}


def unsubscribe(routes):
    return {"op": "unsubscribe", "keys": routes}


class ByNumber:
    """Binance's way: one answer with the id of the question; one bad key refuses all of it."""

    protocol: ClassVar = {
        "key": lambda data: data.get("stream"),
        "subscribe": subscribe,
        "unsubscribe": unsubscribe,
    }

    def __init__(self):
        self.asked = {}  # route by key

    def hear(self, text):
        said = json.loads(text)
        if said["op"] == "unsubscribe":
            for key in said["keys"]:
                self.asked.pop(key, None)
        elif "bad" in said["keys"]:
            return [{"id": said["id"], "error": {"msg": "unknown stream"}}]
        else:
            self.asked |= {key: key for key in said["keys"]}
        return [{"id": said["id"], "result": None}]

    def publish(self, key, number):
        return {"stream": self.asked[key], "data": number}


class ByKey:
    """OKX's way: no ids; an answer for each key, which looks nearly like a message."""

    protocol: ClassVar = {
        "key": lambda data: data["arg"],
        "subscribe": subscribe,
        "unsubscribe": unsubscribe,
        "answers": lambda data: (
            TopicAnswer(data["arg"], error=data.get("msg")) if "event" in data else None
        ),
        "requests": None,
    }

    def __init__(self):
        self.asked = {}

    def hear(self, text):
        said = json.loads(text)
        if said["op"] == "unsubscribe":
            for key in said["keys"]:
                self.asked.pop(key, None)
            return []
        good = [key for key in said["keys"] if key != "bad"]
        self.asked |= {key: key for key in good}
        refused = [{"event": "error", "arg": "bad", "msg": "no such topic"}] * (
            "bad" in said["keys"]
        )
        return [*({"event": "subscribe", "arg": key} for key in good), *refused]

    def publish(self, key, number):
        return {"arg": self.asked[key], "data": number}


class ByRoute:
    """Bitfinex' way: the answer has a number, which the messages carry and `unsubscribe` needs."""

    protocol: ClassVar = {
        "key": lambda data: data[0] if isinstance(data, list) else None,
        "subscribe": lambda keys: {"op": "subscribe", "keys": keys},
        "unsubscribe": unsubscribe,
        "answers": lambda data: (
            TopicAnswer(data["key"], data.get("channel"), data.get("msg"))
            if isinstance(data, dict) and "event" in data
            else None
        ),
        "requests": None,
        "most": 1,
    }

    def __init__(self):
        self.asked, self.last = {}, 0

    def hear(self, text):
        said = json.loads(text)
        if said["op"] == "unsubscribe":
            self.asked = {k: v for k, v in self.asked.items() if v not in said["keys"]}
            return []
        (key,) = said["keys"]
        if key == "bad":
            return [{"event": "error", "key": key, "msg": "no such symbol"}]
        self.last += 1
        self.asked[key] = self.last
        # The first message may stand before the answer.
        first = [[self.last, -self.last]] if self.last % 2 else []
        return [*first, {"event": "subscribed", "key": key, "channel": self.last}]

    def publish(self, key, number):
        return [self.asked[key], number]


def number_in(data):
    return data[1] if isinstance(data, list) else data["data"]


class Conversing(RuleBasedStateMachine):
    """Both directions of the wire take their time."""

    server_class: type

    @initialize(rate=st.sampled_from([None, 2.0]), most=st.sampled_from([None, 1, 2]))
    def begin(self, rate, most):
        options = {"most": most, **self.server_class.protocol, "rate": rate}
        self.talk = Topics(**options).converse(None, None)
        self.server = self.server_class()
        self.up, self.down = deque(), deque()
        self.now = 0.0
        self.wanted = {}  # the subscription by its key
        self.answered = {}  # the last word of the server about it
        self.got, self.others = {}, []
        self.sent = {}  # the messages that the server sent for each key since it became wanted
        self.times = []
        self.numbers = 0
        self.take(self.talk.open({}, 0.0))

    def take(self, outputs):
        for output in outputs:
            match output:
                case Write(frame=frame):
                    self.up.append(frame)
                    self.times.append(self.now)
                case Received(data=data, subscription=None):
                    self.others.append(data)
                case Received(data=data, subscription=subscription):
                    assert self.wanted.get(subscription.key) is subscription, "it was released"
                    self.got.setdefault(subscription, []).append(number_in(data))
                case Subscribed(subscription=subscription):
                    assert self.wanted.get(subscription.key) is subscription
                    self.answered[subscription] = "subscribed"
                case Refused(subscription=subscription) | Ended(subscription=subscription):
                    assert subscription.key == "bad"
                    del self.wanted["bad"]

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, unique=True))
    def subscribe(self, keys):
        fresh = [WireSubscription(key) for key in keys if key not in self.wanted]
        self.wanted |= {each.key: each for each in fresh}
        self.take(self.talk.subscribe(fresh, self.now))

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, unique=True))
    def release(self, keys):
        gone = [self.wanted.pop(key) for key in keys if key in self.wanted]
        self.take(self.talk.unsubscribe(gone, self.now))

    @rule()
    def server_reads(self):
        if self.up:
            for said in self.server.hear(self.up.popleft()):
                self.down.append(json.dumps(said))

    @rule()
    def client_reads(self):
        if self.down:
            self.take(self.talk.hear(self.down.popleft(), self.now))

    @rule(key=st.sampled_from(KEYS))
    def publish(self, key):
        if key in self.server.asked:
            self.numbers += 1
            self.down.append(json.dumps(self.server.publish(key, self.numbers)))

    @rule(text=st.sampled_from(["", "[]", "{", "null", "[[1]]", '{"id": true}', '{"id": 99}', "5"]))
    def server_says_something_else(self, text):
        self.down.append(text)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def time_passes(self, seconds):
        self.now += seconds
        if self.talk.deadline is not None and self.talk.deadline <= self.now:
            self.take(self.talk.tick(self.now))
            assert self.talk.deadline is None or self.talk.deadline > self.now

    @rule(key=st.sampled_from(KEYS[:4]))
    def all_is_said_and_a_message_arrives(self, key):
        for _ in range(200):
            self.server_reads()
            self.client_reads()
            self.time_passes(1.0)
            if not (self.up or self.down or self.talk.deadline):
                break
        assert set(self.server.asked) == set(self.wanted), "the server was asked for what is wanted"
        assert all(self.answered.get(each) == "subscribed" for each in self.wanted.values())
        if key in self.wanted:
            self.publish(key)
            self.client_reads()
            assert self.got[self.wanted[key]][-1] == self.numbers

    @invariant()
    def messages_are_in_order(self):
        for numbers in getattr(self, "got", {}).values():
            positive = [number for number in numbers if number > 0]
            assert positive == sorted(set(positive))


@pytest.mark.contract("PR4")
@pytest.mark.parametrize("server", [ByNumber, ByKey, ByRoute], ids=lambda each: each.__name__)
def test_the_server_is_asked_for_what_is_wanted_and_messages_reach_it(server):
    machine = type("Conversing" + server.__name__, (Conversing,), {"server_class": server})
    run_state_machine_as_test(machine, settings=settings(deadline=None, stateful_step_count=40))
