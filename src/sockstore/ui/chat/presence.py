"""Track the people in a room, by the server's presence messages or the members it tells."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

from sockstore.base.records import Message
from sockstore.scope.scope import Scope
from sockstore.scope.subscription_provider import Source
from sockstore.ui.chat.comings import NAMES_KEPT
from sockstore.ui.chat.source import chat_of
from sockstore.ui.pacing import PAUSE
from sockstore.ui.text import as_name

__all__ = ["MembersFollower"]

NAMES_SHOWN = 5


class MembersFollower:
    """The people in a room; of a plain one it must be given each message once, in order.

    Example:
        >>> room = MembersFollower()
        >>> room.read(Message({"type": "presence", "members": ["Ann"], "count": 1}, "json", 1, 0))
        >>> room.read(Message({"type": "join", "sender": "Bob", "count": 2}, "json", 2, 0))
        >>> room.text
        '2 here: Ann, Bob'
    """

    def __init__(self) -> None:
        # The names, once for each of a person's connections; `read` changes it.
        self._present: list[str] = []
        # The number of people according to the server, which may not name all; `read` sets it.
        self._count = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names, sorted; in a large room the server does not name all."""
        return tuple(sorted(self._present))

    @property
    def text(self) -> str:
        """The count and the first names; a name with several connections (tabs) is listed once."""
        if not self._count:
            return ""
        counts = Counter(self.names)
        names = [name if times == 1 else f"{name} ({times})" for name, times in counts.items()]
        more = self._count - sum(list(counts.values())[:NAMES_SHOWN])
        shown = ", ".join(names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return f"{self._count} here: {shown}"

    async def follow(self, source: Source, scope: Scope, show: Callable[[str], object]) -> None:
        """Show the text, and again as people come and go, with pauses between, until cancelled.

        Args:
            source: The room.
            scope: The scope of the component that shows it.
            show: Called with `text`.
        """
        chat = chat_of(source)
        if chat.members is not None:
            async for names in chat.members:
                self.see(names)
                show(self.text)
                await asyncio.sleep(PAUSE)
            return
        messages = chat.messages
        for message in messages.value:
            self.read(message)
        # Each message, also when a flood pushes it out of the log before the text is shown.
        scope.on_destroy(messages.on_append(self.read))
        async for _ in messages:
            show(self.text)
            await asyncio.sleep(PAUSE)

    def see(self, names: Iterable[str | None]) -> None:
        """Note who is in the room, where it is known at any time.

        Args:
            names: All names; None for one without a name.
        """
        everybody = list(names)
        self._present = [as_name(name) for name in everybody[:NAMES_KEPT]]
        self._count = len(everybody)

    def read(self, message: Message) -> None:
        """Note members that came or left; other messages are ignored."""
        if message.publication is not None:
            return  # a user published it, not the server
        match message.data:
            case {"type": "presence", "members": list() as names} as data:
                self._present = [as_name(name) for name in names[:NAMES_KEPT]]
                self._count = _count(data, len(names))
            case {"type": "join", "sender": sender} as data:
                if len(self._present) < NAMES_KEPT:
                    self._present.append(as_name(sender))
                self._count = _count(data, self._count + 1)
            case {"type": "leave", "sender": sender} as data:
                if (name := as_name(sender)) in self._present:
                    self._present.remove(name)
                self._count = _count(data, max(len(self._present), self._count - 1))
            case _:
                pass


def _count(data: dict[str, object], otherwise: int) -> int:
    match data.get("count"):
        case bool():
            return otherwise
        case int() as count if 0 <= count < 2**53:
            return count
        case _:
            return otherwise
