"""`Topics` and `JsonRpc` over real sockets; each server names topics in a way of its own."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from sockstore import Reconnect, SubscriptionRefused, WebSocketStore
from sockstore.protocols import Call, JsonRpc, TopicAnswer, Topics
from waiting import until

pytestmark = [pytest.mark.asyncio, pytest.mark.loopback]

OFTEN = Reconnect(schedule=lambda attempt, outcome: 0.05)


class Feed:
    """A server of topics; a subclass says how they are asked for and named."""

    def __init__(self):
        self.url = ""
        self.asked = []  # every question, with the number of its connection
        self.topics = {}  # the route of each topic of the last connection
        self.connection = None
        self.count = 0

    async def handle(self, connection):
        self.count += 1
        self.connection, self.topics = connection, {}
        try:
            async for frame in connection:
                told = json.loads(frame)
                self.asked.append((self.count, told))
                for each in self.answer(told):
                    await connection.send(json.dumps(each))
        except ConnectionClosed:
            pass

    async def publish(self, key, value):
        await self.connection.send(json.dumps(self.message(self.topics[key], value)))

    async def drop(self):
        self.connection.transport.abort()
        await self.connection.wait_closed()


class Streams(Feed):
    """Binance: keys in a list, one answer with the id of the question, a combined stream."""

    protocol = Topics(
        key=lambda data: data.get("stream"),
        subscribe=lambda keys: {"method": "SUBSCRIBE", "params": keys},
        unsubscribe=lambda keys: {"method": "UNSUBSCRIBE", "params": keys},
        most=2,
        rate=50,
    )
    keys = ("a@trade", "b@trade", "c@trade", "bad")

    def answer(self, told):
        if told["method"] == "SUBSCRIBE" and "bad" in told["params"]:
            return [{"id": told["id"], "error": {"code": 2, "msg": "Invalid request"}}]
        for key in told["params"]:
            if told["method"] == "SUBSCRIBE":
                self.topics[key] = key
            else:
                self.topics.pop(key, None)
        return [{"result": None, "id": told["id"]}]

    def message(self, route, value):
        return {"stream": route, "data": value}


class Channels(Feed):
    """Bitfinex: one key in a message; the answer names the key and the server's number."""

    protocol = Topics(
        key=lambda data: data[0] if isinstance(data, list) else None,
        subscribe=lambda keys: {"event": "subscribe", "symbol": keys[0]},
        unsubscribe=lambda routes: {"event": "unsubscribe", "chanId": routes[0]},
        answers=lambda data: (
            TopicAnswer(data["symbol"], data.get("chanId"), data.get("msg"))
            if isinstance(data, dict) and data.get("event") in {"subscribed", "error"}
            else None
        ),
        requests=None,
        most=1,
    )
    keys = ("a", "b", "c", "bad")

    def answer(self, told):
        if told["event"] == "unsubscribe":
            self.topics = {k: n for k, n in self.topics.items() if n != told["chanId"]}
            return [{"event": "unsubscribed", "status": "OK", "chanId": told["chanId"]}]
        if told["symbol"] == "bad":
            return [{"event": "error", "symbol": "bad", "msg": "symbol: invalid"}]
        route = self.topics[told["symbol"]] = 100 * self.count + len(self.topics)
        # What stands right behind the answer, and even before it, is not lost (SU4).
        answer = {"event": "subscribed", "symbol": told["symbol"], "chanId": route}
        return [[route, "snapshot"], answer]

    def message(self, route, value):
        return [route, value]


class Numbers(Feed):
    """Topics with numbers that the client gives: a message carries that of its question."""

    protocol = Topics(
        key=lambda data: data.get("id") if data.get("type") == "data" else None,
        subscribe=lambda keys: {"type": "subscribe", "topic": keys[0]},
        unsubscribe=lambda numbers: {"type": "unsubscribe", "of": numbers[0]},
        answers=lambda data: (
            TopicAnswer(route=data["id"], error=data.get("error"))
            if data.get("type") == "ack"
            else None
        ),
        most=1,
    )
    keys = ("a", "b", "c", "bad")

    def answer(self, told):
        if told["type"] == "unsubscribe":
            self.topics = {k: n for k, n in self.topics.items() if n != told["of"]}
            return [{"type": "ack", "id": told["id"]}]
        if told["topic"] == "bad":
            return [{"type": "ack", "id": told["id"], "error": "no such topic"}]
        self.topics[told["topic"]] = told["id"]
        return [{"type": "ack", "id": told["id"]}]

    def message(self, route, value):
        return {"type": "data", "id": route, "value": value}


class Chain(Feed):
    """JSON-RPC: a call subscribes, and its result is the id that notifications carry."""

    protocol = JsonRpc()
    keys = tuple(
        Call("eth_subscribe", [name], "eth_unsubscribe") for name in ("a", "b", "c", "bad")
    )

    def answer(self, told):
        response = {"jsonrpc": "2.0", "id": told["id"]}
        if told["method"] == "eth_unsubscribe":
            self.topics = {k: n for k, n in self.topics.items() if n != told["params"][0]}
            return [response | {"result": True}]
        (name,) = told["params"]
        if name == "bad":
            return [response | {"error": {"code": -32602, "message": "no such subscription"}}]
        key = next(key for key in self.keys if key.params == [name])
        self.topics[key] = route = f"0x{self.count}{told['id']}"
        return [response | {"result": route}]

    def message(self, route, value):
        params = {"subscription": route, "result": value}
        return {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}


@asynccontextmanager
async def serving(feed):
    async with serve(feed.handle, "127.0.0.1", 0) as server:
        feed.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield feed


FEEDS = [
    pytest.param(Streams, marks=pytest.mark.contract("PR4")),
    pytest.param(Channels, marks=pytest.mark.contract("PR4")),
    pytest.param(Numbers, marks=pytest.mark.contract("PR4")),
    pytest.param(Chain, marks=pytest.mark.contract("PR5")),
]


@pytest.mark.parametrize("kind", FEEDS)
async def test_topics_are_asked_for_routed_refused_released_and_asked_for_again(kind):
    async with serving(kind()) as feed, asyncio.timeout(30):
        async with WebSocketStore(feed.url, protocol=feed.protocol, reconnect=OFTEN) as connection:
            *good, bad = [connection.subscribe(key) for key in feed.keys]
            for each in good:
                await each.ready()
            with pytest.raises(SubscriptionRefused):
                await bad.ready()
            bad.unsubscribe()
            for again in range(2):
                await each_gets_its_own(feed, good, 10 * again)
                await feed.drop()
                await until(lambda count=again + 2: feed.count == count and len(feed.topics) == 3)
                await until(lambda: all(each.state.value.phase == "subscribed" for each in good))
            assert set(feed.topics) == set(feed.keys[:-1])
            good.pop().unsubscribe()
            await until(lambda: set(feed.topics) == set(feed.keys[:2]))
            assert not connection.messages.value or kind is Channels
            for each in good:
                each.unsubscribe()
            await until(lambda: not feed.topics)


async def each_gets_its_own(feed, subscriptions, value):
    for number, each in enumerate(subscriptions, value):
        await feed.publish(each.key, number)
    for number, each in enumerate(subscriptions, value):
        await each.messages.wait_for(
            lambda messages, number=number: messages and str(number) in str(messages[-1].data)
        )


@pytest.mark.contract("PR4")
async def test_topics_that_nobody_need_ask_for_are_only_routed():
    feed = Feed()
    feed.answer = lambda told: []
    feed.message = lambda route, value: {"type": route, "value": value}
    async with serving(feed), asyncio.timeout(30):
        protocol = Topics(key=lambda data: data.get("type"))
        async with WebSocketStore(feed.url, protocol=protocol, reconnect=OFTEN) as connection:
            async with connection.subscribe("chat") as chat:
                await chat.ready()
                feed.topics = {"chat": "chat", "other": "other"}
                await feed.publish("chat", 1)
                await feed.publish("other", 2)
                (other,) = await connection.messages.wait_for(len)
                assert other.data["value"] == 2
                assert chat.messages.value[-1].data["value"] == 1
            assert not feed.asked


@pytest.mark.contract("PR4")
async def test_questions_are_divided_and_paced():
    async with serving(Streams()) as feed, asyncio.timeout(30):
        protocol = Topics(
            key=lambda data: data.get("stream"),
            subscribe=lambda keys: {"method": "SUBSCRIBE", "params": keys},
            most=10,
            rate=20,
        )
        async with WebSocketStore(feed.url, protocol=protocol, reconnect=OFTEN) as connection:
            await connection.ready()
            begin = asyncio.get_running_loop().time()
            subscriptions = [connection.subscribe(f"s{n}") for n in range(300)]
            await until(lambda: len(feed.topics) == 300)
            assert len(feed.asked) == 30
            assert asyncio.get_running_loop().time() - begin > 0.4  # 20 at once, then 20 a second
            for each in subscriptions:
                each.unsubscribe()


@pytest.mark.contract("PR5", "OB7")
async def test_json_rpc_both_ways_at_once():
    feed = Feed()
    feed.answer = lambda told: (
        [{"jsonrpc": "2.0", "id": told["id"], "result": told["params"]}] if "method" in told else []
    )
    async with serving(feed), asyncio.timeout(30):
        async with WebSocketStore(feed.url, protocol=JsonRpc(), reconnect=OFTEN) as connection:
            connection.handle("double", lambda n: 2 * n)
            await connection.ready()
            asking = [
                asyncio.ensure_future(connection.request({"method": "echo", "params": [n]}))
                for n in range(50)
            ]
            for n in range(50):
                call = {"jsonrpc": "2.0", "id": f"s{n}", "method": "double", "params": [n]}
                await feed.connection.send(json.dumps(call))
            assert await asyncio.gather(*asking) == [[n] for n in range(50)]
            await until(lambda: sum("result" in told for _, told in feed.asked) == 50)
            results = {told["id"]: told["result"] for _, told in feed.asked if "result" in told}
            assert results == {f"s{n}": 2 * n for n in range(50)}
