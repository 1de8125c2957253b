"""Keep who is in a room: the list of the server, and who came and left since."""

from __future__ import annotations

from collections.abc import Iterable

from sockstore.base.members import Member
from sockstore.protocols.centrifuge.frames import JoinedOrLeft

__all__ = ["Presence"]


class Presence:
    """Who is in one room.

    News may come before the list that was asked for: they wait, and are taken behind it. Whether
    the list knew of them already makes no difference, as the last word about a client decides.
    """

    __slots__ = ("_by_client", "_early")

    def __init__(self) -> None:
        # By the names of their connections, in the order in which they came.
        self._by_client: dict[str, Member] = {}
        # What came before the list, the last word about each client; None once it is there.
        self._early: dict[str, JoinedOrLeft] | None = {}

    def begin(self, members: Iterable[Member]) -> tuple[Member, ...]:
        """The list has come; return who is in the room."""
        self._by_client = {each.client: each for each in members}
        early, self._early = self._early or {}, None
        for news in early.values():
            self._note(news)
        return tuple(self._by_client.values())

    def hear(self, news: JoinedOrLeft) -> tuple[Member, ...] | None:
        """Somebody came or left; return who is in the room, or None if that changes nothing."""
        if self._early is not None:
            self._early[news.member.client] = news
            return None
        return tuple(self._by_client.values()) if self._note(news) else None

    def _note(self, news: JoinedOrLeft) -> bool:
        """Return whether this changes anything."""
        client = news.member.client
        if not news.has_joined:
            return self._by_client.pop(client, None) is not None
        is_known = self._by_client.get(client) == news.member
        self._by_client[client] = news.member
        return not is_known
