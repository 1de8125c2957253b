"""A panel that shows what a connection is doing, as a widget."""

from __future__ import annotations

from functools import partial

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Collapsible, Sparkline, Static

from sockstore.connection.connection import Connection
from sockstore.scope.subscription_provider import Source
from sockstore.stores import writable
from sockstore.ui.inspector import Sampler, inspect, plot, watch
from sockstore.ui.textual.message_list import Item, MessageList
from sockstore.ui.textual.provider import SourceComponent

__all__ = ["ConnectionInspector"]


class ConnectionInspector(SourceComponent):
    """Show what a connection is doing and why: its figures, latency, rate and last events.

    It is a line that opens a panel. While it is closed it follows nothing.

    Args:
        connection: Which one, or a subscription of it; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: When it is mounted, if it stands in no such provider.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws"):
                yield ConnectionInspector()
    """

    DEFAULT_CSS = """
    ConnectionInspector { height: auto; }
    ConnectionInspector Collapsible { padding: 0; border: none; background: $surface; }
    ConnectionInspector Contents { padding: 0; }
    ConnectionInspector #panel { height: auto; max-height: 16; padding: 0 1; }
    ConnectionInspector #explanation { width: 1fr; text-style: bold; }
    ConnectionInspector #figures { width: 1fr; color: $text-muted; }
    ConnectionInspector #plots { height: 2; }
    ConnectionInspector #plots > Vertical { width: 1fr; height: 2; padding-right: 2; }
    ConnectionInspector Sparkline { height: 1; }
    ConnectionInspector .label { color: $text-muted; }
    ConnectionInspector MessageList { height: 5; padding: 0; }
    """

    def __init__(self, connection: Source | None = None, *, name: str = "default") -> None:
        super().__init__(connection, name)
        self._opened = writable(value=False)
        self._explanation = Static(id="explanation", markup=False)
        self._figures = Static(id="figures", markup=False)
        self._latency_label = Static("Latency", classes="label", markup=False)
        self._latency = Sparkline()
        self._rate_label = Static("Messages", classes="label", markup=False)
        self._rate = Sparkline()
        self._events = MessageList("Nothing yet")
        self._panel = Collapsible(
            VerticalScroll(
                self._explanation,
                self._figures,
                Horizontal(
                    Vertical(self._latency_label, self._latency),
                    Vertical(self._rate_label, self._rate),
                    id="plots",
                ),
                self._events,
                id="panel",
                can_focus=False,
            ),
            title="Inspector",
        )

    def compose(self) -> ComposeResult:
        """Place the panel, closed."""
        yield self._panel

    def toggle(self) -> None:
        """Open the panel, or close it."""
        self._panel.collapsed = not self._panel.collapsed

    @on(Collapsible.Expanded)
    @on(Collapsible.Collapsed)
    def _toggled(self, event: Collapsible.Toggled) -> None:
        """Begin to watch, or end it."""
        event.stop()
        self._opened.set(not self._panel.collapsed)

    async def follow(self) -> None:
        """Watch the connection whenever the panel is open."""
        connection = await self.connection()
        while True:
            await self._opened.wait_for(bool)
            await watch(connection, self._opened, self._plot, partial(self._show, connection))

    def _plot(self, sampler: Sampler) -> None:
        latency = plot(sampler.latencies, "ms", least=10).latest
        self._latency.data = [latency or 0.0 for latency in sampler.latencies]
        self._rate.data = list(sampler.rates)
        self._latency_label.update(Content(f"Latency: {latency}"))
        self._rate_label.update(Content(f"Messages: {sampler.rates[-1]:.0f} a second"))

    def _show(self, connection: Connection) -> None:
        inspection = inspect(connection)
        self._explanation.update(Content(inspection.explanation))
        figures = "   ".join(f"{name}: {value}" for name, value in inspection.figures)
        self._figures.update(Content(figures))
        first = len(connection.timeline.value) - len(inspection.events)
        items = [
            Item((first + place, row), Content(f"{row.time} {row.kind:<9} {row.text}"))
            for place, row in enumerate(inspection.events)
        ]
        self._events.show(items)
