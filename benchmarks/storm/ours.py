"""Drop many `WebSocketStore` at once, refuse them, and see when each of them comes back.

``python -m benchmarks.storm.ours --clients 10000`` prints the shares as JSON. Nothing is opened
but stores with their defaults; the server is the test kit's and the clock is virtual.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging

from benchmarks.storm.busiest import ATTEMPTS, shares
from sockstore import WebSocketStore
from sockstore.testing import FakeServer, VirtualClock

SECONDS_OF_CALM = 10
SECONDS_OF_STORM = 600
"""Bounds the storm; ten retries of the default schedule take 200 s at most."""


async def storm(clock: VirtualClock, clients: int) -> dict[int, list[float]]:
    """Return the times of each attempt, in seconds after the clients were dropped."""
    server = FakeServer()
    stores = [WebSocketStore(f"ws://storm/{number}", transport=server) for number in range(clients)]
    for store in stores:
        store.connect()
    await clock.advance(SECONDS_OF_CALM)
    assert len(server.open_connections) == clients  # noqa: S101 - all take part in the storm
    dropped = clock.now
    server.go_down()
    while clock.now < dropped + SECONDS_OF_STORM:
        await clock.advance(SECONDS_OF_CALM)
        made = _made(server, dropped)
        if len(made[max(ATTEMPTS)]) == clients:
            break
    for store in stores:
        store.close()
    return made


def _made(server: FakeServer, dropped: float) -> dict[int, list[float]]:
    counts: dict[str, int] = {}
    made: dict[int, list[float]] = {attempt: [] for attempt in ATTEMPTS}
    for handshake in server.handshakes:
        url = handshake.target.url
        # The first handshake of each client is before the storm: it is attempt 0.
        attempt = counts[url] = counts.get(url, -1) + 1
        if attempt in made:
            made[attempt].append(handshake.at - dropped)
    return made


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=10_000)
    clients = parser.parse_args().clients
    logging.disable()  # it would write a line for each client
    gc.disable()  # millions of objects live to the end
    clock = VirtualClock()
    print(json.dumps(shares(clock.run(storm(clock, clients)), clients)))
    gc.freeze()  # the collector skips them when the program ends


if __name__ == "__main__":
    main()
