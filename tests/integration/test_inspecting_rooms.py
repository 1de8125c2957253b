"""The inspector tells what rooms do: refused, ended, pausing, recovered, and their gaps."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jobs.rooms import RoomsServer
from sockstore import Reconnect, WebSocketStore
from sockstore.protocols import Centrifuge
from sockstore.telemetry import instrument
from sockstore.testing import FakeServer
from waiting import turns, until

pytestmark = pytest.mark.virtual_clock

STEADY = Reconnect.linear(4.0, attempts=None, jitter=0.0)
FULL = {"code": 100, "message": "disk full", "temporary": True}


@asynccontextmanager
async def rooms_of(server: RoomsServer, *names: str):
    async with server:
        options = {"transport": server, "protocol": Centrifuge(), "reconnect": STEADY}
        async with WebSocketStore("ws://rooms", **options) as connection:
            rooms = [connection.subscribe(name) for name in names]
            await connection.ready()
            await turns()
            yield connection, rooms


async def comes_back(connection: WebSocketStore, server: RoomsServer) -> None:
    server.drop()
    await connection.connected.wait_for(lambda connected: not connected)
    await connection.ready()
    await asyncio.sleep(0.1)


def explained(connection: WebSocketStore) -> str:
    return connection.explain().partition("Subscriptions: ")[2]


def told(connection: WebSocketStore) -> list[str]:
    return [event.text for event in connection.timeline.value if hasattr(event, "keys")]


@pytest.mark.contract("SE1", "SE3")
async def test_what_each_room_recovered_is_told_room_by_room():
    server = RoomsServer(keeps=2)
    async with rooms_of(server, *"abcd") as (connection, rooms):
        for _ in range(3):
            server.store("a", "lost")
            server.store("b", "lost")
        server.epochs["c"] = "f"
        server.store("d", "kept")
        await comes_back(connection, server)
        assert told(connection)[1:] == [
            "6 messages of 'a' and 'b' will not come (unavailable).",
            "Subscribed to 'a', 'b' and 'c'; not all that was missed can be had.",
            "Messages of 'c' may be missing (epoch).",
            "Subscribed to 'd'; all that was missed comes.",
        ]
        assert explained(connection) == (
            "4 subscribed. The server could not give all that was missed in 'a', 'b' and 'c'."
        )
        assert [each.state.value.recovered for each in rooms] == [False, False, False, True]


@pytest.mark.contract("SE1")
async def test_nothing_is_said_of_recovery_before_anything_was_missed():
    server = RoomsServer()
    async with rooms_of(server, "a", "b") as (connection, rooms):
        assert explained(connection) == "2 subscribed."
        await comes_back(connection, server)
        assert explained(connection) == "2 subscribed. All that was missed before has come."
        assert told(connection) == [
            "Subscribed to 'a' and 'b'.",
            "Subscribed to 'a' and 'b'; all that was missed comes.",
        ]
        assert len(rooms) == 2


@pytest.mark.contract("SE1", "SU6")
async def test_rooms_that_are_refused_ended_or_without_an_answer_are_named():
    server = RoomsServer()
    server.refusals["subscribe", "secret"] = {"code": 103, "message": "permission denied"}
    server.refusals["subscribe", "busy"] = FULL
    async with rooms_of(server, "a", "b", "secret", "busy") as (connection, rooms):
        server.end("b", 2000, "room closed")
        await turns()
        assert explained(connection) == (
            "1 subscribed, 1 waiting, 1 refused, 1 ended. "
            "The server refused 'busy' for now (disk full (100)). "
            "The server refused 'secret' (permission denied (103)). "
            "The server ended 'b' (room closed)."
        )
        assert len(rooms) == 4


@pytest.mark.contract("SE2")
async def test_messages_of_a_room_that_cannot_store_them_are_counted_and_the_room_is_named():
    server = RoomsServer()
    server.refusals["publish", "a"] = FULL
    async with rooms_of(server, "a", "b") as (connection, rooms):
        receipts = [rooms[0].send(1), rooms[0].send(2)]
        await rooms[1].send(3)
        await turns()
        assert connection.stats().messages_unanswered == 2
        assert connection.explain().endswith(
            "2 messages have not been acknowledged yet. 2 of them wait to be sent again, to 'a'."
        )
        del server.refusals["publish", "a"]
        await asyncio.gather(*receipts)
        assert connection.stats().messages_unanswered == 0
        assert "acknowledged" not in connection.explain()


@pytest.mark.contract("SE3")
async def test_open_telemetry_is_told_of_rooms_by_their_names():
    reader, exporter, server = InMemoryMetricReader(), InMemorySpanExporter(), RoomsServer(keeps=1)
    spans = TracerProvider()
    spans.add_span_processor(SimpleSpanProcessor(exporter))
    server.refusals["publish", "a"] = FULL
    async with rooms_of(server, "a") as (connection, rooms):
        stop = instrument(connection, meter_provider=MeterProvider([reader]), tracer_provider=spans)
        rooms[0].send(1)
        await turns()
        told = json.loads(reader.get_metrics_data().to_json())
        for _ in range(3):
            server.store("a", "lost")
        await comes_back(connection, server)
        stop()
    metrics = told["resource_metrics"][0]["scope_metrics"][0]["metrics"]
    [unanswered] = [each for each in metrics if each["name"] == "sockstore.messages.unanswered"]
    assert [point["value"] for point in unanswered["data"]["data_points"]] == [1]
    events = {
        event.name: dict(event.attributes) | {"text": None}
        for span in exporter.get_finished_spans()
        for event in span.events
    }
    about_a = {"text": None, "sockstore.subscription.keys": ("a",)}
    about_a |= {"sockstore.subscription.number": 1}
    assert events["gap"] == {
        **about_a,
        "sockstore.gap.reason": "unavailable",
        "sockstore.gap.missed": 3,
    }
    assert events["subscribe"] == {**about_a, "sockstore.subscription.recovered": False}
    reader.shutdown()
    spans.shutdown()


async def test_a_connection_that_acknowledges_nothing_has_no_such_figure():

    async with WebSocketStore("ws://plain", transport=FakeServer()) as connection:
        await connection.ready()
        connection.send("x")
        await until(lambda: connection.stats().messages_sent)
        assert connection.stats().messages_unanswered == 0
