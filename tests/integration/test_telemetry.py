"""OpenTelemetry, with its own SDK: metrics and spans of a connection."""

from __future__ import annotations

import asyncio

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from inside import count_watchers
from sockstore import Reconnect, WebSocketStore
from sockstore.telemetry import instrument
from sockstore.testing import FakeServer, accept, close, echo, pause, refuse, slow

pytestmark = pytest.mark.virtual_clock

URL = "wss://user:secret@fake/feed?token=secret"


@pytest.fixture
def reader():
    reader = InMemoryMetricReader()
    yield reader
    reader.shutdown()


@pytest.fixture
def spans():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    exporter.provider = provider
    yield exporter
    provider.shutdown()


def figures(reader: InMemoryMetricReader) -> dict[str, float]:
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        metric.name: point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }


async def test_metrics_and_spans_tell_a_whole_story(reader, spans):
    server = FakeServer(refuse(503), accept(), echo(), pause(30), close(1012))
    connection = WebSocketStore(URL, transport=server, reconnect=Reconnect(schedule=lambda *_: 4.0))
    stop = instrument(
        connection,
        name="prices",
        meter_provider=MeterProvider([reader]),
        tracer_provider=spans.provider,
    )
    connection.connect()
    connection.send("queued")
    await asyncio.sleep(1)
    assert figures(reader)["sockstore.outbox.messages"] == 1
    assert figures(reader)["sockstore.connected"] == 0
    await connection.ready()
    await asyncio.sleep(25)
    seen = figures(reader)
    assert seen["sockstore.connected"] == 1
    assert seen["sockstore.messages.sent"] == seen["sockstore.messages.received"] == 1
    assert (seen["sockstore.attempts"], seen["sockstore.losses"]) == (2, 0)
    assert seen["sockstore.latency"] == 0
    await connection.phase.wait_for(lambda phase: phase == "waiting")
    await connection.aclose()
    stop()
    told = [
        (span.name, span.status.status_code.name, (span.end_time - span.start_time) // 10**9)
        for span in spans.get_finished_spans()
    ]
    assert told == [
        ("websocket attempt", "ERROR", 0),
        ("websocket attempt", "UNSET", 0),
        ("websocket connection", "ERROR", 30),
    ]
    attributes = dict(spans.get_finished_spans()[-1].attributes)
    assert attributes == {
        "server.address": "fake",
        "server.port": 443,
        "sockstore.connection": "prices",
    }
    assert "secret" not in repr([span.to_json() for span in spans.get_finished_spans()])


async def test_a_span_ends_when_this_program_closes_however_long_the_server_takes(spans):
    server = FakeServer(accept(), pause(10), slow(1))
    connection = WebSocketStore("ws://fake", transport=server)
    stop = instrument(connection, tracer_provider=spans.provider)
    async with connection:
        await connection.ready()
        await asyncio.sleep(20)
    stop()
    span = spans.get_finished_spans()[-1]
    assert (span.name, span.status.status_code.name) == ("websocket connection", "UNSET")
    assert (span.end_time - span.start_time) / 10**9 == pytest.approx(20, abs=0.1)


async def test_after_the_end_nothing_is_told_and_no_subscriber_is_left(reader, spans):
    connection = WebSocketStore("ws://fake", transport=FakeServer())
    stop = instrument(
        connection, meter_provider=MeterProvider([reader]), tracer_provider=spans.provider
    )
    async with connection:
        await connection.ready()
        stop()
        assert figures(reader) == {}
        assert [span.name for span in spans.get_finished_spans()] == [
            "websocket attempt",
            "websocket connection",
        ]
        connection.reconnect()
        await connection.ready()
    assert len(spans.get_finished_spans()) == 2
    assert not count_watchers(connection.timeline)


async def test_a_connection_that_is_open_already_is_followed_from_now_on(spans):
    async with WebSocketStore("ws://fake", transport=FakeServer()) as connection:
        await connection.ready()
        stop = instrument(connection, tracer_provider=spans.provider)
        connection.hint("resume")
        connection.reconnect()
        await connection.ready()
        stop()
    assert [span.name for span in spans.get_finished_spans()] == [
        "websocket attempt",
        "websocket connection",
    ]
