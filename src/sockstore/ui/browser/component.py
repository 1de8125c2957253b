"""Base class of all components, which live as long as their page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sockstore.base.tasks import report
from sockstore.scope.scope import Mounted, Scope
from sockstore.ui.browser.dom import Node, listen
from sockstore.ui.browser.element import Element

__all__ = ["Component"]


class Component(Element):
    """An element that is mounted when its page is shown, and destroyed when either is gone.

    Args:
        tag: The HTML tag.
        classes: CSS classes.
        attributes: As for `Element`.

    Attributes:
        scope: Owns what the component subscribes and listens to.
        mounted: Await it to wait until `on_mount` is through; None before it begins.
    """

    def __init__(self, tag: str = "div", *, classes: str = "", **attributes: object) -> None:
        super().__init__(tag, classes=classes, text="", **attributes)
        self.scope: Final = Scope()
        self.mounted: Mounted | None = None
        self._held: Mounted | None = None

    async def on_mount(self) -> None:
        """Subscribe and listen; the page shows the component now."""

    def listen(self, target: Node, event: str, handle: Callable[[Node], object]) -> None:
        """Listen to an event until the component is destroyed.

        Args:
            target: A node.
            event: The name of the event.
            handle: Called with the event.
        """
        listen(self.scope, target, event, handle)

    def begin(self, scope: Scope) -> None:
        """Mount it.

        Args:
            scope: The scope of the page, which destroys it at the latest.
        """
        if self.mounted is None and not scope.closed:
            self._held = scope.mount(lambda: self.scope.aclose)
            self.mounted = self.scope.mount(self._on_mount)

    async def _on_mount(self) -> None:
        try:
            await self.on_mount()
        except Exception as error:
            # Reported at once: code that awaits `mounted` may wait without end, or not exist.
            report(error, f"on_mount of {type(self).__name__}")
            raise

    async def destroy(self) -> None:
        """Destroy everything that it owns."""
        if self._held is not None:
            await self._held.unmount()
