"""`JsonRpc` against a model of the other side, which calls, answers, notifies and batches."""

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

from sockstore import RequestFailed
from sockstore.protocols import (
    Answered,
    Call,
    Called,
    JsonRpc,
    Received,
    Refused,
    Subscribed,
    WireSubscription,
    Write,
)

KEYS = [
    "news",
    Call("watch", ["a"], unsubscribe="unwatch"),
    Call("watch", ["b"], unsubscribe="unwatch"),
    Call("watch", ["bad"], unsubscribe="unwatch"),
]


class OtherSide:
    """Reads what the client wrote, strictly by the specification, and writes into `down`."""

    def __init__(self):
        self.down = deque()
        self.ids_seen = []
        self.watched = {}  # parameter by id
        self.called = {}  # id: the reply to our call, or None
        self.numbers = 0

    def hear(self, text):
        said = json.loads(text)
        if isinstance(said, list):
            assert said, "an empty batch is not valid"
            assert all("method" not in each for each in said)
        for each in said if isinstance(said, list) else [said]:
            assert each["jsonrpc"] == "2.0"
            if "method" in each:
                self.ids_seen.append(each["id"])
                self.down += [json.dumps(each) for each in self.answer(each)]
            else:
                assert ("result" in each) != ("error" in each)
                assert self.called[each["id"]] is None, "each call is answered once"
                self.called[each["id"]] = each.get("result", each.get("error"))

    def answer(self, asked):
        response = {"jsonrpc": "2.0", "id": asked["id"]}
        match asked["method"]:
            case "watch" if asked["params"] == ["bad"]:
                return [response | {"error": {"code": 7, "message": "not that one"}}]
            case "watch":
                self.numbers += 1
                number = f"0x{self.numbers}"
                self.watched[number] = asked["params"][0]
                early = [self.notification(number, -1)] if self.numbers % 2 else []
                return [*early, response | {"result": number}]
            case "unwatch":
                assert self.watched.pop(asked["params"][0], None) is not None
                return [response | {"result": True}]
            case "double":
                return [response | {"result": asked["params"] * 2}]
            case _:
                return [response | {"error": {"code": -32601, "message": "what?", "data": [1]}}]

    @staticmethod
    def notification(number, value):
        params = {"subscription": number, "result": value}
        return {"jsonrpc": "2.0", "method": "watched", "params": params}


class Conversing(RuleBasedStateMachine):
    """Both directions of the wire take their time."""

    @initialize()
    def begin(self):
        self.talk = JsonRpc().converse(None, None)
        self.server, self.up = OtherSide(), deque()
        self.wanted, self.accepted, self.got = {}, set(), []
        self.requests, self.answers = {}, {}
        self.calls, self.messages = [], []
        self.numbers = 0
        self.values = 0
        self.published = {}

    def take(self, outputs):
        for output in outputs:
            match output:
                case Write(frame=frame):
                    self.up.append(frame)
                case Received(data=data, subscription=None):
                    self.messages.append(data)
                case Received(data=data, subscription=subscription):
                    assert self.wanted.get(subscription.key) is subscription
                    self.got.append((subscription, data))
                case Subscribed(subscription=subscription):
                    assert self.wanted.get(subscription.key) is subscription
                    self.accepted.add(subscription)
                case Refused(subscription=subscription, why=why):
                    assert (subscription.key, why) == (KEYS[3], "not that one")
                    del self.wanted[KEYS[3]]
                case Answered(request=request, data=data, error=error):
                    assert request not in self.answers
                    self.answers[request] = data if error is None else error
                case Called(call=None, message=message):
                    self.messages.append(message)
                case Called():
                    self.calls.append(output)

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, unique=True))
    def subscribe(self, keys):
        fresh = [WireSubscription(key) for key in keys if key not in self.wanted]
        self.wanted |= {each.key: each for each in fresh}
        self.take(self.talk.subscribe(fresh, 0.0))

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, unique=True))
    def release(self, keys):
        gone = [self.wanted.pop(key) for key in keys if key in self.wanted]
        self.take(self.talk.unsubscribe(gone, 0.0))

    @rule(method=st.sampled_from(["double", "nothing"]), value=st.integers(0, 9))
    def request(self, method, value):
        self.numbers += 1
        self.requests[self.numbers] = (method, value)
        data = JsonRpc().encode_request({"method": method, "params": value})
        self.up += self.talk.request(data, None, self.numbers)

    @rule(methods=st.lists(st.sampled_from(["confirm", "note"]), min_size=1, max_size=4))
    def server_calls(self, methods):
        """One call or notification alone, several as a batch."""
        batch = []
        for method in methods:
            self.numbers += 1
            call = {"jsonrpc": "2.0", "method": method, "params": self.numbers}
            if method == "confirm":
                call["id"] = self.numbers
                self.server.called[self.numbers] = None
            batch.append(call)
        self.server.down.append(json.dumps(batch if len(batch) > 1 else batch[0]))

    @rule(failure=st.sampled_from([None, "unknown", "arguments", "raised", "busy", "own"]))
    def reply(self, failure):
        if self.calls:
            call = self.calls.pop(0)
            given = RequestFailed(42, "no", {"x": 1}) if failure == "own" else failure
            self.up += self.talk.reply(call.call, call.data, given)

    @rule(data=st.data())
    def publish(self, data):
        if self.server.watched:
            number = data.draw(st.sampled_from(sorted(self.server.watched)))
            self.values += 1
            self.published[self.values] = self.server.watched[number]
            self.server.down.append(json.dumps(OtherSide.notification(number, self.values)))

    @rule()
    def publish_news(self):
        note = {"jsonrpc": "2.0", "method": "news", "params": "n"}
        self.server.down.append(json.dumps(note))

    @rule(
        text=st.sampled_from(["", "[]", "null", '{"id": [1], "result": 1}', '{"id":99,"result":0}'])
    )
    def server_says_nonsense(self, text):
        self.server.down.append(text)

    @rule()
    def server_reads(self):
        if self.up:
            self.server.hear(self.up.popleft())

    @rule()
    def client_reads(self):
        if self.server.down:
            self.take(self.talk.hear(self.server.down.popleft(), 0.0))

    @rule()
    def all_is_said(self):
        for _ in range(300):
            self.server_reads()
            self.client_reads()
            self.reply(None)
            if not (self.up or self.server.down or self.calls):
                break
        watched = sorted(self.server.watched.values())
        assert watched == sorted(key.params[0] for key in self.wanted if isinstance(key, Call))
        assert all(reply is not None for reply in self.server.called.values())
        for number, (method, value) in self.requests.items():
            answer = self.answers[number]
            if method == "double":
                assert answer == value * 2
            else:
                assert (answer.code, answer.data) == (-32601, [1])

    @invariant()
    def ids_never_go_backwards(self):
        seen = self.server.ids_seen if hasattr(self, "server") else []
        assert seen == sorted(set(seen))

    @invariant()
    def each_message_is_its_subscriptions(self):
        for subscription, value in getattr(self, "got", ()):
            if value != "n" and value > 0:
                assert self.published[value] == subscription.key.params[0]


@pytest.mark.contract("PR5")
def test_both_sides_call_answer_and_subscribe():
    run_state_machine_as_test(Conversing, settings=settings(deadline=None, stateful_step_count=50))
