"""Input widget of a chat: sends what the user writes."""

from __future__ import annotations

from typing import Self

from textual import events, on
from textual.app import ComposeResult
from textual.widget import Widget
from textual.widgets import Button, Input, TextArea

from sockstore.scope.subscription_provider import Source
from sockstore.ui.chat.author import author_of_process
from sockstore.ui.chat.own_messages import posts_of
from sockstore.ui.chat.source import ChatSource, chat_of
from sockstore.ui.textual.provider import SourceComponent

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


class ChatInput(SourceComponent):
    """Let the user write messages; it is disabled while the connection is not open.

    Args:
        connection: Which one, or which subscription; None for that of the provider it stands in.
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
        connection: Source | None = None,
        *,
        name: str = "default",
        placeholder: str = "Type a message...",
    ) -> None:
        super().__init__(connection, name)
        # Where to send to; set by `follow`.
        self._chat: ChatSource | None = None
        self._field = MessageField(placeholder)
        self._button = Button("Send", variant="primary", compact=True)
        self._field.disabled = self._button.disabled = True
        self._wants_focus = True

    def compose(self) -> ComposeResult:
        """Place the field and its button."""
        yield self._field
        yield self._button

    async def follow(self) -> None:
        """Follow whether the connection, or the room, is open."""
        self._chat = chat_of(await self.source())
        self.scope.subscribe(self._chat.is_open, self._enable)

    def accept(self, source: Source, text: str) -> bool:
        """Send a text that is not blank.

        Returns:
            Whether it was accepted.
        """
        return posts_of(source).send(source, text, author_of_process().value)

    def focus(self, scroll_visible: bool = True) -> Self:  # noqa: FBT001, FBT002 - Textual's
        """Let the user write: now, or as soon as the field is enabled."""
        self._wants_focus = True
        if not self._field.disabled and _is_displayed(self):
            self._wants_focus = False
            self._field.focus(scroll_visible)
        return self

    def _enable(self, is_open: bool) -> None:  # noqa: FBT001 - a subscriber
        if not self.is_attached:
            return  # the screen is being left
        if not is_open and self._field.has_focus:
            self._wants_focus = True
        self._field.disabled = self._button.disabled = not is_open
        focused = self.screen.focused
        is_elsewhere = isinstance(focused, Input | TextArea) and _is_displayed(focused)
        if is_open and self._wants_focus and not is_elsewhere:
            self.focus()

    @on(Button.Pressed)
    def submit(self, event: Button.Pressed | None = None) -> None:
        """Send the text of the field; it stays there unless it is accepted."""
        if event is not None:
            event.stop()
        chat, text = self._chat, self._field.text
        if chat is None or not chat.is_open.value or not text.strip():
            return
        if self.accept(chat.source, text):
            self._field.clear()
        self._field.focus()


def _is_displayed(widget: Widget) -> bool:
    """Whether the widget is shown, and not in a part of the screen that is hidden."""
    return all(each.display for each in widget.ancestors_with_self if isinstance(each, Widget))
