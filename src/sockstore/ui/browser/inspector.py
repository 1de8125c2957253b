"""A panel that shows what a connection is doing, as an element."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count
from typing import Final

from sockstore.connection.connection import Connection
from sockstore.scope.scope import Scope
from sockstore.scope.subscription_provider import Source
from sockstore.stores import writable
from sockstore.ui.browser.dom import (
    Node,
    Storage,
    document,
    give,
    imported,
    make,
    put_text,
    stand,
    telling,
)
from sockstore.ui.browser.provider import SourceComponent
from sockstore.ui.inspector import HEIGHT, SECONDS_PLOTTED, Row, Sampler, inspect, plot, watch

__all__ = ["ConnectionInspector"]

SVG = "http://www.w3.org/2000/svg"
BOX = f"0 -4 {SECONDS_PLOTTED - 1} {HEIGHT + 8}"

_numbers = count(1)


class PlotFigure:
    """The last minute of one figure: a line, and in words what it shows.

    Args:
        label: The name of the figure.
        unit: The unit, written behind a value.
        least: The least value that fills the height.
    """

    def __init__(self, label: str, unit: str, *, least: float) -> None:
        self._label = label
        self._unit = unit
        self._least = least
        self.node: Final = make("figure", "sockstore-plot")
        self._latest = make("strong")
        self._highest = make("span")
        self._title = _draw("title", id=f"sockstore-plot-{next(_numbers)}")
        self._area = _draw("path", class_="area")
        self._line = _draw("path", class_="line")
        caption = make("figcaption")
        caption.append(make("span", text=label), self._latest)
        self.node.append(caption, self._drawing(), self._scale())
        self.draw(())

    def draw(self, values: Sequence[float | None]) -> None:
        """Draw the line; it has a hole at each None."""
        drawn = plot(values, self._unit, least=self._least)
        put_text(self._latest, drawn.latest)
        put_text(self._highest, f"{drawn.highest} at most" if drawn.highest else "")
        give(self._line, d=drawn.line)
        give(self._area, d=drawn.area)
        said = f"{drawn.latest} now, {drawn.highest} at most in the last minute"
        put_text(self._title, f"{self._label}: {said if drawn.highest else 'not known yet'}")

    def _drawing(self) -> Node:
        drawing = _draw("svg", viewBox=BOX, preserveAspectRatio="none", role="img")
        give(drawing, aria_labelledby=self._title.id)
        drawing.append(self._title, self._area, self._line)
        return drawing

    def _scale(self) -> Node:
        scale = make("div", "sockstore-plot-scale", aria_hidden="true")
        scale.append(make("span", text="1 min ago"), self._highest, make("span", text="now"))
        return scale


def _draw(tag: str, **attributes: object) -> Node:
    node = document().createElementNS(SVG, tag)
    give(node, **attributes)
    return node


OPEN, CLOSED = "\N{MULTIPLICATION SIGN}", "\N{SINE WAVE}"


class ConnectionInspector(SourceComponent):
    """Show what a connection is doing and why: its figures, latency, rate and last events.

    It is a button that opens a panel; the browser remembers whether it was open. While it is
    closed it follows nothing.

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
        super().__init__(
            *(connection, name),
            tag="section",
            classes="sockstore-inspector",
            aria_label="Connection inspector",
        )
        self._opened = writable(value=False)
        self._memory = Storage("localStorage", "sockstore inspector")
        self._button = make("button", "sockstore-inspector-toggle", type="button")
        self._sign = make("span", aria_hidden="true")
        self._button.append(self._sign, " Inspector")
        self._panel = make("div", "sockstore-inspector-panel")
        self._explanation = make("div", "sockstore-explanation")
        self._latency = PlotFigure("Latency", "ms", least=10)
        self._rate = PlotFigure("Messages", "a second", least=3)
        self._figures = _Figures()
        self._timeline = _Timeline()
        parts = (self._latency, self._rate, self._figures, self._timeline)
        self._panel.append(self._explanation, *(part.node for part in parts))
        self.node.append(self._button)
        self._show_whether_it_is_open()

    async def on_mount(self) -> None:
        """Watch the connection whenever the panel is open."""
        self.listen(self._button, "click", lambda _: self._open(is_open=not self._opened.value))
        self.listen(self.node, "keydown", self._pressed)
        self._timeline.follow(self.scope)
        self._open(is_open=bool(self._memory.read()))
        connection = await self.connection()
        while True:
            await self._opened.wait_for(bool)
            await watch(connection, self._opened, self._plot, partial(self._show, connection))

    def _plot(self, sampler: Sampler) -> None:
        self._latency.draw(list(sampler.latencies))
        self._rate.draw(list(sampler.rates))

    def _show(self, connection: Connection) -> None:
        inspection = inspect(connection)
        put_text(self._explanation, inspection.explanation)
        self._figures.show(inspection.figures)
        self._timeline.show(inspection.events)

    def _pressed(self, event: Node) -> None:
        if event.key == "Escape" and self._opened.value:
            event.stopPropagation()
            self._open(is_open=False)
            self._button.focus()

    def _open(self, *, is_open: bool) -> None:
        self._opened.set(is_open)
        self._memory.write("open" if is_open else "")
        self._show_whether_it_is_open()

    def _show_whether_it_is_open(self) -> None:
        is_open = self._opened.value
        self.node.classList.toggle("open", is_open)
        give(self._button, aria_expanded="true" if is_open else "false")
        put_text(self._sign, OPEN if is_open else CLOSED)
        stand(self._panel, self.node, there=is_open)


class _Figures:
    """Names and values."""

    def __init__(self) -> None:
        self.node = make("dl", "sockstore-figures")
        self._values: dict[str, Node] = {}

    def show(self, figures: Iterable[tuple[str, str]]) -> None:
        """Show them."""
        for name, value in figures:
            if name not in self._values:
                self._values[name] = make("dd")
                pair = make("div")
                pair.append(make("dt", text=name), self._values[name])
                self.node.append(pair)
            put_text(self._values[name], value)


class _Timeline:
    """The last events; it follows its end, unless its reader has scrolled away from there."""

    def __init__(self) -> None:
        self.node = make(
            "div", "sockstore-timeline", role="log", tabindex="0", aria_label="Timeline"
        )
        self._events: Sequence[Row] = ()

    def follow(self, scope: Scope) -> None:
        """Follow the end until the scope is left."""
        follower = imported("scroll_follower").new(self.node, telling(scope, lambda *_: None))
        scope.on_destroy(follower.destroy)

    def show(self, events: Sequence[Row]) -> None:
        """Show them, if they changed."""
        if events == self._events:
            return
        self._events = events
        self.node.replaceChildren(*map(_event, events))


def _event(row: Row) -> Node:
    node = make("div", "sockstore-event", data_kind=row.kind)
    node.append(make("time", text=row.time), make("strong", text=row.kind))
    node.append(make("span", text=row.text))
    return node
