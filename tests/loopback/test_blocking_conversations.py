"""The blocking WebSocket subscribes, answers and asks like the connection beneath."""

from __future__ import annotations

import gc
import inspect
import json
import queue
import re
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loopback.blocking_programs import PATIENCE, echoing, in_a_thread, output_of
from sockstore import (
    ConnectionEnded,
    InvalidOption,
    Outbox,
    Reconnect,
    RequestFailed,
    Subscription,
    SubscriptionRefused,
    WebSocketStore,
)
from sockstore.blocking import Subscription as BlockingSubscription
from sockstore.blocking import WebSocket
from sockstore.protocols import JsonRpc, TopicAnswer, Topics
from sockstore.testing import FakeServer

pytestmark = pytest.mark.loopback

OFTEN = Reconnect(schedule=lambda attempt, outcome: 0.02)
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "blocking.md"

TOPICS = Topics(
    key=lambda data: data.get("arg"),
    subscribe=lambda keys: {"op": "subscribe", "keys": list(keys)},
    unsubscribe=lambda keys: {"op": "unsubscribe", "keys": list(keys)},
    answers=lambda data: (
        TopicAnswer(key=data["key"], error=data.get("why")) if data.get("is") == "answer" else None
    ),
)


class Market:
    """A server with subscriptions, which tells what a test publishes."""

    def __init__(self) -> None:
        self.said: queue.SimpleQueue[dict] = queue.SimpleQueue()
        self.server = FakeServer(self.serve)
        self.client = None

    async def serve(self, client) -> None:
        self.client = client
        async for frame in client:
            said = json.loads(frame)
            self.said.put(said)
            if said["op"] == "subscribe":
                for key in said["keys"]:
                    why = {"why": "no such thing"} if key == "nothing" else {}
                    await client.send({"is": "answer", "key": key, **why})
            if said["op"] == "publish":
                await client.send(*({"arg": said["key"], "n": n} for n in said["ns"]))
            if said["op"] == "time":
                await client.send({"id": said["id"], "time": 12})

    def heard(self) -> dict:
        """The next thing that the client says."""
        return self.said.get(timeout=PATIENCE)

    def heard_nothing_more(self) -> bool:
        return self.said.empty()


@pytest.fixture
def market():
    return Market()


@pytest.fixture
def ws(market):
    with WebSocket("ws://x", protocol=TOPICS, reconnect=OFTEN, transport=market.server) as ws:
        ws.ready(PATIENCE)
        yield ws


def publish(ws: WebSocket, key: str, *numbers: int) -> None:
    ws.send({"op": "publish", "key": key, "ns": numbers})


def numbers_of(messages, count: int) -> list[int]:
    return [messages.recv(PATIENCE).data["n"] for _ in range(count)]


# Subscribing


@pytest.mark.contract("SU3", "SU4")
def test_a_thread_iterates_over_a_subscription_beginning_with_what_is_kept(ws, market):
    with ws.subscribe("a") as sub:
        assert sub.key == "a"
        assert sub.ready(PATIENCE) == {"is": "answer", "key": "a"}
        publish(ws, "a", 1, 2)
        assert numbers_of(iter(sub), 2) == [1, 2]
        later = sub.stream()
        publish(ws, "a", 3)
        assert numbers_of(iter(sub), 3) == [1, 2, 3]
        assert numbers_of(later, 1) == [3]
        assert [message.data["n"] for message in sub.messages] == [1, 2, 3]
        assert sub.latest == {"arg": "a", "n": 3}
        assert sub.state.phase == "subscribed"
        assert not ws.messages
    assert market.heard() == {"op": "subscribe", "keys": ["a"], "id": 1}


@pytest.mark.contract("SU3")
def test_what_a_subscription_shows_is_read_in_any_thread(ws):
    sub = ws.subscribe("a", type=int | dict, history=1)
    messages = sub.stream()
    publish(ws, "a", 1, 2)
    assert numbers_of(messages, 2) == [1, 2]

    def look() -> tuple:
        return sub.state.phase, sub.latest, len(sub.messages), repr(sub)

    with ThreadPoolExecutor() as pool:
        assert pool.submit(look).result(PATIENCE) == (
            "subscribed",
            {"arg": "a", "n": 2},
            1,
            "<Subscription 'a' subscribed>",
        )
    sub.unsubscribe()


@pytest.mark.contract("SU1", "SU2")
def test_the_same_key_is_asked_for_once_and_taken_back_by_the_last_handle(ws, market):
    one, two = ws.subscribe("a"), ws.subscribe("a")
    one.ready(PATIENCE), two.ready(PATIENCE)
    assert market.heard()["op"] == "subscribe"
    one.unsubscribe()
    one.unsubscribe()
    publish(ws, "a", 1)
    assert numbers_of(iter(two), 1) == [1]
    assert market.heard()["op"] == "publish"
    two.unsubscribe()
    assert market.heard()["op"] == "unsubscribe"
    assert market.heard_nothing_more()


@pytest.mark.contract("SU1", "SU2")
def test_who_subscribes_before_connecting_is_asked_for_when_it_is_open(market):
    ws = WebSocket("ws://x", protocol=TOPICS, transport=market.server)
    sub = ws.subscribe("a")
    assert sub.state.phase == "waiting"
    for wait in (sub.ready, iter(sub).recv, lambda: next(iter(sub)), sub.stream().recv):
        with pytest.raises(RuntimeError, match=r"would never return: connect\(\) first"):
            wait()
    with ws:
        sub.ready(PATIENCE)
        assert market.heard() == {"op": "subscribe", "keys": ["a"], "id": 1}
        publish(ws, "a", 1)
        assert numbers_of(iter(sub), 1) == [1]


@pytest.mark.contract("SU6")
def test_a_refusal_raises_in_ready_and_in_its_readers_only(ws):
    sub, other = ws.subscribe("nothing"), ws.subscribe("a")
    messages = iter(sub)
    for wait in (sub.ready, messages.recv, iter(sub).recv, lambda: next(iter(sub))):
        with pytest.raises(SubscriptionRefused, match="no such thing"):
            wait()
    assert (sub.state.phase, sub.state.error) == ("refused", "no such thing")
    other.ready(PATIENCE)
    sub.unsubscribe(), other.unsubscribe()


@pytest.mark.contract("SU2")
def test_it_is_asked_for_again_on_the_next_connection(ws, market):
    sub = ws.subscribe("a")
    sub.ready(PATIENCE)
    messages = sub.stream(gaps=True)
    ws.lose("a test said so")
    assert messages.recv(PATIENCE).kind == "gap"
    publish(ws, "a", 2)
    assert numbers_of(messages, 1) == [2]
    assert [market.heard()["op"] for _ in range(3)] == ["subscribe", "subscribe", "publish"]
    sub.unsubscribe()


# Ending


@pytest.mark.contract("SU3")
def test_closing_ends_the_loop_of_a_thread_that_iterates(ws):
    sub = ws.subscribe("a")
    publish(ws, "a", 1)
    messages, ended = iter(sub), []
    assert numbers_of(messages, 1) == [1]
    thread = threading.Thread(target=lambda: ended.append(list(messages)))
    thread.start()
    ws.close()
    thread.join(PATIENCE)
    assert ended == [[]]
    for wait in (messages.recv, sub.ready, sub.stream().recv):
        with pytest.raises(ConnectionEnded, match="the connection is clos"):
            wait()
    assert sub.latest == {"arg": "a", "n": 1}
    assert len(sub.messages) == 1
    sub.unsubscribe()
    with pytest.raises(RuntimeError, match="was released"):
        sub.ready()


@pytest.mark.contract("SU1")
def test_releasing_ends_the_loop_of_a_thread_that_iterates(ws):
    sub = ws.subscribe("a")
    messages, ended = iter(sub), []
    thread = threading.Thread(target=lambda: ended.append(list(messages)))
    thread.start()
    with ThreadPoolExecutor() as pool:
        pool.submit(sub.unsubscribe).result(PATIENCE)
    thread.join(PATIENCE)
    assert ended == [[]]
    for wait in (messages.recv, sub.ready):
        with pytest.raises(RuntimeError, match="the subscription 'a' was released"):
            wait()
    assert list(sub) == []
    assert sub.state.phase == "ended"


def test_a_stream_that_was_closed_says_so(ws):
    stream = ws.stream()
    stream.close()
    with pytest.raises(ConnectionEnded, match="this stream was closed"):
        stream.recv()


@pytest.mark.contract("CN4")
def test_waiting_for_a_closed_connection_is_an_ended_connection(market):
    ws = WebSocket("ws://x", protocol=TOPICS, transport=market.server)
    with ws:
        ws.ready(PATIENCE)
    with pytest.raises(ConnectionEnded, match="the connection is closed"):
        ws.ready()


@pytest.mark.contract("SU1")
def test_one_that_a_thread_drops_is_released_and_the_warning_says_where_it_was_made(ws, market):
    def forget() -> None:
        ws.subscribe("a").ready(PATIENCE)  # this line is named
        gc.collect()

    line = forget.__code__.co_firstlineno + 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        thread = threading.Thread(target=forget)
        thread.start()
        thread.join(PATIENCE)
    (warning,) = [one for one in caught if one.category is ResourceWarning]
    assert f"'a' made at {__file__}:{line} was dropped" in str(warning.message)
    assert [market.heard()["op"] for _ in range(2)] == ["subscribe", "unsubscribe"]


@pytest.mark.contract("SU1")
def test_an_iterator_keeps_its_subscription(ws, market):
    messages = iter(ws.subscribe("a"))
    gc.collect()
    publish(ws, "a", 1)
    assert numbers_of(messages, 1) == [1]
    assert [market.heard()["op"] for _ in range(2)] == ["subscribe", "publish"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del messages
        gc.collect()
    assert market.heard()["op"] == "unsubscribe"


@pytest.mark.parametrize("call", ["for message in sub: pass", "sub.ready()", "sub.stream().recv()"])
def test_ctrl_c_gets_out_of_waiting_for_a_subscription(call):
    with in_a_thread(echoing()) as server:
        printed = output_of(
            f"""
            from sockstore.protocols import Topics
            topics = Topics(
                key=lambda data: data.get('key'),
                subscribe=lambda keys: {{'op': 'subscribe', 'keys': keys}},
                unsubscribe=lambda keys: {{'op': 'unsubscribe', 'keys': keys}},
                answers=lambda data: None,
            )
            ws = WebSocket(URL, close_timeout=0.5, protocol=topics)
            try:
                with ws, ws.subscribe('a') as sub:
                    interrupt_when_waiting('wait', 'wait_until')
                    {call}
            except KeyboardInterrupt:
                print('out', ws.phase, sub.state.phase)
            """,
            server.url,
        )
    assert printed == "out closed ended\n"


# Callbacks


@pytest.mark.contract("SU3")
def test_callbacks_of_a_subscription_run_where_the_others_run(market):
    ws = WebSocket("ws://x", callbacks="pump", protocol=TOPICS, transport=market.server)
    sub, told, here = ws.subscribe("a"), [], threading.get_ident()

    def note(what: str):
        return lambda value: told.append((what, value, threading.get_ident() == here))

    stops = [
        sub.on_change("state", lambda state: note("state")(state.phase)),
        sub.on_change("latest", note("latest")),
        sub.on_message(lambda message: note("message")(message.data["n"])),
    ]
    with ws:
        publish(ws, "a", 1)
        while ("message", 1, True) not in told or (
            "latest",
            {"arg": "a", "n": 1},
            True,
        ) not in told:
            assert ws.pump(PATIENCE)
    # Connected again, they go on.
    with ws:
        publish(ws, "a", 2)
        while ("message", 2, True) not in told:
            assert ws.pump(PATIENCE)
        for stop in stops:
            stop()
        ws.pump()
        assert ("state", "subscribed", True) in told
        told.clear()
        messages = sub.stream()
        publish(ws, "a", 3)
        assert numbers_of(messages, 1) == [3]
        ws.pump()
        assert told == []
    with pytest.raises(InvalidOption, match="one of state, latest, messages, members"):
        sub.on_change("status", print)


# Calls by the server


class Caller:
    """A server that calls `add`, once told to, and hands its answer to the test."""

    def __init__(self) -> None:
        self.answers: queue.SimpleQueue[dict] = queue.SimpleQueue()
        self.server = FakeServer(self.serve)

    async def serve(self, client) -> None:
        async for frame in client:
            said = json.loads(frame)
            if said.get("method") == "call":
                called = {"jsonrpc": "2.0", "method": "called"}  # a message: nobody handles it
                await client.send({"jsonrpc": "2.0", "id": 7, **said["params"]}, called)
            elif "method" not in said:
                self.answers.put(said)

    def answer(self) -> dict:
        return self.answers.get(timeout=PATIENCE)


def rpc(caller: Caller, **options) -> WebSocket:
    options = {"protocol": JsonRpc(), "reconnect": OFTEN, "transport": caller.server} | options
    return WebSocket("ws://x", **options)


def call(ws: WebSocket, method: str, *params: object) -> None:
    asked = {"method": method, "params": params}
    ws.send({"jsonrpc": "2.0", "method": "call", "params": asked})


@pytest.mark.contract("PR5")
def test_a_handler_runs_where_callbacks_run_and_its_result_is_the_answer():
    caller, here = Caller(), threading.get_ident()
    with rpc(caller, callbacks="pump") as ws:
        ws.handle("add", lambda a, b: (a + b, threading.get_ident() == here))
        call(ws, "add", 1, 2)
        assert ws.pump(PATIENCE) == 1
        assert caller.answer() == {"jsonrpc": "2.0", "id": 7, "result": [3, True]}


@pytest.mark.contract("PR5")
def test_handlers_of_all_kinds_answer_as_those_of_the_connection(caplog):
    caller = Caller()

    async def later(a: int) -> int:
        return a + 1

    def refuse(_: int) -> None:
        raise RequestFailed(42, "no")

    def fail(_: int) -> None:
        raise StopIteration("a bug")

    with rpc(caller) as ws:
        ws.handle("later", later)
        ws.handle("lazily", lambda a: later(a * 2))
        ws.handle("refuse", refuse)
        ws.handle("fail", fail)
        ws.handle("one", lambda a: a)
        outcomes = {}
        for method, params in [
            ("later", [1]),
            ("lazily", [2]),
            ("refuse", [1]),
            ("fail", [1]),
            ("one", []),
            ("other", [1]),
        ]:
            call(ws, method, *params)
            answer = caller.answer()
            outcomes[method] = answer.get("result") or answer["error"]["code"]
    assert outcomes == {
        "later": 2,
        "lazily": 5,
        "refuse": 42,
        "fail": -32603,
        "one": -32602,
        "other": -32601,
    }
    assert "the handler of 'fail'" in caplog.text


@pytest.mark.contract("PR5")
def test_a_handler_answers_one_name_until_it_is_stopped():
    ws = WebSocket("ws://x", protocol=JsonRpc())
    stop = ws.handle("add", lambda a: a)
    with pytest.raises(ValueError, match="'add' is answered already"):
        ws.handle("add", lambda a: a)
    stop()
    with ws.handle("add", lambda a: a):
        stop()  # which does not stop the new one
        with pytest.raises(ValueError, match="'add' is answered already"):
            ws.handle("add", lambda a: a)
    for wrong in (None, 1):
        with pytest.raises(TypeError, match="is not a function"):
            ws.handle("add", wrong)
    with pytest.raises(InvalidOption, match="the name of a method"):
        ws.handle("", print)


@pytest.mark.contract("PR5")
def test_a_call_whose_connection_is_gone_is_not_made():
    caller, made = Caller(), []
    with rpc(caller, callbacks="pump") as ws:
        ws.handle("add", made.append)
        call(ws, "add", 1)
        ws.recv(PATIENCE)
        ws.stats()  # the loop has turned: the call waits for pump()
        ws.lose("a test said so")
        ws.drain(PATIENCE)
        ws.ready(PATIENCE)
        ws.pump()
        call(ws, "add", 2)
        while not made:
            ws.pump(PATIENCE)
    assert made == [2]


@pytest.mark.contract("CN22")
def test_what_the_protocol_has_not_is_refused_by_its_name():
    plain = WebSocket("ws://x")
    with pytest.raises(RuntimeError, match=r"subscribe\(\) cannot be used with Plain"):
        plain.subscribe("a")
    with pytest.raises(RuntimeError, match=r"handle\(\) cannot be used with Plain"):
        plain.handle("a", print)
    sub = WebSocket("ws://x", protocol=TOPICS).subscribe("a")
    with pytest.raises(RuntimeError, match="the subscriptions of Topics have none"):
        sub.send("hello")
    with pytest.raises(RuntimeError, match="the subscriptions of Topics have none"):
        sub.handle("name", print)
    sub.unsubscribe()


# Sending, and the rest


@pytest.mark.contract("OB9")
def test_a_send_that_waits_gets_in_when_there_is_room(market):
    options = {"outbox": Outbox(limit=1), "transport": market.server}
    ws = WebSocket("ws://x", callbacks="pump", **options)
    assert ws.send({"op": "one"})
    assert not ws.send("two")
    with pytest.raises(RuntimeError, match="would never return"):
        ws.send("two", wait=True)
    with pytest.raises(InvalidOption, match="either now or wait"):
        ws.send("two", now=True, wait=True)
    with pytest.raises(InvalidOption, match="True or False"):
        ws.send("two", wait=5)
    with ws:
        assert ws.send({"op": "three"}, wait=True).wait(PATIENCE).state == "sent"
    closed = ws.send("four", wait=True)
    assert not closed


@pytest.mark.contract("OB7")
def test_a_reply_leaves_on_the_connection_that_asked_or_not_at_all(ws):
    ws.send({"op": "publish", "key": None, "ns": [1]})
    message = ws.recv(PATIENCE)
    assert ws.reply(message, {"op": "answer"}).wait(PATIENCE)
    ws.lose("a test said so")
    ws.ready(PATIENCE)
    assert ws.reply(message, {"op": "answer"}).state == "dropped"
    assert ws.request({"op": "time"}, PATIENCE) == {"id": 1, "time": 12}


def test_a_loss_and_a_hint_may_be_told_in_any_phase():
    ws = WebSocket("ws://x", transport=FakeServer())
    ws.lose("nothing is live")
    ws.hint("offline")
    with pytest.raises(InvalidOption, match="'online', 'offline' or 'resume'"):
        ws.hint("asleep")
    assert ws.phase == "idle"


@pytest.mark.contract("OP1", "OP2")
def test_an_async_on_open_reads_and_a_plain_one_says(market):
    async def greet(client) -> None:
        await client.send("who?")
        told.append(await client.receive())
        await client.wait_closed()

    async def introduce(opening) -> None:
        told.append((await opening.receive()).data)
        opening.send("Ann")

    told: list[object] = []
    with WebSocket("ws://x", on_open=introduce, transport=FakeServer(greet)) as ws:
        ws.ready(PATIENCE)
        ws.drain(PATIENCE)
    assert told == ["who?", "Ann"]

    told.clear()
    options = {"on_open": lambda opening: opening.send("Ann"), "transport": FakeServer(greet)}
    with WebSocket("ws://x", **options) as ws:
        assert ws.recv(PATIENCE).data == "who?"
    assert told == ["Ann"]


@pytest.mark.contract("CN20")
def test_a_lazy_one_connects_when_it_is_used_and_rests_afterwards(market):
    before = set(threading.enumerate())
    options = {"protocol": TOPICS, "transport": market.server}
    with WebSocket("ws://x", lazy=True, callbacks="pump", **options) as ws:
        phases: queue.SimpleQueue[str] = queue.SimpleQueue()
        ws.connection.call_threadsafe(ws.connection.phase.subscribe, phases.put).result(PATIENCE)

        def until(phase: str) -> None:
            while phases.get(timeout=PATIENCE) != phase:
                pass

        assert ws.phase == "idle"
        with ws.subscribe("a") as sub:
            sub.ready(PATIENCE)
            until("open")
        until("idle")
        ws.send({"op": "hello"}).wait(PATIENCE)
        until("open")
        until("idle")
        messages = iter(ws)  # it is in use from here on: a message alone is none once it has left
        until("open")
        publish(ws, "b", 1)
        assert numbers_of(messages, 1) == [1]
        assert ws.phase == "open"
    assert ws.phase == "closed"
    assert set(threading.enumerate()) <= before


PAIRS = {
    "WebSocketStore": (WebSocketStore, WebSocket),
    "Subscription": (Subscription, BlockingSubscription),
}


def public(what: type) -> set[str]:
    return {name for name in dir(what) if not name.startswith("_")} - {"T"}


def parameters(fn: Callable[..., object]) -> dict[str, object]:
    return {each.name: each.default for each in inspect.signature(fn).parameters.values()}


@pytest.mark.parametrize("name", PAIRS)
def test_each_public_method_is_here_or_the_reference_says_why_not(name):
    theirs, ours = PAIRS[name]
    _, _, page = REFERENCE.read_text().partition(f"## What a `{name}` has")
    table, _, _ = page.partition("\n## ")
    explained = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert public(theirs) - public(ours) == explained


@pytest.mark.parametrize("name", PAIRS)
def test_each_method_has_the_arguments_and_defaults_of_its_counterpart(name):
    theirs, ours = PAIRS[name]
    for method in public(theirs) & public(ours):
        there, here = getattr(theirs, method), getattr(ours, method)
        if inspect.isfunction(there) and inspect.isfunction(here):
            wanted, given = parameters(there), parameters(here)
            assert {key: given.get(key, "missing") for key in wanted} == wanted, method
