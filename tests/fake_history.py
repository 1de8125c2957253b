"""A history in memory that a test can hold back, break, trim and replace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sockstore.server.history.base import (
    Entry,
    HistoryUnavailable,
    NotStored,
    Page,
    Stored,
    StoredMessage,
)

STORED_AT = "2026-05-01T10:00:00.000Z"


@dataclass
class Log:
    messages: list[StoredMessage] = field(default_factory=list)
    top: int = 0


class FakeHistory:
    """Right, and as slow as a test wants it to be.

    What was read is what was there when the answer left the history; a held answer arrives later.
    """

    remember_seconds = 3600.0

    def __init__(self, keep: int = 10_000) -> None:
        self.keep = keep
        self.epoch = "epoch-1"
        self.rooms: dict[str, Log] = {}
        self.known: dict[tuple[str, str | None, str], int] = {}
        self.is_broken = False
        self.tells = True
        self.reads = 0
        self.units: list[int] = []
        self.held: list[asyncio.Future[None]] | None = None
        self.published: Callable[[str, Sequence[StoredMessage], str], None] = lambda *told: None
        self.lost_sight: Callable[[], None] = lambda: None

    def __str__(self) -> str:
        return "a fake"

    def start(self, published, lost_sight) -> None:
        self.published, self.lost_sight = published, lost_sight

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...

    def hold(self) -> None:
        """Let no answer arrive until `release`."""
        self.held = []

    def release(self, count: int | None = None) -> None:
        """Let answers arrive: all of them and all later ones, or some of the held ones."""
        held = self.held or []
        for answer in held[:count]:
            if not answer.done():
                answer.set_result(None)
        self.held = None if count is None else held[count:]

    def store(self, room: str, entry: Entry) -> Stored:
        """Store a message in one step, and tell it."""
        log = self.rooms.setdefault(room, Log())
        key = room, entry.sender, entry.id
        if key in self.known:
            return Stored(self.known[key], self.epoch, is_duplicate=True)
        log.top += 1
        self.known[key] = log.top
        message = StoredMessage(entry.sender, entry.data, entry.id, log.top, STORED_AT)
        log.messages = [*log.messages, message][-self.keep :]
        if self.tells:
            self.published(room, [message], self.epoch)
        return Stored(log.top, self.epoch)

    def say(self, room: str, count: int = 1, data: str = '"x"') -> None:
        """Store messages, with ids that are theirs alone."""
        for _ in range(count):
            number = self.rooms.setdefault(room, Log()).top + 1
            self.store(room, Entry("Ann", data, f"{self.epoch}-{number}"))

    def trim(self, room: str, count: int) -> None:
        """Delete the oldest messages."""
        del self.rooms[room].messages[:count]

    def lose_everything(self) -> None:
        """Begin another log."""
        self.epoch += "'"
        self.rooms.clear()
        self.known.clear()

    async def append(self, room: str, entries: Sequence[Entry]) -> list[Stored]:
        if self.is_broken:
            raise NotStored("a fake", "the test wants it so")
        self.units.append(len(entries))
        stored = [self.store(room, entry) for entry in entries]
        await self.answer()
        return stored

    async def read(self, room: str, after: int, count: int, max_bytes: int) -> Page:
        return await self._page(
            room,
            lambda messages: _bounded([m for m in messages if m.offset > after], count, max_bytes),
            after,
        )

    async def newest(
        self, room: str, count: int, max_bytes: int, before: int | None = None
    ) -> Page:
        def choose(messages: list[StoredMessage]) -> list[StoredMessage]:
            earlier = [m for m in messages if before is None or m.offset < before]
            return _bounded(earlier[::-1], count, max_bytes)[::-1]

        return await self._page(room, choose, None)

    async def _page(self, room: str, choose, after: int | None) -> Page:
        self.reads += 1
        log = self.rooms.get(room, Log())
        first = log.messages[0].offset if log.messages else log.top + 1
        ids = {message.offset: message.id for message in log.messages}
        messages = choose(log.messages)
        before = (messages[0].offset - 1 if messages else log.top) if after is None else after
        page = Page(self.epoch, log.top, first, messages, ids.get(before))
        is_broken = self.is_broken
        await self.answer()
        if is_broken:
            raise HistoryUnavailable("a fake", "the test wants it so")
        return page

    async def answer(self) -> None:
        """Wait until an answer may arrive."""
        if self.held is None:
            await asyncio.sleep(0)
            return
        answer = asyncio.get_running_loop().create_future()
        self.held.append(answer)
        await answer


def _bounded(messages: list[StoredMessage], count: int, max_bytes: int) -> list[StoredMessage]:
    chosen: list[StoredMessage] = []
    size = 0
    for message in messages[:count]:
        size += len(message.data.encode())
        if chosen and size > max_bytes:
            break
        chosen.append(message)
    return chosen
