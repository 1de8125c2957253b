"""A layout as a program: the same file runs in each kit."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nicegui import ui

from sockstore.base.plain_calls import PLAIN, refuse_async

__all__ = ["run"]


def run(
    layout: Callable[[], object],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    title: str = "sockstore",
) -> None:
    """Serve a page with this layout to everybody who asks for it, until Ctrl-C.

    Args:
        layout: A function that places components; what it yields is ignored.
        host: Where to listen: only this machine by default.
        port: The port.
        title: The page's title.

    Example:
        ::

            def chat():
                with WebSocketProvider("wss://chat.example.com/ws"):
                    yield ChatMessages()
                    yield ChatInput()


            run(chat)
    """
    refuse_async(layout, "run()", f"{PLAIN} that places components")

    @ui.page("/", title=title)
    def page() -> None:
        placed = layout()
        for _ in placed if isinstance(placed, Iterable) else ():
            pass

    ui.run(host=host, port=port, title=title, show=False, reload=False)
