"""Build the contents of the inspector panel: explanation, figures, events and plots."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo

from sockstore.base.times import say_duration
from sockstore.connection.connection import Connection
from sockstore.connection.inspection.observer import Stats
from sockstore.connection.inspection.timeline import TimelineEvent
from sockstore.stores import Readable
from sockstore.ui.pacing import PAUSE, watching
from sockstore.ui.text import abridge

__all__ = [
    "HEIGHT",
    "SECONDS_PLOTTED",
    "Inspection",
    "Plot",
    "Row",
    "Sampler",
    "inspect",
    "plot",
    "watch",
]

EVENTS_SHOWN = 50
EVENT_SHOWN = 300
"""Characters of one event: a server may send a whole page with a refusal."""
SECONDS_PLOTTED = 60

HEIGHT = 100
"""The height of a plot; its width is the seconds."""

UNKNOWN = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Row:
    """One event of the timeline.

    Args:
        time: The time, as ``14:05:09`` in the reader's time.
        kind: The kind of event, in one word.
        text: The event, in one sentence.
    """

    time: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """The contents of the panel.

    Args:
        explanation: The present action of the connection, and its reason.
        figures: Names and values.
        events: The timeline's last events, oldest first.
    """

    explanation: str
    figures: tuple[tuple[str, str], ...]
    events: tuple[Row, ...]


def inspect(connection: Connection, zone: tzinfo | None = None) -> Inspection:
    """Look at a connection.

    Args:
        connection: The connection.
        zone: The reader's time zone; None for this machine's.

    Returns:
        The contents of the panel.

    Example:
        >>> from sockstore import WebSocketStore
        >>> inspect(WebSocketStore("ws://localhost")).figures[:2]
        (('Attempts', '0'), ('Losses', '0'))
    """
    events = connection.timeline.value[-EVENTS_SHOWN:]
    rows = tuple(_row(event, zone) for event in events)
    return Inspection(connection.explain(), _figures(connection.stats()), rows)


async def watch(
    connection: Connection,
    opened: Readable[object],
    plot: Callable[[Sampler], None],
    show: Callable[[], None],
) -> None:
    """Keep a panel up to date until it is closed: at each event, and once a second.

    Args:
        connection: Which one.
        opened: Whether the panel is open.
        plot: Called once a second with the figures to plot.
        show: Called when the other contents may have changed.
    """
    changed = asyncio.Event()
    loop, sampler = asyncio.get_running_loop(), Sampler()
    due = loop.time()
    with watching((connection.timeline, connection.state, opened), changed):
        while opened.value:
            changed.clear()
            if loop.time() >= due:
                due = loop.time() + 1
                sampler.sample(connection)
                plot(sampler)
            show()
            await asyncio.sleep(PAUSE)
            with suppress(TimeoutError):
                # At least a moment ahead: Pyodide's loop refuses a time that has just passed.
                async with asyncio.timeout_at(max(due, loop.time() + PAUSE)):
                    await changed.wait()


def _row(event: TimelineEvent, zone: tzinfo | None) -> Row:
    time = datetime.fromtimestamp(event.at, zone).strftime("%H:%M:%S")
    return Row(time, event.kind, abridge(event.text, EVENT_SHOWN))


def _figures(stats: Stats) -> tuple[tuple[str, str], ...]:
    latency = "unknown" if stats.latency is None else say_duration(stats.latency)
    counts = stats.subscriptions
    subscribed = f"{counts.get('subscribed', 0):,} of {sum(counts.values()):,}"
    return (
        ("Attempts", f"{stats.attempts:,}"),
        ("Losses", f"{stats.losses:,}"),
        ("Open in all", say_duration(stats.open_seconds)),
        ("Latency", latency),
        ("Received", f"{stats.messages_received:,}"),
        ("Sent", f"{stats.messages_sent:,}"),
        ("Waiting", f"{stats.messages_waiting:,} ({stats.bytes_waiting:,} bytes)"),
        *((("Subscribed", subscribed),) if counts else ()),
    )


class Sampler:
    """The last minute in figures for a plot: call `sample` once a second.

    Attributes:
        rates: Messages received in each second, oldest first.
        latencies: Milliseconds that the last ping took, at each second; None before the first.

    Example:
        >>> from sockstore import WebSocketStore
        >>> sampler = Sampler()
        >>> sampler.sample(WebSocketStore("ws://localhost"))
        >>> list(sampler.rates), list(sampler.latencies)
        ([0.0], [None])
    """

    def __init__(self) -> None:
        self.rates: deque[float] = deque(maxlen=SECONDS_PLOTTED)
        self.latencies: deque[float | None] = deque(maxlen=SECONDS_PLOTTED)
        # The messages received until the last sample; None before the first.
        self._received: int | None = None

    def sample(self, connection: Connection) -> None:
        """Record this second.

        Args:
            connection: Which one.
        """
        received = connection.stats().messages_received
        before = received if self._received is None else self._received
        self._received = received
        self.rates.append(float(received - before))
        latency = connection.latency.value
        self.latencies.append(None if latency is None else latency * 1000)


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure's last minute, as a line and in words.

    Args:
        line: The path of the line, as SVG writes it.
        area: The path of the area below the line.
        latest: The value now, with its unit.
        highest: The highest value, with its unit; empty without any.
    """

    line: str
    area: str
    latest: str
    highest: str


def plot(values: Sequence[float | None], unit: str, *, least: float) -> Plot:
    """Draw the last seconds of a figure.

    Args:
        values: One for each second, the latest last; None where it was not measured.
        unit: The unit, written behind a value.
        least: The smallest value that fills the height, so that noise is not drawn as a peak.

    Example:
        >>> drawn = plot([5.0, 10.0], "ms", least=10)
        >>> drawn.line, drawn.latest
        ('M58 50.0L59 0.0', '10 ms')
    """
    measured = [value for value in values if value is not None]
    if not measured:
        return Plot("", "", UNKNOWN, "")
    top, start = max(least, *measured), SECONDS_PLOTTED - len(values)
    points = [
        (start + index, HEIGHT * (1 - value / top))
        for index, value in enumerate(values)
        if value is not None
    ]
    steps = (f"{'L' if index else 'M'}{x} {y:.1f}" for index, (x, y) in enumerate(points))
    line = "".join(steps)
    area = f"{line}L{points[-1][0]} {HEIGHT}L{points[0][0]} {HEIGHT}Z"
    return Plot(line, area, _say(measured[-1], unit), _say(max(measured), unit))


def _say(value: float, unit: str) -> str:
    is_exact = value >= 10 or value == int(value)
    return f"{value:.0f} {unit}" if is_exact else f"{value:.1f} {unit}"
