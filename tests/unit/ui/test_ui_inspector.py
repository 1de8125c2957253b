"""The inspector panel's text: no kit, no page."""

from __future__ import annotations

from datetime import UTC

import pytest

from sockstore import WebSocketStore
from sockstore.testing import FakeServer, accept, echo
from sockstore.ui.inspector import Sampler, inspect


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


def test_the_sampler_forgets_what_is_older_than_a_minute():
    connection = WebSocketStore("ws://fake", transport=FakeServer())
    sampler = Sampler()
    for _ in range(100):
        sampler.sample(connection)
    assert len(sampler.rates) == len(sampler.latencies) == 60
