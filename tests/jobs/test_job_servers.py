"""The fake servers of the jobs are as strict as the real ones."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from jobs.gateway import DiscordGateway
from jobs.graphql import GraphQLServer
from jobs.home_assistant import HomeAssistant
from jobs.json_rpc import RpcServer
from jobs.market import Market
from jobs.rooms import RoomsServer
from sockstore import WebSocketStore
from sockstore.testing import assert_no_leaks

pytestmark = pytest.mark.virtual_clock


class Talk:
    """A plain client: it says what a test wants, and reads one message after the other."""

    def __init__(self, connection: WebSocketStore) -> None:
        self.connection = connection
        self.stream = connection.stream()
        self.say = connection.send

    async def hear(self):
        async with asyncio.timeout(10):
            return (await anext(self.stream)).data

    async def close(self) -> str:
        """Wait for the close; return its words."""
        async with asyncio.timeout(10):
            await self.connection.connected.wait_for(lambda connected: not connected)
        return str(self.connection.error.value or self.connection.explain())


@asynccontextmanager
async def talking(server, **options):
    async with assert_no_leaks(), server:
        connection = WebSocketStore("ws://fake", transport=server, reconnect=False, **options)
        talk = Talk(connection)
        async with connection:
            await connection.ready()
            yield talk


async def test_each_delta_of_the_market_follows_and_makes_the_book():
    market = Market(["a", "b"])
    async with talking(market) as talk:
        talk.say({"method": "SUBSCRIBE", "params": ["a@depth"], "id": 1})
        assert await talk.hear() == {"result": None, "id": 1}
        book = await market.load("a")
        last, levels = book["lastUpdateId"], dict(book["bids"])
        while last < market.numbers["a"] or last < 150:
            delta = (await talk.hear())["data"]
            if delta["u"] <= last:
                continue
            assert delta["U"] == last + 1
            for price, quantity in delta["b"]:
                levels.pop(price, None)
                if quantity:
                    levels[price] = quantity
            last = delta["u"]
            assert levels == market.history["a"][last]
        talk.say({"method": "UNSUBSCRIBE", "params": ["a@depth"], "id": 2})
        while "result" not in await talk.hear():
            pass
        await asyncio.sleep(1)
        assert talk.stream.lag == 0
        assert market.subscribed[market.connection] == set()


async def test_the_market_ends_a_connection_that_asks_too_often_or_is_old():
    async with talking(Market(["a"])) as talk:
        for number in range(6):
            talk.say({"method": "SUBSCRIBE", "params": [], "id": number})
        assert "1008" in await talk.close()
    async with talking(Market(["a"], lifetime=5)) as talk:
        await asyncio.sleep(6)
        assert "its age" in await talk.close()


GRAPHQL = {"subprotocols": ["graphql-transport-ws"]}


async def test_graphql_runs_operations_side_by_side_until_they_end():
    server = GraphQLServer()
    async with talking(server, **GRAPHQL) as talk:
        talk.say({"type": "connection_init", "payload": {"token": "secret"}})
        assert [(await talk.hear())["type"] for _ in range(2)] == ["connection_ack", "ping"]
        talk.say({"type": "pong"})
        talk.say({"id": "1", "type": "subscribe", "payload": {"query": "three"}})
        talk.say({"id": "2", "type": "subscribe", "payload": {"query": "endless"}})
        talk.say({"id": "3", "type": "subscribe", "payload": {"query": "bad"}})
        heard = [await talk.hear() for _ in range(12)]
        assert [each["type"] for each in heard if each["id"] == "1"] == [*["next"] * 3, "complete"]
        assert [each["type"] for each in heard if each["id"] == "3"] == ["error"]
        assert server.running == ["2"]
        talk.say({"id": "2", "type": "complete"})
        await asyncio.sleep(1)
        assert (server.running, server.pongs) == ([], 1)
        talk.say({"id": "2", "type": "subscribe", "payload": {"query": "endless"}})
        talk.say({"id": "2", "type": "subscribe", "payload": {"query": "endless"}})
        assert "4409" in await talk.close()


@pytest.mark.parametrize(
    ("say", "code"),
    [
        ({"type": "subscribe", "id": "1", "payload": {"query": "three"}}, "4401"),
        ({"type": "connection_init", "payload": {"token": "wrong"}}, "4403"),
        (None, "4408"),
    ],
)
async def test_graphql_lets_nobody_in_who_does_not_begin_well(say, code):
    async with talking(GraphQLServer(), **GRAPHQL) as talk:
        if say is not None:
            talk.say(say)
        assert code in await talk.close()


async def test_home_assistant_speaks_first_and_wants_ids_that_rise():
    home = HomeAssistant()
    async with talking(home) as talk:
        assert (await talk.hear())["type"] == "auth_required"
        talk.say({"type": "auth", "access_token": "secret"})
        assert (await talk.hear())["type"] == "auth_ok"
        talk.say({"id": 2, "type": "subscribe_events", "event_type": "state_changed"})
        assert (await talk.hear())["success"]
        assert (await talk.hear())["event"]["data"] == "first"
        talk.say({"id": 2, "type": "get_states"})
        assert (await talk.hear())["error"]["code"] == "id_reuse"
        talk.say({"id": 3, "type": "call_service", "service": "turn_on"})
        assert [(await talk.hear())["type"] for _ in range(2)] == ["event", "result"]
        home.fire("other", 1)
        home.fire("state_changed", 2)
        assert (await talk.hear())["event"] == {"event_type": "state_changed", "data": 2}
        talk.say({"id": 4, "type": "unsubscribe_events", "subscription": 2})
        assert (await talk.hear())["success"]
        talk.say({"id": 5, "type": "unsubscribe_events", "subscription": 2})
        assert (await talk.hear())["error"]["code"] == "not_found"
    async with talking(HomeAssistant()) as talk:
        talk.say({"type": "auth", "access_token": "wrong"})
        assert [(await talk.hear())["type"] for _ in range(2)] == ["auth_required", "auth_invalid"]
        await talk.close()


async def test_the_gateway_tells_what_was_missed_to_who_resumes():
    gateway = DiscordGateway()
    async with gateway:
        first = Talk(WebSocketStore("ws://fake", transport=gateway, reconnect=False))
        async with first.connection:
            assert (await first.hear())["d"] == {"heartbeat_interval": 100}
            first.say({"op": 2, "d": {"token": "secret"}})
            ready = await first.hear()
            gateway.tell("one")
            assert (await first.hear())["d"] == "one"
            first.say({"op": 1, "d": 2})
            assert await first.hear() == {"op": 11}
            assert "4009" in await first.close(), "heartbeats stayed away"
        gateway.store("two")
        async with talking(gateway) as talk:
            assert (await talk.hear())["op"] == 10
            talk.say({"op": 6, "d": {"session_id": "unknown", "seq": 1}})
            assert await talk.hear() == {"op": 9, "d": False}
            talk.say({"op": 6, "d": {"session_id": ready["d"]["session_id"], "seq": 2}})
            assert [(await talk.hear())["d"] for _ in range(2)] == ["two", {}]


async def test_the_gateway_refuses_a_wrong_token_and_who_is_not_identified():
    for words, code in (({"op": 2, "d": {"token": "x"}}, "4004"), ({"op": 3}, "4003")):
        async with talking(DiscordGateway()) as talk:
            talk.say(words)
            assert code in await talk.close()


async def test_the_peer_of_json_rpc_is_called_and_calls():
    async with talking(RpcServer()) as talk:
        talk.say({"jsonrpc": "2.0", "id": 1, "method": "add", "params": [1, 2]})
        assert (await talk.hear())["result"] == 3
        talk.say({"jsonrpc": "2.0", "id": 2, "method": "ask_me", "params": ["delete"]})
        talk.say({"jsonrpc": "2.0", "id": 3, "method": "unknown_at_client", "params": []})
        asked = [await talk.hear() for _ in range(2)]
        assert [each["method"] for each in asked] == ["confirm", "nothing"]
        error = {"code": -32601, "message": "method not found"}
        talk.say(
            [
                {"jsonrpc": "2.0", "id": asked[1]["id"], "error": error},
                {"jsonrpc": "2.0", "id": asked[0]["id"], "result": "yes"},
            ]
        )
        assert {(await talk.hear())["result"] for _ in range(2)} == {"yes", -32601}


async def test_an_answer_that_the_peer_did_not_ask_for_is_an_error_of_the_test(caplog):
    with pytest.raises(ExceptionGroup) as failed:
        async with RpcServer() as server:
            connection = WebSocketStore("ws://fake", transport=server, reconnect=False)
            async with connection:
                await connection.ready()
                connection.send({"jsonrpc": "2.0", "id": 7, "result": "late"})
                await connection.connected.wait_for(lambda connected: not connected)
    assert failed.group_contains(KeyError) if hasattr(failed, "group_contains") else True


async def test_rooms_give_what_was_missed_and_say_if_they_cannot():
    server = RoomsServer(keeps=2)
    async with talking(server) as talk:
        talk.say({"id": 1, "connect": {}})
        assert (await talk.hear())["connect"]["client"]
        talk.say({"id": 2, "subscribe": {"channel": "a"}})
        assert (await talk.hear())["subscribe"]["offset"] == 0
        server.say("a", "one")
        server.say("b", "not for us")
        told = {"channel": "a", "pub": {"offset": 1, "data": "one"}}
        assert await talk.hear() == {"push": told}
        talk.say({"id": 3, "unsubscribe": {"channel": "a"}})
        assert await talk.hear() == {"id": 3, "unsubscribe": {}}
        for said in ("two", "three"):
            server.say("a", said)
        since = {"channel": "a", "recover": True, "epoch": "e"}
        talk.say({"id": 4, "subscribe": {**since, "offset": 1}})
        result = (await talk.hear())["subscribe"]
        assert (result["recovered"], result["offset"]) == (True, 1)
        assert [each["data"] for each in result["publications"]] == ["two", "three"]
        for number, more in enumerate(({"offset": 0}, {"offset": 3, "epoch": "f"}), start=5):
            talk.say({"id": number, "subscribe": {**since, **more}})
            assert "recovered" not in (await talk.hear())["subscribe"]


async def test_rooms_refuse_a_number_again_and_what_comes_before_connect():
    for first in ({"id": 1, "subscribe": {"channel": "a"}}, {"id": 0, "connect": {}}):
        async with talking(RoomsServer()) as talk:
            talk.say(first)
            assert "3501" in await talk.close()
