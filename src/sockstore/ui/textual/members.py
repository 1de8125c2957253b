"""Who is in the room, as a widget."""

from __future__ import annotations

import asyncio

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from sockstore.connection.websocket_store import WebSocketStore
from sockstore.ui.chat.presence import Presence
from sockstore.ui.pacing import PAUSE
from sockstore.ui.textual.provider import ConnectionComponent

__all__ = ["ChatMembers"]


class ChatMembers(ConnectionComponent):
    """Show who is in the room, as a server with presence tells it.

    Args:
        connection: Which one; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: When it is mounted, if it stands in no such provider.
    """

    DEFAULT_CSS = """
    ChatMembers { height: auto; padding: 0 1; color: $text-muted; }
    """

    def __init__(self, connection: WebSocketStore | None = None, *, name: str = "default") -> None:
        super().__init__(connection, name)
        self._label = Static(markup=False)

    def compose(self) -> ComposeResult:
        """Place the text."""
        yield self._label

    async def follow(self) -> None:
        """Follow those who come and go."""
        messages = (await self.connection()).messages
        presence = Presence()
        for message in messages.value:
            presence.read(message)
        # Each one, also when a flood pushes them out of the log before the screen is updated.
        self.scope.on_destroy(messages.on_append(presence.read))
        async for _ in messages:
            self._label.update(Content(presence.text))
            await asyncio.sleep(PAUSE)
