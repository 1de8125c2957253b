"""The inspector panel's text: no kit, no page."""

from __future__ import annotations

from datetime import UTC

import pytest

from sockstore import WebSocketStore
from sockstore.protocols import Topics
from sockstore.testing import FakeServer, accept, echo
from sockstore.ui.inspector import SECONDS_PLOTTED, Sampler, inspect, plot


@pytest.mark.virtual_clock
async def test_the_panel_has_the_explanation_the_figures_and_the_timeline(virtual_clock):
    async with WebSocketStore("ws://fake?token=secret", transport=FakeServer()) as connection:
        await connection.ready()
        await virtual_clock.advance(75)
        seen = inspect(connection, UTC)
    assert seen.explanation.startswith("Connected to ws://fake")
    assert dict(seen.figures)["Open in all"] == "1 min 15 s"
    assert [row.kind for row in seen.events] == ["attempt", "open"]
    assert seen.events[0].time == "00:00:00"
    assert "secret" not in repr(seen)


@pytest.mark.virtual_clock
async def test_the_sampler_counts_messages_of_each_second(virtual_clock):
    server = FakeServer(accept(), echo())
    async with WebSocketStore("ws://fake", transport=server) as connection:
        await connection.ready()
        sampler = Sampler()
        sampler.sample(connection)
        for number in (3, 0, 5):
            for _ in range(number):
                connection.send("x")
            await virtual_clock.advance(1)
            sampler.sample(connection)
        assert list(sampler.rates) == [0, 3, 0, 5]


@pytest.mark.virtual_clock
async def test_a_connection_with_subscriptions_shows_how_many_are_subscribed(virtual_clock):
    server, routed = FakeServer(accept(), echo()), Topics(key=lambda data: data.get("type"))
    async with WebSocketStore("ws://fake", transport=server, protocol=routed) as connection:
        sampler = Sampler()
        assert dict(inspect(connection).figures)["Subscribed"] == "0 of 0"
        handles = [connection.subscribe(n) for n in range(1500)]
        assert dict(inspect(connection).figures)["Subscribed"] == "0 of 1,500"
        await connection.ready()
        await virtual_clock.advance(1)
        assert dict(inspect(connection).figures)["Subscribed"] == "1,500 of 1,500"
        sampler.sample(connection)
        for n in range(7):
            connection.send({"type": n})
        await virtual_clock.advance(1)
        sampler.sample(connection)
        assert list(sampler.rates) == [0, 7]
        assert [len(handle.messages) for handle in handles[:8]] == [1] * 7 + [0]
    assert "Subscribed" not in dict(inspect(WebSocketStore("ws://fake")).figures)


def test_the_sampler_forgets_what_is_older_than_a_minute():
    connection = WebSocketStore("ws://fake", transport=FakeServer())
    sampler = Sampler()
    for _ in range(100):
        sampler.sample(connection)
    assert len(sampler.rates) == len(sampler.latencies) == 60


@pytest.mark.contract("UI1")
def test_nothing_is_known_at_first():
    for values in ((), (None, None)):
        drawn = plot(values, "ms", least=10)
        assert (drawn.line, drawn.area, drawn.highest) == ("", "", "")
        assert drawn.latest == "\N{EN DASH}"


@pytest.mark.contract("UI1")
def test_the_latest_value_stands_at_the_right():
    assert plot([7.0], "ms", least=10).line == f"M{SECONDS_PLOTTED - 1} 30.0"


@pytest.mark.contract("UI1")
def test_a_value_that_is_not_known_is_a_hole_and_its_neighbours_are_joined():
    assert plot([0, None, 10], "ms", least=10).line == "M57 100.0L59 0.0"


@pytest.mark.contract("UI1")
def test_small_values_do_not_fill_the_height_and_great_ones_just_do():
    assert plot([1.0], "a second", least=3).line == "M59 66.7"
    assert plot([1.0, 300.0], "a second", least=3).line == "M58 99.7L59 0.0"


@pytest.mark.contract("UI1")
def test_the_area_is_closed_at_the_ground():
    assert plot([5, 10], "ms", least=10).area.endswith("L59 100L58 100Z")


@pytest.mark.contract("UI1")
@pytest.mark.parametrize(
    ("value", "said"), [(0.0, "0 ms"), (3.0, "3 ms"), (3.14, "3.1 ms"), (42.6, "43 ms")]
)
def test_values_are_as_exact_as_a_reader_wants_them(value, said):
    assert plot([value], "ms", least=10).latest == said


@pytest.mark.contract("UI1")
def test_the_highest_is_said_beside_the_latest():
    drawn = plot([50.0, 20.0], "ms", least=10)
    assert (drawn.latest, drawn.highest) == ("20 ms", "50 ms")
