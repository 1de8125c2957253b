"""A history in Redis Streams, which several servers may share."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from secrets import token_hex
from time import time
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from sockstore.base.checks import require_count, require_seconds, require_text
from sockstore.base.errors import InvalidOption
from sockstore.base.times import utc_time
from sockstore.server.history.base import (
    BYTES_AROUND,
    Entry,
    HistoryUnavailable,
    NotStored,
    Page,
    Published,
    Stored,
    StoredMessage,
    no_listener,
)
from sockstore.server.redis.connecting import Connecting, explain, problems_of
from sockstore.server.redis.feed import Feed, OnEntry
from sockstore.server.redis.scripts import PAGE, STORE

__all__ = ["BEYOND", "FEED_LENGTH", "FeedPosition", "RedisHistory"]

FEED_LENGTH = 10_000
"""About how many entries of the feed are kept; a server that is further behind reads the rooms."""

BEYOND = 2**53 - 1
"""A number that no feed reaches, so that any answer of Redis is behind it."""

logger: Final = logging.getLogger("sockstore.server")


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """The highest number of the feed that a server knows.

    Each message of any room has a number. So a Redis whose last number is lower has lost messages
    that clients were sent: it was restarted from an older file, or a replica that was behind became
    the master.

    Args:
        log: The epoch of the log; empty before the first answer.
        number: The highest number that an answer of Redis or the feed brought.
        last_in_feed: The number of the last entry that the feed brought.
    """

    log: str = ""
    number: int = 0
    last_in_feed: int = 0

    def answered(self, log: str, number: int) -> FeedPosition:
        """Return the position after an answer of Redis."""
        if log != self.log:
            return FeedPosition(log, number)
        return FeedPosition(log, max(number, self.number), self.last_in_feed)

    def read_entry(self, log: str, number: int) -> FeedPosition:
        """Return the position after an entry of the feed, which brings each number once."""
        if log != self.log:
            return FeedPosition(log, number, number)
        highest = BEYOND if number <= self.last_in_feed else max(number, self.number)
        return FeedPosition(log, highest, number)


class RedisHistory:
    """Keeps the messages of rooms in Redis Streams (Redis 6.2, Valkey, or later).

    Servers that use the same Redis and prefix share the rooms: every message reaches the clients
    of all of them, in one order. Redis must keep its data, so one whose ``appendonly`` is off is
    refused. With ``appendfsync always`` every acknowledged message survives its death. With
    ``everysec``, its default, a warning is logged: the last seconds may be lost, and clients are
    told of a gap.

    Args:
        url: ``redis://[USER:PASSWORD@]HOST[:PORT][/DB]``, ``rediss://...`` or ``unix://PATH``;
            with ``?appendonly=ignore`` a Redis whose ``appendonly`` is off causes a warning only.
        prefix: The beginning of all keys.
        keep: The messages that are kept of each room; older ones are deleted.
        remember_seconds: The seconds for which the id of a message is remembered.

    Raises:
        InvalidOption: If an option cannot work.

    Example:
        ::

            create_app(history=RedisHistory("redis://localhost:6379/0", keep=1000))
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "sockstore",
        keep: int = 10_000,
        remember_seconds: float = 3600.0,
    ) -> None:
        require_text("prefix", prefix, "text")
        require_count("keep", keep, least=1)
        require_seconds("remember_seconds", remember_seconds)
        url, self._tolerates_forgetting = _without_our_option(url)
        self.connecting: Final = Connecting(url)
        self.prefix: str = f"{{{prefix}}}"
        self._keep = keep
        self._remember = remember_seconds
        # Set by `start`.
        self._published: Published = no_listener
        self._lost_sight: Callable[[], None] = no_listener
        # Added by `follow`.
        self._listeners: list[tuple[OnEntry, Callable[[], None]]] = []
        self._feed = Feed(self.connecting, self.prefix, self._take_entry, self._out_of_sight)
        # Advanced by every answer of a script and every entry of the feed.
        self._position = FeedPosition()
        # From the first use to `aclose`.
        self._client: Any = None
        # The open calls of each client; `_using` counts them.
        self._calls: Counter[Any] = Counter()
        # Held while connecting or closing; made by the first of them.
        self._opening: asyncio.Lock | None = None
        # Whether a failure was logged; the next stored message clears it.
        self._was_failing = False

    def __str__(self) -> str:
        return self.connecting.shown

    @property
    def remember_seconds(self) -> float:
        """The seconds for which the id of a stored message is remembered, at least."""
        return self._remember

    def start(self, published: Published, lost_sight: Callable[[], None]) -> None:
        """Set the callables that receive the messages of all servers; does no I/O."""
        self._published = published
        self._lost_sight = lost_sight

    def follow(self, on_entry: OnEntry, lost_sight: Callable[[], None]) -> None:
        """Add callables that receive the entries of the feed; does no I/O."""
        self._listeners.append((on_entry, lost_sight))

    def check(self) -> None:
        """Check that Redis can be used, before a server starts; not inside an event loop.

        Raises:
            HistoryUnavailable: If it cannot.
        """

        async def check() -> None:
            await self.open()
            await self.aclose()

        asyncio.run(check())

    async def open(self) -> None:
        """Connect, check that Redis keeps its data, and follow the feed.

        Raises:
            HistoryUnavailable: If that fails.
        """
        await self._opened()

    async def append(self, room: str, entries: Sequence[Entry]) -> list[Stored]:
        """Store messages in their order, all or none, and return once Redis has them.

        Raises:
            NotStored: If they were not stored, or if that is unknown.
        """
        words = [word for each in entries for word in (each.sender or "", each.id, each.data)]
        arguments = (self._keep, int(self._remember * 1000), FEED_LENGTH, utc_time(time()), *words)
        try:
            epoch, log, number, offsets = await self._call_with_position(STORE, room, *arguments)
        except Exception as error:
            self._note_failure(error)
            raise NotStored(str(self), explain(error)) from error
        self._was_failing = False
        self._position = self._position.answered(log, number)
        return [Stored(abs(offset), epoch, is_duplicate=offset < 0) for offset in offsets]

    async def read(self, room: str, after: int, count: int, max_bytes: int) -> Page:
        """Read as `History.read`."""
        return await self._page(room, str(after), "", count, max_bytes)

    async def newest(
        self, room: str, count: int, max_bytes: int, before: int | None = None
    ) -> Page:
        """Read as `History.newest`."""
        end = "" if before is None else str(before)
        page = await self._page(room, "", end, count, max_bytes)
        return replace(page, messages=page.messages[::-1])

    async def call(self, script: str, *arguments: object) -> Any:
        """Run a script; it may run twice if an idle connection has died.

        Raises:
            RedisError: If it fails.
        """
        async with self._using() as client:
            return await client.eval(script, 1, self.prefix, *arguments)

    async def set(self, name: str, seconds: float) -> None:
        """Set one of our keys for some time."""
        async with self._using() as client:
            await client.set(f"{self.prefix}:{name}", "1", px=int(seconds * 1000))

    async def delete(self, name: str) -> None:
        """Delete one of our keys."""
        async with self._using() as client:
            await client.delete(f"{self.prefix}:{name}")

    async def aclose(self) -> None:
        """Close the connections; a later call opens them again."""
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:  # waits for a task that is connecting
            client, self._client = self._client, None
            await self._feed.aclose()
            # Calls that are under way keep their connections; the last one closes the client.
            if client is not None and not self._calls[client]:
                await client.aclose()

    @asynccontextmanager
    async def _using(self) -> AsyncIterator[Any]:
        client = await self._opened()
        self._calls[client] += 1
        try:
            yield client
        finally:
            self._calls[client] -= 1
            if not self._calls[client]:
                del self._calls[client]
                if client is not self._client:
                    # `aclose` came while it was in use.
                    with suppress(Exception):  # the result of the call matters
                        await client.aclose()

    async def _opened(self) -> Any:
        if self._client is None:
            self._opening = self._opening or asyncio.Lock()
            async with self._opening:
                if self._client is None:
                    self._client = await self._connect()
        return self._client

    async def _connect(self) -> Any:
        client = self.connecting.client()
        try:
            await self._check_persistence(client)
            await self._feed.open()
        except BaseException as error:
            await client.aclose()
            if isinstance(error, HistoryUnavailable) or not isinstance(error, Exception):
                raise
            raise HistoryUnavailable(str(self), explain(error)) from error
        return client

    async def _check_persistence(self, client: Any) -> None:
        refusal, warnings = await problems_of(client)
        if refusal is not None and not self._tolerates_forgetting:
            raise HistoryUnavailable(str(self), refusal)
        for warning in (*warnings, *([refusal] if refusal else [])):
            logger.warning("the history %s: %s", self, warning)

    async def _page(self, room: str, after: str, before: str, count: int, max_bytes: int) -> Page:
        bounds = (after, before, count, max_bytes, BYTES_AROUND)
        try:
            answer = await self._call_with_position(PAGE, room, *bounds)
        except Exception as error:
            self._note_failure(error)
            raise HistoryUnavailable(str(self), explain(error)) from error
        epoch, log, number, top, first, id_before, rows = answer
        self._position = self._position.answered(log, number)
        messages = [
            StoredMessage(sender or None, data, message_id, offset, stored_at)
            for offset, sender, message_id, data, stored_at in rows
        ]
        return Page(epoch, top, first, messages, id_before or None)

    async def _call_with_position(self, script: str, room: str, *arguments: object) -> Any:
        """Run a script that begins another epoch if Redis is behind our position."""
        position = self._position
        return await self.call(
            script, room, token_hex(8), position.log, position.number, *arguments
        )

    def _take_entry(self, fields: Mapping[str, str]) -> None:
        if fields["kind"] == "message":
            self._position = self._position.read_entry(fields["log"], int(fields["number"]))
            message = StoredMessage(
                fields["sender"] or None,
                fields["data"],
                fields["id"],
                int(fields["offset"]),
                fields["at"],
            )
            self._published(fields["room"], [message], fields["epoch"])
        for on_entry, _ in self._listeners:
            on_entry(fields)

    def _out_of_sight(self) -> None:
        self._lost_sight()
        for _, lost_sight in self._listeners:
            lost_sight()

    def _note_failure(self, error: Exception) -> None:
        """Log the first of several failures."""
        if not self._was_failing:
            self._was_failing = True
            logger.error("the history %s cannot be used: %s", self, explain(error))


def _without_our_option(url: object) -> tuple[str, bool]:
    """Return a url without ``appendonly=ignore``, and whether it had that."""
    if not isinstance(url, str):
        raise InvalidOption("history", url, "give redis://HOST:PORT/DB")
    base, _, query = url.partition("?")
    fields = parse_qsl(query, keep_blank_values=True)
    others = [field for field in fields if field[0] != "appendonly"]
    if any(field != ("appendonly", "ignore") for field in fields if field not in others):
        raise InvalidOption("appendonly", dict(fields)["appendonly"], "only 'ignore' is possible")
    return f"{base}?{urlencode(others)}" if others else base, len(others) < len(fields)
