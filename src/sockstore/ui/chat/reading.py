"""Read a chat from all that tells of it: its messages, older pages, members and own posts."""

from __future__ import annotations

from functools import partial
from typing import Any

from sockstore.scope.subscription_provider import Source
from sockstore.stores import Readable
from sockstore.ui.chat.author import Author
from sockstore.ui.chat.backlog import Backlog
from sockstore.ui.chat.lines import Line
from sockstore.ui.chat.own_messages import posts_of
from sockstore.ui.chat.source import chat_of
from sockstore.ui.chat.transcript import Conversation, Transcript
from sockstore.ui.pacing import in_slices
from sockstore.ui.text import as_text

__all__ = ["ChatReading"]


class ChatReading:
    """The lines of one room for one reader, brought up to date by `catch_up`.

    Args:
        source: The room.
        author: Who the user is.

    Attributes:
        backlog: Loads older messages.
        stores: One of them changes when there is something to catch up with.
        has_own_news: Whether the user has sent a message between the last two calls of `catch_up`.
    """

    def __init__(self, source: Source, author: Readable[Author]) -> None:
        chat = chat_of(source)
        self.backlog: Backlog = chat.backlog()
        self._posts = posts_of(source).store
        loading = (self.backlog.has_older, self.backlog.is_loading, self.backlog.arrived)
        # The state tells when something that was queued has left, or was lost.
        told = (chat.messages, self._posts, author, *loading, *chat.changes)
        members = () if chat.members is None else (chat.members,)
        self.stores: tuple[Readable[Any], ...] = (*told, *members)
        self.has_own_news: bool = False
        self._chat = chat
        self._author = author
        self._conversation = Conversation()
        # The author by whose ids messages are recognised, and the posts; `catch_up` sets both.
        self._recognised: Author | None = None
        self._seen = self._posts.value

    async def catch_up(self) -> Transcript:
        """Read what is new, in slices; return all lines."""
        chat, conversation = self._chat, self._conversation
        self._recognise()
        async for some in in_slices(conversation.bookmark.unread(chat.messages.value)):
            conversation.read(some)
        for page in self.backlog.take_pages():
            conversation.read_page(page)
        if chat.members is not None:
            conversation.see_members(chat.members.value)
        posts = self._posts.value
        transcript = conversation.merge(posts)
        for post in transcript.returned:
            post.returned = True
        self.has_own_news = posts[-1:] != self._seen[-1:]
        self._seen = posts
        return transcript

    def problem(self) -> list[Line]:
        """Return the line that says why no messages come, if the server has said so."""
        problem = self._chat.problem()
        return [] if problem is None else [Line("problem", as_text(problem), kind="error")]

    def _recognise(self) -> None:
        """Recognise the user's messages by their ids, where they have ids."""
        author, room = self._author.value, self._chat.signed_room
        if room is not None and author is not self._recognised:
            self._recognised = author
            self._conversation.recognise_by(partial(author.wrote, room))
