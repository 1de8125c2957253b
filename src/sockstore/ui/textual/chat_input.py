"""Input widget of a chat: sends what the user writes."""

from __future__ import annotations

from textual import events, on
from textual.app import ComposeResult
from textual.widgets import Button, Input, TextArea

from sockstore.connection.connection import Connection
from sockstore.ui.chat.own_messages import posts_of
from sockstore.ui.textual.provider import ConnectionComponent

__all__ = ["ChatInput", "MessageField"]

NEW_LINE = {"shift+enter", "alt+enter", "ctrl+j"}
"""Many terminals cannot tell Shift+Enter from Enter; all can send Ctrl+J."""


class MessageField(TextArea):
    """A text field: Enter sends, Shift+Enter (or Ctrl+J) is a new line."""

    DEFAULT_CSS = """
    MessageField { height: auto; max-height: 8; width: 1fr; }
    """

    def __init__(self, placeholder: str) -> None:
        super().__init__(placeholder=placeholder, compact=True, highlight_cursor_line=False)

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            # A message to the parent could be handled after the keys that follow Enter. A field
            # that holds a callback keeps the connection alive: Textual holds removed widgets.
            if isinstance(self.parent, ChatInput):
                self.parent.submit()
        elif event.key in NEW_LINE:
            event.stop()
            event.prevent_default()
            self.insert("\n")


class ChatInput(ConnectionComponent):
    """Let the user write messages; it is disabled while the connection is not open.

    Args:
        connection: Which one; None for that of the provider it stands in.
        name: The name of that provider.
        placeholder: The text that an empty field shows.

    Raises:
        ProviderNotFound: When it is mounted, if it stands in no such provider.

    Source:
        The guide's ``ChatInputFromContext``.

    Example:
        ::

            with WebSocketProvider("wss://chat.example.com/ws"):
                yield ChatInput()
    """

    DEFAULT_CSS = """
    ChatInput {
        layout: horizontal; height: auto; padding: 0 1;
        border-top: solid $primary-muted;
    }
    ChatInput > Button { min-width: 8; margin-left: 1; }
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
        self._field = MessageField(placeholder)
        self._button = Button("Send", variant="primary", compact=True)
        self._field.disabled = self._button.disabled = True
        self._wants_focus = True

    def compose(self) -> ComposeResult:
        """Place the field and its button."""
        yield self._field
        yield self._button

    async def follow(self) -> None:
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
        if not self.is_attached:
            return  # the screen is being left
        if not connected and self._field.has_focus:
            self._wants_focus = True
        self._field.disabled = self._button.disabled = not connected
        if connected and self._wants_focus:
            self._wants_focus = False
            if not isinstance(self.screen.focused, Input | TextArea):
                self._field.focus()

    @on(Button.Pressed)
    def submit(self, event: Button.Pressed | None = None) -> None:
        """Send the text of the field; it stays there unless it is accepted."""
        if event is not None:
            event.stop()
        connection, text = self._connection, self._field.text
        if connection is None or not connection.connected.value or not text.strip():
            return
        if self.accept(connection, text):
            self._field.clear()
        self._field.focus()
