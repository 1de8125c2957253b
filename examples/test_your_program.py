"""Test a program that uses sockstore: `pytest examples/test_your_program.py`."""

import pytest

from sockstore import WebSocketStore
from sockstore.testing import FakeServer, accept, assert_no_leaks, drop, pause, refuse, send


async def collect_prices(connection: WebSocketStore, how_many: int) -> list[float]:
    """Stand in for the program under test."""
    prices: list[float] = []
    async for message in connection.stream():
        prices.append(message.data["price"])
        if len(prices) == how_many:
            break
    return prices


@pytest.mark.virtual_clock
async def test_prices_go_on_after_an_outage_of_two_hours() -> None:
    server = FakeServer(
        accept(),
        send({"price": 1.0}),
        drop(),
        refuse(503, retry_after=300),
        pause(7200),
        accept(),
        send({"price": 2.0}),
    )
    async with (
        assert_no_leaks(),
        WebSocketStore("wss://prices.example", transport=server, connect_timeout=8000) as prices,
    ):
        assert await collect_prices(prices, 2) == [1.0, 2.0]
    assert len(server.handshakes) == 3
