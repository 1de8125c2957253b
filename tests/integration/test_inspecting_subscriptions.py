"""The inspector tells what subscriptions do: timeline, explanation, figures and panel."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import pytest
from markets import Market, by_answers, by_ids
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from sockstore import (
    Reconnect,
    SubscriptionRefused,
    WebSocketProvider,
    WebSocketStore,
)
from sockstore.protocols import BaseProtocol, Conversation, JsonRpc
from sockstore.telemetry import instrument
from sockstore.testing import FakeServer
from waiting import turns

pytestmark = pytest.mark.virtual_clock

STEADY = Reconnect.linear(4.0, attempts=None, jitter=0.0)


def connect_to(market: Any, protocol: Any = by_answers, **options: Any) -> WebSocketStore:
    options.setdefault("reconnect", STEADY)
    return WebSocketStore("ws://market", transport=market, protocol=protocol, **options)


def about_subscriptions(connection: Any) -> list[tuple[str, str]]:
    kinds = {"subscribe", "refusal", "ended", "gap", "snapshot"}
    events = [event for event in connection.timeline.value if event.kind in kinds]
    return [(event.kind, event.text) for event in events if hasattr(event, "keys")]


def explained(connection: Any) -> str:
    """Return what the explanation says about subscriptions."""
    return connection.explain().partition("Subscriptions: ")[2]


@pytest.mark.contract("SU6", "SU7")
async def test_the_timeline_tells_what_the_server_accepts_refuses_ends_and_leaves_out():
    market = Market()
    market.refusals = {"NOPE": "no such symbol", "BUSY": "later, please"}
    async with connect_to(market) as connection:
        handles = [connection.subscribe(key) for key in ("ACME", "NOPE", "BUSY")]
        await asyncio.sleep(1)
        market.end("ACME", "delisted")
        await asyncio.sleep(1)
        handles.append(connection.subscribe("INITECH"))
        await asyncio.sleep(0.1)
        market.drop()
        market.refusals.clear()
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        await connection.ready()
        await turns()
        assert about_subscriptions(connection) == [
            ("subscribe", "Subscribed to 'ACME'."),
            ("refusal", "The server refused 'NOPE' (no such symbol)."),
            ("refusal", "The server refused 'BUSY' for now (later, please)."),
            ("ended", "The server ended 'ACME' (delisted)."),
            ("subscribe", "Subscribed to 'INITECH'."),
            ("subscribe", "Subscribed to 'BUSY' and 'INITECH'."),
            ("gap", "Messages of 'INITECH' may be missing (reconnected)."),
        ]


async def test_the_explanation_counts_them_and_names_those_that_get_no_messages():
    market = Market()
    market.refusals = {"NOPE": "no such symbol", "BUSY": "later, please"}
    connection = connect_to(market)
    handles = [connection.subscribe(key) for key in ("ACME", "NOPE", "BUSY")]
    assert explained(connection) == "3 waiting."
    async with connection:
        assert explained(connection) == "3 waiting."
        await connection.ready()
        await turns()
        assert explained(connection) == (
            "1 subscribed, 1 waiting, 1 refused. "
            "The server refused 'BUSY' for now (later, please). "
            "The server refused 'NOPE' (no such symbol)."
        )
        market.end("ACME", None)
        await turns()
        market.end("ACME", "delisted")
        await turns()
        assert explained(connection).endswith("The server ended 'ACME' (delisted).")
        for handle in handles:
            handle.unsubscribe()
        await turns()
        assert "Subscriptions" not in connection.explain()
        assert not any(connection.stats().subscriptions.values())


async def test_a_question_without_an_answer_is_named_while_the_connection_is_open():
    silent = FakeServer()
    async with connect_to(silent, by_ids) as connection:
        connection_handles = [connection.subscribe(key) for key in ("x", "y")]
        await connection.ready()
        await turns()
        assert explained(connection) == (
            "2 subscribing. The server has not answered for 'x' and 'y' yet."
        )
        silent.go_down()
        await connection.phase.wait_for(lambda phase: phase == "waiting")
        assert explained(connection) == "2 waiting."
        assert len(connection_handles) == 2


async def test_the_figures_count_each_phase_and_a_plain_connection_has_none():
    market = Market()
    market.refusals["NOPE"] = "no such symbol"
    async with connect_to(market) as connection:
        handles = [connection.subscribe(key) for key in ("ACME", "ACME", "NOPE", "NOPE")]
        await connection.ready()
        await turns()
        assert dict(connection.stats().subscriptions) == {
            "subscribed": 1,
            "subscribing": 0,
            "waiting": 0,
            "refused": 1,
            "ended": 0,
        }
        assert len(handles) == 4
    plain = WebSocketStore("ws://market", transport=FakeServer())
    assert plain.stats().subscriptions == {}


async def test_a_thousand_subscriptions_are_a_few_events_and_a_few_sentences():
    """The server answers them one by one, and refuses every seventh with words of its own."""
    market = Market()
    market.refusals = {f"S{n}": f"S{n} is unknown" for n in range(0, 1000, 7)}
    async with connect_to(market) as connection:
        handles = [connection.subscribe(f"S{n}") for n in range(1000)]
        await connection.ready()
        await asyncio.sleep(0.5)
        assert about_subscriptions(connection) == [
            (
                "refusal",
                "The server refused 'S0', 'S7', 'S14' and 140 more ('S0': S0 is unknown).",
            ),
            ("subscribe", "Subscribed to 'S1', 'S2', 'S3' and 854 more."),
        ]
        assert explained(connection) == (
            "857 subscribed, 143 refused. "
            "The server refused 'S0', 'S7', 'S14' and 140 more ('S0': S0 is unknown)."
        )
        for _ in range(3):
            market.drop()
            await connection.phase.wait_for(lambda phase: phase == "waiting")
            await connection.ready()
            await asyncio.sleep(0.5)
        assert len(connection.explain()) < 300
        events = connection.timeline.value
        assert len(events) < 30
        assert all(len(event.text) < 150 for event in events)
        assert len(handles) == 1000


async def test_events_that_are_far_apart_are_told_apart():
    market = Market()
    async with connect_to(market) as connection:
        await connection.ready()
        handles = []
        for key in ("a", "b", "c"):
            handles.append(connection.subscribe(key))
            await asyncio.sleep(30)
        events = [event for event in connection.timeline.value if event.kind == "subscribe"]
        assert [(event.keys, event.number) for event in events] == [
            (("a",), 1),
            (("b",), 1),
            (("c",), 1),
        ]
        assert events[1].at - events[0].at == pytest.approx(30)


async def test_one_that_is_asked_for_again_and_again_is_not_counted_as_many():
    market = Market()
    market.refusals["BUSY"] = "later, please"
    quick = Reconnect.linear(0.5, attempts=None, jitter=0.0)
    async with connect_to(market, reconnect=quick) as connection:
        handle = connection.subscribe("BUSY")
        await connection.ready()
        await asyncio.sleep(1.2)
        [event] = [each for each in connection.timeline.value if each.kind == "refusal"]
        assert (event.number, event.is_temporary) == (2, True)
        assert event.text == "The server refused 'BUSY' (2 times) for now (later, please)."
        assert handle.state.value.phase == "waiting"


async def test_messages_leave_no_trace_in_the_timeline():
    market = Market()
    async with connect_to(market) as connection, connection.subscribe("ACME") as trades:
        await trades.ready()
        before = connection.timeline.value
        market.publish("ACME", *range(1000))
        await turns()
        assert len(trades.messages) == 100
        assert trades.messages.total == 1000
        assert connection.timeline.value == before


async def test_messages_of_subscriptions_are_received_messages_once_for_all_handles():
    market = Market()
    async with connect_to(market) as connection:
        trades, again = connection.subscribe("ACME"), connection.subscribe("ACME")
        await trades.ready()
        market.publish("ACME", *range(10))
        market.visit.tell({"news": "of nobody"})
        await turns()
        assert connection.stats().messages_received == 11
        assert trades.messages.total == again.messages.total == 10


@pytest.mark.contract("CN14", "CL2")
async def test_long_and_hostile_words_and_keys_are_shortened_and_params_are_not_told():
    market = Market()
    words = "\x1b[31mno\n" + "x" * 5000
    market.refusals["k" * 5000] = words
    async with connect_to(market) as connection:
        handles = [
            connection.subscribe("k" * 5000, {"token": "secret"}),
            connection.subscribe("fine", {"token": "secret"}),
        ]
        await connection.ready()
        await turns()
        told = [connection.explain(), *(event.text for event in connection.timeline.value)]
        assert all(len(text) < 400 and text.isprintable() for text in told)
        assert "secret" not in repr((told, connection.timeline.value))
        assert "\N{HORIZONTAL ELLIPSIS}" in told[0]
        assert len(handles) == 2


async def test_what_was_refused_is_forgotten_with_its_handle():
    market = Market()
    market.refusals["NOPE"] = "no such symbol"
    async with connect_to(market) as connection:
        handle = connection.subscribe("NOPE")
        await connection.ready()
        await turns()
        assert connection.stats().subscriptions["refused"] == 1
        del handle
        gc.collect()
        await turns()
        assert connection.stats().subscriptions["refused"] == 0


async def test_what_was_refused_is_forgotten_with_its_provider():
    market = Market()
    market.refusals["NOPE"] = "no such symbol"
    async with WebSocketProvider(
        "ws://market", share=True, transport=market, protocol=by_answers
    ) as first:
        async with WebSocketProvider(
            "ws://market", share=True, transport=market, protocol=by_answers
        ) as other:
            handle = other.subscribe("NOPE")
            with pytest.raises(SubscriptionRefused):
                await handle.ready()
            assert first.stats().subscriptions["refused"] == 1
        assert first.stats().subscriptions["refused"] == 0
        assert handle.state.value.phase in {"refused", "ended"}


async def test_a_server_that_has_not_let_us_in_yet_is_said_without_a_room():
    class Waits(Conversation):
        def open(self, given, now):
            return []

    class Slow(BaseProtocol):
        def converse(self, memory, attempt):
            return Waits()

    connection = connect_to(FakeServer(), Slow())
    connection.connect()
    await asyncio.sleep(3)
    assert connection.explain() == (
        "The first attempt has reached ws://market and waits until the server lets it in, "
        "for 3.0 s now."
    )
    await connection.aclose()


async def test_open_telemetry_is_told_how_many_are_in_each_phase():
    reader = InMemoryMetricReader()
    market = Market()
    market.refusals["NOPE"] = "no such symbol"
    async with connect_to(market) as connection:
        stop = instrument(connection, name="feed", meter_provider=MeterProvider([reader]))
        handles = [connection.subscribe(key) for key in ("ACME", "INITECH", "NOPE")]
        await connection.ready()
        await turns()
        metrics = json.loads(reader.get_metrics_data().to_json())
        stop()
        assert len(handles) == 3
    told = metrics["resource_metrics"][0]["scope_metrics"][0]["metrics"]
    [points] = [
        each["data"]["data_points"] for each in told if each["name"] == "sockstore.subscriptions"
    ]
    assert {
        point["attributes"]["sockstore.subscription.phase"]: point["value"] for point in points
    } == {"subscribed": 2, "subscribing": 0, "waiting": 0, "refused": 1, "ended": 0}
    assert {point["attributes"]["sockstore.connection"] for point in points} == {"feed"}
    reader.shutdown()


async def test_notifications_of_a_method_need_no_answer_and_count_as_subscribed():
    async with connect_to(FakeServer(), JsonRpc()) as connection:
        async with connection.subscribe("tick"):
            await connection.ready()
            await turns()
            assert explained(connection) == "1 subscribed."
            assert about_subscriptions(connection) == [("subscribe", "Subscribed to 'tick'.")]


@pytest.mark.contract("SU7")
async def test_a_snapshot_that_cannot_be_loaded_is_shown_until_it_was(reported):
    market, failures, states = Market(), ["HTTP 500", "HTTP 502"], []

    async def load():
        if failures:
            raise OSError(failures.pop(0))
        return "state"

    async with connect_to(market) as connection:
        plain = connection.subscribe("ACME")
        handle = connection.subscribe("ACME", snapshot=load)
        handle.state.subscribe(lambda state: states.append((state.phase, state.error)))
        await handle.ready()
        await turns()
        assert explained(connection) == (
            "1 subscribed. "
            "The snapshot of 'ACME' could not be loaded (OSError('HTTP 500')); it is tried again."
        )
        await handle.ready(), "the server has accepted it"
        await handle.latest.wait_for(lambda newest: newest == "state")
        assert explained(connection) == "1 subscribed."
        assert plain.state.value.error is None, "it has no snapshot"
        plain.unsubscribe(), handle.unsubscribe()
    prefix = "the snapshot could not be loaded: OSError"
    assert states[-5:-1] == [
        ("subscribed", None),
        ("subscribed", f"{prefix}('HTTP 500')"),
        ("subscribed", f"{prefix}('HTTP 502')"),
        ("subscribed", None),
    ]
    assert [text for kind, text in about_subscriptions(connection) if kind == "snapshot"] == [
        f"The snapshot of 'ACME' could not be loaded (OSError('{why}')); it is tried again."
        for why in ("HTTP 500", "HTTP 502")
    ]
    assert len(reported) == 2
    reported.clear()


@pytest.mark.contract("SU7")
async def test_a_released_handle_takes_the_trouble_of_its_snapshot_with_it(reported):
    market = Market()

    def load():
        raise OSError("HTTP 500")

    async with connect_to(market) as connection:
        plain = connection.subscribe("ACME")
        async with connection.subscribe("ACME", snapshot=load) as handle:
            await handle.state.wait_for(lambda state: state.error is not None)
            assert "could not be loaded" in explained(connection)
        assert explained(connection) == "1 subscribed."
        assert (handle.state.value.phase, handle.state.value.error) == ("ended", None)
        plain.unsubscribe()
    reported.clear()
