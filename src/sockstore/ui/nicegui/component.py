"""Base class of components, which live as long as their page; `run` serves a layout as a page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final
from weakref import WeakSet

from nicegui import Client, app, background_tasks, ui
from nicegui.element import Element

from sockstore.base.plain_calls import PLAIN, refuse_async
from sockstore.scope.scope import Mounted, Scope
from sockstore.ui.web import style

__all__ = ["Component", "run"]

STYLE = style()

_styled: WeakSet[Client] = WeakSet()
_mounted: set[Component] = set()


class Component(Element):
    """An element that is mounted when its page is shown, and destroyed when either is gone.

    Args:
        tag: The HTML tag.

    Attributes:
        scope: Owns what the component subscribes to.
    """

    mounted: Mounted | None = None
    """Await it to wait until `on_mount` is through; None before it begins."""

    def __init__(self, tag: str = "div") -> None:
        super().__init__(None if self.component else tag)
        self.scope: Final = Scope()
        self._mounting: asyncio.Task[object] | None = None
        _add_style(self.client)
        if self.client.has_socket_connection:
            # Later, because the element is still being constructed.
            asyncio.get_running_loop().call_soon(self._mount)
        else:
            # The page is built, but a browser may never show it.
            self.client.on_connect(self._mount)

    async def on_mount(self) -> None:
        """Subscribe; the browser shows the page now."""

    def _mount(self) -> None:
        # A browser that connects again after a short loss of its own link finds us mounted.
        if self.mounted is None and not self.is_deleted:
            _mounted.add(self)
            self.mounted = self.scope.mount(self._on_mount)

    async def _on_mount(self) -> None:
        self._mounting = asyncio.current_task()
        await self.on_mount()

    def _handle_delete(self) -> None:
        super()._handle_delete()
        if self.mounted is not None:
            _mounted.discard(self)
            if self._mounting is not None and self._mounting is not asyncio.current_task():
                # At once: until the scope is closed it would change elements that are gone.
                self._mounting.cancel()
            background_tasks.create(self.scope.aclose(), name="sockstore: unmount")


def _add_style(client: Client) -> None:
    if client not in _styled:
        _styled.add(client)
        ui.add_css(STYLE)


@app.on_shutdown
async def _unmount_all() -> None:
    """Close the connections of pages that are still shown when the program ends."""
    components = list(_mounted)
    _mounted.clear()
    await asyncio.gather(*(component.scope.aclose() for component in components))


def run(
    layout: Callable[[], object],
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    title: str = "sockstore",
) -> None:
    """Serve a page with this layout to every visitor, until Ctrl-C.

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
