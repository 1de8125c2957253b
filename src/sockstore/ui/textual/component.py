"""Base class of components, which live as long as their screen; `run` shows a layout as an app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from textual.app import App, ComposeResult
from textual.widget import Widget

from sockstore.base.plain_calls import PLAIN, refuse_async
from sockstore.base.tasks import start_task
from sockstore.scope.scope import Scope

__all__ = ["Component", "LayoutApp", "run"]

PATIENCE = 0.25
"""Seconds that unmounting waits for the scope; slower cleanups go on in the background."""

_leaving: set[asyncio.Task[None]] = set()
"""The cleanups that go on; the event loop itself keeps no strong reference to a task."""


class Component(Widget):
    """A widget that begins when it is mounted, and leaves nothing when it is unmounted.

    Args:
        name: The widget's name.
        id: The widget's id.
        classes: The widget's CSS classes.

    Attributes:
        scope: Owns what the component subscribes to.
    """

    DEFAULT_CSS = """
    Component { width: 1fr; height: auto; }
    """

    def __init__(
        self,
        *,
        name: str | None = None,
        id: str | None = None,  # noqa: A002 - Textual's word
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self.scope: Final = Scope()
        # The running `follow`, and an event when it has begun; `on_mount` sets both.
        self.following: asyncio.Task[None] | None = None
        self._has_begun = asyncio.Event()

    async def follow(self) -> None:
        """Subscribe, and run for as long as the widget is mounted."""

    async def wait_until_mounted(self) -> None:
        """Wait until `follow` is ready for other components."""
        await self._has_begun.wait()
        if self.following is not None:
            await self.following

    def on_mount(self) -> None:
        """Begin; Textual calls the children first."""
        name = f"follow of {type(self).__name__}"
        self.following = self.scope.task(self.follow(), name=name)
        self._has_begun.set()

    async def on_unmount(self) -> None:
        """End everything; a server that does not answer must not delay the next screen."""
        leaving = start_task(self.scope.aclose(), name="sockstore: unmount")
        _leaving.add(leaving)
        leaving.add_done_callback(_leaving.discard)
        await asyncio.wait([leaving], timeout=PATIENCE)


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
        Exception: Any exception of the layout.

    Example:
        ::

            def chat():
                with WebSocketProvider("wss://chat.example.com/ws"):
                    yield ChatMessages()
                    yield ChatInput()


            run(chat)
    """
    LayoutApp(layout).run()
