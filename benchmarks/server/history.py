"""Let many senders append to a history in a file, for a while.

``python -m benchmarks.server.history FILE --senders 16``: the path that a chat server's messages
take. ``--one-by-one`` takes the group commit away, ``--synchronous NORMAL`` the fsync of each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import time
from pathlib import Path
from uuid import uuid4

from sockstore.server import SqliteHistory
from sockstore.server.history import sqlite
from sockstore.server.history.base import Entry
from sockstore.server.history.database import Database

WORDS = json.dumps({"content": "somebody says something " * 4, "timestamp": "2026-05-01T10:00:00Z"})


class TunedHistory(SqliteHistory):
    """The history, with another ``PRAGMA synchronous``.

    Args:
        path: The file.
        synchronous: FULL or NORMAL.
    """

    def __init__(self, path: Path, synchronous: str) -> None:
        super().__init__(path)
        self._synchronous = synchronous

    def _database(self) -> Database:
        return TunedDatabase(self._path, self._keep, self._remember, self._synchronous)


class TunedDatabase(Database):
    """The database of the history."""

    def __init__(self, path: Path | None, keep: int, remember: float, synchronous: str) -> None:
        super().__init__(path, keep, remember)
        self._synchronous = synchronous

    def open(self) -> sqlite3.Connection:
        """Open the file; the first time the pragma is set."""
        is_new = self._connection is None
        connection = super().open()
        if is_new:
            connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        return connection


async def talk(history: SqliteHistory, senders: int, seconds: float) -> int:
    """Let the senders append until the time is over; return how many messages were stored."""
    end = time.monotonic() + seconds
    stored = 0

    async def send(sender: str) -> None:
        nonlocal stored
        while time.monotonic() < end:
            await history.append("lobby", [Entry(sender, WORDS, uuid4().hex)])
            stored += 1

    await asyncio.gather(*(send(f"sender {number}") for number in range(senders)))
    return stored


async def measure(path: Path, synchronous: str, senders: int, seconds: float) -> dict[str, float]:
    """Return how many messages were stored, in how many seconds, and how many are kept."""
    history = TunedHistory(path, synchronous)
    await history.open()
    begun = time.monotonic()
    messages = await talk(history, senders, seconds)
    elapsed = time.monotonic() - begun
    top = (await history.newest("lobby", 1, 1)).top
    await history.aclose()
    return {"messages": messages, "seconds": elapsed, "top": top}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL"), default="FULL")
    parser.add_argument("--senders", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--one-by-one", action="store_true")
    options = parser.parse_args()
    if options.one_by_one:
        sqlite.MOST_IN_ONE_TRANSACTION = 1
    figures = measure(options.path, options.synchronous, options.senders, options.seconds)
    print(json.dumps(asyncio.run(figures)))


if __name__ == "__main__":
    main()
