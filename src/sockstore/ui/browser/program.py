"""A layout as a program: the same file runs in each kit."""

from __future__ import annotations

from collections.abc import Callable

from sockstore.ui.browser.dom import document
from sockstore.ui.browser.page import MountedPage, mount

__all__ = ["run"]


def run(layout: Callable[[], object]) -> MountedPage:
    """Show a layout as the whole page: in the element ``#app`` if there is one, or in the body.

    It returns at once: a browser's event loop runs anyway.

    Args:
        layout: A function that places components; what it yields is ignored.

    Returns:
        The page.

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
    page = mount(layout, document().getElementById("app") or "body")
    page.root.node.classList.add("sockstore-page")
    return page
