"""A panel that shows what a connection is doing, as an element."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta, timezone
from functools import partial

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import GenericEventArguments

from sockstore.connection.connection import Connection
from sockstore.scope.subscription_provider import Source
from sockstore.stores import Writable, writable
from sockstore.ui.inspector import Sampler, inspect, watch
from sockstore.ui.nicegui.provider import SourceComponent
from sockstore.ui.web import FOLDER

__all__ = ["ConnectionInspector"]

DAY = 24 * 60
"""Minutes; every time zone is nearer to UTC."""


class ConnectionInspector(SourceComponent, component="inspector.js"):
    """Show what a connection is doing and why: its figures, latency, rate and last events.

    It is a button that opens a panel; the browser remembers whether it was open. While it is
    closed it follows nothing and sends nothing.

    Args:
        connection: Which one, or a subscription of it; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: If it stands in no such provider.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws"):
                ConnectionInspector()
    """

    def __init__(self, connection: Source | None = None, *, name: str = "default") -> None:
        super().__init__(connection, name)
        # The reader's time zone while the panel is open.
        self._opened: Writable[timezone | None] = writable(None)
        self.on("opened", self._open)
        self.on("closed", lambda: self._opened.set(None), args=[])
        with self:
            self._explanation = ui.label().classes("sockstore-explanation")
            self._latency = _Plot("Latency", "ms", least=10)
            self._rate = _Plot("Messages", "a second", least=3)
            self._figures = _Figures()
            self._timeline = _Timeline()

    async def on_mount(self) -> None:
        """Watch the connection whenever the panel is open."""
        connection = await self.connection()
        while True:
            await self._opened.wait_for(lambda zone: zone is not None)
            await watch(connection, self._opened, self._plot, partial(self._show, connection))

    def _plot(self, sampler: Sampler) -> None:
        self._latency.draw(sampler.latencies)
        self._rate.draw(sampler.rates)

    def _show(self, connection: Connection) -> None:
        zone = self._opened.value
        inspection = inspect(connection, zone)
        self._explanation.text = inspection.explanation
        self._figures.show(inspection.figures)
        self._timeline.show([[row.time, row.kind, row.text] for row in inspection.events])

    def _open(self, event: GenericEventArguments) -> None:
        minutes = event.args if isinstance(event.args, int) else 0
        away = timedelta(minutes=max(1 - DAY, min(DAY - 1, minutes)))
        self._opened.set(timezone(away))


class _Plot(Element, component="plot.js"):
    """The last minute of one figure, as a line.

    Args:
        label: The name of the figure.
        unit: The unit, written behind a value.
        least: The least value that fills the height, so that noise looks small.
    """

    def __init__(self, label: str, unit: str, *, least: float) -> None:
        super().__init__()
        self.props["least"] = least
        self.props["label"] = label
        self.props["unit"] = unit

    def draw(self, values: Iterable[float | None]) -> None:
        """Draw the line; it has a hole at each None."""
        drawn = [None if value is None else round(value, 2) for value in values]
        if self.props.get("values") != drawn:
            self.props["values"] = drawn


class _Figures(Element):
    """Names and values."""

    def __init__(self) -> None:
        super().__init__("dl")
        self.classes("sockstore-figures")
        self._values: dict[str, TextElement] = {}

    def show(self, figures: Iterable[tuple[str, str]]) -> None:
        """Show them; only changes are sent."""
        with self:
            for name, value in figures:
                if name not in self._values:
                    with Element("div"):
                        TextElement(tag="dt", text=name)
                        self._values[name] = TextElement(tag="dd", text=value)
                self._values[name].text = value


class _Timeline(Element, component="timeline.js", esm={"sockstore-web": str(FOLDER)}):
    """The last events; it follows its end, unless its reader has scrolled away from there."""

    def show(self, events: list[list[str]]) -> None:
        """Show them, if they changed."""
        if self.props.get("events") != events:
            self.props["events"] = events
