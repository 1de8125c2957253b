"""Input element of a chat: sends what the user writes."""

from __future__ import annotations

from nicegui.element import Element
from nicegui.events import GenericEventArguments

from sockstore.connection.connection import Connection
from sockstore.ui.chat.own_messages import posts_of
from sockstore.ui.nicegui.provider import ConnectionComponent

__all__ = ["ChatInput", "MessageField"]


class MessageField(Element, component="message_field.js"):
    """A text field and its button: Enter sends, Shift+Enter is a new line."""


class ChatInput(ConnectionComponent):
    """Let the user write messages; it is disabled while the connection is not open.

    The text leaves the field when it is sent, and comes back if it was not accepted.

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
        connection: Connection | None = None,
        *,
        name: str = "default",
        placeholder: str = "Type a message...",
    ) -> None:
        super().__init__(connection, name)
        self._connection: Connection | None = None
        self.classes("sockstore-input")
        with self:
            self._field = MessageField()
        self._field.props["placeholder"] = placeholder
        self._field.props["disabled"] = True
        self._field.on("send", self._send)

    async def on_mount(self) -> None:
        """Follow whether the connection is open."""
        self._connection = await self.connection()
        self.scope.subscribe(self._connection.connected, self._enable)

    def accept(self, connection: Connection, text: str) -> bool:
        """Send a text that is not blank.

        Returns:
            Whether it was accepted.
        """
        return posts_of(connection).send(connection, text)

    def _enable(self, connected: bool) -> None:  # noqa: FBT001 - a subscriber
        self._field.props["disabled"] = not connected

    def _send(self, event: GenericEventArguments) -> None:
        text = event.args
        if not isinstance(text, str) or not text.strip():
            return
        connection = self._connection
        if (
            connection is None
            or not connection.connected.value
            or not self.accept(connection, text)
        ):
            self._field.run_method("giveBack", text)
