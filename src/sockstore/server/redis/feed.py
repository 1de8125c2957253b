"""Follow the feed: a Redis stream of what happens in all rooms, which every server reads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from sockstore.base.tasks import start_task
from sockstore.server.redis.connecting import SECONDS_FOR_A_CALL, Connecting, end, explain

__all__ = ["Feed", "OnEntry"]

SECONDS_TO_BLOCK = 4.0
MOST_AT_ONCE = 256
MOST_BYTES_AT_ONCE = 1024 * 1024
"""About; the size of the entries that were read before tells how many fit."""
SHORTEST_WAIT = 0.05
LONGEST_WAIT = 2.0

OnEntry: TypeAlias = Callable[[Mapping[str, str]], None]

logger: Final = logging.getLogger("sockstore.server")


class Feed:
    """Follows the feed in its own task while it is open.

    `on_entry` is called with every entry, once and in order. If some may have been missed (the
    connection was lost, Redis was restarted or emptied, the feed was trimmed before it was read),
    `lost_sight` is called as soon as the feed is followed again.

    Args:
        connecting: Makes its client.
        prefix: The beginning of all keys.
        on_entry: Called with every entry.
        lost_sight: Called when entries may have been missed.
    """

    def __init__(
        self, connecting: Connecting, prefix: str, on_entry: OnEntry, lost_sight: Callable[[], None]
    ) -> None:
        self._connecting = connecting
        self._key = f"{prefix}:feed"
        self._on_entry = on_entry
        self._lost_sight = lost_sight
        # The id and number of the last entry that was read; set by `open` and by every read.
        self._last_id = "$"
        self._number = 0
        # Entries to read at once; every read sets it by the size of its entries.
        self._count = 16
        # From `open` to `aclose`.
        self._task: asyncio.Task[None] | None = None
        self._client: Any = None
        # From an error to the next read.
        self._is_out_of_sight = False

    async def open(self) -> None:
        """Follow the feed from now on; a second call changes nothing.

        Raises:
            RedisError: If it cannot be read.
        """
        if self._task is not None:
            return
        client = self._connecting.client(seconds=SECONDS_TO_BLOCK + SECONDS_FOR_A_CALL)
        try:
            self._last_id, self._number = await self._newest(client)
        except BaseException:
            await client.aclose()
            raise
        self._client = client
        self._task = start_task(self._follow(client), name="sockstore: feed")

    async def aclose(self) -> None:
        """Stop following."""
        task, self._task = self._task, None
        if task is not None:
            await end(task)
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _follow(self, client: Any) -> None:
        wait = SHORTEST_WAIT
        while True:
            try:
                await self._read(client)
                wait = SHORTEST_WAIT
            except Exception as error:  # noqa: BLE001 - any error may be temporary
                self._note(error)
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)

    def _note(self, error: Exception) -> None:
        if not self._is_out_of_sight:
            self._is_out_of_sight = True
            shown = self._connecting.shown
            logger.error("the history %s cannot be followed: %s", shown, explain(error))

    async def _read(self, client: Any) -> None:
        if self._is_out_of_sight:
            await client.ping()
        answer = await client.xread(
            {self._key: self._last_id},
            count=self._count,
            # After an error it must not wait: `lost_sight` is called after this read.
            block=None if self._is_out_of_sight else int(SECONDS_TO_BLOCK * 1000),
        )
        entries = _entries(answer)
        if entries:
            size = sum(len(text) for _, fields in entries for text in fields.values())
            self._count = max(1, min(MOST_AT_ONCE, MOST_BYTES_AT_ONCE * len(entries) // size))
        for entry_id, fields in entries:
            self._last_id = entry_id  # an entry of another program is read once
            expected, self._number = self._number + 1, int(fields["number"])
            if self._number != expected:
                self._lost_sight()
            self._on_entry(fields)
        if not answer:
            await self._check_end(client)
        if self._is_out_of_sight:
            self._is_out_of_sight = False
            logger.warning("the history %s can be followed again", self._connecting.shown)
            self._lost_sight()

    async def _newest(self, client: Any) -> tuple[str, int]:
        """Return the id and the number of the last entry."""
        newest = await client.xrevrange(self._key, count=1)
        if not newest:
            return "0-0", 0
        entry_id, fields = newest[0]
        return entry_id, int(fields["number"])

    async def _check_end(self, client: Any) -> None:
        """Go back if the feed ends before the last entry that was read.

        That happens if Redis was emptied and its clock is behind, as on another machine. New
        entries would never be read then.
        """
        last_id, number = await self._newest(client)
        if _order(last_id) < _order(self._last_id):
            self._last_id, self._number = last_id, number
            self._lost_sight()


def _order(entry_id: str) -> tuple[int, ...]:
    return tuple(map(int, entry_id.split("-")))


def _entries(answer: Any) -> list[tuple[str, Mapping[str, str]]]:
    """Return the entries of one stream, from the answer of either version of Redis's protocol."""
    if not answer:
        return []
    streams = answer.values() if isinstance(answer, dict) else [entries for _, entries in answer]
    flat: list[tuple[str, Mapping[str, str]]] = []
    for entries in streams:
        for each in entries:
            flat += [each] if isinstance(each, tuple) or isinstance(each[0], str) else each
    return flat
