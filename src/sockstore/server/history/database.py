"""The SQLite database of a history; used by one thread only, and synchronous."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

from sockstore.server.frames import ChatMessage
from sockstore.server.history.base import Entry

__all__ = ["Database", "explain"]

APPLICATION_ID = 0x50C57035
"""Tells our files from other programs' databases."""
VERSION = 1
SECONDS_TO_WAIT_FOR_A_LOCK = 1.0

SCHEMA = f"""
CREATE TABLE rooms (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL, top INTEGER NOT NULL
);
CREATE TABLE messages (
    room INTEGER NOT NULL REFERENCES rooms (id), offset INTEGER NOT NULL,
    id TEXT NOT NULL, sender TEXT, content TEXT NOT NULL, timestamp TEXT NOT NULL,
    PRIMARY KEY (room, offset)
) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""

REASONS = {
    "file is not a database": "it is no SQLite database",
    "unable to open database file": "the file cannot be opened; its folder must exist and the "
    "file must be writable",
    "database is locked": "another server uses it; give every server a history of its own",
    "attempt to write a readonly database": "it is read-only",
    "database or disk is full": "the disk is full",
}


class Database:
    """The rooms and their messages in one file, or in memory.

    Every method may raise `sqlite3.Error` or `OSError`; then nothing of what it was to do is done.

    Args:
        path: The file; None keeps everything in memory.
        keep: Messages that are kept of each room.
    """

    def __init__(self, path: Path | None, keep: int) -> None:
        self._path = path
        self._keep = keep
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def open(self) -> sqlite3.Connection:
        """Return the connection; the first time it is opened and the file checked."""
        if self._connection is None:
            connection = sqlite3.connect(
                ":memory:" if self._path is None else self._path,
                isolation_level=None,  # transactions begin and end where it is written
                timeout=SECONDS_TO_WAIT_FOR_A_LOCK,
            )
            try:
                _prepare(connection)
                self._identity = self._identify()
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def append(self, entries: Sequence[tuple[str, Entry]]) -> list[ChatMessage]:
        """Store messages in one transaction, and return them with their offsets.

        Args:
            entries: Pairs of a room's name and what was said there.
        """
        connection = self.open()
        # SQLite would go on writing into a file that was removed, and all would be lost at exit.
        if self._identify() != self._identity:
            raise FileNotFoundError("its file was removed or replaced; restart the server")
        connection.execute("BEGIN IMMEDIATE")
        try:
            messages = self._insert(connection, entries)
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # some errors have rolled back already
                connection.execute("ROLLBACK")
            raise
        return messages

    def newest(self, room: str, count: int, max_bytes: int) -> list[ChatMessage]:
        """Return the last messages of a room, oldest first: at most `count` and `max_bytes`."""
        rows = self.open().execute(
            "SELECT sender, content, timestamp, messages.id, offset"
            " FROM messages JOIN rooms ON rooms.id = room"
            " WHERE rooms.name = ? ORDER BY offset DESC LIMIT ?",
            (room, count),
        )
        messages: list[ChatMessage] = []
        for row in rows:
            message = ChatMessage(*row)
            max_bytes -= _size(message)
            if max_bytes < 0 and messages:
                break
            messages.append(message)
        rows.close()
        return messages[::-1]

    def close(self) -> None:
        """Close; a later use opens it again."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()

    def _insert(
        self, connection: sqlite3.Connection, entries: Sequence[tuple[str, Entry]]
    ) -> list[ChatMessage]:
        tops: dict[str, tuple[int, int]] = {}
        messages = []
        for name, entry in entries:
            room, top = tops.get(name) or _find_room(connection, name)
            message = entry.at(top + 1)
            connection.execute(
                "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)",
                (room, top + 1, entry.id, entry.sender, entry.content, entry.timestamp),
            )
            tops[name] = (room, top + 1)
            messages.append(message)
        for room, top in tops.values():
            connection.execute("UPDATE rooms SET top = ? WHERE id = ?", (top, room))
            connection.execute(
                "DELETE FROM messages WHERE room = ? AND offset <= ?", (room, top - self._keep)
            )
        return messages

    def _identify(self) -> tuple[int, int] | None:
        if self._path is None:
            return None
        try:
            found = os.stat(self._path)  # noqa: PTH116 - Path.stat() costs twice as much
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino


def explain(error: BaseException) -> str:
    """Say what is wrong with a database, as the end of a sentence."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return REASONS.get(str(error), str(error))


def _prepare(connection: sqlite3.Connection) -> None:
    """Make it ours: durable commits, one server only, and our tables."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    # A foreign file is refused before anything in it is changed.
    _check_owner(connection)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN EXCLUSIVE")
    if _number(connection, "PRAGMA application_id") == 0:
        for statement in filter(str.strip, SCHEMA.split(";")):
            connection.execute(statement)
    connection.execute("COMMIT")


def _check_owner(connection: sqlite3.Connection) -> None:
    owner = _number(connection, "PRAGMA application_id")
    is_new = owner == 0 and not _number(connection, "SELECT count(*) FROM sqlite_schema")
    if not is_new and owner != APPLICATION_ID:
        raise sqlite3.DatabaseError("it is the database of another program")
    if not is_new and (version := _number(connection, "PRAGMA user_version")) != VERSION:
        raise sqlite3.DatabaseError(f"its version is {version}, this sockstore reads {VERSION}")


def _number(connection: sqlite3.Connection, query: str) -> int:
    (value,) = connection.execute(query).fetchone()
    return int(value)


def _find_room(connection: sqlite3.Connection, name: str) -> tuple[int, int]:
    """Return the number and the highest offset of a room, which is made if it is new."""
    found = connection.execute("SELECT id, top FROM rooms WHERE name = ?", (name,)).fetchone()
    if found is not None:
        return int(found[0]), int(found[1])
    made = connection.execute(
        "INSERT INTO rooms (name, epoch, top) VALUES (?, ?, 0)", (name, token_hex(8))
    )
    return int(made.lastrowid or 0), 0


def _size(message: ChatMessage) -> int:
    """Return about how many bytes of a frame a message takes."""
    overhead = 160
    return overhead + len(message.content.encode()) + len((message.sender or "").encode())
