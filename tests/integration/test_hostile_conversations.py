"""Conversations with hostile servers, and programs that act in the worst moment."""

from __future__ import annotations

import asyncio
import gc
import json
import warnings
from typing import Any

import pytest
from markets import Market, by_ids

from sockstore import ConnectionEnded, InvalidOption, Reconnect, WebSocketStore
from sockstore.protocols import (
    Ask,
    BaseProtocol,
    Call,
    Conversation,
    IdField,
    JsonRpc,
    Opened,
    Plain,
    TopicAnswer,
    Topics,
)
from sockstore.testing import FakeServer
from waiting import turns

pytestmark = pytest.mark.virtual_clock

QUICK = Reconnect.linear(1.0, attempts=None, jitter=0.0)


def connect_to(server: Any, protocol: Any = by_ids, **options: Any) -> WebSocketStore:
    options.setdefault("reconnect", QUICK)
    return WebSocketStore("ws://fake", transport=server, protocol=protocol, **options)


# In callbacks


@pytest.mark.contract("SU3")
@pytest.mark.parametrize("phase", ["subscribing", "subscribed"])
async def test_a_state_that_a_callback_has_made_untrue_is_not_shown(phase):
    async with connect_to(Market()) as connection:
        first, second = connection.subscribe("a"), connection.subscribe("b")
        stop = first.state.subscribe(
            lambda state: connection.lose("enough") if state.phase == phase else None
        )
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        assert second.state.value.phase == "waiting"
        stop()
        await second.ready(5)
        first.state.subscribe(lambda state: connection.close() if state.phase == phase else None)
        connection.lose("again")
        await connection.phase.wait_for(lambda phase: phase in {"closing", "closed"}, 5)
        await turns()
        assert second.state.value.phase == "waiting"
        assert second.state.value.error == "the connection has ended"


# Functions of the user


def boom(*args):
    raise LookupError("a bug")


def stream_of(data):
    return data.get("stream")


def asking(keys):
    return {"subscribe": keys}


@pytest.mark.contract("PR4")
@pytest.mark.parametrize(
    "answers",
    [
        boom,
        lambda data: True,
        lambda data: "no answer",
        lambda data: TopicAnswer(["no key"]),
        lambda data: TopicAnswer("a", route=["no route"]),
    ],
)
async def test_a_message_that_answers_cannot_read_is_a_message(answers, reported):
    server = FakeServer()
    protocol = Topics(key=stream_of, subscribe=asking, answers=answers)
    async with connect_to(server, protocol) as connection:
        await connection.ready()
        async with connection.subscribe("a"):
            await turns()
            server.send({"n": 1}, {"n": 2})
            messages = await connection.messages.wait_for(lambda messages: len(messages) == 2)
            assert [each.data for each in messages] == [{"n": 1}, {"n": 2}]
    assert len(reported) == 2


@pytest.mark.contract("PR4", "SU6")
@pytest.mark.parametrize("requests", [None, IdField()])
@pytest.mark.parametrize("subscribe", [boom, lambda keys: None, lambda keys: {"x": object()}])
async def test_a_question_that_cannot_be_made_refuses_its_subscription(
    subscribe, requests, reported
):
    server = FakeServer()
    protocol = Topics(key=stream_of, subscribe=subscribe, unsubscribe=boom, requests=requests)
    async with connect_to(server, protocol) as connection:
        await connection.ready()
        async with connection.subscribe("a") as handle:
            state = await handle.state.wait_for(lambda state: state.phase == "refused", 5)
            assert state.error is not None
            assert state.error.startswith("Topics(subscribe=) raised ")
    assert server.received == []
    assert [each["message"].split(" raised")[0] for each in reported] == ["Topics(subscribe=)"]


@pytest.mark.contract("PR4", "SU6")
@pytest.mark.parametrize(
    ("error", "words"),
    [("", "no reason given"), (5, "5"), ({"message": "not here"}, "not here"), ("no", "no")],
)
async def test_a_refusal_always_has_words(error, words):
    server = FakeServer()
    protocol = Topics(
        key=stream_of,
        subscribe=asking,
        answers=lambda data: TopicAnswer("a", error=error) if "refused" in data else None,
    )
    async with connect_to(server, protocol) as connection:
        await connection.ready()
        async with connection.subscribe("a") as handle:
            await turns()
            server.send({"refused": True})
            state = await handle.state.wait_for(lambda state: state.phase == "refused", 5)
            assert state.error == words


class Format:
    """A format of requests with a bug."""

    def __init__(self, **methods):
        self.number_of = methods.get("number_of", lambda data: data["id"])
        self.result_of = methods.get("result_of", lambda data: data)

    def wrap(self, data, number):
        return {**data, "id": number}


@pytest.mark.contract("OB5", "PR3")
@pytest.mark.parametrize(
    "make", [Plain, lambda requests: Topics(key=lambda _: None, requests=requests)]
)
async def test_a_format_that_raises_loses_no_message(make, reported):
    server = FakeServer()
    async with connect_to(server, make(requests=Format())) as connection:
        await connection.ready()
        request = asyncio.create_task(connection.request({"op": "time"}))
        await turns()
        server.send([1], {"id": 1, "time": 5}, "after")
        assert await request == {"id": 1, "time": 5}
        messages = await connection.messages.wait_for(lambda messages: len(messages) == 2)
        assert [each.data for each in messages] == [[1], "after"]
    assert len(reported) == 1


@pytest.mark.contract("OB5", "PR3")
async def test_an_answer_that_cannot_be_read_is_raised_in_its_caller():
    server = FakeServer()
    async with connect_to(server, Plain(requests=Format(result_of=boom))) as connection:
        await connection.ready()
        request = asyncio.create_task(connection.request({"op": "time"}))
        await turns()
        server.send({"id": 1}, {"id": 2})
        with pytest.raises(LookupError, match="a bug"):
            await request
        assert [each.data for each in await connection.messages.wait_for(len)] == [{"id": 2}]


@pytest.mark.contract("PR3", "PR4")
@pytest.mark.parametrize("requests", [IdField, 5, object()])
@pytest.mark.parametrize("make", [Plain, lambda requests: Topics(key=stream_of, requests=requests)])
def test_what_is_no_format_of_requests_is_refused(make, requests):
    with pytest.raises(InvalidOption, match="requests"):
        make(requests=requests)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), "5"])
def test_a_rate_that_cannot_be_is_refused(rate):
    with pytest.raises(InvalidOption, match="messages a second"):
        Topics(key=stream_of, rate=rate)


# Calls by the server


@pytest.mark.contract("PR5")
async def test_what_is_no_call_does_not_hold_up_the_replies_of_its_batch():
    server = FakeServer()
    async with connect_to(server, JsonRpc()) as connection:
        connection.handle("add", lambda a, b: a + b)
        await connection.ready()
        odd = [{"method": 5, "id": 1}, {"method": None, "id": 1}, {"id": 1}, 7, [], None]
        server.send(*([each, {"method": "add", "params": [1, 2], "id": 2}] for each in odd))
        await turns()
        three = [{"jsonrpc": "2.0", "id": 2, "result": 3}]
        assert [json.loads(each) for each in server.received] == [three] * 6


@pytest.mark.contract("PR5", "OB7")
async def test_a_handler_that_is_cancelled_by_its_own_code_replies(reported):
    async def waits_for_another():
        other = asyncio.create_task(asyncio.sleep(9))
        other.cancel()
        await other

    def cancels():
        raise asyncio.CancelledError("a bug")

    server = FakeServer()
    async with connect_to(server, JsonRpc()) as connection:
        connection.handle("waits", waits_for_another)
        connection.handle("cancels", cancels)
        await connection.ready()
        server.send({"method": "waits", "id": 1}, {"method": "cancels", "id": 2}, "after")
        await connection.messages.wait_for(len)
        await turns()
        replies = [json.loads(each) for each in server.received]
        assert {(each["id"], each["error"]["code"]) for each in replies} == {
            (1, -32603),
            (2, -32603),
        }
    assert len(reported) == 2


# Answers


@pytest.mark.contract("SU4", "OB5")
@pytest.mark.parametrize(
    "protocol",
    [Plain(), Topics(key=lambda data: None), JsonRpc()],
    ids=["plain", "topics", "json-rpc"],
)
async def test_a_stream_that_is_made_of_an_answer_gets_what_stands_behind_it(protocol):
    server = FakeServer()
    async with connect_to(server, protocol) as connection:
        await connection.ready()

        async def follow():
            # In a task of its own, as `asyncio.gather` and, before Python 3.12, `wait_for` do it.
            answer = await asyncio.create_task(connection.request({"method": "follow"}))
            number = answer["id"] if isinstance(answer, dict) else answer
            return connection.stream(where=lambda message: message.data["of"] == number)

        async def serve():
            await turns()
            number = json.loads(server.received[-1])["id"]
            server.send({"id": number, "result": number}, *({"of": number, "n": n} for n in (1, 2)))

        serving = asyncio.create_task(serve())
        stream = await follow()
        await serving
        number = json.loads(server.received[-1])["id"]
        server.send({"of": number, "n": 3})
        got = [(await asyncio.wait_for(anext(stream), 5)).data["n"] for _ in range(3)]
        assert got == [1, 2, 3]


@pytest.mark.contract("OB7", "OP2")
async def test_a_message_of_the_opening_is_answered_there():
    server, taken = FakeServer(), []

    async def on_open(opening):
        server.send("who is there?")
        taken.append(await opening.receive())

    async with connect_to(server, Plain(), on_open=on_open) as connection:
        await connection.ready()
        receipt = connection.reply(taken[0], "me")
        assert (receipt.state, "opening.send()" in receipt.why) == ("refused", True)
        with pytest.raises(TypeError, match="takes the message that it answers first"):
            connection.reply({"op": "pong"}, "me")
    assert server.received == []


@pytest.mark.parametrize("params", [None, [1], "x", 5])
def test_parameters_that_are_no_mapping_are_refused(params):
    connection = WebSocketStore("ws://fake", protocol=Topics(key=stream_of))
    with pytest.raises(InvalidOption, match="params"):
        connection.subscribe("a", params)


# What is cancelled by its own code


async def waits_for_another(*args):
    """As a program does whose other task was cancelled."""
    other = asyncio.create_task(asyncio.sleep(9))
    other.cancel()
    await other


@pytest.mark.contract("OP3")
async def test_an_opening_that_is_cancelled_by_its_own_code_is_a_failed_attempt():
    tries = []

    async def on_open(opening):
        tries.append(asyncio.get_running_loop().time())
        if len(tries) == 1:
            await waits_for_another()

    async with connect_to(FakeServer(), Plain(), on_open=on_open) as connection:
        error = await connection.error.wait_for(lambda error: error is not None, 5)
        assert "on_open raised CancelledError" in str(error)
        await connection.ready(5)
    assert tries[1] - tries[0] == pytest.approx(1.0, abs=0.1)


@pytest.mark.contract("RC9")
async def test_a_predicate_that_is_cancelled_by_its_own_code_is_a_policy_error():
    server = FakeServer()
    async with connect_to(server, Plain(), should_reconnect=waits_for_another) as connection:
        await connection.ready()
        server.drop()
        await connection.connected.wait_for(lambda connected: not connected)
        with pytest.raises(ConnectionEnded, match="policy error"):
            await connection.ready(5)


@pytest.mark.contract("PR1")
async def test_a_parameter_that_is_cancelled_by_its_own_code_costs_the_attempt(reported):
    asked = []

    async def token(question):
        if isinstance(question, Ask):
            asked.append(question)
            if len(asked) == 1:
                await waits_for_another()

    class Talk(Conversation):
        def open(self, given, now):
            return [Ask("token")]

        def told(self, question, value, now):
            return [Opened()]

    class Asking(BaseProtocol):
        def parameters(self):
            return {"token": token}

        def converse(self, memory, attempt):
            return Talk()

    async with connect_to(FakeServer(), Asking()) as connection:
        error = await connection.error.wait_for(lambda error: error is not None, 5)
        assert "the callable for 'token' raised" in str(error)
        await connection.ready(5)
    assert len(reported) == 1


class Fatal(BaseException):
    """What `except Exception` does not catch."""


@pytest.mark.contract("SU7")
async def test_a_snapshot_that_ends_in_whatever_way_is_loaded_again(reported):
    loads = []

    async def load():
        loads.append(1)
        if len(loads) == 1:
            raise Fatal
        if len(loads) == 2:
            await waits_for_another()
        return "snapshot"

    market = Market()
    async with connect_to(market) as connection, connection.subscribe("a", snapshot=load) as handle:
        await handle.ready(5)
        market.publish("a", 1)
        messages = await handle.messages.wait_for(lambda messages: len(messages) == 2, 10)
        assert [each.data for each in messages] == ["snapshot", {"arg": "a", "n": 1}]
    await turns()
    assert [each["message"].split(" raised")[0] for each in reported[:2]] == [
        "the snapshot of the subscription 'a'"
    ] * 2


# While the connection opens


@pytest.mark.contract("SU2", "OP1")
async def test_what_is_wanted_while_an_opening_waits_is_asked_once_on_each_connection():
    market, asked = Market(), []

    async def on_open(opening):
        asked.append(opening.connection.subscribe(f"begun in opening {len(market.visits)}"))
        await opening.request({"op": "sign in"})
        await asyncio.sleep(1)  # somebody else subscribes meanwhile

    async def opening_waits(number):
        await connection.phase.wait_for(lambda phase: phase == "connecting", 5)
        while len(market.visits) < number:
            await asyncio.sleep(0.1)

    async with connect_to(market, on_open=on_open) as connection:
        asked.append(connection.subscribe("before"))
        for number in (1, 2, 3):
            await opening_waits(number)
            asked.append(connection.subscribe(f"meanwhile {number}"))
            await asked[-1].ready(5)
            market.go_down()
            await turns()
            asked.append(connection.subscribe(f"in outage {number}"))
            gone = connection.subscribe(f"released in outage {number}")
            gone.unsubscribe()
            market.come_up()
        await connection.ready(5)
        await turns()
        keys = [each.key for each in asked]
        visits = [each for each in market.visits if each.asked]
        assert [len(each.asked) for each in visits] == [3, 6, 9, 11]
        for visit in visits:
            assert set(visit.asked) <= set(keys)
            assert len(set(visit.asked)) == len(visit.asked), "asked for once"
        assert sorted(market.visit.asked) == sorted(keys)
        for each in asked:
            each.unsubscribe()


@pytest.mark.contract("OP2", "PR5")
@pytest.mark.parametrize("takes", [0, 1, 2])
async def test_calls_that_nobody_handles_while_it_opens(takes):
    server, taken = FakeServer(), []

    def told(number):
        return {"jsonrpc": "2.0", "method": "told", "params": [number]}

    async def on_open(opening):
        server.send(told(1), {"jsonrpc": "2.0", "method": "asked", "id": 7}, told(2), "plain")
        taken.extend([(await opening.receive()).data for _ in range(takes)])
        await turns()

    async with connect_to(server, JsonRpc(), on_open=on_open) as connection:
        stream = connection.stream()
        await connection.ready()
        await connection.messages.wait_for(len)
        server.send(told(3))
        left = [(await asyncio.wait_for(anext(stream), 5)).data for _ in range(4 - takes)]
        # A request is answered at once, and is no message.
        assert [*taken, *left] == [told(1), told(2), "plain", told(3)]
        assert [json.loads(each)["error"]["code"] for each in server.received] == [-32601]
        assert len(connection.messages.value) == 4 - takes


@pytest.mark.contract("OP2", "PR5")
async def test_calls_that_are_handled_while_it_opens_are_no_messages():
    server, told = FakeServer(), []

    async def on_open(opening):
        server.send({"method": "told", "params": [1]}, {"method": "add", "params": [1, 2], "id": 7})
        await asyncio.sleep(1)
        assert json.loads(server.received[0])["result"] == 3

    async with connect_to(server, JsonRpc(), on_open=on_open) as connection:
        connection.handle("told", told.append)
        connection.handle("add", lambda a, b: a + b)
        await connection.ready()
        await turns()
        assert told == [1]
        assert len(connection.messages.value) == 0


@pytest.mark.contract("SU4", "OB5")
async def test_many_answers_in_one_read_are_given_at_once_and_the_rest_keeps_its_order():
    server = FakeServer()
    async with connect_to(server, Plain()) as connection:
        await connection.ready()
        asking = asyncio.gather(*(connection.request({"n": n}) for n in range(100)))
        await turns()
        stream = connection.stream()
        answers = [{"id": json.loads(each)["id"]} for each in server.received]
        messages = [{"between": n} for n in range(100)]
        server.send(*(each for pair in zip(answers, messages, strict=True) for each in pair))
        server.close(1000)
        async with asyncio.timeout(5):
            assert await asking == answers
            assert [(await anext(stream)).data for _ in range(100)] == messages


@pytest.mark.contract("OB7", "PR5")
async def test_a_handler_whose_connection_is_lost_before_it_begins_is_not_begun():
    server, begun = FakeServer(), []

    async def slow():
        begun.append(1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        async with connect_to(server, JsonRpc()) as connection:
            connection.handle("slow", slow)
            connection.handle("lose", lambda: connection.lose("enough"))
            await connection.ready()
            server.send({"method": "slow", "id": 1}, {"method": "lose"})
            await connection.phase.wait_for(lambda phase: phase == "waiting")
            await connection.ready()
        gc.collect()
    assert (begun, server.received, caught) == ([], [], [])


@pytest.mark.contract("ST14", "PR5")
def test_what_could_never_answer_is_refused_as_a_handler():
    def numbers():
        yield 1

    async def later():
        yield 1

    connection = WebSocketStore("ws://fake", protocol=JsonRpc())
    for each in (numbers, later):
        with pytest.raises(TypeError, match="has a yield"):
            connection.handle("f", each)
    with pytest.raises(InvalidOption, match="unsubscribe"):
        Call("subscribe", unsubscribe=5)
    with pytest.raises(InvalidOption, match="where"):
        connection.stream(where=5)


@pytest.mark.contract("OP1")
async def test_an_opening_says_what_to_use_in_place_of_the_connection():
    async def on_open(opening):
        async for message in opening.stream():
            assert message

    async with connect_to(FakeServer(), Plain(), on_open=on_open) as connection:
        error = await connection.error.wait_for(lambda error: error is not None, 5)
        assert "an Opening has no 'stream'; here use its send(), receive() and request()" in str(
            error
        )
