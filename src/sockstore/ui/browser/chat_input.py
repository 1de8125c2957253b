"""Input element of a chat: sends what the user writes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from sockstore.scope.scope import Scope
from sockstore.scope.subscription_provider import Source
from sockstore.stores import Readable, readable
from sockstore.ui.browser.dom import Node, Storage, document, give, listen, make, window
from sockstore.ui.browser.element import Element
from sockstore.ui.browser.provider import SourceComponent
from sockstore.ui.chat.author import Author
from sockstore.ui.chat.own_messages import posts_of
from sockstore.ui.chat.source import ChatSource, chat_of

__all__ = ["ChatInput", "author_of_browser"]

COMPOSING = 229
"""The key code by which Safari says that an input method is choosing a word."""


class MessageField(Element):
    """A text field and its button; what is being written outlives a reload of the document.

    Args:
        placeholder: The text that an empty field shows.
    """

    def __init__(self, placeholder: str) -> None:
        super().__init__("form", classes="sockstore-field")
        self._growing = make("div", "sockstore-growing", data_text="")
        self._text = make("textarea", rows="1", placeholder=placeholder, aria_label="Message")
        self._button = make("button", "sockstore-button sockstore-send", "Send", type="submit")
        for node in (self._text, self._button):
            give(node, disabled=True)
        self._growing.append(self._text)
        self.node.append(self._growing, self._button)
        self._draft: Storage | None = None
        self._had_focus = False

    def follow(self, scope: Scope, send: Callable[[str], bool]) -> None:
        """Begin to accept the user's text.

        Args:
            scope: The scope that ends it.
            send: Called with the text; returns whether it was accepted.
        """
        self._remember()
        listen(scope, self.node, "input", lambda _: self._keep())
        listen(scope, self.node, "keydown", lambda event: self._pressed(event, send))
        listen(scope, self.node, "submit", lambda event: self._submitted(event, send))

    def enable(self, *, enabled: bool) -> None:
        """Enable or disable the field; the focus that it loses so comes back."""
        if enabled == (not self._text.disabled):
            return
        if not enabled:
            # Read before it is disabled: a disabled field loses the focus.
            self._had_focus = bool(self.node.contains(document().activeElement))
        for node in (self._text, self._button):
            give(node, disabled=not enabled)
        if enabled:
            self._focus_again()

    def _focus_again(self) -> None:
        focused = document().activeElement
        if self._had_focus and (not focused or focused == document().body):
            self._text.focus()
        self._had_focus = False

    def _remember(self) -> None:
        """Restore the draft; the fields of a document are distinguished by their order."""
        fields = list(document().querySelectorAll(".sockstore-field"))
        place = window().location
        number = next((index for index, each in enumerate(fields) if each == self.node), 0)
        key = f"sockstore draft {place.pathname}{place.search} {number}"
        self._draft = Storage("sessionStorage", key)
        self._text.value = self._draft.read()
        self._keep()

    def _keep(self) -> None:
        text = str(self._text.value)
        # The field is as high as this text, see the style sheet.
        give(self._growing, data_text=text)
        if self._draft is not None:
            self._draft.write(text)

    def _pressed(self, event: Node, send: Callable[[str], bool]) -> None:
        if event.key != "Enter" or event.target != self._text:
            return
        # While an input method composes, Enter chooses a word.
        if not (event.shiftKey or event.isComposing or event.keyCode == COMPOSING):
            self._submitted(event, send)

    def _submitted(self, event: Node, send: Callable[[str], bool]) -> None:
        event.preventDefault()
        self._text.focus()
        text = str(self._text.value)
        if not self._text.disabled and text.strip() and send(text):
            self._text.value = ""
            self._keep()


class ChatInput(SourceComponent):
    """Let the user write messages; it is disabled while the connection is not open.

    The text leaves the field if it was accepted.

    Args:
        connection: Which one, or which subscription; None for that of the provider it stands in.
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
        connection: Source | None = None,
        *,
        name: str = "default",
        placeholder: str = "Type a message...",
    ) -> None:
        super().__init__(connection, name, classes="sockstore-input")
        with self:
            self._field = MessageField(placeholder)

    async def on_mount(self) -> None:
        """Follow whether the connection, or the room, is open."""
        chat = chat_of(await self.source())
        self._field.follow(self.scope, partial(self._send, chat))
        self.scope.subscribe(chat.is_open, self._enable)

    def accept(self, source: Source, text: str) -> bool:
        """Send a text that is not blank.

        Returns:
            Whether it was accepted.
        """
        return posts_of(source).send(source, text, author_of_browser().value)

    def _enable(self, is_open: bool) -> None:  # noqa: FBT001 - a subscriber
        self._field.enable(enabled=is_open)

    def _send(self, chat: ChatSource, text: str) -> bool:
        return chat.is_open.value and self.accept(chat.source, text)


AUTHOR_KEY = "sockstore author"


@cache
def author_of_browser() -> Readable[Author]:
    """Return the visitor; one whom nobody knows if the browser may keep nothing."""
    kept = Storage("localStorage", AUTHOR_KEY)
    secret = kept.read()
    if not secret:
        secret = Author.new_secret()
        kept.write(secret)
    return readable(Author(secret))
