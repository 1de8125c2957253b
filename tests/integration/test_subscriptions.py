"""Subscriptions: what the server is asked for, and what each reader gets, whatever happens."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import sys
import warnings
import weakref
from contextlib import suppress
from typing import Any

import pytest
from markets import Market, by_answers, by_ids, routed

from sockstore import (
    ConnectionEnded,
    InvalidOption,
    Lagged,
    Reconnect,
    ScopeClosed,
    Subscription,
    SubscriptionRefused,
    WebSocketProvider,
    WebSocketStore,
    derived,
)
from sockstore.protocols import (
    Answered,
    BaseProtocol,
    Called,
    Conversation,
    JsonRpc,
    Received,
    Subscribed,
    Topics,
    WireSubscription,
    Write,
)
from sockstore.testing import FakeServer
from waiting import turns

pytestmark = pytest.mark.virtual_clock

QUICK = Reconnect.linear(1.0, attempts=None, jitter=0.0)


def connect_to(market: Any, protocol: Any = by_ids, **options: Any) -> WebSocketStore:
    options.setdefault("reconnect", QUICK)
    return WebSocketStore("ws://market", transport=market, protocol=protocol, **options)


def values(subscription) -> list[Any]:
    return [message.data["n"] for message in subscription.messages.value]


async def next_of(stream) -> Any:
    return await asyncio.wait_for(anext(stream), 5)


# Asking


@pytest.mark.contract("SU1", "SU2")
async def test_handles_of_one_key_share_a_question_and_the_last_one_takes_it_back():
    market = Market()
    async with connect_to(market) as connection:
        a, b = connection.subscribe("x"), connection.subscribe("x")
        assert a.state.value.phase == "waiting"
        assert await a.ready(5) == await b.ready(5) == {"id": 1, "result": ["x"]}
        market.publish("x", 1, 2)
        await turns()
        assert values(a) == values(b) == [1, 2]
        a.unsubscribe()
        a.unsubscribe()
        await turns()
        assert market.visit.has == {"x"}
        c = connection.subscribe("x")
        assert await c.ready() == {"id": 1, "result": ["x"]}
        market.publish("x", 3)
        await turns()
        assert (values(a), values(b), values(c)) == ([1, 2], [1, 2, 3], [3])
        b.unsubscribe()
        c.unsubscribe()
        await turns()
        assert market.visit.has == set()
        assert market.visit.asked == ["x"]
        assert a.state.value.phase == "ended"
        assert len(connection.messages) == 0, "they stand in the subscriptions alone"


@pytest.mark.contract("SU2")
async def test_what_is_wanted_in_one_turn_goes_together_and_a_thousand_pairs_leave_no_trace():
    market = Market()
    async with connect_to(market) as connection:
        await connection.ready()
        for n in range(1000):
            connection.subscribe(n).unsubscribe()
        kept = [connection.subscribe(key) for key in ("a", "b")]
        await turns()
        assert market.visit.said == [{"op": "subscribe", "keys": ["a", "b"], "id": 1}]
        for each in kept:
            each.unsubscribe()
        again = [connection.subscribe(key) for key in ("b", "a")]
        await turns()
        assert len(market.visit.said) == 1
        assert [each.state.value.phase for each in again] == ["subscribed"] * 2
        for each in again:
            each.unsubscribe()


@pytest.mark.contract("SU2")
async def test_whoever_subscribes_and_whenever_each_connection_is_asked_once():
    market = Market()
    handles: list[Any] = []

    def also(key):
        handles.append(connection.subscribe(key))

    async def on_open(_):
        also("in on_open")
        await asyncio.sleep(1)
        also("later in on_open")
        await asyncio.sleep(1)

    connection = connect_to(market, on_open=on_open)
    handles = [connection.subscribe("before")]
    connection.phase.subscribe(lambda phase: also("when open") if phase == "open" else None)
    handles[0].messages.on_append(lambda message: also(f"after {message.data['n']}"))
    async with connection:
        assert market.visits == []
        await handles[0].ready(10)
        market.publish("before", 1)
        await turns()
        first = ["before", "in on_open", "later in on_open", "when open", "after 1"]
        assert market.visit.asked == first
        market.go_down()
        await asyncio.sleep(5)
        also("in the outage")
        market.come_up()
        await handles[0].ready(10)
        assert sorted(market.visit.asked) == sorted([*first, "in the outage"])
        assert market.visit.said[0]["keys"] == market.visit.asked, "all in one message"
        for each in handles:
            each.unsubscribe()


@pytest.mark.contract("SU2", "OB2")
async def test_subscriptions_go_before_the_outbox_and_nothing_is_written_without_a_connection():
    market = Market()
    async with connect_to(market) as connection:
        connection.send({"hello": 1})
        with_key = connection.subscribe("x")
        await with_key.ready(5)
        await turns()
        assert market.visit.said == [{"op": "subscribe", "keys": ["x"], "id": 1}, {"hello": 1}]
        market.go_down()
        await asyncio.sleep(3)
        with_key.unsubscribe()
        connection.subscribe("y").unsubscribe()
        connection.send({"hello": 2})
        await asyncio.sleep(3)
        market.come_up()
        await connection.ready(10)
        await turns()
        assert market.visit.said == [{"hello": 2}]


@pytest.mark.contract("SU1")
async def test_the_last_release_lingers_and_a_new_handle_within_that_time_asks_nothing():
    market = Market()
    async with connect_to(market) as connection:
        first = connection.subscribe("x", linger=5)
        await first.ready(5)
        first.unsubscribe()
        await asyncio.sleep(4)
        assert market.visit.has == {"x"}
        second = connection.subscribe("x", linger=3)
        assert second.state.value.phase == "subscribed"
        await asyncio.sleep(4)
        assert market.visit.has == {"x"}
        second.unsubscribe()
        await asyncio.sleep(2.9)
        assert market.visit.has == {"x"}
        await asyncio.sleep(0.2)
        assert (market.visit.has, market.visit.asked) == (set(), ["x"])
        third = connection.subscribe("x", linger=3)
        await third.ready(5)
        third.unsubscribe()
        market.go_down()
        await asyncio.sleep(5)
        market.come_up()
        await connection.ready(10)
        await turns()
        assert market.visit.asked == [], "its time was over in the outage"


@pytest.mark.contract("SU1")
async def test_a_key_with_other_parameters_is_refused_while_somebody_has_it():
    market = Market()
    connection = connect_to(market)
    first = connection.subscribe("x", {"depth": 5, "raw": True}, linger=60)
    same = connection.subscribe("x", {"raw": True, "depth": 5})
    with pytest.raises(InvalidOption, match="'x' with other parameters"):
        connection.subscribe("x", {"depth": 10})
    same.unsubscribe()
    first.unsubscribe()
    connection.subscribe("x", {"depth": 10}).unsubscribe()
    with pytest.raises(TypeError, match=r"connection\.state"):
        connection.subscribe(print)
    with pytest.raises(TypeError):
        connection.subscribe("x", {"depth": object()})
    with pytest.raises(TypeError):
        connection.subscribe({"no": "key"})  # type: ignore[arg-type]
    for option in ({"limit": 0}, {"linger": -1}, {"history": -1}, {"snapshot": 1}, {"type": print}):
        with pytest.raises(InvalidOption):
            connection.subscribe("y", **option)  # type: ignore[arg-type]
    connection.connect()
    await connection.ready(5)
    assert market.visit.asked == []
    await connection.aclose()


@pytest.mark.contract("CN22")
async def test_a_protocol_without_subscriptions_says_what_to_give():
    for options in ({}, {"protocol": JsonRpc()}):
        connection = WebSocketStore("ws://market", transport=Market(), **options)
        if not options:
            with pytest.raises(RuntimeError, match="Topics"):
                connection.subscribe("x")
    prices = connect_to(Market()).subscribe("x")
    for act in (lambda: prices.send("hello"), lambda: prices.handle("event", print)):
        with pytest.raises(RuntimeError, match="Topics"):
            act()
    with pytest.raises(RuntimeError, match="Topics"):
        await prices.request({"op": "book"})
    prices.unsubscribe()


# Reading


@pytest.mark.contract("SU3", "SU4")
async def test_what_stands_right_behind_the_answer_is_delivered_to_every_kind_of_reader():
    market = Market()
    async with connect_to(market) as connection:
        await connection.ready()
        visit = market.visit

        def subscribe(keys, number):
            visit.has.update(keys)
            visit.tell({"id": number}, *({"arg": "x", "n": n} for n in range(3)))

        visit.subscribe = subscribe  # type: ignore[method-assign]
        handle = connection.subscribe("x", history=2)
        stream, told = handle.stream(), []
        handle.messages.on_append(lambda message: told.append(message.data["n"]))
        assert [(await next_of(stream)).data["n"] for _ in range(3)] == [0, 1, 2]
        assert told == [0, 1, 2]
        assert values(handle) == [1, 2]
        seen = []
        async for message in handle:
            seen.append(message.data["n"])
            if len(seen) == 2:
                break
        assert seen == [1, 2], "it begins with what is kept"
        assert handle.latest.value == {"arg": "x", "n": 2}
        handle.unsubscribe()
        assert [message async for message in handle.stream()] == []
        assert [message async for message in stream] == []


@pytest.mark.contract("SU3")
async def test_a_slow_reader_lags_by_the_limit_of_its_subscription():
    market = Market()
    async with connect_to(market) as connection, connection.subscribe("x", limit=3) as handle:
        await handle.ready(5)
        stream, wide = handle.stream(), handle.stream(limit=10)
        newest = handle.stream(overflow="drop_oldest")
        market.publish("x", *range(5))
        await turns()
        assert [(await next_of(stream)).data["n"] for _ in range(3)] == [0, 1, 2]
        with pytest.raises(Lagged):
            await next_of(stream)
        assert (wide.lag, newest.lag, newest.dropped) == (5, 3, 2)


@pytest.mark.contract("SU3")
async def test_the_latest_message_is_a_store_that_subscribes_while_it_is_watched():
    market = Market()
    async with connect_to(market) as connection:
        await connection.ready()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            latest = connection.subscribe("x").latest
            gc.collect()
            await turns()
            assert market.visit.said == []
            assert latest.value is None
            await turns()
            assert market.visit.said == [], "reading asks nobody"
            seen: list[Any] = []
            stop = latest.subscribe(lambda data: seen.append(data and data["n"]))
            await turns()
            market.publish("x", 1, 2)
            await turns()
            market.publish("x", 2)
            await turns()
            assert seen == [None, 2, 2]
            stop()
            await turns()
            assert market.visit.has == set()
            assert latest.value == {"arg": "x", "n": 2}
            waiting = asyncio.ensure_future(latest.wait_for(lambda data: data["n"] == 3, 5))
            await turns()
            market.publish("x", 3)
            assert (await waiting)["n"] == 3
            await turns()
            assert (market.visit.has, market.visit.asked) == (set(), ["x", "x"])


@pytest.mark.contract("SU3", "MS6")
async def test_latest_stores_of_one_slice_change_together():
    server = FakeServer()
    async with connect_to(server, routed, history=0) as connection:
        await connection.ready()
        bid = connection.subscribe("bid", history=0).latest
        ask = connection.subscribe("ask").latest
        seen: list[Any] = []
        both = derived((bid, ask), lambda b, a: (b and b["n"], a and a["n"]))
        with both.subscribe(seen.append):
            server.send({"type": "bid", "n": 1}, {"type": "ask", "n": 2}, {"type": "news"})
            await turns()
            server.send({"type": "ask", "n": 3})
            await turns()
        assert seen == [(None, None), (1, 2), (1, 3)]
        assert connection.messages.total == 1
        assert server.received == []


@pytest.mark.contract("SU3")
async def test_the_handle_and_the_watchers_of_its_latest_hold_it_together():
    market = Market()
    async with connect_to(market) as connection:
        handle = connection.subscribe("x")
        await handle.ready(5)
        stop = handle.latest.subscribe(lambda data: None)
        handle.unsubscribe()
        await turns()
        assert market.visit.has == {"x"}
        market.publish("x", 1)
        await turns()
        assert handle.latest.value == {"arg": "x", "n": 1}
        stop()
        await turns()
        assert market.visit.has == set()


@dataclasses.dataclass
class Price:
    arg: str
    n: float


@dataclasses.dataclass
class News:
    text: str


@pytest.mark.contract("SU3", "MS5")
async def test_messages_are_decoded_into_a_type_a_union_or_by_the_codec_of_the_connection():
    market = Market()
    wrong: list[Any] = []
    async with connect_to(
        market, on_error=lambda error, raw: wrong.append((type(error).__name__, json.loads(raw)))
    ) as connection:
        price = connection.subscribe("x", type=Price)
        either = connection.subscribe("x", type=Price | News)
        await either.ready(5)
        market.visit.tell({"arg": "x", "n": 1}, {"arg": "x", "text": "hello"}, {"arg": "x"})
        await turns()
        kinds = [(each.data, each.kind) for each in price.messages.value]
        assert kinds == [
            (Price("x", 1), "json"),
            ({"arg": "x", "text": "hello"}, "json"),
            ({"arg": "x"}, "json"),
        ], "what cannot be decoded is not lost"
        data = [each.data for each in either.messages.value]
        assert data == [Price("x", 1), News("hello"), {"arg": "x"}]
        assert [what for _, what in wrong] == [
            {"arg": "x", "text": "hello"},
            {"arg": "x"},
            {"arg": "x"},
        ]
        price.unsubscribe()
        either.unsubscribe()
    async with connect_to(market, codec=Price) as connection:
        plain = connection.subscribe("x")
        await plain.ready(5)
        market.publish("x", 7)
        await turns()
        assert plain.latest.value == Price("x", 7)
        plain.unsubscribe()


@pytest.mark.contract("SU5")
async def test_routing_costs_the_same_for_one_key_and_for_hundreds():
    """Calls of functions are counted, as they do not depend on how busy the machine is."""
    costs = []
    for keys in (1, 300):
        server = FakeServer()
        async with connect_to(server, routed) as connection:
            await connection.ready()
            handles = [connection.subscribe(key) for key in range(keys)]
            await turns()
            messages = [{"type": number % keys, "n": number} for number in range(300)]
            calls = 0

            def count(frame, event, _):
                nonlocal calls
                calls += event in {"call", "c_call"}

            server.send(*messages)
            sys.setprofile(count)
            try:
                await turns(20)
            finally:
                sys.setprofile(None)
            costs.append(calls)
            assert sum(len(each.messages) for each in handles) == (300 if keys > 1 else 100)
            assert {each.messages.total for each in handles} == {300 // keys}
            for each in handles:
                each.unsubscribe()
    one, many = costs
    assert many < 1.5 * one


# Refusals, ends and gaps


@pytest.mark.contract("SU6", "SU3")
async def test_a_refusal_concerns_its_subscription_only_and_has_the_servers_words():
    market = Market()
    market.refusals = {"bad": "no such stream"}
    async with connect_to(market) as connection:
        good, bad = connection.subscribe("good"), connection.subscribe("bad")
        states: list[Any] = []
        bad.state.subscribe(lambda state: states.append((state.phase, state.error)))
        stream = bad.stream()
        with pytest.raises(SubscriptionRefused, match="no such stream") as refused:
            await bad.ready(5)
        assert refused.value.key == "bad"
        with pytest.raises(SubscriptionRefused):
            await next_of(stream)
        with pytest.raises(SubscriptionRefused):
            await next_of(bad.stream())
        await good.ready(5)
        assert states == [("waiting", None), ("subscribing", None), ("refused", "no such stream")]
        assert connection.connected.value
        market.drop()
        await asyncio.sleep(2)
        assert market.visit.asked == ["good"], "and it is not asked again"
        market.refusals = {}
        again = connection.subscribe("bad")
        await again.ready(5)
        for each in (good, bad, again):
            each.unsubscribe()


@pytest.mark.contract("SU6")
async def test_a_temporary_refusal_is_asked_again_by_the_schedule():
    market = Market()
    market.refusals = {"x": "later: busy"}
    async with connect_to(market, by_answers) as connection:
        handle = connection.subscribe("x")
        await asyncio.sleep(0.5)
        assert (handle.state.value.phase, handle.state.value.error) == ("waiting", "later: busy")
        with pytest.raises(TimeoutError, match="the last refusal: later: busy"):
            await handle.ready(2)
        assert 2 <= len(market.visit.asked) <= 4
        market.refusals = {}
        await handle.ready(5)
        assert handle.state.value.error is None
        handle.unsubscribe()


@pytest.mark.contract("SU6")
async def test_what_the_server_ends_ends_its_streams():
    market = Market()
    async with connect_to(market, by_answers) as connection:
        handle, other = connection.subscribe("x"), connection.subscribe("y")
        await handle.ready(5)
        stream = handle.stream()
        market.publish("x", 1)
        market.end("x", "delisted")
        assert (await next_of(stream)).data["n"] == 1
        with pytest.raises(SubscriptionRefused) as in_stream:
            await next_of(stream)
        assert handle.state.value.phase == "ended"
        with pytest.raises(SubscriptionRefused) as in_ready:
            await handle.ready()
        for raised in (in_stream, in_ready):
            assert str(raised.value) == "the server ended the subscription 'x': delisted"
            assert raised.value.has_ended
        assert other.state.value.phase == "subscribed"
        del handle
        gc.collect()
        other.unsubscribe()


@pytest.mark.contract("SU7")
async def test_a_reconnection_is_a_gap_in_the_streams_that_ask_for_gaps():
    market = Market()
    async with connect_to(market) as connection, connection.subscribe("x") as handle:
        await handle.ready(5)
        told, plain = handle.stream(gaps=True), handle.stream()
        market.publish("x", 1)
        await turns()
        for _ in range(2):
            market.drop()
            await asyncio.sleep(4)
        market.publish("x", 2)
        await turns()
        kinds = [(await next_of(told)).kind for _ in range(4)]
        assert kinds == ["json", "gap", "gap", "json"]
        assert [(await next_of(plain)).data["n"] for _ in range(2)] == [1, 2]
        assert len(handle.messages) == 2


# The end


@pytest.mark.contract("SU3")
async def test_the_end_of_the_connection_ends_streams_and_waiters_and_a_new_life_goes_on():
    market = Market()
    connection = connect_to(market)
    connection.connect()
    handle = connection.subscribe("x")
    await handle.ready(5)
    stream, reading = handle.stream(), []
    market.publish("x", 1)
    await turns()
    connection.close()
    reading = [message.data["n"] async for message in stream]
    assert reading == [1]
    assert [message async for message in handle.stream()] == []
    with pytest.raises(ConnectionEnded):
        await handle.ready()
    late = connection.subscribe("y")
    with pytest.raises(ConnectionEnded):
        await late.ready()
    assert late.state.value.error == "the connection has ended"
    connection.connect()
    assert (handle.state.value.phase, handle.state.value.error) == ("waiting", None)
    await asyncio.gather(handle.ready(5), late.ready(5))
    assert market.visit.asked == ["x", "y"]
    told = handle.stream()
    market.publish("x", 2)
    assert (await next_of(told)).data["n"] == 2
    assert values(handle) == [1, 2]
    await connection.aclose()
    del handle, late, stream, told
    gc.collect()


@pytest.mark.contract("SU3")
async def test_the_failure_of_the_connection_is_raised_in_readers():
    market = Market()
    connection = connect_to(market, reconnect=False)
    connection.connect()
    handle = connection.subscribe("x")
    await handle.ready(5)
    stream = handle.stream()
    market.drop()
    with pytest.raises(ConnectionEnded):
        await next_of(stream)
    with pytest.raises(ConnectionEnded):
        await next_of(handle.stream())
    with pytest.raises(ConnectionEnded):
        await handle.ready()
    await connection.aclose()


@pytest.mark.contract("LV3", "SU7")
async def test_messages_that_wait_for_a_snapshot_count_for_the_idle_timeout():
    market, load = Market(), Loads()
    async with connect_to(market, idle_timeout=3, connect_timeout=60) as connection:
        handle = connection.subscribe("x", snapshot=load)
        await handle.ready(5)
        for n in range(5):
            market.publish("x", n)
            await asyncio.sleep(2)
        assert len(market.visits) == 1
        load.calls[0].set_result(None)
        await turns()
        assert values(handle) == [0, 1, 2, 3, 4]
        handle.unsubscribe()


# Releasing


@pytest.mark.contract("SU1")
async def test_a_dropped_handle_is_released_with_a_warning():
    market = Market()
    async with connect_to(market) as connection:
        handle = connection.subscribe("x")
        await handle.ready(5)
        handles = [handle]
        del handle
        with pytest.warns(ResourceWarning, match=r"'x' made at .*test_subscriptions\.py"):
            handles.clear()
        await turns()
        assert market.visit.has == set()


@pytest.mark.contract("SU1", "CN22", "PV5")
async def test_leaving_the_provider_releases_what_was_subscribed_in_it():
    market = Market()
    async with WebSocketProvider("ws://m", transport=market, protocol=by_ids) as connection:
        handle = connection.subscribe("x")
        stream = handle.stream()
        latest = handle.latest
        await handle.ready(5)
    assert handle.state.value.phase == "ended"
    assert [message async for message in stream] == []
    with pytest.raises(RuntimeError, match="was released"):
        await handle.ready()
    with pytest.raises(ScopeClosed):
        connection.subscribe("y")
    with latest.subscribe(lambda data: None):
        pass
    handle.unsubscribe()


@pytest.mark.contract("SU1", "CN22", "PV7")
async def test_giving_a_lease_back_releases_its_subscriptions_and_no_others():
    market = Market()

    def sharing():
        return WebSocketProvider("ws://m", transport=market, protocol=by_ids, share=True)

    async with sharing() as one:
        mine = one.subscribe("x")
        await mine.ready(5)
        async with sharing() as two:
            both, own = two.subscribe("x"), two.subscribe("y")
            await own.ready(5)
            market.publish("x", 1)
            await turns()
        await turns()
        assert market.visit.has == {"x"}
        assert (both.state.value.phase, own.state.value.phase) == ("ended", "ended")
        market.publish("x", 2)
        await turns()
        assert (values(mine), values(both)) == ([1, 2], [1])
        async with sharing() as three:
            three.close()
            with pytest.raises(RuntimeError, match="connect\\(\\) first"):
                three.subscribe("z")
        assert mine.state.value.phase == "subscribed"


@pytest.mark.contract("SU3")
async def test_a_callback_that_releases_another_handle_stops_its_messages_at_once():
    market = Market()
    async with connect_to(market) as connection:
        first, second = connection.subscribe("x"), connection.subscribe("x")
        first.messages.on_append(lambda message: second.unsubscribe())
        told: list[Any] = []
        second.messages.on_append(told.append)
        await first.ready(5)
        market.publish("x", 1, 2)
        await turns()
        assert (told, values(first), values(second)) == ([], [1, 2], [])
        first.unsubscribe()


@pytest.mark.contract("SU2")
async def test_a_subscriber_that_raises_stops_nothing(reported):
    market = Market()
    async with connect_to(market) as connection:
        handle = connection.subscribe("x")

        def broken(_):
            if handle.state.value.phase != "waiting":
                raise ValueError("broken")

        handle.state.subscribe(broken)
        await handle.ready(5)
        stop = handle.latest.subscribe(lambda data: data and broken(data))
        market.publish("x", 1)
        await turns()
        market.publish("x", 2)
        await turns()
        assert values(handle) == [1, 2]
        stop()
        handle.unsubscribe()
    assert len(reported) >= 4


@pytest.mark.contract("SU3")
async def test_ready_inside_on_open_would_wait_for_itself():
    market = Market()
    said: list[str] = []
    connection = connect_to(market)
    handle = connection.subscribe("x")

    async def on_open(_):
        try:
            await handle.ready()
        except RuntimeError as error:
            said.append(str(error))

    async with connect_to(market, on_open=on_open) as connection:
        handle.unsubscribe()
        handle = connection.subscribe("x")
        await handle.ready(5)
        handle.unsubscribe()
    assert len(said) == 1
    assert "inside on_open would wait" in said[0]


# Rooms


class RoomTalk(Conversation):
    """Rooms that are joined, sent to, asked, and that call their members."""

    def __init__(self):
        super().__init__()
        self.rooms: dict[Any, WireSubscription] = {}
        self.asked: dict[int, object] = {}

    def subscribe(self, subscriptions, now):
        for each in subscriptions:
            self.rooms[each.key] = each
            yield Write(json.dumps({"join": each.key, **each.params}))
            yield Subscribed(each)

    def unsubscribe(self, subscriptions, now):
        for each in subscriptions:
            del self.rooms[each.key]
            yield Write(json.dumps({"leave": each.key}))

    def hear(self, frame, now):
        said = json.loads(frame)
        room = self.rooms.get(said.get("room"))
        if "answer" in said:
            return [Answered(self.asked.pop(said["answer"]), said["data"])]
        if "call" in said:
            return [Called(said["call"], said["data"], said.get("ref"), room, said)]
        return [Received(said["data"], room)]

    def send(self, data, subscription, entry):
        room = None if subscription is None else subscription.key
        return [json.dumps({"room": room, "data": json.loads(data)})]

    def request(self, data, subscription, request):
        number = self.next_id()
        self.asked[number] = request
        return [json.dumps({"room": subscription and subscription.key, "ask": number, "q": data})]

    def reply(self, call, result, failure):
        return [json.dumps({"ref": call, "result": result, "failure": failure and str(failure)})]


@dataclasses.dataclass(frozen=True)
class Rooms(BaseProtocol):
    has_subscriptions = has_requests = has_calls = addresses_subscriptions = True

    def converse(self, memory, attempt):
        return RoomTalk()


@pytest.mark.contract("SU8")
async def test_a_room_is_sent_to_asked_and_calls_its_members():
    server = FakeServer()
    async with connect_to(server, Rooms()) as connection:
        lobby, other = connection.subscribe("lobby", {"as": "Ann"}), connection.subscribe("other")
        waiting = lobby.send({"text": "before it is open"})
        assert waiting.state == "queued"
        await lobby.ready(5)
        await turns()
        said = [json.loads(frame) for frame in server.received]
        assert said == [
            {"join": "lobby", "as": "Ann"},
            {"join": "other"},
            {"room": "lobby", "data": {"text": "before it is open"}},
        ]
        asking = asyncio.ensure_future(lobby.request({"who": 1}))
        await turns()
        assert json.loads(server.received[-1]) == {"room": "lobby", "ask": 1, "q": {"who": 1}}
        server.send({"answer": 1, "data": ["Ann"]})
        assert await asking == ["Ann"]
        stop = lobby.handle("add", lambda a, b: a + b)
        with pytest.raises(ValueError, match="answered already"):
            lobby.handle("add", print)
        server.send({"room": "lobby", "call": "add", "data": [1, 2], "ref": 7})
        server.send({"room": "other", "call": "add", "data": [1, 2], "ref": 8})
        await turns()
        replies = [json.loads(frame) for frame in server.received[-2:]]
        assert replies == [
            {"ref": 7, "result": 3, "failure": None},
            {"ref": 8, "result": None, "failure": "unknown"},
        ]
        stop()
        stop()
        server.send({"room": "lobby", "call": "add", "data": [1, 2]})
        await turns()
        assert lobby.latest.value["call"] == "add", "what nobody handles is a message"
        lobby.unsubscribe()
        other.unsubscribe()
        refused = lobby.send({"text": "too late"})
        assert (refused.state, "was released" in refused.why) == ("refused", True)
        with pytest.raises(RuntimeError, match="was released"):
            await lobby.request({"who": 1})


@pytest.mark.contract("SU2", "SU8")
@pytest.mark.parametrize("is_open", [False, True])
async def test_what_is_said_in_a_room_follows_the_question_for_the_room(is_open):
    server = FakeServer()
    async with connect_to(server, Rooms()) as connection:
        if is_open:
            await connection.ready()
        with suppress(TimeoutError):
            async with connection.subscribe("lobby") as lobby:
                lobby.send({"text": "hello"})
                other = connection.subscribe("other")
                await lobby.request({"who": 1}, timeout=1)
        other.unsubscribe()
        said = [json.loads(frame) for frame in server.received]
        rooms = [each.get("join", each.get("room")) for each in said]
        assert said[0] == {"join": "lobby"}
        assert sorted(rooms[1:4]) == ["lobby", "lobby", "other"], "each was said once"


@pytest.mark.contract("OB7", "SU3")
async def test_a_message_says_its_key_and_only_one_of_the_connection_can_be_replied_to():
    server = FakeServer()
    by_type = Topics(key=lambda data: data.get("type"))
    async with connect_to(server, by_type) as connection:
        await connection.ready()
        prices, heard = connection.subscribe("price"), []
        prices.messages.on_append(heard.append)
        reading = prices.stream(gaps=True)
        await turns()
        server.send({"type": "price", "n": 1}, {"type": "other", "n": 2})
        await connection.messages.wait_for(lambda messages: len(messages) == 1)
        (other,) = connection.messages.value
        messages = [*heard, *prices.messages.value, await anext(reading)]
        assert [each.key for each in messages] == ["price", "price", "price"]
        assert other.key is None
        for each in messages:
            with pytest.raises(TypeError, match="of the subscription 'price'; send"):
                connection.reply(each, {"op": "pong"})
        assert connection.reply(other, {"op": "pong"}).state == "sent"
        with pytest.raises(TypeError, match="None names nothing"):
            connection.subscribe(None)
        prices.unsubscribe()


# Snapshots


class Loads:
    """A function that loads a snapshot; the test decides when and how each call ends."""

    def __init__(self) -> None:
        self.calls: list[asyncio.Future[Any]] = []

    async def __call__(self) -> Any:
        self.calls.append(asyncio.get_running_loop().create_future())
        return await self.calls[-1]


def told(subscription) -> list[Any]:
    return [
        each.data if each.kind == "snapshot" else each.data["n"]
        for each in subscription.messages.value
    ]


@pytest.mark.contract("SU7")
async def test_a_snapshot_comes_before_what_follows_and_others_do_not_wait():
    market, load = Market(), Loads()
    async with connect_to(market) as connection:
        plain = connection.subscribe("x")
        handle = connection.subscribe("x", snapshot=load)
        stream = handle.stream(gaps=True)
        await handle.ready(5)
        market.publish("x", 1, 2)
        await turns()
        assert (told(plain), told(handle), len(load.calls)) == ([1, 2], [], 1)
        load.calls[0].set_result("state 0")
        await turns()
        market.publish("x", 3)
        await turns()
        assert told(handle) == ["state 0", 1, 2, 3]
        assert handle.messages.value[0].kind == "snapshot"
        market.drop()
        await asyncio.sleep(1.5)
        market.publish("x", 8)
        await turns()
        assert (len(load.calls), told(plain)[-1], told(handle)[-1]) == (2, 8, 3)
        load.calls[1].set_result(None)
        await turns()
        assert told(handle) == ["state 0", 1, 2, 3, 8]
        kinds = [(await next_of(stream)).kind for _ in range(6)]
        assert kinds == ["snapshot", "json", "json", "json", "gap", "json"]
        late = connection.subscribe("x", snapshot=load)
        await turns()
        load.calls[2].set_result("late")
        await turns()
        market.publish("x", 9)
        await turns()
        assert (told(late), told(handle)[-1]) == (["late", 9], 9)
        for each in (plain, handle, late):
            each.unsubscribe()


@pytest.mark.contract("SU7")
async def test_a_snapshot_is_owed_until_it_was_loaded(reported):
    market, load = Market(), Loads()
    async with connect_to(market, connect_timeout=10) as connection:
        handle = connection.subscribe("x", snapshot=load)
        await handle.ready(5)
        market.publish("x", 1)
        await turns()
        load.calls[0].set_exception(OSError("unreachable"))
        await turns()
        assert (told(handle), len(load.calls)) == ([], 1)
        assert handle.state.value.phase == "subscribed"
        words = "the snapshot could not be loaded: OSError('unreachable')"
        assert handle.state.value.error == words
        await asyncio.sleep(1.1)
        assert len(load.calls) == 2, "by the schedule"
        await asyncio.sleep(10.1)
        assert load.calls[1].cancelled(), "it took longer than connect_timeout"
        await asyncio.sleep(3)
        assert len(load.calls) == 3
        assert "it took over 10 s" in handle.state.value.error
        market.drop()
        await turns()
        assert handle.state.value.error is None
        load.calls[2].set_exception(ConnectionError("lost with the connection"))
        await turns()
        assert len(load.calls) == 3, "nothing is loaded without a connection"
        await asyncio.sleep(1.5)
        market.publish("x", 2)
        await turns()
        assert (len(load.calls), told(handle)) == (4, [])
        load.calls[3].set_result("state")
        await turns()
        assert told(handle) == ["state", 2], "1 stands before the gap"
        handle.unsubscribe()
    errors = [str(context["exception"]) for context in reported]
    assert errors == ["unreachable", "it took over 10 s (connect_timeout)"]


@pytest.mark.contract("SU7")
async def test_above_the_limit_there_is_a_gap_and_the_snapshot_is_loaded_again():
    market, load = Market(), Loads()
    async with connect_to(market) as connection:
        handle = connection.subscribe("x", snapshot=load, limit=3)
        stream = handle.stream(gaps=True, limit=100)
        await handle.ready(5)
        await turns()
        market.publish("x", 1, 2, 3, 4)
        await turns()
        assert (len(load.calls), load.calls[0].cancelled()) == (2, True)
        market.publish("x", 5)
        await turns()
        load.calls[1].set_result("state")
        await turns()
        assert told(handle) == ["state", 4, 5]
        kinds = [(await next_of(stream)).kind for _ in range(4)]
        assert kinds == ["gap", "snapshot", "json", "json"]
        handle.unsubscribe()


@pytest.mark.contract("SU7")
async def test_a_snapshot_that_is_always_too_slow_is_paced_and_memory_is_bounded():
    market, load = Market(), Loads()
    async with connect_to(market) as connection:
        handle = connection.subscribe("x", snapshot=load, limit=2)
        stream = handle.stream(gaps=True, limit=100)
        await handle.ready(5)
        for n in range(1000):
            market.publish("x", n)
            await asyncio.sleep(0.01)
        assert len(load.calls) < 15, "by the schedule"
        await asyncio.sleep(9)
        load.calls[-1].set_result("state")
        await turns()
        assert told(handle)[0] == "state"
        assert [(await next_of(stream)).kind for _ in range(2)] == ["gap", "snapshot"]
        handle.unsubscribe()


@pytest.mark.contract("SU7", "SU1")
async def test_a_load_ends_with_its_handle_its_subscription_and_its_connection():
    market, load = Market(), Loads()
    connection = connect_to(market, by_answers)
    connection.connect()
    mine, ended, last = (connection.subscribe(key, snapshot=load) for key in ("a", "b", "c"))
    await last.ready(5)
    await turns()
    assert len(load.calls) == 3
    mine.unsubscribe()
    await turns()
    assert load.calls[0].cancelled()
    market.end("b", "delisted")
    await turns()
    assert (load.calls[1].cancelled(), ended.state.value.phase) == (True, "ended")
    await connection.aclose()
    assert load.calls[2].cancelled()
    connection.connect()
    await last.ready(5)
    await turns()
    load.calls[3].set_result("state")
    await turns()
    market.publish("c", 1)
    await turns()
    assert told(last) == ["state", 1]
    last.unsubscribe()
    await connection.aclose()


@pytest.mark.contract("SU7")
async def test_a_plain_function_loads_a_snapshot_too():
    market = Market()
    async with connect_to(market) as connection:
        handle = connection.subscribe("x", snapshot=lambda: ["state"])
        await handle.ready(5)
        market.publish("x", 1)
        await turns()
        assert told(handle) == [["state"], 1]
        handle.unsubscribe()


@pytest.mark.contract("SU2")
async def test_what_is_asked_for_is_paced_and_goes_on_after_a_loss():
    market = Market()
    slow = dataclasses.replace(by_ids, most=2, rate=1.0)
    async with connect_to(market, slow) as connection:
        handles = [connection.subscribe(n) for n in range(6)]
        await connection.ready()
        await turns()
        assert market.visit.asked == [0, 1]
        market.drop()
        await asyncio.sleep(1.5)
        assert market.visit.asked == [0, 1]
        await handles[-1].ready(10)
        assert market.visit.asked == list(range(6))
        for each in handles:
            each.unsubscribe()
        await turns()


async def use_what_is_refused(connection: Any, how: str) -> weakref.ref[Subscription[Any]]:
    handle = connection.subscribe("NOPE")
    try:
        if how == "ready":
            await handle.ready()
        async for _ in handle:
            pass
    except SubscriptionRefused:
        return weakref.ref(handle)
    raise AssertionError("it was not refused")


@pytest.mark.contract("SU6")
@pytest.mark.parametrize("how", ["ready", "read"])
async def test_a_handle_that_was_refused_is_freed_with_its_last_reference(how):
    """A raised error keeps its frames, and they the handle."""
    market = Market()
    market.refusals["NOPE"] = "no such symbol"
    async with connect_to(market, by_answers) as connection:
        await connection.ready()
        handle = await use_what_is_refused(connection, how)
        gc.collect()
        await turns()
        assert handle() is None
