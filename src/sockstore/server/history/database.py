"""Read and write the SQLite file of a history: its schema and queries, for one thread only."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from time import monotonic, time
from typing import Final, TypeAlias

from sockstore.base.times import utc_time
from sockstore.server.history.base import Entry, Page, Stored, StoredMessage, bounded
from sockstore.server.history.files import Files

__all__ = ["Database", "Placed", "Unit", "explain"]

Unit: TypeAlias = tuple[str, Sequence[Entry]]
"""A room, and messages that are stored in it together."""

Placed: TypeAlias = tuple[Stored, StoredMessage | None]
"""Where a message is stored; and the message itself, unless it was stored before."""

APPLICATION_ID = 0x50C57035
"""Marks our files; other programs' databases have another one."""
VERSION = 2
SECONDS_TO_WAIT_FOR_A_LOCK = 1.0
MOST_FORGOTTEN_AT_ONCE = 256
"""Bounds how long one transaction deletes; it is more than one transaction stores."""

MOST_IN_A_PAGE = 2**31

logger: Final = logging.getLogger("sockstore.server")

SCHEMA = f"""
CREATE TABLE log (epoch TEXT NOT NULL);
CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, top INTEGER NOT NULL);
CREATE TABLE messages (
    room INTEGER NOT NULL REFERENCES rooms (id), offset INTEGER NOT NULL,
    id TEXT NOT NULL, sender TEXT, data TEXT NOT NULL, stored_at TEXT NOT NULL,
    PRIMARY KEY (room, offset)
) WITHOUT ROWID;
CREATE TABLE ids (
    room INTEGER NOT NULL REFERENCES rooms (id), sender TEXT NOT NULL, id TEXT NOT NULL,
    offset INTEGER NOT NULL, stored_at REAL NOT NULL,
    PRIMARY KEY (room, sender, id)
) WITHOUT ROWID;
CREATE INDEX ids_by_age ON ids (stored_at);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
"""

FROM_VERSION_1 = """
INSERT INTO rooms SELECT id, name, top FROM rooms_1;
INSERT INTO messages
    SELECT room, offset, id, sender,
        json_object('content', content, 'timestamp', timestamp), timestamp
    FROM messages_1;
DROP TABLE messages_1;
DROP TABLE rooms_1;
"""

REASONS = {
    "file is not a database": "it is not a SQLite database",
    "unable to open database file": "the file cannot be opened; its folder must exist and the "
    "file must be writable",
    "database is locked": "another server uses it; give every server a history of its own",
    "attempt to write a readonly database": "it is read-only",
    "database or disk is full": "the disk is full",
}


class Database:
    """The rooms and their messages in one file, or in memory.

    Every method may raise `sqlite3.Error` or `OSError`; then it has changed nothing.

    Args:
        path: The file; None keeps everything in memory.
        keep: The messages that are kept of each room.
        remember: The seconds for which the id of a message is remembered.
    """

    def __init__(self, path: Path | None, keep: int, remember: float) -> None:
        self._path = path
        self._keep = keep
        self._remember = remember
        # Read from the file when it is opened.
        self._epoch = ""
        # Set from `open` to `close`.
        self._connection: sqlite3.Connection | None = None
        self._files: Files | None = None
        # The clock at `open`, and the time of the newest id then; `_now` counts from them.
        self._opened_at = 0.0
        self._newest_id_at = 0.0

    def open(self) -> sqlite3.Connection:
        """Return the connection; the first call opens it and checks the file."""
        if self._connection is None:
            files = None if self._path is None else Files(self._path)
            if files is not None:
                files.make()
            connection = sqlite3.connect(
                ":memory:" if self._path is None else self._path,
                isolation_level=None,  # transactions begin and end explicitly
                timeout=SECONDS_TO_WAIT_FOR_A_LOCK,
            )
            try:
                _prepare(connection, files)
                (self._epoch,) = connection.execute("SELECT epoch FROM log").fetchone()
                (newest,) = connection.execute("SELECT max(stored_at) FROM ids").fetchone()
            except BaseException:
                connection.close()
                raise
            if files is not None:
                files.note()
            self._opened_at, self._newest_id_at = monotonic(), newest or 0.0
            self._connection, self._files = connection, files
        return self._connection

    def append(self, units: Sequence[Unit]) -> list[list[Placed]]:
        """Store messages in one transaction, and return their places."""
        self.open()
        self._check_files()
        connection = self.open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            kept = self._insert(connection, units)
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # some errors have rolled back already
                connection.execute("ROLLBACK")
            raise
        # A file that was removed meanwhile would lose them.
        self._check_files()
        if self._files is not None:
            self._files.note()
        return kept

    def _check_files(self) -> None:
        """Check that the files are the ones that were opened, and restore a removed journal.

        Raises:
            OSError: If commits would be lost at exit.
        """
        files, connection = self._files, self._connection
        change = None if files is None else files.find_change()
        if files is None or connection is None or change is None:
            return
        if change == "database":
            raise OSError(None, "its file was removed, replaced or cut short; restart the server")
        if not files.is_journal_gone:
            raise OSError(None, "its file -wal was cut short; restart the server")
        # The open file is complete: move its content to the database, and make a new journal.
        (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:  # pragma: no cover - the lock is ours alone
            raise OSError(None, "its file -wal was removed; restart the server")
        self.close()
        self.open()
        logger.warning(
            "the history %s: its file -wal was removed; its content is saved, and it is made anew",
            self._path,
        )

    def _now(self) -> float:
        """Return a time in seconds that advances only while the file is open.

        The time of day may be set back or forward. This time continues from the newest id when a
        file is opened again, so that an id is never forgotten too early.
        """
        return self._newest_id_at + monotonic() - self._opened_at

    def read(self, room: str, after: int, count: int, max_bytes: int) -> Page:
        """Return the oldest kept messages after an offset."""
        connection = self.open()
        number, top = _find_room(connection, room)
        after = min(after, top + 1)  # SQLite's numbers end at 2^63
        rows = connection.execute(
            "SELECT sender, data, id, offset, stored_at FROM messages"
            " WHERE room = ? AND offset > ? ORDER BY offset LIMIT ?",
            (number, after, _limit(count)),
        )
        messages = _messages(rows, max_bytes)
        return self._page(number, top, messages, after)

    def newest(self, room: str, count: int, max_bytes: int, before: int | None = None) -> Page:
        """Return the last messages of a room before an offset, oldest first."""
        connection = self.open()
        number, top = _find_room(connection, room)
        end = top + 1 if before is None else max(0, min(before, top + 1))
        rows = connection.execute(
            "SELECT sender, data, id, offset, stored_at FROM messages"
            " WHERE room = ? AND offset < ? ORDER BY offset DESC LIMIT ?",
            (number, end, _limit(count)),
        )
        messages = _messages(rows, max_bytes)[::-1]
        first = messages[0].offset if messages else end
        return self._page(number, top, messages, first - 1)

    def _page(self, room: int, top: int, messages: list[StoredMessage], before: int) -> Page:
        connection = self.open()
        (first,) = connection.execute(
            "SELECT min(offset) FROM messages WHERE room = ?", (room,)
        ).fetchone()
        row = connection.execute(
            "SELECT id FROM messages WHERE room = ? AND offset = ?", (room, before)
        ).fetchone()
        return Page(
            self._epoch,
            top,
            top + 1 if first is None else int(first),
            messages,
            None if row is None else str(row[0]),
        )

    def close(self) -> None:
        """Close; a later call opens it again."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            self._files = None
            connection.close()

    def _insert(self, connection: sqlite3.Connection, units: Sequence[Unit]) -> list[list[Placed]]:
        now, stored_at = self._now(), utc_time(time())
        tops: dict[str, tuple[int, int]] = {}
        kept: list[list[Placed]] = []
        for name, entries in units:
            kept.append([])
            for entry in entries:
                room, top = tops.get(name) or _make_room(connection, name)
                stored = self._insert_one(room, top + 1, entry, now, stored_at)
                tops[name] = (room, top if stored[0].is_duplicate else top + 1)
                kept[-1].append(stored)
        for room, top in tops.values():
            connection.execute("UPDATE rooms SET top = ? WHERE id = ?", (top, room))
            connection.execute(
                "DELETE FROM messages WHERE room = ? AND offset <= ?", (room, top - self._keep)
            )
        connection.execute(
            "DELETE FROM ids WHERE (room, sender, id) IN"
            " (SELECT room, sender, id FROM ids WHERE stored_at < ? ORDER BY stored_at LIMIT ?)",
            (now - self._remember, MOST_FORGOTTEN_AT_ONCE),
        )
        return kept

    def _insert_one(
        self, room: int, offset: int, entry: Entry, now: float, stored_at: str
    ) -> Placed:
        connection = self.open()
        sender = entry.sender or ""  # a name is never empty
        row = connection.execute(
            "SELECT offset FROM ids WHERE room = ? AND sender = ? AND id = ?",
            (room, sender, entry.id),
        ).fetchone()
        if row is not None:
            return Stored(int(row[0]), self._epoch, is_duplicate=True), None
        connection.execute(
            "INSERT INTO ids VALUES (?, ?, ?, ?, ?)", (room, sender, entry.id, offset, now)
        )
        connection.execute(
            "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)",
            (room, offset, entry.id, entry.sender, entry.data, stored_at),
        )
        message = StoredMessage(entry.sender, entry.data, entry.id, offset, stored_at)
        return Stored(offset, self._epoch), message


def explain(error: BaseException) -> str:
    """Return what is wrong with a database, as the end of a sentence."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return REASONS.get(str(error), str(error))


def _prepare(connection: sqlite3.Connection, files: Files | None) -> None:
    """Set up durable commits, exclusive use, and our tables."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    # Another program's file is refused before it is changed.
    _check_owner(connection)
    if files is not None:
        files.protect()  # SQLite copies the database's rights to the journal
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN EXCLUSIVE")
    version = _number(connection, "PRAGMA user_version")
    if version == 1:
        connection.execute("ALTER TABLE rooms RENAME TO rooms_1")
        connection.execute("ALTER TABLE messages RENAME TO messages_1")
    if version < VERSION:
        _execute_all(connection, SCHEMA)
        connection.execute("INSERT INTO log VALUES (?)", (token_hex(8),))
    if version == 1:
        _execute_all(connection, FROM_VERSION_1)
    connection.execute("COMMIT")


def _execute_all(connection: sqlite3.Connection, script: str) -> None:
    for statement in filter(str.strip, script.split(";")):
        connection.execute(statement)


def _check_owner(connection: sqlite3.Connection) -> None:
    owner = _number(connection, "PRAGMA application_id")
    is_new = owner == 0 and not _number(connection, "SELECT count(*) FROM sqlite_schema")
    if not is_new and owner != APPLICATION_ID:
        raise sqlite3.DatabaseError("it is the database of another program")
    version = _number(connection, "PRAGMA user_version")
    if not is_new and not 1 <= version <= VERSION:
        raise sqlite3.DatabaseError(f"its version is {version}, this sockstore reads {VERSION}")


def _number(connection: sqlite3.Connection, query: str) -> int:
    (value,) = connection.execute(query).fetchone()
    return int(value)


def _find_room(connection: sqlite3.Connection, name: str) -> tuple[int, int]:
    """Return the number and the highest offset of a room; zeros if it has no messages yet."""
    row = connection.execute("SELECT id, top FROM rooms WHERE name = ?", (name,)).fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def _make_room(connection: sqlite3.Connection, name: str) -> tuple[int, int]:
    """Return the number and the highest offset of a room; add it if it is new."""
    room = _find_room(connection, name)
    if room != (0, 0):
        return room
    cursor = connection.execute("INSERT INTO rooms (name, top) VALUES (?, 0)", (name,))
    return int(cursor.lastrowid or 0), 0


def _limit(count: int) -> int:
    """Return a number for LIMIT, which takes a negative one as no limit."""
    return max(0, min(count, MOST_IN_A_PAGE))


def _messages(rows: sqlite3.Cursor, max_bytes: int) -> list[StoredMessage]:
    messages = bounded((StoredMessage(*row) for row in rows), max_bytes)
    rows.close()
    return messages
