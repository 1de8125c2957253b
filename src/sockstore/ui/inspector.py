"""What an inspector panel shows of a connection: pure, for every interface."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo

from sockstore.base.times import say_duration
from sockstore.connection.inspection.observer import Stats
from sockstore.connection.inspection.timeline import TimelineEvent
from sockstore.connection.websocket_store import WebSocketStore
from sockstore.stores import Readable, derived
from sockstore.ui.pacing import PAUSE
from sockstore.ui.text import abridge

__all__ = ["SECONDS_PLOTTED", "Inspection", "Row", "Sampler", "inspect", "watch"]

EVENTS_SHOWN = 50
EVENT_SHOWN = 300
"""Characters of one event: a server may send a whole page with a refusal."""
SECONDS_PLOTTED = 60


@dataclass(frozen=True, slots=True)
class Row:
    """One event of the timeline.

    Args:
        time: When, as ``14:05:09`` in the reader's time.
        kind: What, in one word.
        text: What happened, in one sentence.
    """

    time: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the panel shows.

    Args:
        explanation: What the connection is doing, and why.
        figures: Names and values.
        events: The timeline's last events, oldest first.
    """

    explanation: str
    figures: tuple[tuple[str, str], ...]
    events: tuple[Row, ...]


def inspect(connection: WebSocketStore, zone: tzinfo | None = None) -> Inspection:
    """Look at a connection.

    Args:
        connection: Which one.
        zone: The reader's time zone; None for this machine's.

    Returns:
        What the panel shows.

    Example:
        >>> inspect(WebSocketStore("ws://localhost")).figures[:2]
        (('Attempts', '0'), ('Losses', '0'))
    """
    events = connection.timeline.value[-EVENTS_SHOWN:]
    rows = tuple(_row(event, zone) for event in events)
    return Inspection(connection.explain(), _figures(connection.stats()), rows)


async def watch(
    connection: WebSocketStore,
    opened: Readable[object],
    plot: Callable[[Sampler], None],
    show: Callable[[], None],
) -> None:
    """Keep a panel up to date until it is closed: at each event, and once a second.

    Args:
        connection: Which one.
        opened: Whether the panel is open.
        plot: Called once a second with the figures to plot.
        show: Called when the rest may be another.
    """
    stores = (connection.timeline, connection.state, opened)
    loop, sampler = asyncio.get_running_loop(), Sampler()
    due = loop.time()
    with derived(stores, lambda *values: values).stream(buffer=1) as changes:
        while opened.value:
            if loop.time() >= due:
                due = loop.time() + 1
                sampler.sample(connection)
                plot(sampler)
            show()
            await asyncio.sleep(PAUSE)
            with suppress(TimeoutError):
                # Not sooner than in a moment: Pyodide's loop refuses a time that has just passed.
                async with asyncio.timeout_at(max(due, loop.time() + PAUSE)):
                    await anext(changes)


def _row(event: TimelineEvent, zone: tzinfo | None) -> Row:
    time = datetime.fromtimestamp(event.at, zone).strftime("%H:%M:%S")
    return Row(time, event.kind, abridge(event.text, EVENT_SHOWN))


def _figures(stats: Stats) -> tuple[tuple[str, str], ...]:
    latency = "unknown" if stats.latency is None else say_duration(stats.latency)
    return (
        ("Attempts", f"{stats.attempts:,}"),
        ("Losses", f"{stats.losses:,}"),
        ("Open in all", say_duration(stats.open_seconds)),
        ("Latency", latency),
        ("Received", f"{stats.messages_received:,}"),
        ("Sent", f"{stats.messages_sent:,}"),
        ("Waiting", f"{stats.messages_waiting:,} ({stats.bytes_waiting:,} bytes)"),
    )


class Sampler:
    """The last minute in figures for a plot: call `sample` once a second.

    Attributes:
        rates: Messages received in each second, oldest first.
        latencies: Milliseconds that the last ping took, at each second; 0 before the first.

    Example:
        >>> sampler = Sampler()
        >>> sampler.sample(WebSocketStore("ws://localhost"))
        >>> list(sampler.rates), list(sampler.latencies)
        ([0.0], [0.0])
    """

    def __init__(self) -> None:
        self.rates: deque[float] = deque(maxlen=SECONDS_PLOTTED)
        self.latencies: deque[float] = deque(maxlen=SECONDS_PLOTTED)
        self._received: int | None = None

    def sample(self, connection: WebSocketStore) -> None:
        """Take note of this second.

        Args:
            connection: Which one.
        """
        received = connection.messages.total
        before = received if self._received is None else self._received
        self._received = received
        self.rates.append(float(received - before))
        self.latencies.append((connection.latency.value or 0.0) * 1000)
