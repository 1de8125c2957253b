"""A panel that shows what a connection is doing, as an element."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta, timezone

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import GenericEventArguments

from sockstore.connection import WebSocketStore
from sockstore.stores import Writable, derived, writable
from sockstore.ui.inspector import Sampler, inspect
from sockstore.ui.nicegui.provider import ConnectionComponent
from sockstore.ui.pacing import PAUSE

__all__ = ["ConnectionInspector"]

SECOND = 1.0
DAY = 24 * 60
"""Minutes; no time zone is as far from UTC."""


class ConnectionInspector(ConnectionComponent, component="inspector.js"):
    """Show what a connection is doing and why: its figures, latency, rate and last events.

    It is a button that opens a panel; the browser remembers whether it was open. While it is
    closed it follows nothing and sends nothing.

    Args:
        connection: Which one; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: If it stands in no such provider.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws"):
                ConnectionInspector()
    """

    def __init__(self, connection: WebSocketStore | None = None, *, name: str = "default") -> None:
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
            await self._watch(connection)

    async def _watch(self, connection: WebSocketStore) -> None:
        """Show the connection until the panel is closed: at each event, and once a second."""
        stores = (connection.timeline, connection.state, self._opened)
        loop, sampler = asyncio.get_running_loop(), Sampler()
        known: deque[bool] = deque(maxlen=sampler.latencies.maxlen)
        due = loop.time()
        with derived(stores, lambda *values: values).stream(buffer=1) as changes:
            while (zone := self._opened.value) is not None:
                if loop.time() >= due:
                    due = loop.time() + SECOND
                    sampler.sample(connection)
                    known.append(connection.latency.value is not None)
                    pairs = zip(sampler.latencies, known, strict=True)
                    self._latency.draw(value if is_known else None for value, is_known in pairs)
                    self._rate.draw(sampler.rates)
                self._show(connection, zone)
                await asyncio.sleep(PAUSE)
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(due):
                        await anext(changes)

    def _show(self, connection: WebSocketStore, zone: timezone) -> None:
        seen = inspect(connection, zone)
        self._explanation.text = seen.explanation
        self._figures.show(seen.figures)
        self._timeline.show([[row.time, row.kind, row.text] for row in seen.events])

    def _open(self, event: GenericEventArguments) -> None:
        minutes = event.args if isinstance(event.args, int) else 0
        away = timedelta(minutes=max(1 - DAY, min(DAY - 1, minutes)))
        self._opened.set(timezone(away))


class _Plot(Element, component="plot.js"):
    """The last minute of one figure, as a line.

    Args:
        label: What the figure is called.
        unit: What is written behind a value.
        least: What fills the height at least, so that noise does not look like news.
    """

    def __init__(self, label: str, unit: str, *, least: float) -> None:
        super().__init__()
        self.props["least"] = least
        self.props["label"] = label
        self.props["unit"] = unit

    def draw(self, values: Iterable[float | None]) -> None:
        """Draw the line; where there is None it has a hole."""
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
        """Show them; only what is another than before is sent."""
        with self:
            for name, value in figures:
                if name not in self._values:
                    with Element("div"):
                        TextElement(tag="dt", text=name)
                        self._values[name] = TextElement(tag="dd", text=value)
                self._values[name].text = value


class _Timeline(Element, component="timeline.js"):
    """The last events, the newest last."""

    def show(self, events: list[list[str]]) -> None:
        """Show them, if they are others than before."""
        if self.props.get("events") != events:
            self.props["events"] = events
