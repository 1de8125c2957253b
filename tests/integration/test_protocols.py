"""Protocols over connections: who is answered, on which connection, and what cannot be used."""

from __future__ import annotations

import asyncio
import json

import pytest

from sockstore import DeliveryError, Reconnect, RequestFailed, WebSocketStore
from sockstore.protocols import (
    BaseProtocol,
    Centrifuge,
    Heartbeat,
    IdField,
    JsonRpc,
    Plain,
    TopicAnswer,
    Topics,
)
from sockstore.testing import FakeServer

pytestmark = pytest.mark.virtual_clock

EVERY_SECOND = Reconnect(schedule=lambda attempt, outcome: 1.0)


def speaking(server, protocol=None, **options):
    options = {"reconnect": EVERY_SECOND, **options}
    return WebSocketStore("ws://fake", transport=server, protocol=protocol, **options)


async def heard(server, count):
    while len(server.received) < count:
        await asyncio.sleep(0.01)
    return [json.loads(each) for each in server.received]


# Answers to messages


@pytest.mark.contract("OB7")
async def test_a_reply_leaves_on_the_connection_that_asked():
    server = FakeServer()
    async with speaking(server) as connection:
        await connection.ready()
        server.send({"op": "ping", "id": 1})
        (message,) = await connection.messages.wait_for(len)
        receipt = connection.reply(message, {"op": "pong", "id": 1})
        assert receipt.state == "sent"
        assert await heard(server, 1) == [{"op": "pong", "id": 1}]


@pytest.mark.contract("OB7")
async def test_a_reply_that_comes_too_late_is_dropped():
    server = FakeServer()
    async with speaking(server) as connection:
        await connection.ready()
        server.send({"op": "ping", "id": 1})
        (message,) = await connection.messages.wait_for(len)
        server.drop()
        await connection.connected.wait_for(lambda connected: not connected)
        assert connection.reply(message, "in the outage").state == "dropped"
        await connection.ready()
        late = connection.reply(message, "to the next connection")
        assert (late.state, bool(late)) == ("dropped", False)
        with pytest.raises(DeliveryError, match="connection that the message came on is gone"):
            await late
        server.send({"op": "ping", "id": 2})
        first, second = await connection.messages.wait_for(lambda messages: len(messages) == 2)
        assert connection.reply(second, {"id": 2})
        assert not connection.reply(first, {"id": 1})
        assert await heard(server, 1) == [{"id": 2}]
        connection.close()
        assert connection.reply(second, "closed").state == "dropped"


@pytest.mark.contract("OB7", "OB4")
async def test_a_reply_that_waits_for_the_send_buffer_does_not_outlive_its_connection():
    server = FakeServer()
    async with speaking(server) as connection:
        await connection.ready()
        server.send("question")
        (message,) = await connection.messages.wait_for(len)
        server.freeze()
        while connection.send("x" * 50_000).state == "sent":
            pass
        reply = connection.reply(message, "answer")
        assert reply.state == "queued"
        server.drop()
        await connection.connected.wait_for(lambda connected: not connected)
        assert reply.state == "dropped"
        await connection.ready()
        await connection.drain()
        await asyncio.sleep(1)
        assert "answer" not in server.received


@pytest.mark.contract("OB7", "PR2")
async def test_a_reply_in_a_protocol_is_framed_by_it():
    server = FakeServer()
    async with speaking(server, Topics(key=lambda data: None)) as connection:
        await connection.ready()
        server.send({"ping": 17})
        (message,) = await connection.messages.wait_for(len)
        assert connection.reply(message, {"pong": message.data["ping"]})
        assert await heard(server, 1) == [{"pong": 17}]


# Calls by the server


@pytest.mark.contract("PR5")
async def test_what_handlers_return_and_raise_is_the_answer(reported):
    def divide(a, b):
        if b == 0:
            raise RequestFailed(7, "by zero", [a, b])
        return a / b

    async def slowly(*, word):
        await asyncio.sleep(1)
        return word

    server = FakeServer()
    async with speaking(server, JsonRpc()) as connection:
        connection.handle("divide", divide)
        connection.handle("slowly", slowly)
        connection.handle("object", object)
        connection.handle("bug", lambda: 1 / 0)
        await connection.ready()
        calls = [
            ("slowly", {"word": "last"}),
            ("divide", [6, 3]),
            ("divide", [1, 0]),
            ("divide", [1]),
            ("nothing", None),
            ("bug", None),
            ("object", None),
        ]
        for number, (method, params) in enumerate(calls):
            server.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        answers = {each["id"]: each for each in await heard(server, 7)}
        assert answers[0]["result"] == "last"
        assert answers[1]["result"] == 2
        assert answers[2]["error"] == {"code": 7, "message": "by zero", "data": [1, 0]}
        assert [answers[n]["error"]["code"] for n in (3, 4, 5, 6)] == [
            -32602,
            -32601,
            -32603,
            -32603,
        ]
        assert json.loads(server.received[-1])["id"] == 0  # the slow one did not hold up others
        assert not connection.messages.value
    assert len(reported) == 2


@pytest.mark.contract("PR5")
async def test_a_batch_is_answered_by_a_batch_and_notifications_by_nothing():
    server, noted = FakeServer(), []
    async with speaking(server, JsonRpc()) as connection:
        connection.handle("double", lambda n: 2 * n)
        connection.handle("note", noted.append)
        await connection.ready()
        server.send(
            [
                {"jsonrpc": "2.0", "id": "a", "method": "double", "params": [1]},
                {"jsonrpc": "2.0", "method": "note", "params": ["this"]},
                {"jsonrpc": "2.0", "id": "b", "method": "double", "params": {"n": 2}},
            ]
        )
        (batch,) = await heard(server, 1)
        assert {each["id"]: each["result"] for each in batch} == {"a": 2, "b": 4}
        assert noted == ["this"]
        server.send({"jsonrpc": "2.0", "method": "news", "params": [1]})
        (news,) = await connection.messages.wait_for(len)
        assert news.data["params"] == [1]  # nobody handles it: it is a message


@pytest.mark.contract("PR5")
async def test_a_hundred_calls_are_answered_at_once_and_more_are_refused():
    server, door = FakeServer(), asyncio.Event()
    async with speaking(server, JsonRpc()) as connection:

        async def wait(n):
            await door.wait()
            return n

        stop = connection.handle("wait", wait)
        await connection.ready()
        for n in range(120):
            server.send({"jsonrpc": "2.0", "id": n, "method": "wait", "params": [n]})
        refused = await heard(server, 20)
        assert {each["error"]["code"] for each in refused} == {-32000}
        door.set()
        answered = (await heard(server, 120))[20:]
        assert sorted(each["result"] for each in answered) == list(range(100))
        stop()
        server.send({"jsonrpc": "2.0", "id": 1, "method": "wait", "params": [1]})
        assert (await heard(server, 121))[-1]["error"]["code"] == -32601


@pytest.mark.contract("PR5", "OB7")
async def test_a_call_of_a_connection_that_is_gone_is_not_answered_and_its_handler_is_cancelled():
    server, ends = FakeServer(), []
    async with speaking(server, JsonRpc()) as connection:

        async def confirm():
            try:
                await asyncio.sleep(100)
            finally:
                ends.append("cancelled")

        connection.handle("confirm", confirm)
        await connection.ready()
        server.send({"jsonrpc": "2.0", "id": 1, "method": "confirm"})
        await asyncio.sleep(0.1)
        server.drop()
        await connection.connected.wait_for(lambda connected: not connected)
        await connection.ready()
        await asyncio.sleep(200)
        assert ends == ["cancelled"]
        assert not server.received


@pytest.mark.contract("PR5")
async def test_a_name_is_handled_once():
    connection = speaking(FakeServer(), JsonRpc())
    stop = connection.handle("add", max)
    with pytest.raises(ValueError, match="'add' is answered already, by max"):
        connection.handle("add", min)
    stop()
    connection.handle("add", min)
    with pytest.raises(TypeError, match="not a function"):
        connection.handle("other", 5)


# Heartbeats and late answers


@pytest.mark.contract("LV2", "PR4", "PR5")
@pytest.mark.parametrize(
    "make",
    [
        lambda beat: Plain(heartbeat=beat),
        lambda beat: Topics(key=lambda data: None, heartbeat=beat),
        lambda beat: JsonRpc(heartbeat=beat),
    ],
    ids=["Plain", "Topics", "JsonRpc"],
)
async def test_every_protocol_has_the_same_heartbeat(make):
    beat = Heartbeat({"op": "ping"}, reply={"op": "pong"}, interval=15, timeout=5)
    server = FakeServer()
    async with speaking(server, make(beat)) as connection:
        await connection.ready()
        assert await heard(server, 1) == [{"op": "ping"}]
        server.send({"op": "pong"}, {"news": 1})
        messages = await connection.messages.wait_for(len)
        assert [each.data for each in messages] == [{"news": 1}]
        await connection.phase.wait_for(lambda phase: phase == "waiting", timeout=100)
        assert "no answer to heartbeat" in str(connection.error.value)


@pytest.mark.contract("PR2", "PR3", "OB5")
@pytest.mark.parametrize(
    ("protocol", "is_kept"),
    [(Plain(), True), (Topics(key=lambda data: None), False), (JsonRpc(), False)],
    ids=["Plain", "Topics", "JsonRpc"],
)
async def test_an_answer_that_nobody_waits_for_is_a_message_of_plain_only(protocol, is_kept):
    server = FakeServer()
    async with speaking(server, protocol) as connection:
        with pytest.raises(TimeoutError):
            await connection.request({"method": "late"}, timeout=1)
        late = {"jsonrpc": "2.0", "id": 1, "result": "late"}
        asking = asyncio.ensure_future(connection.request({"method": "next"}))
        await heard(server, 2)
        server.send(late, {"jsonrpc": "2.0", "id": 2, "result": "in time"})
        await asking
        await asyncio.sleep(0.1)
        assert [each.data for each in connection.messages.value] == [late] * is_kept


@pytest.mark.contract("OB11", "PR3")
async def test_the_ids_of_a_plain_connection_begin_anew_with_each_connection():
    server = FakeServer()
    async with speaking(server, Plain(requests=IdField("n"))) as connection:
        for _ in range(2):
            for expected in (1, 2):
                count = len(server.received)
                asking = asyncio.ensure_future(connection.request({"op": "time"}))
                assert (await heard(server, count + 1))[-1]["n"] == expected
                server.send({"n": expected})
                await asking
            server.drop()
            await connection.connected.wait_for(lambda connected: not connected)
            await connection.ready()


# What cannot be used


class Silent(BaseProtocol):
    """A protocol of somebody's own that has nothing."""


@pytest.mark.contract("CN22")
async def test_what_a_protocol_has_not_is_refused_with_its_name_and_one_that_has_it():
    plain, silent = speaking(FakeServer()), speaking(FakeServer(), Silent())
    topics = speaking(FakeServer(), Topics(key=lambda data: None))
    with pytest.raises(RuntimeError, match=r"subscribe\(\).* Plain, .*protocol=Topics"):
        plain.subscribe("a")
    for connection, name in ((plain, "Plain"), (topics, "Topics"), (silent, "Silent")):
        with pytest.raises(RuntimeError, match=rf"handle\(\).* {name}, .*protocol=JsonRpc"):
            connection.handle("a", print)
    with pytest.raises(RuntimeError, match=r"request\(\).* Silent, .*protocol=Plain"):
        await silent.request({})
    rooms = speaking(FakeServer(), Centrifuge())
    with pytest.raises(RuntimeError, match=r"handle\(\).* Centrifuge, .*protocol=JsonRpc"):
        rooms.handle("a", print)
    no_requests = speaking(FakeServer(), Topics(key=lambda data: None, requests=None))
    with pytest.raises(RuntimeError, match=r"request\(\).*Topics"):
        await no_requests.request({})


@pytest.mark.contract("OB5", "PR3")
async def test_a_request_that_waits_is_what_it_was_when_it_was_asked():
    server = FakeServer()
    server.go_down()
    async with speaking(server) as connection:
        asked = {"op": "get", "of": ["a"]}
        waiting = asyncio.ensure_future(connection.request(asked))
        await asyncio.sleep(0)
        asked["of"].append("b")
        server.come_up()
        assert await heard(server, 1) == [{"op": "get", "of": ["a"], "id": 1}]
        server.send({"id": 1})
        await waiting


@pytest.mark.contract("OB5", "PR4")
async def test_an_answer_with_the_id_of_a_request_is_its_answer_though_topics_would_take_it():
    # As in Home Assistant: a result looks the same, whatever it answers.
    async def answer(client):
        async for message in client:
            question = json.loads(message)
            await asyncio.sleep(2 if question["type"] == "slow" else 0)
            client.send({"type": "result", "id": question["id"]})

    topics = Topics(
        key=lambda data: None,
        subscribe=lambda keys: {"type": "subscribe", "key": keys[0]},
        answers=lambda data: TopicAnswer(route=data["id"]) if data["type"] == "result" else None,
        most=1,
    )
    server = FakeServer(answer)
    async with speaking(server, topics) as connection, connection.subscribe("a") as subscription:
        assert await connection.request({"type": "states"}) == {"type": "result", "id": 2}
        assert await subscription.ready() == {"type": "result", "id": 1}
        with pytest.raises(TimeoutError):
            await connection.request({"type": "slow"}, timeout=1)
        assert await connection.request({"type": "states"}) == {"type": "result", "id": 4}
        assert len(connection.messages) == 0
