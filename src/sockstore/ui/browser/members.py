"""Who is in the room, as an element."""

from __future__ import annotations

import asyncio

from sockstore.connection.websocket_store import WebSocketStore
from sockstore.ui.browser.dom import make, put_text
from sockstore.ui.browser.provider import ConnectionComponent
from sockstore.ui.chat.presence import Presence
from sockstore.ui.pacing import PAUSE

__all__ = ["ChatMembers"]


class ChatMembers(ConnectionComponent):
    """Show who is in the room, as a server with presence tells it.

    Args:
        connection: Which one; None for that of the provider it stands in.
        name: The name of that provider.

    Raises:
        ProviderNotFound: If it stands in no such provider.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws"):
                ChatMembers()
    """

    def __init__(self, connection: WebSocketStore | None = None, *, name: str = "default") -> None:
        super().__init__(connection, name, classes="sockstore-members")
        self._label = make("div")
        self.node.append(self._label)

    async def on_mount(self) -> None:
        """Follow those who come and go."""
        messages = (await self.connection()).messages
        presence = Presence()
        for message in messages.value:
            presence.read(message)
        # Each one, also when a flood pushes them out of the log before the page is updated.
        self.scope.on_destroy(messages.on_append(presence.read))
        async for _ in messages:
            put_text(self._label, presence.text)
            await asyncio.sleep(PAUSE)
