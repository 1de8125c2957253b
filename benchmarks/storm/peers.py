"""Retry delays of the peers by their defaults: their own function, or its formula in Python.

Each iterator yields the seconds before the first retry after a loss, before the second, and so
on; it ends where the peer gives up.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from typing import TypeAlias

from benchmarks.harness.rounds import Absent
from benchmarks.storm.busiest import ATTEMPTS

__all__ = ["PEERS", "Waits", "arrivals"]

Waits: TypeAlias = Callable[[], Iterator[float]]


def arrivals(waits: Waits, clients: int) -> dict[int, list[float]]:
    """Return the times of each attempt, if every attempt is refused at once.

    Args:
        waits: The delays of one client.
        clients: The number of clients, all dropped at time 0.
    """
    made: dict[int, list[float]] = {attempt: [] for attempt in ATTEMPTS}
    for _ in range(clients):
        times = itertools.accumulate(itertools.islice(waits(), max(ATTEMPTS)))
        for attempt, time in enumerate(times, 1):
            if attempt in made:
                made[attempt].append(time)
    return made


def _websockets() -> Iterator[float]:
    """Its own generator: ``async for connection in connect(...)``."""
    try:
        from websockets.client import backoff
    except ImportError:
        raise Absent("websockets has no client.backoff") from None
    return backoff()


def _centrifuge_python() -> Iterator[float]:
    """Its own function, with the defaults of `centrifuge.Client`."""
    try:
        from centrifuge.utils import _backoff
    except ImportError:
        raise Absent("centrifuge-python is not installed") from None
    return (_backoff(attempt, 0.1, 20.0) for attempt in itertools.count())


def _python_socketio() -> Iterator[float]:
    """`AsyncClient._handle_reconnect` of python-socketio 5.18.1."""
    for attempt in itertools.count():
        yield min(2.0**attempt, 5.0) + 0.5 * (2 * random.random() - 1)


def _socket_io() -> Iterator[float]:
    """socket.io-client 4.8, lib/contrib/backo2.ts with 1 s, 5 s and 0.5; the cap comes last."""
    for attempt in itertools.count():
        seconds, drawn = 2.0**attempt, random.random()
        deviation = drawn * 0.5 * seconds
        is_less = int(drawn * 10) & 1 == 0
        yield min(seconds - deviation if is_less else seconds + deviation, 5.0)


def _centrifuge_js() -> Iterator[float]:
    """centrifuge-js 5, src/utils.ts `backoff`, with the client's 0.5 s and 20 s."""
    for attempt in itertools.count():
        yield min(20.0, 0.5 + random.uniform(0, min(20.0, 0.5 * 2.0**attempt)))


def _partysocket() -> Iterator[float]:
    """Partysocket 1.3.0, ws.ts `_getNextDelay`: no jitter."""
    for attempt in itertools.count():
        yield min(3.0 * 1.3**attempt, 10.0)


def _reconnecting_websocket() -> Iterator[float]:
    """reconnecting-websocket 4.4.0, `_getNextDelay`; the least delay is drawn once a page."""
    least = 1 + random.random() * 4
    for attempt in itertools.count():
        yield min(least * 1.3**attempt, 10.0)


def _graphql_ws() -> Iterator[float]:
    """graphql-ws 6, src/client.ts `randomisedExponentialBackoff`; `retryAttempts` is 5."""
    for attempt in range(5):
        yield 2.0**attempt + random.uniform(0.3, 3.0)


def _phoenix() -> Iterator[float]:
    """phoenix.js 1.7, socket.js `reconnectAfterMs`."""
    yield from (0.01, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.0)
    yield from itertools.repeat(5.0)


def _signalr() -> Iterator[float]:
    """SignalR for JavaScript, DefaultReconnectPolicy.ts: four retries."""
    yield from (0.0, 2.0, 10.0, 30.0)


def _vueuse() -> Iterator[float]:
    """VueUse, useWebSocket with ``autoReconnect: true``."""
    return itertools.repeat(1.0)


def _guide() -> Iterator[float]:
    """The guide's `attemptReconnect`: 3 s times the attempt, five times."""
    yield from (3.0, 6.0, 9.0, 12.0, 15.0)


PEERS: dict[str, tuple[Waits, str]] = {
    "websockets": (_websockets, "jitter before the first retry only"),
    "centrifuge-python": (_centrifuge_python, "full jitter, up to 20 s"),
    "centrifuge-js": (_centrifuge_js, "full jitter, up to 20 s"),
    "python-socketio": (_python_socketio, "±0.5 s, up to 5 s"),
    "socket.io-client": (_socket_io, "the cap of 5 s cuts the jitter off"),
    "reconnecting-websocket": (_reconnecting_websocket, "drawn once, up to 10 s"),
    "partysocket": (_partysocket, "no jitter"),
    "graphql-ws": (_graphql_ws, "gives up after 5"),
    "phoenix.js": (_phoenix, "no jitter"),
    "SignalR": (_signalr, "no jitter; gives up after 4"),
    "VueUse": (_vueuse, "every second, no jitter"),
    "the guide": (_guide, "no jitter; gives up after 5"),
}
"""For each peer the delays of one client, and a note."""
