"""Input element of a chat: sends what the user writes."""

from __future__ import annotations

from functools import partial

from sockstore.connection.websocket_store import WebSocketStore
from sockstore.ui.browser.message_field import MessageField
from sockstore.ui.browser.provider import ConnectionComponent
from sockstore.ui.chat.own_messages import posts_of

__all__ = ["ChatInput"]


class ChatInput(ConnectionComponent):
    """Let the user write messages; it is disabled while the connection is not open.

    The text leaves the field if it was accepted.

    Args:
        connection: Which one; None for that of the provider it stands in.
        name: The name of that provider.
        placeholder: The text that an empty field shows.

    Raises:
        ProviderNotFound: If it stands in no such provider.

    Source:
        The guide's ``ChatInputFromContext``.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws"):
                ChatInput()
    """

    def __init__(
        self,
        connection: WebSocketStore | None = None,
        *,
        name: str = "default",
        placeholder: str = "Type a message...",
    ) -> None:
        super().__init__(connection, name, classes="sockstore-input")
        with self:
            self._field = MessageField(placeholder)

    async def on_mount(self) -> None:
        """Follow whether the connection is open."""
        connection = await self.connection()
        self._field.follow(self.scope, partial(self._send, connection))
        self.scope.subscribe(connection.connected, self._enable)

    def accept(self, connection: WebSocketStore, text: str) -> bool:
        """Send a text that is not blank.

        Returns:
            Whether it was accepted.
        """
        return posts_of(connection).send(connection, text)

    def _enable(self, connected: bool) -> None:  # noqa: FBT001 - a subscriber
        self._field.enable(enabled=connected)

    def _send(self, connection: WebSocketStore, text: str) -> bool:
        return connection.connected.value and self.accept(connection, text)
