"""A layout as a program: the same file runs in each kit."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from textual.app import App, ComposeResult
from textual.widget import Widget

from sockstore.base.plain_calls import PLAIN, refuse_async

__all__ = ["LayoutApp", "run"]


class LayoutApp(App[None]):
    """An application of one screen.

    Args:
        layout: A generator that places components and yields them.
    """

    def __init__(self, layout: Callable[[], Iterable[object]]) -> None:
        refuse_async(layout, "run()", f"{PLAIN} that yields components")
        super().__init__()
        self._layout_of_screen = layout

    def compose(self) -> ComposeResult:
        """Place the components."""
        for placed in self._layout_of_screen():
            if isinstance(placed, Widget):
                yield placed


def run(layout: Callable[[], Iterable[object]]) -> None:
    """Show a layout in the terminal, until the user leaves with ctrl+q.

    Args:
        layout: A generator that places components and yields them.

    Raises:
        Exception: What the layout raises.

    Example:
        ::

            def chat():
                with WebSocketProvider("wss://chat.example.com/ws"):
                    yield ChatMessages()
                    yield ChatInput()


            run(chat)
    """
    LayoutApp(layout).run()
