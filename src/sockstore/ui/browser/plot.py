"""Draw the last minute of one figure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from sockstore.ui.browser.dom import Node, document, give, make, put_text
from sockstore.ui.inspector import HEIGHT, SECONDS_PLOTTED, plot

__all__ = ["PlotFigure"]

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
        self.node = make("figure", "sockstore-plot")
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
