"""A panel that shows what a connection is doing, as an element."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial

from sockstore.connection.websocket_store import WebSocketStore
from sockstore.stores import writable
from sockstore.ui.browser.dom import Node, Storage, give, make, put_text, stand
from sockstore.ui.browser.plot import PlotFigure
from sockstore.ui.browser.provider import ConnectionComponent
from sockstore.ui.inspector import SECONDS_PLOTTED, Row, Sampler, inspect, watch

__all__ = ["ConnectionInspector"]

OPEN, CLOSED = "\N{MULTIPLICATION SIGN}", "\N{SINE WAVE}"

NEAR_THE_END = 16
"""Pixels."""


class ConnectionInspector(ConnectionComponent):
    """Show what a connection is doing and why: its figures, latency, rate and last events.

    It is a button that opens a panel; the browser remembers whether it was open. While it is
    closed it follows nothing.

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
        self._open(is_open=bool(self._memory.read()))
        connection = await self.connection()
        while True:
            await self._opened.wait_for(bool)
            measured: deque[bool] = deque(maxlen=SECONDS_PLOTTED)
            plot, show = partial(self._plot, connection, measured), partial(self._show, connection)
            await watch(connection, self._opened, plot, show)

    def _plot(self, connection: WebSocketStore, measured: deque[bool], sampler: Sampler) -> None:
        measured.append(connection.latency.value is not None)
        pairs = zip(sampler.latencies, measured, strict=True)
        self._latency.draw([value if is_measured else None for value, is_measured in pairs])
        self._rate.draw(list(sampler.rates))

    def _show(self, connection: WebSocketStore) -> None:
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

    def show(self, events: Sequence[Row]) -> None:
        """Show them, if they changed."""
        if events == self._events:
            return
        self._events = events
        node = self.node
        is_at_end = node.scrollHeight - node.scrollTop - node.clientHeight < NEAR_THE_END
        node.replaceChildren(*map(_event, events))
        if is_at_end:
            node.scrollTop = node.scrollHeight


def _event(row: Row) -> Node:
    node = make("div", "sockstore-event", data_kind=row.kind)
    node.append(make("time", text=row.time), make("strong", text=row.kind))
    node.append(make("span", text=row.text))
    return node
