"""Input element of a chat: sends what the user writes."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from nicegui import Client
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from sockstore.scope.subscription_provider import Source
from sockstore.stores import Writable, writable
from sockstore.ui.chat.author import Author
from sockstore.ui.chat.own_messages import posts_of
from sockstore.ui.chat.source import ChatSource, chat_of
from sockstore.ui.nicegui.provider import SourceComponent
from sockstore.ui.web import FOLDER

__all__ = ["ChatInput", "MessageField", "author_of", "know_author"]


class MessageField(Element, component="message_field.js", esm={"sockstore-web": str(FOLDER)}):
    """A text field and its button: Enter sends, Shift+Enter is a new line.

    It emits ``send`` with the text, and ``author`` with what the browser keeps of who its user is.
    """


class ChatInput(SourceComponent):
    """Let the user write messages; it is disabled while the connection is not open.

    The text leaves the field when it is sent, and comes back if it was not accepted.

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
        super().__init__(connection, name)
        # Where to send to; set by `on_mount`.
        self._chat: ChatSource | None = None
        self.classes("sockstore-input")
        with self:
            self._field = MessageField()
        self._field.props["placeholder"] = placeholder
        self._field.props["disabled"] = True
        self._field.on("send", self._send)
        self._field.on("author", know_author)

    async def on_mount(self) -> None:
        """Follow whether the connection, or the room, is open."""
        self._chat = chat_of(await self.source())
        self.scope.subscribe(self._chat.is_open, self._enable)

    def accept(self, source: Source, text: str) -> bool:
        """Send a text that is not blank.

        Returns:
            Whether it was accepted.
        """
        return posts_of(source).send(source, text, author_of(self.client).value)

    def _enable(self, is_open: bool) -> None:  # noqa: FBT001 - a subscriber
        self._field.props["disabled"] = not is_open

    def _send(self, event: GenericEventArguments) -> None:
        text, chat = event.args, self._chat
        if not isinstance(text, str) or not text.strip():
            return
        if chat is None or not chat.is_open.value or not self.accept(chat.source, text):
            self._field.run_method("giveBack", text)


LEAST, MOST = 16, 200
"""Characters of a secret; our pages send nothing else."""

_authors: WeakKeyDictionary[Client, Writable[Author]] = WeakKeyDictionary()


def author_of(client: Client) -> Writable[Author]:
    """Return the visitor of a page; another one, whom nobody knows, until the browser says who."""
    author = _authors.get(client)
    if author is None:
        author = _authors[client] = writable(Author(Author.new_secret()))
    return author


def know_author(event: GenericEventArguments) -> None:
    """Note who the visitor is.

    Args:
        event: The browser's event, with the secret that it keeps.
    """
    match event.args:
        case str() as secret if LEAST <= len(secret) <= MOST:
            author_of(event.client).set(Author(secret))
        case _:  # a browser that may keep nothing
            pass
