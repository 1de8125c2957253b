"""Every protocol of this package, and one that a user would write, keep the contract (PR1)."""

import json
import runpy
import sys
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockstore.protocols import (
    BaseProtocol,
    Call,
    Centrifuge,
    Conversation,
    JsonRpc,
    Opened,
    Plain,
    Received,
    Refused,
    Subscribed,
    TopicAnswer,
    Topics,
    WireSubscription,
    Write,
)
from sockstore.testing import check_protocol


class Model:
    """A server that answers with what `answer` makes of a JSON message."""

    def __init__(self):
        self.subscribed = {}  # the route by its key

    def greet(self):
        return []

    def hear(self, frame):
        return [json.dumps(each) for each in self.answer(json.loads(frame))]

    def publish(self, key, data):
        return [json.dumps(self.message(self.subscribed[key], data))]


class Harness:
    given: ClassVar = {}
    keys: ClassVar = ["a", "b", "c"]
    refused_key = "bad"

    def __init__(self, protocol, server):
        self.protocol, self.server = protocol, server


class PlainHarness(Harness):
    keys: ClassVar = []


class Exchange(Model):
    """One answer with the id of the question for all keys."""

    def answer(self, said):
        if said["method"] == "UNSUBSCRIBE":
            self.subscribed = {k: k for k in self.subscribed if k not in said["params"]}
        elif "bad" in said["params"]:
            return [{"id": said["id"], "error": {"code": 2, "msg": "unknown stream"}}]
        else:
            self.subscribed |= {key: key for key in said["params"]}
        return [{"id": said["id"], "result": None}]

    def message(self, route, data):
        return {"stream": route, "data": data}


def exchange(**options):
    return Topics(
        key=lambda data: data.get("stream"),
        subscribe=lambda keys: {"method": "SUBSCRIBE", "params": keys},
        unsubscribe=lambda keys: {"method": "UNSUBSCRIBE", "params": keys},
        **options,
    )


class Channels(Model):
    """The server numbers what was asked; its answer names the key and the number."""

    def answer(self, said):
        if said["event"] == "unsubscribe":
            self.subscribed = {k: v for k, v in self.subscribed.items() if v != said["chanId"]}
            return []
        if said["symbol"] == "bad":
            return [{"event": "error", "symbol": "bad", "msg": "symbol: invalid"}]
        self.subscribed[said["symbol"]] = number = 100 + len(self.subscribed)
        return [{"event": "subscribed", "symbol": said["symbol"], "chanId": number}]

    def message(self, route, data):
        return [route, data]


def in_answer(data):
    if not isinstance(data, dict) or "event" not in data:
        return None
    return TopicAnswer(data["symbol"], data.get("chanId"), data.get("msg"))


def channels():
    return Topics(
        key=lambda data: data[0] if isinstance(data, list) else None,
        subscribe=lambda keys: {"event": "subscribe", "symbol": keys[0]},
        unsubscribe=lambda routes: {"event": "unsubscribe", "chanId": routes[0]},
        answers=in_answer,
        requests=None,
        most=1,
    )


class Chain(Model):
    """JSON-RPC with the id of a subscription as the result of a call."""

    def answer(self, said):
        response = {"jsonrpc": "2.0", "id": said["id"]}
        if said["method"] == "eth_unsubscribe":
            self.subscribed = {k: v for k, v in self.subscribed.items() if v != said["params"][0]}
            return [response | {"result": True}]
        if said["params"] == ["bad"]:
            return [response | {"error": {"code": -32602, "message": "no such event"}}]
        route = f"0x{said['id']}"
        self.subscribed[watch(said["params"][0])] = route
        return [response | {"result": route}]

    def message(self, route, data):
        params = {"subscription": route, "result": data}
        return {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}


def watch(name):
    return Call("eth_subscribe", [name], unsubscribe="eth_unsubscribe")


class ChainHarness(Harness):
    keys: ClassVar = [watch(name) for name in "abc"]
    refused_key = watch("bad")


class MethodsHarness(Harness):
    """Notifications by method: the server need not be asked, so it refuses nothing."""

    refused_key = None


class Notifier(Model):
    subscribed: ClassVar = {key: key for key in "abc"}

    def __init__(self):
        pass

    def message(self, route, data):
        return {"jsonrpc": "2.0", "method": route, "params": data}


class Routed(Notifier):
    def message(self, route, data):
        return {"type": route, "data": data}


class Centrifugo(Model):
    """Several commands in a message, and a reply to each."""

    def __init__(self):
        super().__init__()
        self.offsets = {}

    def hear(self, frame):
        lines = frame.split("\n")
        return ["\n".join(json.dumps(self.answer(json.loads(line))) for line in lines)]

    def answer(self, said):
        name = next(name for name in said if name != "id")
        channel = said[name].get("channel")
        if channel == "bad":
            return {"id": said["id"], "error": {"code": 102, "message": "unknown channel"}}
        result = {}
        if name == "connect":
            limits = {"rate": 20, "burst": 2, "max_message_bytes": 65536, "remembers": 3600}
            result = {"client": "c", "data": {"sockstore": limits}}
        elif name == "subscribe":
            self.subscribed[channel] = channel
            offset = self.offsets.setdefault(channel, 0)
            result = {"recoverable": True, "epoch": "e", "offset": offset}
        elif name == "unsubscribe":
            self.subscribed.pop(channel, None)
        return {"id": said["id"], name: result}

    def message(self, route, data):
        self.offsets[route] += 1
        publication = {"offset": self.offsets[route], "data": data}
        return {"push": {"channel": route, "pub": publication}}


EXAMPLES = Path(__file__).parents[2] / "examples"


def example_harness(name):
    """A harness that the page "How to write a protocol" shows."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        return runpy.run_path(str(EXAMPLES / f"test_{name}"))["Harness"]()
    finally:
        sys.path.remove(str(EXAMPLES))


HARNESSES = {
    **{name: example_harness(name) for name in ("home_assistant.py", "board.py")},
    "Centrifugo": Harness(Centrifuge(), Centrifugo),
    "plain": PlainHarness(Plain(), Model),
    "topics": Harness(exchange(), Exchange),
    "topics, one key in a message": Harness(exchange(most=1), Exchange),
    "topics, slowly": Harness(exchange(most=2, rate=1.0), Exchange),
    "topics, numbered by the server": Harness(channels(), Channels),
    "topics, only routed": MethodsHarness(Topics(key=lambda data: data["type"]), Routed),
    "JSON-RPC, by the result of a call": ChainHarness(JsonRpc(), Chain),
    "JSON-RPC, by method": MethodsHarness(JsonRpc(), Notifier),
}


@pytest.mark.contract("PR1", "PR2", "PR3", "PR4", "PR5")
@pytest.mark.parametrize("harness", HARNESSES.values(), ids=HARNESSES.keys())
def test_protocols_keep_their_contract(harness):
    check_protocol(harness)


@pytest.mark.contract("PR1")
def test_the_example_has_fewer_than_60_lines_of_code():
    code = [
        line for line in (EXAMPLES / "home_assistant.py").read_text().splitlines() if line.strip()
    ]
    begin = next(n for n, line in enumerate(code) if line.startswith("@dataclass"))
    assert len(code) - begin < 60


@pytest.mark.contract("PR1")
@pytest.mark.parametrize("harness", HARNESSES.values(), ids=HARNESSES.keys())
@given(data=st.data())
def test_nothing_that_a_server_says_raises(harness, data):
    numbers = st.integers(-1, 3)
    json_values = st.recursive(
        st.none()
        | st.booleans()
        | numbers
        | st.floats(allow_nan=False)
        | st.sampled_from(["a", ""]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["id", "result", "error", "method", "params", "subscription", "type"]
                ),
                inner,
            )
        ),
        max_leaves=8,
    )
    frames = st.text(max_size=5) | st.binary(max_size=5) | json_values.map(json.dumps)
    talk = harness.protocol.converse(None, None)
    list(talk.open(harness.given, 0.0))
    if harness.keys:
        list(talk.subscribe([WireSubscription(key) for key in harness.keys], 0.0))
    for frame in data.draw(st.lists(frames, max_size=8)):
        list(talk.hear(frame, 0.0))


class Careless(Conversation):
    """Breaks the contract in one way; `check_protocol` has to notice it."""

    fault = ""

    def __init__(self):
        super().__init__()
        self.topics = {}

    def open(self, given, now):
        return [Opened(), Opened()] if self.fault == "opens twice" else [Opened()]

    def subscribe(self, subscriptions, now):
        keys = [each.key for each in subscriptions]
        if self.fault != "forgets":
            self.topics |= {each.key: each for each in subscriptions}
        return [Write(json.dumps({"method": "SUBSCRIBE", "params": keys, "id": self.next_id()}))]

    def unsubscribe(self, subscriptions, now):
        keys = [each.key for each in subscriptions]
        if self.fault == "takes back too much":
            keys = list(self.topics)
        if self.fault != "delivers what was released":
            for key in keys:
                self.topics.pop(key, None)
        return [Write(json.dumps({"method": "UNSUBSCRIBE", "params": keys, "id": self.next_id()}))]

    def hear(self, frame, now):
        try:
            said = json.loads(frame)
        except ValueError:
            if self.fault == "raises":
                raise
            return [Received(frame)]
        said = said if isinstance(said, dict) else {}
        if said.get("stream") in self.topics:
            return [Received(said["data"], self.topics[said["stream"]])]
        if isinstance(said.get("error"), dict) and "msg" in said["error"]:
            return [Refused(each, said["error"]["msg"]) for each in self.topics.values()]
        if "result" in said:
            return [Subscribed(each) for each in self.topics.values()]
        return []


@pytest.mark.parametrize(
    "fault",
    [
        "opens twice",
        "forgets",
        "takes back too much",
        "delivers what was released",
        "raises",
        "other",
    ],
)
def test_a_protocol_that_breaks_its_contract_is_found(fault):
    talk = type("Faulty", (Careless,), {"fault": fault})

    class Faulty(BaseProtocol):
        def converse(self, memory, attempt):
            return talk()

    with pytest.raises(AssertionError):
        check_protocol(Harness(Faulty(), Exchange))


@pytest.mark.contract("PR1")
def test_a_method_that_a_protocol_promises_and_has_not_is_named():
    class Bare(Conversation):
        pass

    class Promising(BaseProtocol):
        has_requests = True

        def converse(self, memory, attempt):
            return Bare()

    with pytest.raises(AssertionError, match=r"has_requests = True, and .* no method request\(\)"):
        check_protocol(Harness(Promising(), Exchange))
