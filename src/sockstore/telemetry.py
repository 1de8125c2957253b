"""Report a connection to OpenTelemetry: figures as metrics, attempts and connections as spans.

The module needs the extra ``otel``; its figures are those of ``stats()`` and ``timeline``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.util.types import AttributeValue

from sockstore.base.version import __version__
from sockstore.connection.connection import Connection
from sockstore.connection.inspection import timeline as happened
from sockstore.connection.inspection.observer import Stats
from sockstore.connection.inspection.subscriptions import (
    Subscribed,
    SubscriptionEvent,
    SubscriptionGap,
)
from sockstore.connection.view import engine_of

__all__ = ["instrument"]

Attributes = dict[str, AttributeValue]

_NANOSECONDS = 1_000_000_000


def instrument(
    connection: Connection,
    *,
    name: str | None = None,
    meter_provider: MeterProvider | None = None,
    tracer_provider: TracerProvider | None = None,
) -> Callable[[], None]:
    """Report a connection to OpenTelemetry, until the returned callable is called.

    Counters: ``sockstore.messages.received`` and ``.sent``, ``sockstore.attempts``,
    ``sockstore.losses``. Gauges: ``sockstore.connected`` (0 or 1), ``sockstore.outbox.messages``,
    ``sockstore.latency`` (seconds), where the server acknowledges messages
    ``sockstore.messages.unanswered``, and with a protocol ``sockstore.subscriptions`` for each
    phase, which is its attribute ``sockstore.subscription.phase``. Spans: ``websocket attempt`` and
    ``websocket connection``, with the timeline's events in between; those of subscriptions have the
    attributes ``sockstore.subscription.keys``, ``.number`` and ``.recovered``, and for gaps
    ``sockstore.gap.reason`` and ``.missed``.

    Args:
        connection: The connection.
        name: Its name, for the attribute ``sockstore.connection``.
        meter_provider: Receives the metrics; None for the global one.
        tracer_provider: Receives the spans; None for the global one.

    Returns:
        A callable that stops the reports.

    Raises:
        ImportError: If the extra is missing: ``pip install 'sockstore[otel]'``.

    Source:
        The OpenTelemetry specification; names of attributes from its semantic conventions.

    Example:
        ::

            from sockstore.telemetry import instrument

            stop = instrument(connection, name="prices")
    """
    attributes: Attributes = {} if name is None else {"sockstore.connection": name}
    figures = _Figures(connection, attributes, meter_provider)
    spans = _Spans(connection, attributes, tracer_provider)

    def stop() -> None:
        figures.stop()
        spans.stop()

    return stop


_COUNTERS: dict[str, Callable[[Stats], float]] = {
    "sockstore.messages.received": lambda stats: stats.messages_received,
    "sockstore.messages.sent": lambda stats: stats.messages_sent,
    "sockstore.attempts": lambda stats: stats.attempts,
    "sockstore.losses": lambda stats: stats.losses,
}
_GAUGES: dict[str, Callable[[Stats], float | None]] = {
    "sockstore.connected": lambda stats: int(stats.phase == "open"),
    "sockstore.outbox.messages": lambda stats: stats.messages_waiting,
    "sockstore.latency": lambda stats: stats.latency,
}


class _Figures:
    """Observes the stats whenever a metric reader asks, in the reader's thread."""

    def __init__(
        self, connection: Connection, attributes: Attributes, provider: MeterProvider | None
    ) -> None:
        self._connection: Connection | None = connection
        self._attributes = attributes
        meter = metrics.get_meter("sockstore", __version__, provider)
        for name, counted in _COUNTERS.items():
            meter.create_observable_counter(name, [self._observe(counted)])
        for name, measured in _GAUGES.items():
            unit = "s" if name == "sockstore.latency" else ""
            meter.create_observable_gauge(name, [self._observe(measured)], unit)
        if engine_of(connection).machine.sent is not None:
            unanswered = self._observe(lambda stats: stats.messages_unanswered)
            meter.create_observable_gauge("sockstore.messages.unanswered", [unanswered])
        meter.create_observable_gauge("sockstore.subscriptions", [self._count_subscriptions])

    def stop(self) -> None:
        """Observe nothing any more; a meter cannot remove its instruments."""
        self._connection = None

    def _observe(
        self, figure: Callable[[Stats], float | None]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            value = None if self._connection is None else figure(self._connection.stats())
            return [] if value is None else [Observation(value, self._attributes)]

        return observe

    def _count_subscriptions(self, _: CallbackOptions) -> Iterable[Observation]:
        if self._connection is None:
            return []
        counts = self._connection.stats().subscriptions
        return [
            Observation(number, {**self._attributes, "sockstore.subscription.phase": phase})
            for phase, number in counts.items()
        ]


class _Spans:
    """Turns the timeline into spans."""

    def __init__(
        self, connection: Connection, attributes: Attributes, provider: TracerProvider | None
    ) -> None:
        self._tracer = trace.get_tracer("sockstore", __version__, provider)
        self._connection = connection
        self._attributes = attributes
        # The attempt or connection that is under way.
        self._span: Span | None = None
        events = connection.timeline.value
        # The last event that was reported.
        self._last = events[-1] if events else None
        self.stop_watching = connection.timeline.subscribe(self._read)

    def stop(self) -> None:
        """End the span that is under way."""
        self.stop_watching()
        self._end(None)

    def _read(self, events: tuple[happened.TimelineEvent, ...]) -> None:
        places = [index for index, event in enumerate(events) if event is self._last]
        for event in events[places[-1] + 1 :] if places else events:
            self._follow(event)
        if events:
            self._last = events[-1]

    def _follow(self, event: happened.TimelineEvent) -> None:
        match event:
            case happened.AttemptBegan(number=number, at=at):
                self._begin("websocket attempt", at, {"sockstore.attempt": number})
            case happened.Opened(at=at):
                self._begin("websocket connection", at, {})
            case happened.AttemptFailed(error=error, at=at) | happened.Lost(error=error, at=at):
                self._end(at, error)
            case happened.CloseAsked(at=at) | happened.Ended(at=at):
                self._end(at)
            case _:
                if self._span is not None:
                    more = {"text": event.text, **_about(event)}
                    self._span.add_event(event.kind, more, _nanoseconds(event.at))

    def _begin(self, name: str, at: float, more: Attributes) -> None:
        self._end(at)
        self._span = self._tracer.start_span(
            name,
            kind=SpanKind.CLIENT,
            attributes={**self._where(), **self._attributes, **more},
            start_time=_nanoseconds(at),
        )

    def _end(self, at: float | None, error: str | None = None) -> None:
        span, self._span = self._span, None
        if span is None:
            return
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(None if at is None else _nanoseconds(at))

    def _where(self) -> Attributes:
        url = engine_of(self._connection).endpoint.url
        if not isinstance(url, str):
            return {}
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "wss" else 80)
        return {"server.address": parts.hostname or "", "server.port": port}


def _about(event: happened.TimelineEvent) -> Attributes:
    """Return which subscriptions an event is about, and what it says of them."""
    if not isinstance(event, SubscriptionEvent):
        return {}
    facts: dict[str, AttributeValue | None] = {
        "sockstore.subscription.keys": [str(key) for key in event.keys],
        "sockstore.subscription.number": event.number,
    }
    match event:
        case Subscribed(recovered=recovered):
            facts["sockstore.subscription.recovered"] = recovered
        case SubscriptionGap(reason=reason, missed=missed):
            facts |= {"sockstore.gap.reason": reason, "sockstore.gap.missed": missed}
        case _:
            pass
    return {name: value for name, value in facts.items() if value is not None}


def _nanoseconds(at: float) -> int:
    return int(at * _NANOSECONDS)
