"""Mount and unmount components in a document; `run` mounts a layout as the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from sockstore.base.plain_calls import PLAIN, refuse_async
from sockstore.scope.scope import Scope
from sockstore.ui.browser.dom import Node, document, listen, make, window
from sockstore.ui.browser.element import Root
from sockstore.ui.web import style

__all__ = ["MountedPage", "mount", "run"]

STYLE = "sockstore-style"
"""The id of the style sheet, of which a document needs one."""

PATIENCE = 60.0
"""Seconds that unmounting may take; each component has a bound of its own."""


def mount(layout: Callable[[], object], into: Node | str = "body") -> MountedPage:
    """Show components in the document.

    Args:
        layout: A function that places them; what it yields, if it is a generator, is ignored.
        into: The parent: an element, or its CSS selector.

    Returns:
        The page: `MountedPage.unmount` destroys it.

    Raises:
        LookupError: If the document has no such element.
        RuntimeError: If this Python has no document: in a worker, or outside a browser.
        Exception: Any exception of the layout; nothing is mounted then.

    Example:
        ::

            def chat():
                with WebSocketProvider("wss://chat.example.com/ws"):
                    ChatMessages()
                    ChatInput()


            page = mount(chat, "#chat")
    """
    refuse_async(layout, "mount()", f"{PLAIN} that places components")
    parent = document().querySelector(into) if isinstance(into, str) else into
    if not parent:
        raise LookupError(f"the document has no element {into!r} to mount in")
    return MountedPage(layout, parent)


def run(layout: Callable[[], object]) -> MountedPage:
    """Show a layout as the whole page: in the element ``#app`` if there is one, or in the body.

    It returns at once: a browser's event loop runs anyway.

    Args:
        layout: A function that places components; what it yields is ignored.

    Returns:
        The page.

    Raises:
        Exception: Any exception of the layout.

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


class MountedPage:
    """Components that are mounted.

    Args:
        layout: As for `mount`.
        parent: The node that the page stands in.

    Attributes:
        root: The element around them; more can be placed in it, or in any element of the page.

    Example:
        ::

            with page.root:
                ConnectionInspector()
            await page.unmount()
    """

    def __init__(self, layout: Callable[[], object], parent: Node) -> None:
        self._scope = Scope(destroy_timeout=PATIENCE)
        self.root: Final = Root(self._scope)
        with self.root:
            placed = layout()
            for _ in placed if isinstance(placed, Iterable) else ():
                pass
        _add_style()
        parent.append(self.root.node)
        self._begin()

    @property
    def is_mounted(self) -> bool:
        """Whether it is shown."""
        return not self._scope.closed

    async def unmount(self) -> None:
        """Take the page out of the document, and destroy all of it, the children first.

        Raises:
            ExceptionGroup: Of what cleanups raised; all of them ran.
        """
        self.root.is_shown = False
        self.root.node.remove()
        await self._scope.aclose()

    def _begin(self) -> None:
        darkness = window().matchMedia("(prefers-color-scheme: dark)")
        listen(self._scope, darkness, "change", partial(_follow_darkness, self.root.node))
        _follow_darkness(self.root.node, darkness)
        self.root.is_shown = True
        self.root.begin_all(self.root)


def _follow_darkness(root: Node, darkness: Node) -> None:
    """Follow the visitor's dark mode; the event of a change has the same attribute."""
    root.classList.toggle("sockstore-dark", darkness.matches)


def _add_style() -> None:
    if not document().getElementById(STYLE):
        document().head.append(make("style", text=style(), id=STYLE))
